"""What charon has, for look-up: worked out once for each look, and once for each IKE SA."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping
from operator import attrgetter

from swanherd.core.ike import CARRYING, HOLDING, IkeSa, ObservedCharon
from swanherd.core.memo import remember, remember_each
from swanherd.core.naming import pair_of

_CONFIG = attrgetter("config")


@dataclasses.dataclass(frozen=True, slots=True)
class Index:
    """The IKE SAs by the name of their config: those that are alone there, and the others."""

    single: Mapping[str, IkeSa]
    several: Mapping[str, tuple[IkeSa, ...]]

    def of(self, config: str) -> tuple[IkeSa, ...]:
        """Return all of one config."""
        sa = self.single.get(config)
        return (sa,) if sa is not None else self.several.get(config, ())


@remember
def index_of(charon: ObservedCharon) -> Index:
    """Return the IKE SAs of what charon has by the name of their config."""
    single = dict(zip(map(_CONFIG, charon.ike_sas), charon.ike_sas, strict=True))
    if len(single) == len(charon.ike_sas):
        return Index(single, {})
    several = {name: sas for name, sas in by_config(charon.ike_sas).items() if len(sas) > 1}
    return Index({name: sa for name, sa in single.items() if name not in several}, several)


@remember
def spis_of(charon: ObservedCharon) -> frozenset[int]:
    """Return the SPIs of all child SAs of what charon has."""
    return frozenset().union(*filter(None, _each_spis(charon.ike_sas)))


@remember_each
def _each_spis(sa: IkeSa) -> frozenset[int]:
    return frozenset(spi for child in sa.children for spi in child.spis)


def concerning(
    charon: ObservedCharon, configs: Container[str], pairs: frozenset[str]
) -> list[IkeSa]:
    """Return the IKE SAs of these configs, and those with a child of one of these pairs."""
    names = [child.name for sa in charon.ike_sas for child in sa.children]
    owners = [sa.unique_id for sa in charon.ike_sas for _ in sa.children]
    carried = zip(owners, map(pair_of, names), strict=True)
    having = {unique_id for unique_id, pair in carried if pair in pairs}
    return [sa for sa in charon.ike_sas if sa.config in configs or sa.unique_id in having]


def by_config(sas: Iterable[IkeSa]) -> dict[str, tuple[IkeSa, ...]]:
    """Return the IKE SAs by the name of their config."""
    found: dict[str, tuple[IkeSa, ...]] = {}
    for sa in sas:
        others = found.get(sa.config)
        found[sa.config] = (sa,) if others is None else (*others, sa)
    return found


def pairs_of(sa: IkeSa) -> frozenset[str]:
    """Return the pairs that the IKE SA's children carry."""
    if sa.state not in HOLDING:
        return frozenset()
    return frozenset(pair_of(c.name) for c in sa.children if c.state in CARRYING)
