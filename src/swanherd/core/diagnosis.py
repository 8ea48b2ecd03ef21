"""What an operator wants to know of a router that doesn't do what it should: findings, pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from swanherd.core.capabilities import serviceable
from swanherd.core.findings import (
    Answer,
    ClockSeen,
    Facts,
    Finding,
    PathSeen,
    Verdict,
    finding,
)
from swanherd.core.home import network_of, runs_charon
from swanherd.core.ike import LIVE, Fault, IkeSa
from swanherd.core.layout import tunnel_mtu
from swanherd.core.model import (
    ConnectionId,
    DesiredRouter,
    Role,
    SiteConnection,
    Status,
)
from swanherd.core.naming import child_name
from swanherd.core.network import Network, ObservedNetwork
from swanherd.core.peering import ANY_PEER, Peering, children_of, peerings
from swanherd.core.planner import Plan, options_of
from swanherd.core.tunnels import carrying


def diagnose(facts: Facts, only: ConnectionId | None = None) -> tuple[Finding, ...]:
    """Return the findings of the router and of its connections, or of one of them."""
    found = list(_router(facts))
    if not _is_served(facts):
        return tuple(found)
    # As the plan has it: of what the data plane can't do there is nothing to look for.
    able = serviceable(facts.desired, facts.plane)
    by_connection = {c.id: p for p in peerings(able) for c in p.members}
    for connection in facts.desired.connections:
        if only in (None, connection.id):
            found += _connection(facts, connection, by_connection.get(connection.id))
    return tuple(found)


def worst(findings: tuple[Finding, ...]) -> Verdict:
    """Return FAILED if anything failed, else WARNING if there is one, else OK."""
    verdicts = {finding.verdict for finding in findings}
    return next((v for v in (Verdict.FAILED, Verdict.WARNING) if v in verdicts), Verdict.OK)


def _is_served(facts: Facts) -> bool:
    """Tell whether the router's tunnels are to be on this node."""
    return runs_charon(facts.desired) and facts.desired.role is Role.ACTIVE


# The router


def _router(facts: Facts) -> Iterator[Finding]:
    desired, network = facts.desired, facts.observed.network
    applied = facts.report.revision if facts.report else None
    yield finding(
        "router",
        "revision",
        str(desired.revision),
        "none yet" if applied is None else str(applied),
        good=applied == desired.revision,
        hint="The agent hasn't applied the last change yet; ask again, then look at the plan.",
        bad=Verdict.WARNING,
    )
    if not _is_served(facts):
        yield _elsewhere(desired)
    yield from _network(desired, network_of(desired, facts.plane), network)
    if runs_charon(desired):
        yield _charon(facts)
    yield _plan(facts.plan)
    if facts.failed is not None:
        text = f"{facts.failed.code}: {facts.failed.text}"
        yield Finding("router", "last error", Verdict.FAILED, "none", text, facts.failed.hint)
    for subject, reason in desired.problems:
        text = f"{reason.code}: {reason.text}"
        yield Finding(subject, "server's problem", Verdict.FAILED, "none", text, reason.hint)
    yield _clock(facts.clock)


def _plan(plan: Plan) -> Finding:
    names = Counter(type(action).__name__ for action in plan.actions)
    seen = ", ".join(f"{name} × {count}" for name, count in sorted(names.items()))
    if not names:
        later = plan.look_again
        seen = "nothing to do" if later is None else f"nothing now; again in {later:.0f} s"
    return finding(
        "router",
        "plan",
        "nothing to do",
        seen,
        good=not names,
        hint="If these stay, they fail again and again: see the agent's log.",
        bad=Verdict.WARNING,
    )


def _elsewhere(desired: DesiredRouter) -> Finding:
    """Say why nothing is told of tunnels: else each would be missing here, and all be well."""
    if desired.public is None and desired.home is None:
        hint = "There is nothing to serve it with: see the server's problem."
        return Finding("router", "role", Verdict.FAILED, "", "no node serves it", hint)
    if desired.role is Role.STANDBY:
        seen, hint = "standby: everything is loaded, nothing is sent", "that serves it"
    else:
        seen, hint = "steers packets to the router's central part", "of its central part"
    hint = f"Ask the agent of the node {hint}: the tunnels are there."
    return Finding("router", "role", Verdict.OK, "", seen, hint)


