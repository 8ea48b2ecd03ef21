"""How long each fault's repair took: the scenario tests write build/recovery-STAGE.json.

A stage is what the faults happen on: a backend of the tests, and the kind of the router.
`python -m lab.recovery STAGE` prints its table; with --docs it writes it into
docs/self-healing.md, where rows of faults that weren't tried stay as they are.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence

from lab import faults
from lab.layout import ROOT

DOCUMENT = ROOT / "docs" / "self-healing.md"
OVN = "ovn"  # the default of the tests
LIMIT = 30.0  # seconds
PATIENCE = 420.0  # and for what others have
_NEVER = "not within 90"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What was seen of one fault: seconds until all was well (None: not while anybody waited).

    `lost`: pings, of 100 a second of each family; `clear`: packets in clear on the wire; `load`:
    the machine's at the end. `others`: of the seconds those until the programs of others that
    were away answered again, and `parts` those until each of them did; `first`: those until pings
    of each family were answered.
    """

    fault: str
    seconds: float | None
    lost: int
    clear: int
    load: float
    others: float = 0.0
    first: float = 0.0
    parts: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the promise was kept: it counts from when what others have was there again."""
        return self.seconds is not None and self.seconds - self.others <= LIMIT and not self.clear


def file_of(stage: str) -> pathlib.Path:
    """Return where the rows of a stage are."""
    return ROOT / "build" / f"recovery-{stage}.json"


def marks(stage: str) -> tuple[str, str]:
    """Return what the document has before and after the stage's table."""
    return f"<!-- measured: recovery {stage} -->\n", f"<!-- end of measured: recovery {stage} -->"


def read(path: pathlib.Path) -> list[Row]:
    """Return the rows that were written; none if there is no file."""
    try:
        return [Row(**row) for row in json.loads(path.read_text())]
    except FileNotFoundError:
        return []


def write(row: Row, path: pathlib.Path) -> None:
    """Write a row in place of the one of its fault; the others' stay."""
    listed = newest((*read(path), row))
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([dataclasses.asdict(each) for each in listed], indent=1) + "\n")


def newest(rows: Iterable[Row]) -> list[Row]:
    """Return the last row of each fault that there is, in the faults' order."""
    order = {fault.name: number for number, fault in enumerate(faults.FAULTS)}
    known = {each.fault: each for each in rows if each.fault in order}
    return sorted(known.values(), key=lambda each: order[each.fault])


def load() -> float:
    """Return the machine's load of the last minute."""
    return round(os.getloadavg()[0], 1)


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        ["fault", "s", "of these others'", "first ping", "pings lost", "in clear", "load"],
        ["---"] * 7,
    ]
    for row in rows:
        seconds = _NEVER if row.seconds is None else str(row.seconds)
        shares = (str(share) if share else "" for share in (row.others, row.first))
        counts = (str(row.lost), str(row.clear), str(row.load))
        lines.append([row.fault, seconds, *shares, *counts])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def parse(text: str) -> list[Row]:
    """Return the rows of such a table."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return [
        Row(
            fault,
            None if took == _NEVER else float(took),
            int(lost),
            int(clear),
            float(load),
            float(others or 0),
            float(first or 0),
        )
        for fault, took, others, first, lost, clear, load in lines[2:]
    ]


def into(text: str, rows: Iterable[Row], stage: str = OVN) -> str:
    """Return a document with the rows in the stage's table, in place of older ones."""
    begin, end = marks(stage)
    head, found, rest = text.partition(begin)
    old, ended, tail = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"no place for the table: {begin.strip()} … {end}")
    return head + begin + table(newest((*parse(old), *rows))) + end + tail


def main(arguments: Sequence[str]) -> int:
    """Print the table; with --docs write it; 1 if a row isn't ok."""
    stage = next((word for word in arguments if word != "--docs"), OVN)
    rows = read(file_of(stage))
    print(table(rows))
    for row in (each for each in rows if each.parts):
        print(f"{row.fault}: {', '.join(f'{what} {s} s' for what, s in row.parts.items())}")
    if "--docs" in arguments:
        DOCUMENT.write_text(into(DOCUMENT.read_text(), rows, stage))
    return 0 if rows and all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
