"""Pure functions that remember what they returned for a value as long as that value lives."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast

A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


# It shares its callback with all others, and so is small.
_Reference = weakref.KeyedRef[Any, Any]


def remember(function: Callable[Concatenate[A, P], R]) -> Callable[Concatenate[A, P], R]:
    """Let a pure function work only once for each object that is its first argument.

    The object counts by its identity, since to hash a large value costs as much as the work; it
    must be immutable and weakly referable, and the result must not hold it. Of other arguments,
    which are positional and few, the last ones count.
    """
    known: dict[int, tuple[_Reference, tuple[Any, ...], R]] = {}
    work: Any = function

    def forget(reference: _Reference) -> None:
        known.pop(reference.key, None)

    @functools.wraps(function)
    def remembered(first: Any, *rest: Any) -> R:
        key = id(first)
        entry = known.get(key)
        if entry is not None and entry[1] == rest:
            return entry[2]
        reference = entry[0] if entry is not None else _Reference(first, forget, key)
        result: R = work(first, *rest)
        known[key] = reference, rest, result
        return result

    return cast("Callable[Concatenate[A, P], R]", remembered)


def remember_pair(
    function: Callable[Concatenate[A, B, P], R],
) -> Callable[Concatenate[A, B, P], R]:
    """Let a pure function work only once for each pair of objects: its first two arguments.

    What `remember` says holds for both of them.
    """
    known: dict[tuple[int, int], tuple[_Reference, _Reference, tuple[Any, ...], R]] = {}
    work: Any = function

    def forget(reference: _Reference) -> None:
        known.pop(reference.key, None)

    @functools.wraps(function)
    def remembered(first: Any, second: Any, *rest: Any) -> R:
        key = id(first), id(second)
        entry = known.get(key)
        if entry is not None and entry[2] == rest:
            return entry[3]
        both = (
            entry[:2]
            if entry is not None
            else [_Reference(each, forget, key) for each in (first, second)]
        )
        result: R = work(first, second, *rest)
        known[key] = both[0], both[1], rest, result
        return result

    return cast("Callable[Concatenate[A, B, P], R]", remembered)


class _Table(Generic[R]):
    """What a function returned for some objects, as long as they live, by the first one's id.

    With it the id of the second one that it was returned for, 0 if there is none, and what tells
    when one of them goes: in one value, so that no thread sees a part of it.
    """

    def __init__(self) -> None:
        self.results: dict[int, tuple[int, R, tuple[_Reference, ...]]] = {}

    def keep(self, objects: Sequence[object], result: R) -> None:
        """Remember the result for one or two objects."""
        key = id(objects[0])
        references = tuple([_Reference(each, self._forget, key) for each in objects])
        second = id(objects[1]) if len(objects) > 1 else 0
        self.results[key] = second, result, references

    def _forget(self, reference: _Reference) -> None:
        self.results.pop(reference.key, None)


def remember_each(function: Callable[..., R]) -> Callable[..., list[R | None]]:
    """Let a pure function of one or two objects work for many at a time, once for each.

    It takes sequences of equal length instead of objects, and what else the function takes as
    `rest`. The results of before are looked up without a call for each and without anything new
    for the collector, so that a look at a thousand connections costs what those cost that have
    changed. What `remember` says holds for the objects; of several seconds of one first the last
    one counts. Where an object is None so is the result.
    """
    tables: dict[tuple[Hashable, ...], _Table[R]] = {}

    @functools.wraps(function)
    def remembered(*sequences: Sequence[Any], rest: tuple[Hashable, ...] = ()) -> list[R | None]:
        table = tables.get(rest) or tables.setdefault(rest, _Table())
        found = _known(table, *sequences)
        for place in [place for place, result in enumerate(found) if result is None]:
            objects = [objects[place] for objects in sequences]
            if None not in objects:
                result = found[place] = function(*objects, *rest)
                table.keep(objects, result)
        return found

    return remembered


def _known(
    table: _Table[R], firsts: Sequence[object], seconds: Sequence[object] | None = None
) -> list[R | None]:
    """Return what is remembered: nothing is called for a place, and no object made."""
    known = map(table.results.get, map(id, firsts))
    if seconds is None:
        return [None if entry is None else entry[1] for entry in known]
    rows = zip(known, map(id, seconds), strict=True)
    return [None if entry is None or entry[0] != second else entry[1] for entry, second in rows]


def equal(one: object, other: object) -> bool:
    """Tell whether two immutable values are equal; large ones are compared once only."""
    if one is other:
        return True
    return one is not None and other is not None and _equal(one, other)


@remember_pair
def _equal(one: object, other: object) -> bool:
    return one == other


def includes(whole: frozenset[T], part: frozenset[T]) -> bool:
    """Tell whether the first set has all of the second; the two are compared once only."""
    return whole is part or _includes(whole, part)


@remember_pair
def _includes(whole: frozenset[T], part: frozenset[T]) -> bool:
    return part <= whole
