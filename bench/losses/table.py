"""`make losses-table`: what changes cost, as it was measured, into docs/live.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "live.md"
BEGIN, END = "<!-- measured: losses -->\n", "<!-- end of measured: losses -->"

# A column's title, its file, and the version of IKE.
COLUMNS = tuple(
    (f"{title}, {name}", file, ike)
    for title, file in (
        ("OVN", "losses.json"),
        ("Open vSwitch", "losses-ovs.json"),
        ("kernel ESP", "kernel/losses.json"),
    )
    for name, ike in (("IKEv2", "v2"), ("IKEv1", "v1"))
)

Runs = Mapping[str, Mapping[str, Any]]


def cell(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the worst that one change lost; none of that version: empty."""
    if not results:
        return ""
    mine = [r["concerned"] for r in results if r["concerned"] is not None]
    # What ends a tunnel on purpose has no loss to count.
    text = str(max(mine)) if mine else "ended"
    beside = sum(r["others"] for r in results)
    text += f", {beside} of others" if beside else ""
    wrong = [r for r in results if not r["holds"]]
    return f"**{text}**: promise not kept" if wrong else text


def table(runs: Runs) -> str:
    """Return the runs, by their file's name, as one Markdown table and a line about each."""
    columns = [column for column in COLUMNS if column[1] in runs]
    rows = dict.fromkeys(r["row"] for _, file, _ in columns for r in runs[file]["results"])
    lines = [["change", *(title for title, _, _ in columns)], ["---"] * (len(columns) + 1)]
    for row in rows:
        cells = (
            cell([r for r in runs[file]["results"] if (r["row"], r["ike"]) == (row, ike)])
            for _, file, ike in columns
        )
        lines.append([row, *cells])
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return (
        text
        + "\n"
        + "\n".join(_about(title, runs[file]) for title, file, _ in columns[::2])
        + "\n"
    )


def _about(title: str, run: Mapping[str, Any]) -> str:
    promised = sorted(run["allowed"].items(), reverse=True)
    before, after = run["load"]  # in the kernel lab that of its kernel
    return (
        f"- {title.partition(',')[0]}: {run['machine']}, {run['delay_ms']:g} ms one way; promised "
        f"{', '.join(f'{count} in IKE{ike}' for ike, count in promised)}; "
        f"load {before:.1f} before and {after:.1f} after."
    )


def into(text: str, runs: Runs) -> str:
    """Return the document with the table in its place; ValueError if it has none."""
    head, found, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"no place for the table: {BEGIN.strip()} … {END}")
    return head + BEGIN + table(runs) + END + tail


def main() -> int:
    """Write the table of all runs that are there; 1 if a promise wasn't kept."""
    build = ROOT / "build"
    files = dict.fromkeys(file for _, file, _ in COLUMNS)
    runs = {f: json.loads((build / f).read_text()) for f in files if (build / f).exists()}
    print(table(runs))
    DOCUMENT.write_text(into(DOCUMENT.read_text(), runs))
    return 0 if all(r["holds"] for run in runs.values() for r in run["results"]) else 1


if __name__ == "__main__":
    sys.exit(main())
