"""Of which peerings there is something to judge: with many connections nearly all rest. Pure."""

from __future__ import annotations

from collections.abc import Collection

from swanherd.core import precedence
from swanherd.core.ike import IkeSa, SaState
from swanherd.core.index import Index
from swanherd.core.memo import remember_each
from swanherd.core.model import DesiredRouter, IkeVersion
from swanherd.core.peering import Peering, config_order, peerings


def restless(
    desired: DesiredRouter,
    current: Index,
    faults: Collection[str],
    ranked: Collection[str] = (),
    *,
    young: bool,
) -> list[Peering]:
    """Return the peerings of which there is something to judge; of many nearly all rest.

    With `young` also those that rest, but with children that the peer may not use yet; and those
    that are loaded with a rank, which isn't for ever.
    """
    wanted = peerings(desired)
    alone = list(map(current.single.get, config_order(desired)))
    rest = _each_rests(alone, wanted)
    if not faults and not ranked and not young:
        return [peering for peering, rests in zip(wanted, rest, strict=True) if not rests]
    return [
        peering
        for peering, sa, rests in zip(wanted, alone, rest, strict=True)
        if not rests
        or peering.config.name in faults
        or peering.config.name in ranked
        or (young and peering.config.connection.ike.version is IkeVersion.V1 and _is_young(sa))
    ]


@remember_each
def _each_rests(sa: IkeSa, peering: Peering) -> bool:
    """Tell whether the IKE SA has these children, each once, and nothing of it is under way."""
    children = peering.children
    return (
        sa.state is SaState.ESTABLISHED
        and not sa.busy
        and sa.unanswered is None
        and len(sa.children) == len(children)
        and all(
            child.state is SaState.INSTALLED and child.name in children for child in sa.children
        )
        and len({child.name for child in sa.children}) == len(sa.children)
    )


def _is_young(sa: IkeSa | None) -> bool:
    return sa is not None and bool(precedence.young((sa,)))
