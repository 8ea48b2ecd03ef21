"""The changes: each row of the table of what a change does to a live tunnel (docs/live.md §2)."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bench.losses.sites import EAST, SOUTH, WEST, Site
from bench.losses.stage import Never, Stage
from swanherd.core.ike import SaState
from swanherd.core.model import (
    ConnectionId,
    DataPlane,
    Dpd,
    DpdAction,
    IkeVersion,
    Initiator,
    Phase1Mode,
    RowStatus,
    Secret,
    ServiceId,
    Status,
    TrafficSelector,
    Transform,
)
from swanherd.core.status import WAITING
from swanherd.testing import builders

V1, V2 = IkeVersion.V1, IkeVersion.V2

# What a change that the peer accepts may cost the child that it concerns, in packets.
ALLOWED: Mapping[IkeVersion, int] = {V2: 1, V1: 5}
NOTHING: Mapping[IkeVersion, int] = {V2: 0, V1: 0}


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One change. `concerned` are the streams that it is about, which may lose `allowed`.

    No other stream may lose a packet. `blocks`: it ends the tunnel, so `concerned` aren't counted.
    `frees`: their networks are no connection's any more, and may leave as they would without.
    """

    name: str
    effect: str
    act: Callable[[Stage], None]
    allowed: Mapping[IkeVersion, int] = dataclasses.field(default_factory=lambda: ALLOWED)
    concerned: tuple[str, ...] = ("own", "own 2")
    versions: tuple[IkeVersion, ...] = (V2, V1)
    planes: tuple[DataPlane, ...] = tuple(DataPlane)
    blocks: bool = False
    frees: bool = False


def _is_active(row: object) -> bool:
    return getattr(row, "status", None) is Status.ACTIVE


def sas(stage: Stage, site: Site = WEST) -> frozenset[tuple[str, int]]:
    """Return the live child SAs: name and unique id."""
    return frozenset(
        (child.name, child.unique_id)
        for sa in stage.swan.observe(stage.key(site)).ike_sas
        for child in sa.children
        if child.state is SaState.INSTALLED
    )


def _refused(stage: Stage, site: Site = WEST, name: str = "own", code: str = "") -> None:
    """Wait until the peer's refusal shows, and that the old tunnel still carries all."""

    def told(row: RowStatus) -> bool:
        if row.reason is None:
            return False
        seen = row.reason.code
        return seen == code if code else seen not in ("negotiating", "swapping")

    row = stage.wait(site, told, name)
    if row.status is not Status.PENDING_UPDATE:
        raise Never(f"refused, but shown as {row}")


def one_then_other(code: str = "", **changes: Any) -> Callable[[Stage], None]:
    """Change west, let the peer refuse it, then change east: as two administrators do."""

    def act(stage: Stage) -> None:
        stage.change(WEST, **changes)
        _refused(stage, code=code)
        stage.change(EAST, **changes)

    return act


def responder_first(**changes: Any) -> Callable[[Stage], None]:
    """Change east, which only responds, and then west: until then east can but wait."""

    def act(stage: Stage) -> None:
        stage.change(EAST, initiator=Initiator.RESPONSE_ONLY)
        stage.change(EAST, **changes)
        row = stage.wait(EAST, lambda r: r.reason is not None)
        if (row.status, row.reason) != (Status.PENDING_UPDATE, WAITING):
            raise Never(f"waits, but is shown as {row}")
        stage.change(WEST, **changes)

    return act


def responder_last(**changes: Any) -> Callable[[Stage], None]:
    """Change west, and then east, which refuses it meanwhile and only responds."""

    def act(stage: Stage) -> None:
        stage.change(EAST, initiator=Initiator.RESPONSE_ONLY)
        one_then_other(**changes)(stage)

    return act


def at_once(**changes: Any) -> Callable[[Stage], None]:
    """Change both sides at the same moment, so that both initiate."""

    def act(stage: Stage) -> None:
        for site in (WEST, EAST):
            stage.change(site, **changes)

    return act


def one_side(**changes: Any) -> Callable[[Stage], None]:
    """Change west alone in what each side has for itself."""
    return lambda stage: stage.change(WEST, **changes)


