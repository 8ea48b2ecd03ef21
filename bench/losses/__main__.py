"""`make losses`: every row, for IKEv2 and IKEv1, into build/losses.json and a table."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from pathlib import Path

from bench import planes
from bench.losses.measure import Result, measure_all
from bench.losses.rows import ALLOWED, V1, V2, rows_of
from bench.losses.stage import Settings, Stage
from bench.losses.wires import alone
from swanherd.agent.node import OvnNode
from swanherd.core.model import DataPlane, IkeVersion

LOG = logging.getLogger(__name__)

# Seconds that old SAs stay: more than an attempt needs that fails and is made again, as with the
# agent's default of five minutes.
_GRACE = 10.0

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Measure, print, write; the exit status is 1 if a promise isn't kept."""
    options = _options()
    alone()
    if options.log:
        form = "%(asctime)s.%(msecs)03d %(message)s"
        logging.basicConfig(filename=options.log, level=logging.INFO, format=form, datefmt="%T")
    plane = DataPlane(options.plane)
    make_node = OvnNode
    if options.node:
        module, _, name = options.node.partition(":")
        make_node = getattr(importlib.import_module(module), name)
    allowed = {**ALLOWED, V2: options.v2_allowed}
    results: list[Result] = []
    machine = planes.Machine()
    for version in map(IkeVersion, options.ike):
        wanted = [
            row for row in rows_of(version, plane) if options.row in row.name
        ] * options.times
        settings = Settings(
            plane, version, options.delay, _GRACE, make_node=make_node, l3=options.backend == "ovs"
        )
        with Stage(settings) as stage:
            for result in measure_all(stage, wanted):
                _print(result, allowed)
                results.append(result)
    name = "losses.json" if options.backend == "ovn" else f"losses-{options.backend}.json"
    document = {
        **machine.plain(),
        "backend": options.backend,
        "delay_ms": options.delay,
        "allowed": {str(version): allowed[version] for version in map(IkeVersion, options.ike)},
        "results": [result.plain(options.plane, allowed) for result in results],
    }
    planes.write(Path(options.out or ROOT / "build" / name), document)
    return 0 if all(result.holds(allowed) for result in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.losses", description=__doc__)
    planes.add_options(parser)
    parser.add_argument("--backend", default="ovn", choices=["ovn", "ovs"], help="whose routers")
    parser.add_argument("--delay", type=float, default=0, help="milliseconds one way")
    parser.add_argument("--ike", nargs="+", default=[str(V2), str(V1)], help="v2, v1")
    parser.add_argument("--row", default="", help="only rows whose name contains this")
    parser.add_argument("--times", type=int, default=1, help="so often each of them")
    parser.add_argument("--log", help="a file for what the agents do, and when")
    parser.add_argument("--node", default="", help="module:function that makes the node")
    parser.add_argument("--v2-allowed", type=int, default=ALLOWED[V2])
    return parser.parse_args()


def _print(result: Result, allowed: dict[IkeVersion, int]) -> None:
    mark = "    " if result.holds(allowed) else "FAIL"
    mine = "–" if result.concerned is None else str(result.concerned)
    LOG.info("%s %s lost %s", result.version, result.row.name, mine)
    print(
        f"{mark} {result.version} {result.row.name:52} lost {mine:>2}, others {result.others}, "
        f"clear {len(result.clear)}, of {result.sent}  {result.wrong}",
        flush=True,
    )
    if not result.holds(allowed):
        print("     lost at", {n: list(at)[:9] for n, at in result.lost.items() if at}, flush=True)


if __name__ == "__main__":
    sys.exit(main())
