"""What a run of `make bench-beside` looks like in docs/benchmarks.md: tables and a plot."""

from __future__ import annotations

import html
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lab.layout import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "images" / "beside.svg"
PICTURE = "![Seconds from a PUT to its effect](images/beside.svg)"
_SOME = 10
HOW_MANY = ("count", "routers")
BEGIN, END = "<!-- beside: made by make bench-beside -->", "<!-- /beside -->"


# What a side of a run has: the tables are made of it.
PARTS = (
    *("title", "neutron", "load_before", "load_after", "changes", "bringing"),
    *("idle_percent", "told_down", "restart"),
)


def missing(document: dict[str, Any]) -> list[str]:
    """Return what a run hasn't that the tables need: it was made by an older script, or broke."""
    found = [key for key in ("versions", "limit", "sides") if key not in document]
    return found + [
        f"{key} of {side.get('title', f'side {number}')}"
        for number, side in enumerate(document.get("sides", []), 1)
        for key in PARTS
        if key not in side
    ]


def tables(document: dict[str, Any]) -> str:
    """Return the tables in Markdown; a ratio is ours to each of theirs."""
    sides = document["sides"]
    titles = " | ".join(_title(side) for side in sides)
    rule = "|---" * (len(sides) + 2) + "|"
    lines = [f"| PUT | {titles} | CPU of the agents | ratio |", f"{rule}---|"]
    for row in _aligned(sides, "changes", "name"):
        cells = [_words(of) for of in row]
        cells += [_all(of.get("cpu") for of in row), _ratio(*(of.get("seconds") for of in row))]
        lines.append(f"| {' | '.join([row[0]['name'], *cells])} |")
    lines += ["", f"| figure | {titles} | ratio |", rule]
    lines += [f"| {' | '.join(row)} |" for row in _figures(sides)]
    return "\n".join(lines) + "\n"


def _title(side: dict[str, Any]) -> str:
    return f"{side['title']}, on Neutron {side['neutron']}"


