"""Pure functions that remember what they returned for a value as long as that value lives."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")


def remember(function: Callable[Concatenate[A, P], R]) -> Callable[Concatenate[A, P], R]:
    """Let a pure function work only once for each object that is its first argument.

    The object counts by its identity, since to hash a large value costs as much as the work; it
    must be immutable and weakly referable, and the result must not hold it. Other arguments are
    positional, few, and hashed.
    """
    known: dict[int, tuple[Any, dict[Any, R]]] = {}
    work: Any = function

    @functools.wraps(function)
    def remembered(first: Any, *rest: Any) -> R:
        entry = known.get(id(first))
        if entry is None:
            key = id(first)
            reference = weakref.ref(first, lambda _: known.pop(key, None))
            entry = known[key] = (reference, {})
        results = entry[1]
        if rest not in results:
            results[rest] = work(first, *rest)
        return results[rest]

    return cast("Callable[Concatenate[A, P], R]", remembered)
