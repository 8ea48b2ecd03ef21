"""`make bench-beside`: Swanherd and releases of neutron-vpnaas through one script, in one run.

Cloud a of a lab of its own (SWANHERD_LAB, default `beside`) has Swanherd, cloud b neutron-vpnaas
on the Neutron that it stands on; for another release the lab is made anew. All have their tunnels
to a neutral peer, a strongSwan configured by hand. Figures go to build/beside.json, those that are
a number to build/bench.json.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from openstack.exceptions import HttpException

from bench.beside import page
from bench.beside.bringing import bring_up, idle, restart, told_down
from bench.beside.changes import again, change, rows, service_off_and_on
from bench.beside.routers import Routers
from bench.beside.side import Side, make_side
from bench.results import Result, versions, write
from lab import up as lifecycle
from lab.cloud import Cloud
from lab.layout import BACKENDS, ROOT, Lab, LabError, Shape
from lab.sites import make_public
from lab.user import enter

FILE = ROOT / "build" / "beside.json"
OURS = "Swanherd"


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line says; it exits if that can't be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    parser.add_argument("--limit", type=float, default=30, help="seconds to wait for an effect")
    parser.add_argument(
        "--releases", type=int, nargs="*", default=[27, 29], help="of neutron-vpnaas, or none"
    )
    parser.add_argument("--counts", default="10,100", help="so many are brought up at once, too")
    parser.add_argument("--more", default="1000", help="… and so many of Swanherd's alone")
    parser.add_argument(
        "--routers", type=int, default=10, help="each with one connection, at once"
    )
    parser.add_argument(
        "--backend",
        default="ovn",
        choices=BACKENDS,
        help="of Swanherd's cloud; any other with no releases",
    )
    parser.add_argument("--rows", default="", help="only changes with this in their name")
    parser.add_argument("--patience", type=float, default=600, help="for as many, in seconds")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md's tables")
    parser.add_argument("--render", action="store_true", help="measure nothing: the last run's")
    chosen = parser.parse_args(argv)
    if chosen.backend != "ovn" and chosen.releases and not chosen.render:
        # Theirs are on OVN: the clouds would differ in more than in who serves their routers.
        parser.error(f"--backend {chosen.backend} is for Swanherd alone: --releases without any")
    return chosen


def main() -> int:
    """Measure both, print and write what was seen."""
    chosen = options()
    if not chosen.render:
        try:
            for document in run(chosen):
                # At once: what comes after may fail, and a run takes half an hour.
                FILE.parent.mkdir(exist_ok=True)
                FILE.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        except LabError as error:
            print(f"bench.beside: {error}", file=sys.stderr)
            return 1
    document = json.loads(FILE.read_text())
    if missing := page.missing(document):
        print(f"bench.beside: {FILE} has no {', no '.join(missing)}", file=sys.stderr)
        return 1
    if len(document["sides"]) == 1:
        return 0  # there is nothing to compare
    print(page.tables(document))
    if chosen.docs:
        page.write(document)
    return write(results(document))


def run(chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure ours, then each release of theirs; yield all figures so far after each of them."""
    # In a lab's network there is no registry from which it could be installed.
    names = [_lab(number, chosen.backend).shape.cloud("b").venv.name for number in chosen.releases]
    if names:
        making = [sys.executable, "-m", "tests.oracles.environments", *names]
        subprocess.run(making, cwd=ROOT, check=True)
    sides: list[dict[str, Any]] = []
    for release in chosen.releases or [0]:
        # A process each: it enters the lab's network and never leaves it.
        with concurrent.futures.ProcessPoolExecutor(1) as alone:
            sides += alone.submit(run_lab, release, not sides, chosen).result()
        yield {"versions": versions(), "limit": chosen.limit, "sides": sides}


