"""LP#2127166's question, one attribute after the other: what does charon have after a PUT?"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

from openstack import exceptions

from bench.beside.peer import Far
from bench.beside.side import Case, Side, seconds_until

MTU = 1300
INTERVAL = 3  # of dead peer detection
SILENT = 10  # seconds after the last tunnel came up
Sa = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A change of one connection: what the peer does before, the PUT, and what must be then.

    `effect` sees the connection's SAs (each with its `children`) and those of before.
    """

    name: str
    put: Callable[[Side, Case], None]
    effect: Callable[[Side, Case, list[Sa], set[str]], object]
    before: Callable[[Far], tuple[Far, ...]] = lambda _: ()
    own_policies: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change: seconds until its effect, or why there is none."""

    seconds: float | None
    cpu: float | None = None
    refused: int = 0  # the HTTP status
    put_at: float = 0.0  # monotonic seconds
    written: bool = False  # whether at least the configuration of charon is another
    hindered: str = ""  # why it couldn't be tried
    later: bool = False  # whether it had its effect after all, when all changes had been made
    restarted: float | None = None  # seconds from a restart of the agent until it had it

    def age(self) -> float:
        """Return how many seconds ago the PUT was."""
        return time.monotonic() - self.put_at

    def words(self, limit: float) -> str:
        """Return it for a table."""
        if self.hindered:
            return f"not measured: {self.hindered}"
        if self.refused:
            return f"refused ({self.refused})"
        if self.seconds is not None:
            return f"{self.seconds:.2f} s"
        where = ", in its configuration only" if self.written else ""
        when = " but later" if self.later else ""
        if self.restarted is not None:
            when = f" but {self.restarted:.2f} s after a restart of the agent"
        return f"not within {limit:.0f} s{when}{where}"


def _new_sa(_: Side, __: Case, sas: list[Sa], old: set[str]) -> object:
    return [sa for sa in sas if sa["uniqueid"] not in old]


def _id(which: str, wanted: str) -> Callable[[Side, Case, list[Sa], set[str]], object]:
    return lambda _, __, sas, ___: [sa for sa in sas if sa[which] == wanted]


def _children(key: str, wanted: str) -> Callable[[Side, Case, list[Sa], set[str]], object]:
    return lambda _, __, sas, ___: [
        c for sa in sas for c in sa["children"] if wanted in c.get(key, "")
    ]


def _mtu(side: Side, case: Case, _: list[Sa], __: set[str]) -> object:
    ping = ["ping", "-n", "-q", "-c", "1", "-W", "1", "-M", "do", "-s"]

    def passes(size: int) -> bool:
        argv = [*ping, str(size - 28), case.far.host]
        return not side.workload.box.run(argv, side.workload.name, check=False).returncode

    return passes(MTU) and not passes(MTU + 1)


def _probed() -> Callable[[Side, Case, list[Sa], set[str]], object]:
    """Three requests: the deletion of a replaced SA is one, if there is one; two are probes."""
    first: dict[str, int] = {}

    def seen(side: Side, case: Case, _: list[Sa], __: set[str]) -> object:
        now = side.peer.probes(case.far)
        return now - first.setdefault(case.id, now) >= 3

    return seen


def _other(far: Far) -> str:
    ten, second, rest = far.networks[0].split(".", 2)
    return f"{ten}.{int(second) + 20}.{rest}"


def _address(far: Far) -> str:
    return f"{far.address.rpartition('.')[0]}.250"


def _policy(kind: str) -> Callable[[Side, Case], None]:
    def put(side: Side, case: Case) -> None:
        network = side.client.network
        shown = network.get_vpn_ipsec_site_connection(case.id)
        update = getattr(network, f"update_vpn_{kind}_policy")
        update(getattr(shown, f"{kind}policy_id"), encryption_algorithm="aes-128")

    return put


def rows() -> tuple[Row, ...]:
    """Return the changes in their order; each is of a connection of its own."""
    renamed = "east.example.org"
    return (
        Row(
            "`psk`",
            lambda s, c: s.update(c, psk="another key"),
            _new_sa,
            lambda f: (dataclasses.replace(f, psk="another key"),),
        ),
        Row(
            "`peer_id`",
            lambda s, c: s.update(c, peer_id=renamed),
            _id("remote-id", renamed),
            lambda f: (dataclasses.replace(f, identity=renamed),),
        ),
        Row(
            "`local_id`",
            lambda s, c: s.update(c, local_id="gw.example.org"),
            _id("local-id", "gw.example.org"),
        ),
        Row(
            "`peer_address`",
            lambda s, c: s.update(c, peer_address=_address(c.far)),
            lambda _, c, sas, __: [sa for sa in sas if sa["remote-host"] == _address(c.far)],
            lambda f: (f, dataclasses.replace(f, name=f"{f.name}b", address=_address(f))),
        ),
        Row(
            "`peer_cidrs`: one more",
            lambda s, c: s.update(c, peer_cidrs=[*c.far.networks, _other(c.far)]),
            lambda _, c, sas, __: [
                t for sa in sas for t in sa["children"] if _other(c.far) in t["remote-ts"]
            ],
            lambda f: (dataclasses.replace(f, networks=(*f.networks, _other(f))),),
        ),
        Row(
            f"`mtu`: {MTU} passes, one byte more doesn't",
            lambda s, c: s.update(c, mtu=MTU),
            _mtu,
        ),
        Row(
            f"`dpd`: every {INTERVAL} s, two probes seen",
            lambda s, c: s.update(
                c, dpd={"action": "restart", "interval": INTERVAL, "timeout": 4 * INTERVAL}
            ),
            _probed(),
        ),
        Row(
            "`admin_state_up` of the connection: off",
            lambda s, c: s.update(c, admin_state_up=False),
            lambda _, __, sas, ___: not sas,
        ),
        Row(
            "IKE policy: aes-128",
            _policy("ike"),
            lambda _, __, sas, ___: [sa for sa in sas if sa["encr-keysize"] == "128"],
            own_policies=True,
        ),
        Row(
            "IPsec policy: aes-128", _policy("ipsec"), _children("encr-keysize", "128"),
            own_policies=True,
        ),
        Row(
            "`ikepolicy_id`: another policy",
            lambda s, c: s.update(
                c, ikepolicy_id=s.policy("ike", encryption_algorithm="aes-128")
            ),
            lambda _, __, sas, ___: [sa for sa in sas if sa["encr-keysize"] == "128"],
        ),
    )  # fmt: skip


def change(side: Side, row: Row, case: Case, limit: float) -> Outcome:
    """Make one change and wait for its effect."""
    if seconds_until(lambda: "PENDING" not in side.status(case), time.monotonic(), 90) is None:
        return Outcome(None, hindered="the connection stays pending")
    if not side.settle(120):
        return Outcome(None, hindered="the agent has no rest")
    old = {sa["uniqueid"] for sa in side.up().get(case.id, [])}
    if not old:
        return Outcome(None, hindered="there was no SA before")
    if changed := row.before(case.far):
        side.peer.put(*changed)
    seen: Callable[[], object] = lambda: row.effect(  # noqa: E731
        side, case, side.up().get(case.id, []), old
    )
    if seen():
        return Outcome(None, hindered="it was so before")
    text, cpu, began = side.written(), side.agent_cpu(), time.monotonic()
    try:
        row.put(side, case)
    except exceptions.HttpException as error:
        return Outcome(None, refused=error.status_code or 0)
    taken = seconds_until(seen, began, limit)
    # What follows an effect (reports, what is checked again) belongs to the change.
    time.sleep(max(0.0, began + 5 - time.monotonic()))
    written = taken is not None or (
        seconds_until(lambda: side.written() != text, began, 2 * limit) is not None
    )
    return Outcome(taken, side.agent_cpu() - cpu, put_at=began, written=written)


def again(side: Side, row: Row, case: Case, outcome: Outcome) -> Outcome:
    """Look once more, after all changes, for the effect of one that had none."""
    if outcome.seconds is not None or outcome.refused or outcome.hindered:
        return outcome
    sas = side.up().get(case.id, [])
    # A key shows in a new SA alone: that is what it is looked for by.
    old = {sa["uniqueid"] for sa in sas if int(sa["established"]) > outcome.age()}
    return dataclasses.replace(outcome, later=bool(row.effect(side, case, sas, old)))


def service_off_and_on(side: Side, limit: float) -> Iterator[tuple[str, Outcome]]:
    """Switch the service off and on: no SA, and SAs again; who is response-only begins none."""
    silent = side.cases[-1]
    seconds_until(lambda: "PENDING" not in side.status(silent), time.monotonic(), 90)
    side.update(silent, initiator="response-only")
    was_off = False
    for name, state in (("off", False), ("on", True)):
        outcome = _switch(side, state, limit)
        was_off |= not state and (outcome.seconds or outcome.restarted) is not None
        yield f"`admin_state_up` of the service: {name}", outcome
    title = f"`initiator`: response-only begins nothing while others do, and {SILENT} s more"
    yield title, _silence(side, silent) if was_off else Outcome(None, hindered="it wasn't off")


def _switch(side: Side, state: bool, limit: float) -> Outcome:
    """Switch the service; where it has no effect, what comes next has it by a restart."""
    seen: Callable[[], object] = lambda: bool(side.up()) is state  # noqa: E731
    if seen():
        return Outcome(None, hindered="it was so before")
    cpu, began = side.agent_cpu(), time.monotonic()
    try:
        side.client.network.update_vpn_service(side.service.id, admin_state_up=state)
    except exceptions.HttpException as error:
        return Outcome(None, refused=error.status_code or 0)
    taken = seconds_until(seen, began, limit)
    time.sleep(max(0.0, began + 5 - time.monotonic()))
    outcome = Outcome(taken, side.agent_cpu() - cpu)
    if taken is not None:
        return outcome
    began = time.monotonic()
    side.restart_agent()
    return dataclasses.replace(outcome, restarted=seconds_until(seen, began, 240))


def _silence(side: Side, silent: Case) -> Outcome:
    """Return whether the response-only one begins nothing while the others come up and after."""
    began = moved = time.monotonic()
    count = 0
    # neutron-vpnaas has charon begin them one after the other, and that takes a while.
    while time.monotonic() < min(moved + SILENT, began + 120):
        up = side.up()
        if silent.id in up:
            return Outcome(None, written=True)
        if len(up) != count:
            count, moved = len(up), time.monotonic()
        time.sleep(0.1)
    return Outcome(0.0) if count else Outcome(None, hindered="no other tunnel came up")
