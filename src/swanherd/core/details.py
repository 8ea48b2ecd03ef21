"""What the owner of a connection is told of its tunnel: pure, from what charon lists."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from swanherd.core.ike import CARRYING, LIVE, ChildSa, IkeSa
from swanherd.core.model import TunnelDetails
from swanherd.core.naming import pair_of


@dataclasses.dataclass(frozen=True, slots=True)
class LiveSas:
    """The live IKE SAs by config, and what carries each pair of networks."""

    by_config: Mapping[str, Sequence[IkeSa]]
    by_pair: Mapping[str, Sequence[tuple[IkeSa, ChildSa]]]


def live_sas(sas: Iterable[IkeSa]) -> LiveSas:
    """Return the IKE SAs of which charon told details, for look-up."""
    by_config: dict[str, list[IkeSa]] = defaultdict(list)
    by_pair: dict[str, list[tuple[IkeSa, ChildSa]]] = defaultdict(list)
    for sa in sas:
        if sa.state not in LIVE or sa.details is None:
            continue
        by_config[sa.config].append(sa)
        for child in sa.children:
            if child.state in CARRYING:
                by_pair[pair_of(child.name)].append((sa, child))
    return LiveSas(by_config, by_pair)


def details_of(config: str, children: frozenset[str], live: LiveSas) -> TunnelDetails | None:
    """Return the negotiated details of a connection with these children; None without an IKE SA.

    Of each pair of networks the child that will stay is told: that of the present config and of
    the wanted name, and of several the youngest. During a swap it is the old one that carries.
    """

    def rank(found: tuple[IkeSa, ChildSa]) -> tuple[bool, bool, int]:
        sa, child = found
        return sa.config == config, child.name in children, child.unique_id

    pairs = sorted({pair_of(name) for name in children} & live.by_pair.keys())
    chosen = [max(live.by_pair[pair], key=rank) for pair in pairs]
    best = max(chosen, key=rank)[0] if chosen else next(iter(live.by_config.get(config, ())), None)
    if best is None or best.details is None:
        return None
    told = (child.details for _, child in chosen if child.details is not None)
    return TunnelDetails(
        best.details, tuple(sorted(told, key=lambda child: (child.local, child.remote)))
    )