def _network(desired: DesiredRouter, wanted: Network, seen: ObservedNetwork) -> Iterator[Finding]:
    again = "The agent repairs this at its next look; if it doesn't, see the plan and its log."
    there = "there" if seen.exists else "missing"
    yield finding("router", "namespace", "there", there, good=seen.exists, hint=again)
    links = {link.name: link for link in seen.links}
    for link in sorted(wanted.links, key=lambda link: link.name):
        here = links.get(link.name)
        yield finding(
            "router",
            f"link {link.name}",
            _listed(link.addresses),
            "missing" if here is None else _listed(here.addresses),
            good=here == link,
            hint=again,
        )
    if desired.public is None and runs_charon(desired):
        hint = "The server has no public port for this router (yet): see the API's status_reason."
        yield Finding("router", "public port", Verdict.FAILED, "one", "none", hint)
    guard = "missing or changed" if seen.guard is None else f"{len(seen.guard.pairs)} pairs"
    yield finding(
        "router",
        "guard",
        f"{len(wanted.guard.pairs)} pairs",
        guard,
        good=seen.guard == wanted.guard,
        hint=again,
    )
    for name, some, all_ in (
        ("routes", len(wanted.routes & seen.routes), len(wanted.routes)),
        ("rules", len(wanted.rules & seen.rules), len(wanted.rules)),
    ):
        yield finding("router", name, str(all_), str(some), good=some == all_, hint=again)


def _charon(facts: Facts) -> Finding:
    charon = facts.observed.charon
    wanted = options_of(facts.desired, facts.plane)
    seen = (
        "not running" if not charon.running else f"{charon.options and charon.options.data_plane}"
    )
    return finding(
        "router",
        "charon",
        str(wanted.data_plane),
        seen,
        good=charon.running and charon.options == wanted,
        hint="Its own words are in charon.log and charon.out of the router's directory.",
    )


def _clock(clock: ClockSeen) -> Finding:
    if abs(clock.stepped) > 1:
        seen, verdict = f"set by {clock.stepped:+.0f} s since the agent's start", Verdict.WARNING
    elif clock.synchronised is None:
        seen, verdict = "not known", Verdict.UNKNOWN
    else:
        seen = "synchronised" if clock.synchronised else "not synchronised"
        verdict = Verdict.OK if clock.synchronised else Verdict.WARNING
    hint = (
        "Neutron compares the times of heartbeats: a clock that is off makes an agent look dead."
    )
    return Finding(
        "router", "clock", verdict, "synchronised", seen, "" if verdict is Verdict.OK else hint
    )


# A connection


def _connection(
    facts: Facts, connection: SiteConnection, peering: Peering | None
) -> Iterator[Finding]:
    yield _status(facts, connection, _faults(facts, peering))
    if peering is not None:
        yield from _tunnel(facts, connection, peering)
    yield from _path(facts, connection, peering)


def _faults(facts: Facts, peering: Peering | None) -> tuple[Fault, ...]:
    """Return what went wrong last in the peering."""
    name = peering.config.name if peering is not None else None
    return tuple(fault for fault in facts.observed.charon.faults if fault.config == name)


def _status(facts: Facts, connection: SiteConnection, faults: tuple[Fault, ...]) -> Finding:
    rows = facts.report.connections if facts.report else ()
    row = next((row for row in rows if row.id == connection.id), None)
    wanted = str(Status.ACTIVE) if connection.up else "administratively down"
    if row is None:
        return Finding(connection.id, "status", Verdict.UNKNOWN, wanted, "not reported yet")
    reason = row.reason
    # What the last error says isn't said twice.
    is_told = reason is not None and any(fault.code == reason.code for fault in faults)
    why = "" if reason is None else f", {reason.code}" + ("" if is_told else f": {reason.text}")
    seen = f"{row.status}{why}"
    if row.status is Status.ACTIVE or not connection.up:
        verdict = Verdict.OK
    else:
        pending = row.status is Status.PENDING_UPDATE
        verdict = Verdict.WARNING if pending else Verdict.FAILED
    hint = reason.hint if reason and not is_told and verdict is not Verdict.OK else ""
    return Finding(connection.id, "status", verdict, wanted, seen, hint)


def _tunnel(facts: Facts, connection: SiteConnection, peering: Peering) -> Iterator[Finding]:
    charon, name = facts.observed.charon, peering.config.name
    missing = [
        what
        for what, there in (
            ("config", any(config.name == name for config in charon.configs)),
            ("key", peering.config.connection.id in charon.secrets),
        )
        if not there
    ]
    yield finding(
        connection.id,
        "loaded in charon",
        "config and key",
        f"no {' and no '.join(missing)}" if missing else "config and key",
        good=not missing,
        hint="See the plan: charon refuses it, or the agent has not come to it yet.",
    )
    live = [sa for sa in charon.ike_sas if sa.config == name and sa.state in LIVE]
    old = sum(sa.config != name and _is_of(sa, peering) for sa in charon.ike_sas)
    ages = ", ".join(f"up for {sa.age} s" for sa in live)
    seen = ages or "none"
    if old:
        seen += f", and {old} of an earlier generation"
    yield finding(connection.id, "IKE SA", "one", seen, good=bool(live))
    yield _children(connection, carrying(name, charon.ike_sas))
    for fault in _faults(facts, peering):
        ago = f"{facts.now - fault.last:.0f} s ago, since {facts.now - fault.first:.0f} s"
        text = f"{fault.code}: {fault.text} ({ago})"
        yield Finding(connection.id, "last error", Verdict.FAILED, "none", text, fault.hint)


