"""Neutron's rules in a router's namespace, in the words of iptables-save (neutron 29).

As `iptables_manager` writes them: whole tables at once, so that what it doesn't know in its own
chains goes, and what others have in built-in chains stays.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

_NOSCOPE = "0x4000000/0xffff0000"
_P = "neutron-l3-agent"
_RESTORE = "--restore-mark --nfmask 0xffff0000 --ctmask 0xffff0000"


def centralized(
    qg: str, inside: Sequence[str], public: str, floating: Sequence[tuple[str, str]] = ()
) -> dict[int, str]:
    """Return the tables where the gateway is: SNAT, floating IPs, address scopes."""
    scope_marks = "".join(
        f"-A {_P}-scope -i {device} -j MARK --set-xmark {_NOSCOPE}\n" for device in (qg, *inside)
    )
    closed = "".join(
        f"-A {_P}-scope -o {device} -m mark ! --mark {_NOSCOPE} -j DROP\n" for device in inside
    )
    dnat = "".join(
        f"-A {_P}-PREROUTING -d {fip}/32 -j DNAT --to-destination {vm}\n"
        f"-A {_P}-OUTPUT -d {fip}/32 -j DNAT --to-destination {vm}\n"
        for fip, vm in floating
    )
    snat = "".join(
        f"-A {_P}-float-snat -s {vm}/32 -j SNAT --to-source {fip} --random-fully\n"
        for fip, vm in floating
    )
    mangle = f"""*mangle
:{_P}-PREROUTING - [0:0]
:{_P}-mark - [0:0]
:{_P}-scope - [0:0]
:{_P}-POSTROUTING - [0:0]
-A PREROUTING -j {_P}-PREROUTING
-A POSTROUTING -j {_P}-POSTROUTING
-A {_P}-PREROUTING -j {_P}-mark
-A {_P}-PREROUTING -j {_P}-scope
-A {_P}-PREROUTING -m connmark ! --mark 0x0/0xffff0000 -j CONNMARK {_RESTORE}
-A {_P}-mark -i {qg} -j MARK --set-xmark 0x2/0xffff
{scope_marks}COMMIT
"""
    filter_ = f"""*filter
:{_P}-FORWARD - [0:0]
:{_P}-scope - [0:0]
-A FORWARD -j {_P}-FORWARD
-A {_P}-FORWARD -j {_P}-scope
{closed}COMMIT
"""
    to = f"--to-source {public} --random-fully"
    nat = f"""*nat
:{_P}-PREROUTING - [0:0]
:{_P}-OUTPUT - [0:0]
:{_P}-POSTROUTING - [0:0]
:{_P}-float-snat - [0:0]
:{_P}-snat - [0:0]
:neutron-postrouting-bottom - [0:0]
-A PREROUTING -j {_P}-PREROUTING
-A OUTPUT -j {_P}-OUTPUT
-A POSTROUTING -j {_P}-POSTROUTING
-A POSTROUTING -j neutron-postrouting-bottom
{dnat}-A {_P}-POSTROUTING ! -o {qg} -m conntrack ! --ctstate DNAT -j ACCEPT
{snat}-A {_P}-snat -j {_P}-float-snat
-A {_P}-snat -o {qg} -j SNAT {to}
-A {_P}-snat -m mark ! --mark 0x2/0xffff -m conntrack --ctstate DNAT -j SNAT {to}
-A neutron-postrouting-bottom -j {_P}-snat
COMMIT
"""
    return {4: mangle + filter_ + nat, 6: mangle + filter_}


def restore(namespace: str, tables: dict[int, str]) -> None:
    """Write the tables into a namespace that has none."""
    for version, text in tables.items():
        _run(namespace, version, "-restore", text)


def rewrite(namespace: str, tables: dict[int, str]) -> None:
    """Write the tables again as the L3 agent does at its applies.

    Its own chains anew, its jumps at the head of the built-in chains, those of others as they are
    (neutron.agent.linux.iptables_manager).
    """
    for version, text in tables.items():
        table, saved = "", _by_table(_run(namespace, version, "-save"))
        places: dict[tuple[str, str], int] = {}
        lines = []
        for line in text.splitlines():
            verb, _, rest = line.partition(" ")
            chain, _, rule = rest.partition(" ")
            if line.startswith("*"):
                table = line
            if verb != "-A" or chain.startswith("neutron-"):
                lines.append(line)
                continue
            lines += [f"-D {rest}"] * saved.get(table, []).count(line)
            place = places[table, chain] = places.get((table, chain), 0) + 1
            lines.append(f"-I {chain} {place} {rule}")
        _run(namespace, version, "-restore", "\n".join([*lines, ""]), "--noflush")


def _by_table(saved: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    table = ""
    for line in saved.splitlines():
        table = line if line.startswith("*") else table
        found.setdefault(table, []).append(line)
    return found


def _run(namespace: str, version: int, verb: str, text: str = "", *arguments: str) -> str:
    program = {4: "iptables", 6: "ip6tables"}[version] + verb
    return subprocess.run(
        ("ip", "netns", "exec", namespace, program, *arguments),
        input=text,
        text=True,
        check=True,
        capture_output=True,
    ).stdout
