"""What charon has, for look-up: worked out once for each look, and once for each IKE SA."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from swanherd.core.ike import CARRYING, HOLDING, IkeSa, ObservedCharon, SaState
from swanherd.core.memo import remember
from swanherd.core.naming import pair_of


@remember
def index_of(charon: ObservedCharon) -> Mapping[str, tuple[IkeSa, ...]]:
    """Return the IKE SAs of what charon has by the name of their config."""
    return by_config(charon.ike_sas)


@remember
def carried_pairs(charon: ObservedCharon) -> frozenset[str]:
    """Return the pairs that children of any generation carry."""
    return frozenset(pair for sa in charon.ike_sas for pair in _carried_pairs(sa))


def by_config(sas: Iterable[IkeSa]) -> dict[str, tuple[IkeSa, ...]]:
    """Return the IKE SAs by the name of their config."""
    found: dict[str, tuple[IkeSa, ...]] = {}
    for sa in sas:
        others = found.get(sa.config)
        found[sa.config] = (sa,) if others is None else (*others, sa)
    return found


@remember
def _carried_pairs(sa: IkeSa) -> frozenset[str]:
    """Return the pairs that the IKE SA's children carry."""
    if sa.state not in HOLDING:
        return frozenset()
    return frozenset(pair_of(c.name) for c in sa.children if c.state in CARRYING)


@remember
def rests_with(sa: IkeSa, children: frozenset[str]) -> bool:
    """Tell whether the IKE SA has these children, each once, and nothing of it is under way."""
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
