"""Which of two child SAs of a pair this side sends by while one takes the other's place. Pure.

Who answers has the new SA a round trip's half before who began it, and charon has it send by the
newest at once: what comes before the other side has installed it is lost (docs/adr/0022). The
kernel's policy of a pair is that of the child whose priority is best, the newest of equal ones.
So who is to answer loads its config with a worse one than what is live has, and sends by the old
child until who began ends it; who begins loads it with the best, and sends by the new one at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from swanherd.core.ike import (
    CARRYING,
    COMING,
    LIVE,
    ChildSa,
    IkeSa,
    LoadConfig,
    ObservedCharon,
    SwanAction,
)
from swanherd.core.model import DataPlane, IkeVersion, TrafficSelector
from swanherd.core.naming import pair_of, peering_of
from swanherd.core.overlaps import is_wider
from swanherd.core.peering import ANY_PEER, Peering

# The rank of what this side begins: none is better, and the newest of these is used.
FIRST = 0

# A policy's priority has 32 bits; 0 would be charon's own choice.
_WIDEST, _RANK_BITS = 257, 23


def priority(selector: TrafficSelector, rank: int) -> int:
    """Return the priority of charon's policies: of two that overlap the narrower goes first.

    charon's own priorities do so, too, but are equal for all children of a pair.
    """
    return _best(selector) + min(rank, (1 << _RANK_BITS) - 1)


def ahead(selector: TrafficSelector) -> int:
    """Return the priority of what goes before all children of the pair, not of a narrower one."""
    return _best(selector) - 1


def _best(selector: TrafficSelector) -> int:
    length = selector.local.prefixlen + selector.remote.prefixlen
    return _WIDEST - length << _RANK_BITS


def rank(
    peering: Peering,
    current: Sequence[IkeSa],
    before: Iterable[IkeSa],
    known: int,
    *,
    begins: bool,
) -> int:
    """Return the rank to load the peering's config with; the one that it has, `known`, may stay.

    `before` are the IKE SAs of other configs. A child's rank is never above its id in charon, for
    it was loaded before. An attempt that is under way is left alone.
    """
    if begins or peering.config.connection.ike.version is IkeVersion.V1:
        return FIRST
    own, others = _replaced(peering, current, before)
    if not own and not others:
        return FIRST
    carried = {c.name for sa in current for c in sa.children if c.state in CARRYING}
    under_way = any(sa.state in COMING or (sa.state in LIVE and sa.busy) for sa in current)
    # With other addresses the kernel's policy lets nothing in by the new SA.
    moves = bool(others) or peering.config.connection.peer_address in ANY_PEER
    if peering.children <= carried or under_way or moves:
        return known
    return 1 + max(child.unique_id for child in own)


def _replaced(
    peering: Peering, current: Iterable[IkeSa], before: Iterable[IkeSa]
) -> tuple[list[ChildSa], list[ChildSa]]:
    """Return the children that its own shall replace: those of this peering and of others."""
    pairs = {pair_of(name) for name in peering.children}
    own = [c for sa in current for c in sa.children if c.name not in peering.children]
    others: list[ChildSa] = []
    for sa in before:
        same = peering_of(sa.config) == peering.config.connection.id
        (own if same else others).extend(sa.children)
    return (
        [
            c
            for c in own
            if c.state in CARRYING and (pair_of(c.name) in pairs or is_wider(peering, c))
        ],
        [c for c in others if c.state in CARRYING and pair_of(c.name) in pairs],
    )


def is_possible(charon: ObservedCharon) -> bool:
    """Tell whether policies have ranks: in userspace they have none."""
    return charon.options is not None and charon.options.data_plane is DataPlane.KERNEL


def ranked(
    actions: Iterable[SwanAction],
    wanted: Iterable[tuple[Peering, int]],
    charon: ObservedCharon,
    quiet: frozenset[str],
) -> tuple[SwanAction, ...]:
    """Return the actions with loads of these ranks: another rank is a reason to load again."""
    plan = tuple(actions)
    ranks: Mapping[str, int] = {peering.config.name: rank for peering, rank in wanted}
    loads = {action.config.name for action in plan if isinstance(action, LoadConfig)}
    again = (
        LoadConfig(peering.config, peering.config.name in quiet, rank)
        for peering, rank in wanted
        if peering.config.name not in loads
        and rank != charon.ranks.get(peering.config.name, FIRST)
    )
    return (
        *again,
        *(
            dataclasses.replace(action, rank=ranks.get(action.config.name, FIRST))
            if isinstance(action, LoadConfig)
            else action
            for action in plan
        ),
    )
