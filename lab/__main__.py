"""The lab's command line: `python -m lab up | down | enter | status | logs`."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from lab import services, up
from lab.boxes import Box, environment, holders
from lab.layout import BACKENDS, NEWEST, PREDECESSORS, RELEASES, Lab, LabError, Shape
from lab.neutron import has_swanherd_server


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    top = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    bring = commands.add_parser("up", help="bring two clouds up")
    bring.add_argument(
        "--no-swanherd", action="store_true", help="Neutron without the VPN service"
    )
    bring.add_argument("--gateways", type=int, default=1, help="gateway chassis of each cloud")
    bring.add_argument("--computes", type=int, default=1, help="compute chassis of each cloud")
    for name in "ab":
        text = f"what serves the routers of cloud {name}"
        bring.add_argument(f"--backend-{name}", choices=BACKENDS, default="ovn", help=text)
        text = f"Neutron's release in cloud {name}"
        bring.add_argument(
            f"--release-{name}", type=int, choices=RELEASES, default=NEWEST, help=text
        )
        text = f"the release of neutron-vpnaas that cloud {name} has in Swanherd's place"
        bring.add_argument(
            f"--predecessor-{name}", type=int, choices=PREDECESSORS, default=0, help=text
        )
    bring.add_argument(
        "--neutron-user", action="store_true", help="L3 agents as Neutron's user, by sudo"
    )
    bring.add_argument("--debug", action="store_true", help="services log at debug level")
    commands.add_parser("down", help="remove the lab")
    enter = commands.add_parser("enter", help="a shell, or a command, in a box")
    enter.add_argument("box")
    enter.add_argument("argv", nargs=argparse.REMAINDER)
    commands.add_parser("status", help="boxes, services and whether they run")
    commands.add_parser("logs", help="where the logs are")
    return top


def main() -> int:
    """Do what the command line says."""
    options = parser().parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # status | head
    if os.geteuid():
        print("the lab makes namespaces: run it as root", file=sys.stderr)
        return 1
    try:
        return _do(options, Lab.named())
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; the next `up` or `down` removes what is there", file=sys.stderr)
        return 130


def _do(options: argparse.Namespace, lab: Lab) -> int:
    if options.command == "up":
        return _up(options, lab)
    if options.command == "down":
        up.down(lab)
    elif options.command == "enter":
        _enter(lab, options.box, options.argv)
    elif options.command == "status":
        return _status(lab)
    elif options.command == "logs":
        for path in sorted((lab.state / "logs").rglob("*.log")):
            print(path)
    return 0


def _up(options: argparse.Namespace, lab: Lab) -> int:
    shape = Shape(
        gateways=options.gateways,
        computes=options.computes,
        backend_a=options.backend_a,
        backend_b=options.backend_b,
        release_a=options.release_a,
        release_b=options.release_b,
        predecessor_a=options.predecessor_a,
        predecessor_b=options.predecessor_b,
        swanherd=has_swanherd_server() and not options.no_swanherd,
        neutron_user=options.neutron_user,
        debug=options.debug,
    )
    timings = up.up(Lab(lab.name, shape))
    print(f"lab {lab.name} is up after {timings['all'].end:.1f} s; logs in {lab.state}/logs")
    return 0


def _enter(lab: Lab, name: str, argv: list[str]) -> None:
    box = Box(lab, name)
    if name not in lab.box_names:
        raise LabError(f"no box {name}; there are {', '.join(lab.box_names)}")
    settings = {"OS_CLIENT_CONFIG_FILE": str(lab.clouds_yaml), "PS1": rf"[{name}] \w # "}
    command = box.enter_argv(argv or ["bash", "--norc", "-i"])
    sys.stdout.flush()
    os.execvpe(command[0], command, environment(settings))


def _status(lab: Lab) -> int:
    found = holders(lab)
    good = bool(found)
    for name in lab.box_names:
        print(f"{name:8} {'up' if name in found else 'not up'}")
        if name not in found:
            good = False
            continue
        for service in services.names(Box(lab, name)):
            runs = services.alive(Box(lab, name), service)
            good = good and runs
            print(f"    {service:30} {'runs' if runs else 'ENDED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
