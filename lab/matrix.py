"""The matrix: which inner family works over which outer one, on which backend.

The scenario suite writes its cells into build/matrix.json; `python -m lab.matrix` prints them and
writes the README's table from them.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import pathlib
import sys
from collections.abc import Iterable, Sequence

from lab.layout import ROOT

FILE = ROOT / "build" / "matrix.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- generated: matrix -->\n", "<!-- end: matrix -->"
BACKENDS = {"ovn": "OVN", "ovn-dvr": "OVN DVR", "ovs": "OVS", "ovs-dvr": "OVS DVR"}
FAMILIES = tuple((inner, outer) for inner in (4, 6) for outer in (4, 6))


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """What was seen of one inner family over one outer family on one backend."""

    backend: str
    inner: int
    outer: int
    ok: bool
    detail: str

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it stands."""
        return self.backend, self.inner, self.outer


def read(path: pathlib.Path = FILE) -> list[Cell]:
    """Return the cells that were written; none if there is no file."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    return [Cell(**cell) for cell in document["cells"]]


def write(cells: Iterable[Cell], path: pathlib.Path = FILE) -> None:
    """Write cells in their places; those of other places stay."""
    new = {cell.place: cell for cell in cells}
    path.parent.mkdir(exist_ok=True)
    # Clouds of other backends may be tested at the same time.
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        old = {cell.place: cell for cell in read(path)}
        order = sorted((old | new).values(), key=lambda cell: cell.place)
        document = {"cells": [dataclasses.asdict(cell) for cell in order]}
        path.write_text(json.dumps(document, indent=1) + "\n")


def table(cells: Iterable[Cell]) -> str:
    """Return the matrix as a Markdown table; what wasn't run is an open cell."""
    seen = {cell.place: "works" if cell.ok else "FAILS" for cell in cells}
    lines = [["inner over outer", *BACKENDS.values()], ["---"] * (1 + len(BACKENDS))]
    for inner, outer in FAMILIES:
        row = [seen.get((backend, inner, outer), "not run") for backend in BACKENDS]
        lines.append([f"IPv{inner} over IPv{outer}", *row])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def into(text: str, cells: Iterable[Cell]) -> str:
    """Return a document with the matrix between its marks."""
    head, found, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"no place for the matrix: {BEGIN.strip()} … {END}")
    return head + BEGIN + table(cells) + END + tail


def main(arguments: Sequence[str]) -> int:
    """Print the matrix with its details; with --readme write the table; 1 unless all work."""
    cells = read()
    for cell in cells:
        name = f"IPv{cell.inner} over IPv{cell.outer}, {BACKENDS[cell.backend]}"
        print(f"  {'ok  ' if cell.ok else 'FAIL'}  {name:24} {cell.detail}")
    print(f"\n{table(cells)}")
    if "--readme" in arguments:
        README.write_text(into(README.read_text(), cells))
    return 0 if sum(cell.ok for cell in cells) == len(BACKENDS) * len(FAMILIES) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
