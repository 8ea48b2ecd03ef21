"""Old child SAs, and the children that are to protect packets of theirs: looked up, not compared.

Pure. A thousand connections to one peer are children of one config, and a policy that they share
makes a thousand of them old beside a thousand new ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from swanherd.core.ike import ChildSa
from swanherd.core.memo import remember
from swanherd.core.model import IPNetwork, TrafficSelector
from swanherd.core.naming import pair_of
from swanherd.core.peering import Peering

_Child = tuple[str, TrafficSelector]
# IP version and the prefix lengths of both networks.
_Shape = tuple[int, int, int]
_Prefixes = tuple[int, int]


class Overlaps:
    """Children by name and pair of networks, found by any pair that has packets in common."""

    def __init__(self, children: Iterable[_Child]) -> None:
        self._children: dict[_Shape, list[_Child]] = defaultdict(list)
        for name, selector in children:
            self._children[_shape(selector)].append((name, selector))
        self._cut: dict[tuple[_Shape, _Shape], Mapping[_Prefixes, list[_Child]]] = {}

    def of(self, selector: TrafficSelector) -> Iterator[_Child]:
        """Yield the children whose networks overlap with these.

        Of two networks that do, the shorter prefix begins the longer one.
        """
        version, *lengths = _shape(selector)
        for shape in self._children:
            if shape[0] == version:
                local, remote = (min(pair) for pair in zip(lengths, shape[1:], strict=True))
                common = version, local, remote
                yield from self._by_prefix(shape, common).get(_prefixes(selector, common), ())

    def _by_prefix(self, shape: _Shape, common: _Shape) -> Mapping[_Prefixes, list[_Child]]:
        if (shape, common) not in self._cut:
            found: dict[_Prefixes, list[_Child]] = defaultdict(list)
            for child in self._children[shape]:
                found[_prefixes(child[1], common)].append(child)
            self._cut[shape, common] = dict(found)
        return self._cut[shape, common]


def _shape(selector: TrafficSelector) -> _Shape:
    return selector.local.version, selector.local.prefixlen, selector.remote.prefixlen


def _prefixes(selector: TrafficSelector, shape: _Shape) -> _Prefixes:
    _, local, remote = shape
    return _prefix(selector.local, local), _prefix(selector.remote, remote)


def _prefix(network: IPNetwork, length: int) -> int:
    return int(network.network_address) >> (network.max_prefixlen - length)


@remember
def _overlaps(peering: Peering) -> Overlaps:
    return Overlaps(peering.config.children)


@remember
def _pairs(peering: Peering) -> frozenset[str]:
    return frozenset(map(pair_of, peering.children))


def heirs(peering: Peering, child: ChildSa) -> Iterable[_Child]:
    """Return the peering's children that are to protect packets which a child SA protects."""
    selector = child.selector
    return () if selector is None else _overlaps(peering).of(selector)


def placed(
    children: Iterable[ChildSa], peering: Peering, names: Collection[str]
) -> frozenset[str]:
    """Return the pairs of those of the child SAs whose place these children are to take.

    A network that becomes larger or smaller is another pair.
    """
    pairs = {pair_of(name) for name in names}
    return frozenset(
        pair
        for child in children
        if (pair := pair_of(child.name)) in pairs
        or (names and any(name in names for name, _ in heirs(peering, child)))
    )


def is_resized(peering: Peering, child: ChildSa) -> bool:
    """Tell whether a child SA is of a larger or a smaller network than one of the peering's."""
    return pair_of(child.name) not in _pairs(peering) and any(True for _ in heirs(peering, child))


def is_wider(peering: Peering, child: ChildSa) -> bool:
    """Tell whether a child SA carries all that one of the peering's is to, and more.

    In the kernel the narrower goes first, whatever its rank (core.handover): see core.moves.
    """
    return any(True for _ in narrower(peering, child))


def narrower(peering: Peering, child: ChildSa) -> Iterator[_Child]:
    """Yield the peering's children that are to carry a part of what a child SA does."""
    for name, selector in heirs(peering, child):
        old = child.selector
        if old is not None and selector != old and old.common(selector) == selector:
            yield name, selector
