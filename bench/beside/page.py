"""What a run of `make bench-beside` looks like in docs/benchmarks.md: tables and a plot."""

from __future__ import annotations

import html
import statistics
from typing import Any

from lab.layout import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "images" / "beside.svg"
PICTURE = "![Seconds from a PUT to its effect](images/beside.svg)"
BEGIN, END = "<!-- beside: made by make bench-beside -->", "<!-- /beside -->"


def tables(document: dict[str, Any]) -> str:
    """Return the tables in Markdown."""
    ours, theirs = document["sides"]["a"], document["sides"]["b"]
    lines = [
        "| PUT | Swanherd | neutron-vpnaas 29 | CPU of the agents | ratio |",
        "|---|---|---|---|---|",
    ]
    for mine, other in zip(ours["changes"], theirs["changes"], strict=True):
        lines.append(
            f"| {mine['name']} | {_words(mine)} | {_words(other)} "
            f"| {_pair(mine['cpu'], other['cpu'])} | {_ratio(mine['seconds'], other['seconds'])} |"
        )
    lines += ["", "| figure | Swanherd | neutron-vpnaas 29 | ratio |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in _figures(ours, theirs)]
    return "\n".join(lines) + "\n"


def _words(row: dict[str, Any]) -> str:
    if "response-only" in row["name"]:
        return "so it is" if row["seconds"] is not None else "it does"
    return str(row["words"])


def _figures(ours: dict[str, Any], theirs: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    found: list[tuple[str, str, str, str]] = []
    for mine, other in zip(ours["bringing"], theirs["bringing"], strict=True):
        of = f"{mine['count']} connection" + ("s" if mine["count"] > 1 else "")
        for key, what in (("up", "first POST until all are up"), ("active", "… until all ACTIVE")):
            found.append((f"{of}: {what}", *_seconds(mine[key], other[key])))
        found.append((f"{of}: begun by the gateway", str(mine["own"]), str(other["own"]), ""))
        found.append((f"{of}: CPU of the agent", *_seconds(mine["cpu"], other["cpu"])))
        late = [statistics.median(s["late"]) if s["late"] else None for s in (mine, other)]
        found.append((f"{of}: SA up until ACTIVE, median", *_seconds(late[0], late[1])))
    down = _seconds(ours["told_down"], theirs["told_down"])
    found.append(("peer ends the tunnel: until the API says so", *down))
    idle = [s["idle_percent"] for s in (ours, theirs)]
    found.append(
        ("idle agent, of one core", f"{idle[0]:.1f} %", f"{idle[1]:.1f} %", _ratio(*idle))
    )
    for key, of, what in (("rebuilt", "of", "IKE SAs rebuilt"), ("lost", "sent", "pings lost")):
        shown = [f"{s['restart'][key]} of {s['restart'][of]}" for s in (ours, theirs)]
        found.append((f"agent restarted: {what}", shown[0], shown[1], ""))
    return found


def _seconds(mine: float | None, other: float | None) -> tuple[str, str, str]:
    shown = ["not within the limit" if s is None else f"{s:.2f} s" for s in (mine, other)]
    return shown[0], shown[1], _ratio(mine, other)


def _pair(mine: float | None, other: float | None) -> str:
    return " / ".join("–" if s is None else f"{s:.2f} s" for s in (mine, other))


def _ratio(mine: float | None, other: float | None) -> str:
    return f"{mine / other:.2f}" if mine is not None and other else "–"


def plot(document: dict[str, Any]) -> str:
    """Return a picture: for each change, how long until it had its effect."""
    limit, left, width, step = document["limit"], 350, 420, 34
    pairs = list(zip(*(document["sides"][n]["changes"] for n in "ab"), strict=True))
    timed = [(m, o) for m, o in pairs if "response-only" not in m["name"]]
    height = 60 + step * len(timed)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 190} {height}" '
        'font-family="sans-serif" font-size="13">',
        "<title>Seconds from a PUT to its effect, Swanherd and neutron-vpnaas 29</title>",
        f'<rect width="{left + width + 190}" height="{height}" fill="#ffffff"/>',
        '<text x="12" y="22" font-size="15">Seconds from a PUT to its effect</text>',
        f'<rect x="{left}" y="11" width="12" height="12" fill="#1b7f5c"/>'
        f'<text x="{left + 18}" y="22">Swanherd</text>',
        f'<rect x="{left + 110}" y="11" width="12" height="12" fill="#b5562b"/>'
        f'<text x="{left + 128}" y="22">neutron-vpnaas 29</text>',
    ]
    for number, pair in enumerate(timed):
        top = 44 + step * number
        name = html.escape(pair[0]["name"].replace("`", ""))
        parts.append(f'<text x="12" y="{top + 16}">{name}</text>')
        for row, y, colour in zip(pair, (top, top + 13), ("#1b7f5c", "#b5562b"), strict=True):
            share = 0 if row["refused"] else min(1.0, (row["seconds"] or limit) / limit)
            missed = row["seconds"] is None
            fill = "none" if missed else colour
            parts.append(
                f'<rect x="{left}" y="{y}" width="{max(2.0, share * width):.1f}" height="11" '
                f'fill="{fill}" stroke="{colour}"/>'
                f'<text x="{left + max(2.0, share * width) + 6:.1f}" y="{y + 10}" font-size="11">'
                f"{html.escape(row['words'].split(',')[0])}</text>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def write(document: dict[str, Any]) -> None:
    """Put the tables and the plot into the documents."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    load = ", ".join(f"{s['title']} {s['load_before'][0]:.1f}" for s in document["sides"].values())
    made = document["versions"]
    about = f"{made['machine']}, Python {made['python']}, Neutron {made['neutron']}"
    about += f"; load of the machine before each: {load}."
    DOCUMENT.write_text(f"{before}{BEGIN}\n{PICTURE}\n\n{about}\n\n{tables(document)}{END}{after}")
    PLOT.write_text(plot(document))