def refused(code: str = "", **changes: Any) -> Callable[[Stage], None]:
    """Change west alone, let the peer refuse it with that cause, and take it back."""

    def act(stage: Stage) -> None:
        before = sas(stage)
        old = stage.connections[WEST]["own"]
        stage.change(WEST, **changes)
        _refused(stage, code=code)
        if not before <= sas(stage):
            raise Never("the old SAs didn't stay")
        stage.want(WEST, own=old)

    return act


def outlasts_grace(stage: Stage) -> None:
    """A key that the peer never gets: the old tunnel ends after the grace time, with its cause."""
    stage.change(WEST, psk=Secret("another"))
    _refused(stage)
    row = stage.wait(WEST, lambda r: r.status is Status.DOWN)
    if row.reason is None or "psk" not in row.reason.code:
        raise Never(f"ended without its cause: {row}")
    stage.change(EAST, psk=Secret("another"))


def _untouched(change: Callable[[Stage], None]) -> Callable[[Stage], None]:
    """Do a change after which all SAs are those of before."""

    def act(stage: Stage) -> None:
        before = sas(stage)
        change(stage)
        stage.settle()
        if before != sas(stage):
            raise Never("an SA was touched")

    return act


def _moved(stage: Stage) -> None:
    """East's public address is another one; west is told of it a moment later."""
    here, there = EAST.public[1], stage.connections[EAST]["own"]
    stage.want(
        EAST,
        own=dataclasses.replace(there, local_address=ipaddress.ip_address(here), local_id=here),
    )
    stage.change(WEST, peer_address=here, peer_id=here)


def _identities(stage: Stage) -> None:
    stage.change(WEST, local_id="west@example.org", peer_id="east.example.org")
    stage.change(EAST, local_id="east.example.org", peer_id="west@example.org")


def _another_network(stage: Stage, *, local: bool) -> None:
    """A group of west's, and what east has of it, gets a network more; then another for that."""
    kept = 2 if local else 1
    first = {site: stage.connections[site]["own"].selectors[:kept] for site in (WEST, EAST)}
    for network in ("10.4.0.0/25", "10.4.0.0/26") if local else ("10.3.0.0/24", "10.8.0.0/24"):
        pair = (network, "10.2.0.0/24") if local else ("10.1.0.0/24", network)
        more = builders.selector(*pair)
        stage.change(WEST, selectors=(*first[WEST], more))
        stage.change(EAST, selectors=(*first[EAST], TrafficSelector(more.remote, more.local)))
        stage.settle()


def _resized(stage: Stage, length: int) -> None:
    """West's network becomes one of another length, on both sides."""
    pairs = tuple(
        builders.selector(f"{p.local.network_address}/{length}", str(p.remote))
        for p in stage.connections[WEST]["own"].selectors
    )
    stage.change(WEST, selectors=pairs)
    stage.change(EAST, selectors=tuple(TrafficSelector(p.remote, p.local) for p in pairs))


def _one_network_more(stage: Stage) -> None:
    more = builders.selector("10.1.0.0/24", "10.8.0.0/24")
    stage.change(WEST, selectors=(*stage.connections[WEST]["own"].selectors, more))
    code = "traffic_selector_mismatch"
    stage.wait(WEST, lambda r: r.reason is not None and r.reason.code == code)
    back = builders.selector("10.8.0.0/24", "10.1.0.0/24")
    stage.change(EAST, selectors=(*stage.connections[EAST]["own"].selectors, back))


def _one_network_less(stage: Stage) -> None:
    for site in (WEST, EAST):
        stage.change(site, selectors=stage.connections[site]["own"].selectors[:1])
    stage.settle()


def _down_and_up(stage: Stage) -> None:
    stage.change(WEST, up=False)
    stage.wait(WEST, lambda r: r.reason is not None and r.reason.code == "admin_down")
    stage.change(WEST, up=True)


