"""swanherdctl: ask a live agent on this node what it sees and what it would do."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swanherd.cmd import database, findings, leave, migrate, secrets, vitality

# Where agents have it that aren't told another state_path; the first that is there is asked.
SOCKETS = ("/var/lib/swanherd/agent.sock", "/var/lib/neutron/swanherd/agent.sock")
TIMEOUT = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0, or 1 with a sentence, or 2 for wrong usage.

    `doctor` and `health` end with 3 if they found that something is wrong.
    """
    options = _parser().parse_args(arguments)
    if "run" in options:
        done: int = options.run(options)
        return done
    try:
        result = ask(Path(options.socket), options.request(options))
    except OSError as error:
        print(f"swanherdctl: no agent answers at {options.socket}: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"swanherdctl: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print("\n".join(options.render(result)))
    status: int = options.status(result)
    return status


def ask(path: Path, request: Mapping[str, Any]) -> Any:
    """Return the agent's answer; OSError if none comes, ValueError with the agent's refusal."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(TIMEOUT)
        link.connect(str(path))
        link.sendall(json.dumps(request).encode() + b"\n")
        link.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: link.recv(65536), b""))
    document = json.loads(answer)
    if not document["ok"]:
        raise ValueError(document["error"])
    return document["result"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="swanherdctl", description=__doc__)
    default = next(filter(os.path.exists, SOCKETS), SOCKETS[0])
    parser.add_argument("--socket", default=default, help="the agent's control socket")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(status=lambda _: 0)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="the agent, or what a router is and should be")
    show.add_argument("router", nargs="?", help="id of a router")
    show.set_defaults(request=_show_request, render=_render_show)
    plan = commands.add_parser("plan", help="what the agent would do for a router now")
    plan.add_argument("router", help="id of a router")
    plan.set_defaults(request=_plan_request, render=_render_plan)
    doctor = commands.add_parser("doctor", help="what is wrong with a router or a connection")
    doctor.add_argument("id", help="id of a router or of a connection")
    doctor.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    doctor.set_defaults(
        request=lambda options: {"command": "doctor", "id": options.id},
        render=findings.render,
        status=findings.exit_status,
    )
    health = commands.add_parser("health", help="whether the agent works; 3 if it doesn't")
    health.add_argument(
        "--live",
        dest="status",
        action="store_const",
        const=vitality.live_status,
        help="for liveness probes: 3 only if a restart would help",
    )
    health.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    health.set_defaults(
        request=lambda _: {"command": "health"},
        render=vitality.render,
        status=vitality.ready_status,
    )
    secret = commands.add_parser("secrets", help="the keys in Neutron's database (on a server)")
    rotate = secret.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "rotate", help="encrypt every pre-shared key with the first of [swanherd] psk_keys"
    )
    rotate.add_argument("--config-file", action="append", required=True, help="neutron.conf")
    rotate.set_defaults(run=lambda options: secrets.rotate(options.config_file))
    _add_database(commands)
    migrate.add(commands)
    leave.add(commands)
    return parser


def _add_database(commands: Any) -> None:
    parser = commands.add_parser("db", help="the tables in Neutron's database (on a server)")
    back = parser.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "release", help="give the tables back to neutron-vpnaas; stop the servers first"
    )
    back.add_argument("--config-file", action="append", required=True, help="neutron.conf")
    back.add_argument("--to", required=True, choices=("26", "27", "28", "29"), help="its release")
    back.add_argument("--check", action="store_true", help="only tell what it can't hold")
    back.set_defaults(
        run=lambda options: database.release(options.config_file, options.to, check=options.check)
    )


def _show_request(options: argparse.Namespace) -> dict[str, Any]:
    if options.router is None:
        return {"command": "agent"}
    return {"command": "show", "router": options.router}


def _plan_request(options: argparse.Namespace) -> dict[str, Any]:
    return {"command": "plan", "router": options.router}


def _render_show(result: Mapping[str, Any]) -> Iterable[str]:
    if "placed_here" not in result:
        yield from _render_agent(result)
    elif not result["placed_here"]:
        yield "The server doesn't place this router on this agent."
    else:
        yield from _render_router(result)


def _render_agent(result: Mapping[str, Any]) -> Iterable[str]:
    yield f"host        {result['host']}"
    yield f"data plane  {result['data_plane']}"
    yield f"uptime      {result['uptime_s']} s, {result['turns']} turns, queue {result['queue']}"
    yield f"routers     {result['routers']} with {result['connections']} connections"
    yield f"standby     for {result['standby_routers']} routers"
    if result["fenced"]:
        yield "fenced      the southbound database is away: nothing is sent"
    for router_id, report in sorted(result["reports"].items()):
        what = f"{report['role']}{'' if report['ready'] else ', not ready'}"
        place = f"revision {report['revision']}  epoch {report['epoch']}"
        yield f"\nrouter {router_id}  {what}  {place}"
        yield from _render_rows(report)


def _render_router(result: Mapping[str, Any]) -> Iterable[str]:
    desired, observed = result["desired"], result["observed"]
    yield f"router      {desired['id']}  revision {desired['revision']}  epoch {desired['epoch']}"
    yield f"role        {desired['role']}"
    yield f"data plane  {result['data_plane']}"
    for name in ("public", "transit"):
        port = desired[name]
        addresses = ", ".join(port["addresses"]) if port else "none"
        yield f"{name:<11} {addresses}"
    charon = observed["charon"]
    yield f"namespace   {'there' if observed['network']['exists'] else 'missing'}"
    yield f"charon      {'running' if charon['running'] else 'not running'}"
    yield f"configs     {len(charon['configs'])} loaded, {len(desired['connections'])} wanted"
    for sa in charon["ike_sas"]:
        way = "→" if sa["initiator"] else "←"
        ends = f"{sa['local_host']} {way} {sa['remote_host']}"
        yield f"IKE SA {sa['unique_id']}  {ends}  {sa['state']}"
        for child in sa["children"]:
            yield f"  child SA {child['unique_id']}  {child['name']}  {child['state']}"
    if result["report"]:
        yield from _render_rows(result["report"])
    yield f"plan        {len(result['plan'])} action(s)"


def _render_rows(report: Mapping[str, Any]) -> Iterable[str]:
    for kind in ("services", "connections"):
        for row in report[kind]:
            reason = row["reason"]
            why = f"  {reason['code']}: {reason['text']}" if reason else ""
            yield f"  {kind[:-1]:<10} {row['id']}  {row['status']}{why}"


def _render_plan(result: Mapping[str, Any]) -> Iterable[str]:
    if not result["placed_here"]:
        yield "The server doesn't place this router on this agent."
        return
    if not result["actions"]:
        yield "Nothing to do: what is, is what should be."
    for action in result["actions"]:
        details = {key: value for key, value in action.items() if key != "kind"}
        yield f"{action['kind']}  {json.dumps(details, sort_keys=True)}"


if __name__ == "__main__":
    sys.exit(main())