def beside(
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]], *keys: str
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return ours in pairs with those of theirs with the same keys; nothing where none has."""
    known = {tuple(row[key] for key in keys): row for row in theirs}
    return [(row, known.get(tuple(row[key] for key in keys), {})) for row in ours]


def _aligned(sides: list[dict[str, Any]], what: str, *keys: str) -> list[list[dict[str, Any]]]:
    ours, *others = (side[what] for side in sides)
    columns = [[pair[1] for pair in beside(ours, theirs, *keys)] for theirs in others]
    return [list(row) for row in zip(ours, *columns, strict=True)]


def _words(row: dict[str, Any]) -> str:
    if not row:
        return "not tried"
    if "response-only" in row["name"]:
        return "so it is" if row["seconds"] is not None else "it does"
    return str(row["words"])


def _figures(sides: list[dict[str, Any]]) -> Iterator[list[str]]:
    for row in _aligned(sides, "bringing", *HOW_MANY):
        of = _many(row[0]["count"], "connection")
        if row[0]["routers"] > 1:
            of += f" on {_many(row[0]['routers'], 'router')}"
        yield [f"{of}: the POSTs", *_seconds(row, "posts")]
        if row[0]["count"] > 2 * _SOME:
            for which, part in (("first", slice(_SOME)), ("last", slice(-_SOME, None))):
                some = [{"post": _median(one.get("each", [])[part])} for one in row]
                yield [f"{of}: a POST, median of the {which} {_SOME}", *_seconds(some, "post")]
        yield [f"{of}: first POST until all are up", *_seconds(row, "up")]
        yield [f"{of}: … until all ACTIVE", *_seconds(row, "active")]
        if any(one.get("waited") is not None for one in row):
            again = "a restart of the agent after that until all ACTIVE"
            yield [f"{of}: {again}", *_restarted(row), ""]
        yield [f"{of}: begun by the gateway", *(str(one.get("own", "–")) for one in row), ""]
        yield [f"{of}: CPU of the agent", *_seconds(row, "cpu")]
        middle = [one and {"late": _median(one["late"])} for one in row]
        yield [f"{of}: SA up until ACTIVE, median", *_seconds(middle, "late")]
    yield ["peer ends the tunnel: until the API says so", *_seconds(sides, "told_down")]
    idle = [side["idle_percent"] for side in sides]
    yield ["idle agent, of one core", *(f"{one:.1f} %" for one in idle), _ratio(*idle)]
    for key, of, what in (("rebuilt", "of", "IKE SAs rebuilt"), ("lost", "sent", "pings lost")):
        shown = [f"{side['restart'][key]} of {side['restart'][of]}" for side in sides]
        yield [f"agent restarted: {what}", *shown, ""]


def _many(count: int, of: str) -> str:
    return f"{count} {of}" + ("s" if count > 1 else "")


def _seconds(row: list[dict[str, Any]], key: str) -> list[str]:
    values = [of.get(key) for of in row]
    missing = ["not tried" if not of else _in_vain(of) for of in row]
    shown = [m if v is None else f"{v:.2f} s" for v, m in zip(values, missing, strict=True)]
    return [*shown, _ratio(*values)]


def _in_vain(of: dict[str, Any]) -> str:
    waited = of.get("waited")
    return "not within the limit" if waited is None else f"not within {waited:.0f} s"


def _restarted(row: list[dict[str, Any]]) -> Iterator[str]:
    for of in row:
        if of.get("waited") is None:
            yield "–"
        else:
            seconds = of["restarted"]
            yield "not within the limit" if seconds is None else f"{seconds:.2f} s"


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def _all(values: Iterable[float | None]) -> str:
    return " / ".join("–" if value is None else f"{value:.2f} s" for value in values)


def _ratio(mine: float | None, *others: float | None) -> str:
    each = [f"{mine / other:.2f}" if mine is not None and other else "–" for other in others]
    return " / ".join(each) if set(each) != {"–"} else "–"


COLOURS = ("#1b7f5c", "#b5562b", "#8a6d1f")


def plot(document: dict[str, Any]) -> str:
    """Return a picture: for each change, how long until it had its effect."""
    limit, left, width = document["limit"], 350, 420
    sides, step = document["sides"], 12 + 13 * len(document["sides"])
    timed = [
        row
        for row in _aligned(sides, "changes", "name")
        if "response-only" not in row[0]["name"] and all(row)
    ]
    height = 60 + step * len(timed)
    titles = [_title(side) for side in sides]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 190} {height}" '
        'font-family="sans-serif" font-size="13">',
        f"<title>Seconds from a PUT to its effect: {', '.join(titles)}</title>",
        f"<desc>{_in_words(timed)}</desc>",
        f'<rect width="{left + width + 190}" height="{height}" fill="#ffffff"/>',
        '<text x="12" y="22" font-size="15">Seconds from a PUT to its effect</text>',
    ]
    for number, (side, colour) in enumerate(zip(sides, COLOURS, strict=False)):
        at = left + 150 * number
        parts.append(
            f'<rect x="{at}" y="11" width="12" height="12" fill="{colour}"/>'
            f'<text x="{at + 18}" y="22">{side["title"]}</text>'
            f'<text x="{at + 18}" y="36" font-size="11">on Neutron {side["neutron"]}</text>'
        )
    for number, row in enumerate(timed):
        top = 44 + step * number
        name = html.escape(row[0]["name"].replace("`", ""))
        parts.append(f'<text x="12" y="{top + 16}">{name}</text>')
        for line, (of, colour) in enumerate(zip(row, COLOURS, strict=False)):
            parts += _bar(of, left, top + 13 * line, width, limit, colour)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _in_words(timed: Sequence[Sequence[dict[str, Any]]]) -> str:
    """Return what the picture shows, for who can't see it."""
    rows = (f"{row[0]['name']}: {', '.join(each['words'] for each in row)}" for row in timed)
    return html.escape("; ".join(rows).replace("`", ""))


def _bar(
    row: dict[str, Any], left: int, y: int, width: int, limit: float, colour: str
) -> Iterator[str]:
    missed = row["seconds"] is None
    share = 0 if row["refused"] else min(1.0, (limit if missed else row["seconds"]) / limit)
    long = max(2.0, share * width)
    yield (
        f'<rect x="{left}" y="{y}" width="{long:.1f}" height="11" '
        f'fill="{"none" if missed else colour}" stroke="{colour}"/>'
        f'<text x="{left + long + 6:.1f}" y="{y + 10}" font-size="11">'
        f"{html.escape(re.split(', | but ', row['words'])[0])}</text>"
    )


def write(document: dict[str, Any]) -> None:
    """Put the tables and the plot into the documents."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    load = ", ".join(
        f"{s['title']} {s['load_before'][0]:.1f} and {s['load_after'][0]:.1f}"
        for s in document["sides"]
    )
    made = document["versions"]
    machine = re.sub(r"(Linux \d+\.\d+)\S*", r"\1", made["machine"])
    about = (
        f"{machine}, Python {made['python']}; load of the machine before and after each: {load}."
    )
    DOCUMENT.write_text(f"{before}{BEGIN}\n{PICTURE}\n\n{about}\n\n{tables(document)}{END}{after}")
    PLOT.write_text(plot(document))