def _service_off_and_on(stage: Stage) -> None:
    """West's other connection is of another service of the router."""
    stage.change(WEST, "beside", service_id=ServiceId(builders.make_id("another service")))
    stage.off = frozenset({builders.SERVICE})
    stage.want(WEST)
    try:
        stage.wait(WEST, lambda r: r.reason is not None and r.reason.code == "admin_down")
        if any(sa.state is SaState.ESTABLISHED for sa in stage.observed(WEST)):
            raise Never("its IKE SA is left")
    finally:
        stage.off = frozenset()
        stage.want(WEST)


def _other_local_networks(stage: Stage) -> None:
    """West's endpoint group is replaced by one of another subnet, east's peer group with it."""
    pairs = [builders.selector("10.4.0.0/25", f"10.{n}.0.0/24") for n in (2, 3)]
    stage.change(WEST, selectors=tuple(pairs))
    stage.change(EAST, selectors=tuple(TrafficSelector(p.remote, p.local) for p in pairs))


def _beside_goes_and_comes(stage: Stage) -> None:
    gone = {site: stage.connections[site]["beside"] for site in (WEST, SOUTH)}
    for site in gone:
        stage.want(site, beside=None)
    stage.settle()
    for site, connection in gone.items():
        stage.want(site, beside=connection)


def _new_agent(stage: Stage) -> None:
    stage.stop_agent()
    stage.start_agent()
    stage.look_at_all()


def _together_one_by_one(stage: Stage) -> None:
    """Two connections that share a peering get a new key one after another, on both sides."""
    for site in (WEST, EAST):
        own = stage.connections[site]["own"]
        pairs = [builders.selector(*p) for p in (("10.1.0.0/24", "10.8.0.0/24"),)]
        more = pairs if site is WEST else [TrafficSelector(p.remote, p.local) for p in pairs]
        second = ConnectionId(builders.make_id(f"{site.name} second"))
        stage.want(site, second=dataclasses.replace(own, id=second, selectors=tuple(more)))
    stage.settle()
    for site in (WEST, EAST):
        for name in ("own", "second"):
            stage.change(site, name, psk=Secret("another"))
            stage.cloud.until(lambda s=site, n=name: stage.row(s, n) is not None)  # type: ignore[misc]


def _ike(version: IkeVersion, **changes: Any) -> dict[str, Any]:
    return {"ike": builders.ike_policy(version=version, **changes)}


