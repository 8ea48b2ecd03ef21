"""`swanherdctl migrate`: routers of neutron-vpnaas, one by one to Swanherd, and back."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from swanherd.cmd.servers import settle
from swanherd.core import migration
from swanherd.core.migration import Cloud, Inherited, Keeper, Passage

# The states are told by the database, which is asked this often; in seconds.
POLL = 0.1
# What `doctor` and `health` end with if something is wrong.
FAILED = 3

Plan = Callable[[Inherited, Cloud], Passage]


def add(commands: Any) -> None:
    """Add the commands to a parser."""
    parser = commands.add_parser("migrate", help="routers from neutron-vpnaas (on a server)")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("check", check, "what would be done for each router, and what prevents it"),
        ("run", forth, "take routers over, one after another, and tell each tunnel's outage"),
        ("back", back, "give routers back to neutron-vpnaas"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("--config-file", action="append", required=True, help="neutron.conf")
        verb.add_argument("--router", action="append", help="only this one; may be repeated")
        verb.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
        verb.set_defaults(run=run)
        if name == "check":
            verb.add_argument("--back", action="store_true", help="of the way back")
        else:
            verb.add_argument("--wait", type=float, default=120, help="seconds for each router")


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A server's database, as the commands use it."""

    context: Any
    store: Any
    cloud: Cloud

    def passages(self, plan: Plan, routers: Sequence[str] | None) -> list[Passage]:
        """Return what the plan says of the routers, of all if none is named."""
        from swanherd.server.inheritance import inherited

        found = list(inherited(self._fresh(), self.store))
        unknown = set(routers or ()) - {router.router_id for router in found}
        if unknown:
            raise ValueError(f"no vpnservice is on router {', '.join(sorted(unknown))}")
        return [plan(r, self.cloud) for r in found if not routers or r.router_id in routers]

    def look(self, router_id: str) -> Inherited:
        """Return the router as it is now."""
        from swanherd.server.inheritance import inherited

        found = inherited(self._fresh(), self.store)
        return next(router for router in found if router.router_id == router_id)

    def is_moved(self, router_id: str) -> bool:
        """Tell whether the router's packets go Swanherd's way, or are about to."""
        row = self.store.get_router_row(self._fresh(), router_id)
        return row is not None and row.host is not None

    def take(self, router_id: str) -> None:
        """Make the router Swanherd's; the server's sweep does the rest."""
        self.store.adopt(self._fresh(), only=router_id)

    def give(self, found: Inherited) -> None:
        """Ask the server's sweep to give the router back."""
        from swanherd.core.steering import public_port_id
        from swanherd.server import inheritance, predecessor

        context, router_id = self._fresh(), found.router_id
        project = inheritance.project_of(context, router_id)
        predecessor.want_back(context, router_id, project, public_port_id(router_id))

    @staticmethod
    def _fresh() -> Any:
        from neutron_lib import context

        return context.get_admin_context()


def site(config_files: Sequence[str]) -> Site:
    """Read the settings and find the agents."""
    conf = settle(config_files)
    from neutron_lib import context

    from swanherd.server import keys, placement
    from swanherd.server.db import vault
    from swanherd.server.db.repository import Repository

    vault.use(keys.keyring(conf))
    admin = context.get_admin_context()
    on_request = conf.swanherd.take_over == "on_request"
    return Site(admin, Repository(), Cloud(placement.agents(admin).alive, on_request))


def check(options: argparse.Namespace) -> int:
    """Print what would be done; exit status 3 if something is in the way."""
    plan = migration.back if options.back else migration.forth
    passages = _passages(options, plan)
    if passages is None:
        return 1
    _print(options, passages, _lines(passages))
    return FAILED if any(p.obstacles for p in passages[1]) else 0


def forth(options: argparse.Namespace) -> int:
    """Take the routers over; one that can't be, or doesn't come up, ends it with status 3."""
    return _move(options, migration.forth, _forth)


