"""Which side of a peering begins, so that two that change at once don't race (ADRs 0017, 0021).

Pure. In IKEv1 two IKE SAs of both sides can't be told apart from a renewal: charon moves the
children to whichever came up last, on each side to another one. In IKEv2 a race costs packets
twice, so one side lets the other begin where what was before carries on meanwhile.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from swanherd.core.ike import CARRYING, LIVE, IkeSa
from swanherd.core.model import IkeVersion, SiteConnection
from swanherd.core.spelling import to_compare

# Seconds for which the side that comes second lets the other one begin: more than a change of
# both sides is apart, and than the other's pause after an attempt that came before this side had
# the change, by the three round trips of a main mode and what a busy machine is late by.
COURTESY = 1.5
# Seconds after which the peer has a child SA that a Quick Mode of ours made.
SETTLED = 2
# Seconds for which who didn't begin an IKE SA, or the first child of a swap, leaves it to the
# other to make the rest.
HANDED = 2
# Seconds for which the side that comes second leaves a swap of IKEv2 to the other: more than that
# one takes, and short enough that a change has its effect within a second.
YIELDED = 0.5


def comes_second(connection: SiteConnection) -> bool:
    """Tell whether the other side is to begin: each side knows both identities, NAT or not.

    If the two sides mean different ones both may come second, or none: then both begin.
    """
    own = connection.local_id or str(connection.local_address)
    return to_compare(own) > to_compare(connection.peer_id)


def courtesy(
    connection: SiteConnection, idle: float | None, retry: float | None, now: float
) -> float:
    """Return for how many seconds it is the other side's to begin an IKE SA; 0 or less: no more.

    `idle`: since when charon has had the config without an IKE SA; None if it hasn't it yet. After
    a failure `retry` is when to try again: the other may have failed at the same moment.
    """
    if connection.ike.version is not IkeVersion.V1 or not comes_second(connection):
        return 0.0
    since = now if idle is None else idle
    return (since if retry is None else max(since, retry)) + COURTESY - now


def handed(
    connection: SiteConnection, lacking: float | None, retry: float | None, now: float
) -> float:
    """Return for how many seconds it is the other side's to make what an IKE SA lacks.

    `lacking`: since when it does; None if that hasn't been seen yet. It is longer than the
    other side's pause after an attempt that came before this side had the change.
    """
    if connection.ike.version is not IkeVersion.V1 or not comes_second(connection):
        return 0.0
    since = now if lacking is None else lacking
    return (since if retry is None else max(since, retry)) + HANDED - now


def yielded(
    connection: SiteConnection,
    loaded: float | None,
    retry: float | None,
    now: float,
    *,
    resized: bool,
) -> float:
    """Return for how many seconds it is the other side's to begin what replaces live SAs.

    `loaded`: when charon got it; None if that is longer ago than anybody knows. `retry`: when to
    try again after a failure, which the other side has had at the same moment. To a `resized`
    network a peer agrees that doesn't have the change yet (RFC 7296 §2.9), and would begin anew
    when it has: so it gets the time to have it, too.
    """
    # In IKEv1 who comes second waits for longer (handed, courtesy).
    swaps = connection.ike.version is not IkeVersion.V1 and comes_second(connection)
    ends = [] if loaded is None else [loaded + (swaps + resized) * YIELDED]
    if swaps and retry is not None:
        ends.append(retry + YIELDED)
    return max(ends, default=now) - now


def young(sas: Iterable[IkeSa], settled: int = SETTLED) -> Mapping[str, float]:
    """Return the children that are so young that what was before is left, for how many seconds.

    In IKEv1 who begins a Quick Mode has the SAs a way of the last message before the peer (RFC
    2409 §5.5), which sends by those of before until then. In IKEv2 it is who answered that may
    itself send by those until the peer ends them (core.handover).
    """
    return {
        child.name: float(settled - child.details.installed)
        for sa in sas
        for child in sa.children
        if child.state in CARRYING
        and child.details is not None
        and child.details.installed < settled
    }


def handed_in(
    connection: SiteConnection,
    live: Iterable[IkeSa],
    answered: Container[str] = (),
) -> float:
    """Return for how many seconds the children are still the other side's to make.

    `answered`: the children that this side so far only answers for. When the other has made one
    of them it is about to make the rest, unless that came with an IKE SA that this side began.
    """
    sas = tuple(sa for sa in live if sa.state in LIVE)
    theirs = young((sa for sa in sas if not sa.initiator or sa.age > HANDED), HANDED)
    left = max((seconds for name, seconds in theirs.items() if name in answered), default=0.0)
    concerned = answered or connection.ike.version is IkeVersion.V1
    if not concerned or not sas or any(sa.initiator for sa in sas):
        return left
    return max(left, float(HANDED - min(sa.age for sa in sas)))
