"""Pure functions that remember what they returned for a value as long as that value lives."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

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