def _children(connection: SiteConnection, up: frozenset[str]) -> Finding:
    wanted = children_of(connection)
    lacking = ", ".join(
        f"{selector.local} to {selector.remote}"
        for selector in connection.selectors
        if child_name(selector, connection.ipsec) not in up
    )
    return finding(
        connection.id,
        "child SAs",
        str(len(wanted)),
        str(len(wanted & up)),
        good=wanted <= up,
        hint=f"No traffic passes from {lacking}.",
    )


def _is_of(sa: IkeSa, peering: Peering) -> bool:
    return sa.config.startswith(f"{peering.config.connection.id}-")


# The way to the peer


def _path(facts: Facts, connection: SiteConnection, peering: Peering | None) -> Iterator[Finding]:
    peer = connection.peer_address
    if peer in ANY_PEER:
        yield Finding(connection.id, "peer", Verdict.OK, "any address", "it comes to us")
        yield from _nat(facts, connection, peering)
        return
    path = facts.paths.get(peer)
    if path is None:
        hint = "It is a name that this node can't resolve, or there is no address to ask from."
        yield Finding(connection.id, "peer", Verdict.UNKNOWN, peer, "not looked at", hint)
        return
    yield finding(
        connection.id,
        "route to the peer",
        peer,
        path.route or "none",
        good=path.route is not None,
        hint="The external network's subnet has no gateway, or none of the peer's family.",
    )
    if path.route is not None:
        yield _reached(connection, path, is_up=_is_up(facts, peering))
        yield _mtu(facts, connection, path)
    yield from _nat(facts, connection, peering)


def _is_up(facts: Facts, peering: Peering | None) -> bool:
    return peering is not None and any(
        sa.config == peering.config.name and sa.state in LIVE
        for sa in facts.observed.charon.ike_sas
    )


def _reached(connection: SiteConnection, path: PathSeen, *, is_up: bool) -> Finding:
    answers = [answer for _, answer in path.ports]
    said = ", ".join(f"UDP {port} {answer}" for port, answer in path.ports)
    seen = f"{said}; ping {'answered' if path.echo else 'silent'}"
    hint = ""
    if Answer.ANSWERED in answers or is_up:
        verdict = Verdict.OK
    elif Answer.REFUSED in answers or Answer.UNREACHABLE in answers:
        verdict = Verdict.FAILED
        hint = "An ICMP error came back: no IKE daemon listens there, or a firewall refuses it."
    elif path.echo:
        verdict = Verdict.WARNING
        hint = "The host is there. Not every device answers the question that was asked; else a "
        hint += "firewall drops UDP 500 and 4500."
    else:
        verdict = Verdict.WARNING
        hint = "Nothing came back at all: check peer_address and firewalls in between."
    return Finding(connection.id, "peer reached", verdict, "IKE answers", seen, hint)


def _mtu(facts: Facts, connection: SiteConnection, path: PathSeen) -> Finding:
    link = facts.desired.public.mtu if facts.desired.public else 1500
    inner = tunnel_mtu(connection, facts.plane, link)
    wanted = f"{link}, so {inner} inside"
    if path.largest is None:
        return Finding(connection.id, "path MTU", Verdict.UNKNOWN, wanted, "no ping is answered")
    enough = tunnel_mtu(connection, facts.plane, path.largest) >= inner
    return finding(
        connection.id,
        "path MTU",
        wanted,
        f"pings of up to {path.largest} are answered",
        good=enough,
        hint=f"Set mtu to {tunnel_mtu(connection, facts.plane, path.largest)} or less: larger "
        "packets are lost on the way, or travel in fragments.",
        bad=Verdict.WARNING,
    )


def _nat(facts: Facts, connection: SiteConnection, peering: Peering | None) -> Iterator[Finding]:
    for sa in facts.observed.charon.ike_sas:
        if peering is None or sa.config != peering.config.name or sa.state not in LIVE:
            continue
        seen = [
            text
            for text, there in (
                ("in front of this node", sa.nat_local),
                (f"in front of the peer (its port is {sa.remote_port})", _moved(sa)),
                ("the peer forces or needs UDP encapsulation", sa.nat_remote and not _moved(sa)),
            )
            if there
        ]
        yield Finding(connection.id, "NAT", Verdict.OK, "any", "; ".join(seen) or "none")


def _moved(sa: IkeSa) -> bool:
    return sa.nat_remote and sa.remote_port not in (500, 4500)


def _listed(addresses: frozenset[object]) -> str:
    return ", ".join(sorted(map(str, addresses))) or "none"