def _rows(v: IkeVersion) -> tuple[Row, ...]:
    aes128 = _ike(v, encryption="aes-128")
    esp = {"ipsec": builders.ipsec_policy(encryption="aes-128")}
    aggressive = _ike(v, mode=Phase1Mode.AGGRESSIVE)
    pfs = {"ipsec": builders.ipsec_policy(dh_group="group14")}
    sha512, group20 = _ike(v, integrity="sha512"), _ike(v, dh_group="group20")
    version = {"ike": builders.ike_policy(version=next(other for other in (V1, V2) if other != v))}
    esp512 = {"ipsec": builders.ipsec_policy(integrity="sha512")}
    ah = {"ipsec": builders.ipsec_policy(transform=Transform.AH)}
    no_ike, no_esp = "ike_no_proposal_or_no_connection", "esp_proposal_mismatch"
    return (
        Row("name, description", "nothing", _untouched(one_side()), NOTHING),
        Row("psk, one side after the other", "swap", one_then_other(psk=Secret("another"))),
        Row("psk, first the side that only responds", "swap",
            responder_first(psk=Secret("another"))),
        Row("psk, last the side that only responds", "swap",
            responder_last(psk=Secret("another"))),
        Row("psk, both sides at once", "swap", at_once(psk=Secret("another"))),
        Row("psk, refused and taken back", "old SA stays", refused(psk=Secret("x")), NOTHING),
        Row("psk, refused for longer than the grace time", "DOWN, with the cause",
            outlasts_grace, blocks=True),
        Row("psk of two connections of one peering, one by one", "swap", _together_one_by_one),
        Row("local_id and peer_id", "swap", _identities),
        Row("a smaller network, both at once", "swap of children", partial(_resized, length=25)),
        Row("a larger network, both at once", "swap of children", partial(_resized, length=23)),
        Row("peer_address", "swap, the old one forced", _moved),
        Row("peer_cidrs: one more", "one child more", _one_network_more, NOTHING),
        Row("peer_cidrs: one less", "one child less", _one_network_less, NOTHING,
            concerned=("own 2",), blocks=True, frees=True),
        Row("local endpoint group: another network for one", "another child",
            partial(_another_network, local=True), NOTHING),
        Row("peer endpoint group: another network for one", "another child",
            partial(_another_network, local=False), NOTHING,
            concerned=("own 2",), blocks=True, frees=True),
        Row("ikepolicy: encryption, one side after the other", "swap",
            one_then_other(no_ike, **aes128)),
        Row("ikepolicy: encryption, both sides at once", "swap", at_once(**aes128)),
        Row("ikepolicy: encryption, refused and taken back", "old SA stays",
            refused(no_ike, **aes128), NOTHING),
        Row("ikepolicy: integrity, one side after the other", "swap",
            one_then_other(no_ike, **sha512)),
        Row("ikepolicy: integrity, both sides at once", "swap", at_once(**sha512)),
        Row("ikepolicy: group, one side after the other", "swap",
            one_then_other(no_ike, **group20)),
        Row("ikepolicy: group, both sides at once", "swap", at_once(**group20)),
        Row("ikepolicy: version, one side after the other", "swap",
            one_then_other(no_ike, **version)),
        Row("ikepolicy: version, both sides at once", "swap", at_once(**version)),
        Row("ikepolicy: lifetime", "swap", one_side(**_ike(v, lifetime=7200))),
        Row("ikepolicy: main to aggressive", "swap", at_once(**aggressive),
            versions=(V1,)),
        Row("ipsecpolicy: encryption, one side after the other", "swap of children",
            one_then_other(no_esp, **esp)),
        Row("ipsecpolicy: encryption, first the side that only responds", "swap of children",
            responder_first(**esp)),
        Row("ipsecpolicy: encryption, both sides at once", "swap of children", at_once(**esp)),
        Row("ipsecpolicy: encryption, refused and taken back", "old children stay",
            refused(no_esp, **esp), NOTHING),
        Row("ipsecpolicy: integrity, one side after the other", "swap of children",
            one_then_other(no_esp, **esp512)),
        Row("ipsecpolicy: integrity, both sides at once", "swap of children", at_once(**esp512)),
        Row("ipsecpolicy: pfs, refused and taken back", "old children stay",
            refused(no_esp, **pfs), NOTHING),
        Row("ipsecpolicy: pfs, both sides at once", "swap of children", at_once(**pfs)),
        Row("ipsecpolicy: esp to ah, both sides at once", "swap of children", at_once(**ah),
            planes=(DataPlane.KERNEL,)),
        Row("ipsecpolicy: lifetime", "swap of children",
            one_side(ipsec=builders.ipsec_policy(lifetime=7200))),
        Row("dpd", "swap", one_side(dpd=Dpd(DpdAction.RESTART, 10, 40))),
        Row("initiator", "nothing", _untouched(one_side(initiator=Initiator.RESPONSE_ONLY)),
            NOTHING),
        Row("mtu", "routes and MSS", _untouched(one_side(mtu=1300)), NOTHING),
        Row("admin_state_up, down and up", "ended and blocked; set up", _down_and_up,
            blocks=True),
        Row("service: admin_state_up, down and up", "ended and blocked; set up",
            _service_off_and_on, blocks=True),
        Row("local endpoint group: another one", "its children; none of others",
            _other_local_networks, blocks=True, frees=True),
        Row("another connection goes and comes", "nothing of this one",
            _beside_goes_and_comes, NOTHING, concerned=("beside",), blocks=True, frees=True),
        Row("agent restarts", "nothing", _untouched(_new_agent), NOTHING),
    )  # fmt: skip


def rows_of(version: IkeVersion, plane: DataPlane) -> tuple[Row, ...]:
    """Return the rows that there are for an IKE version on a data plane."""
    rows = _rows(version)
    return tuple(row for row in rows if version in row.versions and plane in row.planes)