def back(options: argparse.Namespace) -> int:
    """Give the routers back; status 3 if one can't be."""
    return _move(options, migration.back, _back)


def _move(
    options: argparse.Namespace, plan: Plan, move: Callable[[Site, Passage, float], dict[str, Any]]
) -> int:
    found = _passages(options, plan)
    if found is None:
        return 1
    where, passages = found
    done: list[dict[str, Any]] = []
    for passage in passages:
        if not passage.steps:
            continue
        if passage.obstacles:
            done.append(_told(passage, "refused", {}))
        else:
            done.append(_told(passage, **move(where, passage, options.wait)))
        if done[-1]["outcome"] != "done":
            break  # what is wrong with one is likely to be wrong with the next
    _print(options, (where, done), _outcomes(done))
    return 0 if all(each["outcome"] == "done" for each in done) else FAILED


def _forth(where: Site, passage: Passage, limit: float) -> dict[str, Any]:
    wanted, deadline = migration.lasting(passage), time.monotonic() + limit
    where.take(passage.router_id)
    began, up = None, dict[str, float]()
    while True:
        now = time.monotonic()
        if began is None and where.is_moved(passage.router_id):
            began = now
        router = where.look(passage.router_id)
        for tunnel in router.tunnels:
            # What neutron-vpnaas told before doesn't count.
            if router.keeper is Keeper.OURS and tunnel.status == "ACTIVE":
                up.setdefault(tunnel.id, now)
        cleared = router.objects is None or router.objects.transit_network is None
        if cleared and wanted <= up.keys():
            return {"outcome": "done", "outages": migration.outages(began, up, wanted)}
        if now > deadline:
            return {"outcome": "not up", "outages": migration.outages(began, up, wanted)}
        time.sleep(POLL)


def _back(where: Site, passage: Passage, limit: float) -> dict[str, Any]:
    deadline = time.monotonic() + limit
    where.give(where.look(passage.router_id))
    while where.look(passage.router_id).keeper is not Keeper.THEIRS:
        if time.monotonic() > deadline:
            return {"outcome": "not back", "outages": {}}
        time.sleep(POLL)
    return {"outcome": "done", "outages": {}}


def _passages(options: argparse.Namespace, plan: Plan) -> tuple[Site, list[Passage]] | None:
    where = site(options.config_file)
    try:
        return where, where.passages(plan, options.router)
    except ValueError as error:
        print(f"swanherdctl: {error}", file=sys.stderr)
        return None


def _told(passage: Passage, outcome: str, outages: dict[str, Any]) -> dict[str, Any]:
    return {**dataclasses.asdict(passage), "outcome": outcome, "outages": outages}


def _print(options: argparse.Namespace, found: tuple[Site, Any], lines: Iterable[str]) -> None:
    if options.json:
        print(json.dumps(found[1], default=_plain, indent=2))
    else:
        print("\n".join(lines))


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if isinstance(value, Passage) else sorted(value)


def _lines(found: tuple[Site, Sequence[Passage]]) -> Iterator[str]:
    if not found[1]:
        yield "No router has a VPN."
    for passage in found[1]:
        yield f"router {passage.router_id}  {passage.keeper}"
        for tunnel in passage.tunnels:
            yield f"  connection {tunnel.id}  {tunnel.peer}  {tunnel.status}"
        for step in passage.steps:
            yield f"  {step.verb:<8} {step.thing}  {step.subject}".rstrip()
        for reason in passage.obstacles:
            yield f"  PREVENTED {reason.code}: {reason.text}"
            yield f"            → {reason.hint}"


def _outcomes(done: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not done:
        yield "Nothing to do."
    for each in done:
        yield f"router {each['router_id']}  {each['outcome']}"
        for reason in each["obstacles"] if each["outcome"] == "refused" else ():
            yield f"  PREVENTED {reason['code']}: {reason['text']}"
        for name, seconds in each["outages"].items():
            yield f"  connection {name}  " + (
                "still down" if seconds is None else f"down for about {seconds:.1f} s"
            )
