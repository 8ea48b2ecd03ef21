"""Columns of a replica's rows as they lie there.

What python-ovs gives for a set or a map is made at each access: copied, checked, looked up and
sorted. For the few thousand policies of a router with a thousand connections that was most of a
request's time; this costs a microsecond a row.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any


def value(row: Any, column: str) -> Any:
    """Return what a column of exactly one value holds."""
    datum = _datum(row, column)
    if datum is None:
        return getattr(row, column)
    (atom,) = datum.values
    return atom.value


def members(row: Any, column: str) -> list[Any]:
    """Return what a set of numbers or strings holds, in no order."""
    datum = _datum(row, column)
    if datum is None:
        return list(getattr(row, column))
    return [atom.value for atom in datum.values]


def mapping(row: Any, column: str) -> Mapping[str, str]:
    """Return what a map of strings holds."""
    datum = _datum(row, column)
    if datum is None:
        found: Mapping[str, str] = getattr(row, column)
        return found
    return {key.value: each.value for key, each in datum.values.items()}


def references(row: Any, column: str) -> frozenset[uuid.UUID]:
    """Return which rows a set refers to, in what the database holds."""
    return frozenset(atom.value for atom in row._data[column].values)  # noqa: SLF001


def has(row: Any, column: str) -> bool:
    """Tell whether the row, of which an event tells the old columns, has this one."""
    return column in row._data  # noqa: SLF001


def referred(row: Any, column: str) -> Iterator[Any]:
    """Yield the rows that a set refers to, in no order, but those that the replica lacks."""
    datum = _datum(row, column)
    if datum is None:
        yield from getattr(row, column)
        return
    rows = row._idl.tables[datum.type.key.ref_table.name].rows  # noqa: SLF001
    for atom in datum.values:
        if (other := rows.get(atom.value)) is not None:
            yield other


def _datum(row: Any, column: str) -> Any:
    """Return what the database holds; None in a transaction that has changed the row."""
    if row._changes or row._mutations or row._data is None:  # noqa: SLF001
        return None
    return row._data[column]  # noqa: SLF001