def run_lab(release: int, ours_too: bool, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Bring a lab with a release of theirs up, and return the figures of its clouds."""
    lab = _lab(release, chosen.backend)
    theirs = f"neutron-vpnaas {release}"
    try:
        if not os.environ.get("REUSE"):
            lifecycle.up(lab)
        enter(lab)
        found = [measure(lab, "a", OURS, chosen)] if ours_too else []
        return [*found, *([measure(lab, "b", theirs, chosen)] if release else [])]
    finally:
        if not os.environ.get("KEEP"):
            lifecycle.down(lab)


def _lab(release: int, backend: str) -> Lab:
    shape = Shape(backend_a=backend, predecessor_b=release)
    return Lab(os.environ.get("SWANHERD_LAB", "beside"), shape)


def measure(lab: Lab, name: str, title: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Put one cloud through the script and return its figures."""
    cloud = Cloud(lab, name)
    make_public(cloud)
    side = make_side(title, cloud, "ab".index(name) + 1)
    seen: dict[str, Any] = {"title": side.title, "neutron": _neutron(cloud)}
    seen["load_before"] = os.getloadavg()
    first = say(side, "1 connection", dataclasses.asdict(bring_up(side, range(1), 120)))
    seen["bringing"] = [first]
    many, seen["changes"] = changes(side, chosen.limit, chosen.rows)
    seen["bringing"].append(many)
    seen["idle_percent"] = say(side, "idle, percent of a core", idle(side, 30))
    seen["told_down"] = say(side, "told that it's down", told_down(side, 120))
    seen["restart"] = say(side, "restart", dataclasses.asdict(restart(side, side.cases[1])))
    if chosen.routers:
        spread = bring_up(Routers(side, chosen.routers), range(20, 20 + chosen.routers), 300)
        spread.routers = chosen.routers
        seen["bringing"].append(say(side, f"{chosen.routers} routers", dataclasses.asdict(spread)))
    begin = 20 + chosen.routers
    for count in _numbers(chosen.counts) + (_numbers(chosen.more) if side.is_ours else []):
        try:
            made = bring_up(side, range(begin, begin + count), chosen.patience)
        except HttpException as refused:
            # What was measured before is worth more than this.
            say(side, f"{count} connections", str(refused))
            break
        seen["bringing"].append(say(side, f"{count} connections", dataclasses.asdict(made)))
        begin += count
        if made.active is None:
            break
    if side.is_ours:
        outcome = restart(side, side.cases[1])
        seen["restart_at_last"] = say(side, "restart", dataclasses.asdict(outcome))
    seen["load_after"] = os.getloadavg()
    return seen


def _neutron(cloud: Cloud) -> str:
    """Return the version of Neutron that a cloud runs."""
    ask = "import importlib.metadata as m; print(m.version('neutron'))"
    asked = [f"{cloud.plan.venv}/bin/python", "-c", ask]
    told: str = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    return told.strip()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def changes(side: Side, limit: float, only: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Make a connection for each change and one to be response-only, then all the changes.

    Return what bringing them up was like, and what became of each change.
    """
    listed = [row for row in rows() if only in row.name]
    own = [
        {f"{kind}policy_id": side.policy(kind) for kind in ("ike", "ipsec")}
        if row.own_policies
        else {}
        for row in listed
    ]
    count = len(listed) + 1
    many = dataclasses.asdict(bring_up(side, range(1, count + 1), 180, own))
    say(side, f"{count} connections", many)
    cases = side.cases[1:count]
    outcomes = []
    for row, case in zip(listed, cases, strict=True):
        outcomes.append(change(side, row, case, limit))
        say(side, row.name, outcomes[-1].words(limit))
    seen = [
        told(side, row.name, again(side, row, case, outcome), limit)
        for row, case, outcome in zip(listed, cases, outcomes, strict=True)
    ]
    for name, outcome in service_off_and_on(side, limit):
        seen.append(told(side, name, outcome, limit))
    return many, seen


def told(side: Side, name: str, outcome: Any, limit: float) -> dict[str, Any]:
    """Return a change's outcome as a row."""
    row = {"name": name, "words": outcome.words(limit), **dataclasses.asdict(outcome)}
    say(side, name, row["words"])
    return row


def say(side: Side, what: str, value: Any) -> Any:
    """Print what was measured at once: a run takes minutes."""
    print(f"{time.strftime('%T')} {side.title}: {what}: {value}", file=sys.stderr, flush=True)
    return value


def results(document: dict[str, Any]) -> list[Result]:
    """Return the figures that are a number on our side, once beside each of theirs."""
    ours, *others = document["sides"]
    return [result for theirs in others for result in _beside(ours, theirs)]


def _beside(ours: dict[str, Any], theirs: dict[str, Any]) -> list[Result]:
    found = []
    prefix = f"beside_{theirs['title'].rpartition(' ')[2]}"
    for mine, other in page.beside(ours["changes"], theirs["changes"], "name"):
        if mine["seconds"]:
            name = "".join(c if c.isalnum() else "_" for c in mine["name"].lower()).strip("_")
            name = "_".join(filter(None, name.split("_")))[:40]
            found.append(
                Result(f"{prefix}_{name}_s", mine["seconds"], "s", None, other.get("seconds"))
            )
    for mine, other in page.beside(ours["bringing"], theirs["bringing"], *page.HOW_MANY):
        count = "_on_".join(str(mine[key]) for key in page.HOW_MANY if mine[key] != 1) or "1"
        for key in ("up", "active"):
            if mine[key]:
                name = f"{prefix}_{key}_{count}_s"
                found.append(Result(name, mine[key], "s", None, other.get(key)))
    for name, key, unit in (
        (f"{prefix}_idle_percent", "idle_percent", "%"),
        (f"{prefix}_told_down_s", "told_down", "s"),
    ):
        if ours[key] is not None:
            found.append(Result(name, ours[key], unit, None, theirs[key]))
    return found


if __name__ == "__main__":
    sys.exit(main())
