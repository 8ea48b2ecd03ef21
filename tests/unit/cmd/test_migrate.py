"""`swanherdctl migrate` on a site whose sweep and agents are played."""

import argparse
import dataclasses
import json

import pytest

from swanherd.cmd import migrate
from swanherd.core import migration
from swanherd.core.migration import Cloud, Inherited, Keeper, Objects, Tunnel
from swanherd.core.model import RouterId

ONE, TWO = (RouterId(f"5aa4e7d0-0000-4000-8000-00000000000{n}") for n in (1, 2))
OBJECTS = Objects("ACTIVE", "public", "port", "subnet", "network")
CLEARED = Objects("ACTIVE", "public", None, None, None)


def inherited(router, **changes):
    tunnel = Tunnel(f"c-{router[-1]}", "", "198.51.100.1", "ACTIVE", enabled=True)
    return dataclasses.replace(
        Inherited(router, Keeper.THEIRS, True, OBJECTS, (tunnel,)), **changes
    )


class PlayedSite:
    """Each look finds the next of the router's states; the last one stays."""

    def __init__(self, cloud, **states):
        self.cloud = cloud
        self.states = {r: list(found) for r, found in states.items()}
        self.asked = []

    def passages(self, plan, routers):
        found = [states[0] for states in self.states.values()]
        if unknown := set(routers or ()) - {f.router_id for f in found}:
            raise ValueError(f"no vpnservice is on router {min(unknown)}")
        return [plan(f, self.cloud) for f in found if not routers or f.router_id in routers]

    def look(self, router_id):
        states = self.states[router_id]
        return states.pop(0) if len(states) > 1 else states[0]

    def is_moved(self, router_id):
        return True

    def take(self, router_id):
        self.asked.append(("take", router_id))

    def give(self, found):
        self.asked.append(("give", found.router_id))


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command on a site; return its exit status and what it printed as JSON."""

    def go(site, *arguments):
        monkeypatch.setattr(migrate, "site", lambda _: site)
        monkeypatch.setattr(migrate, "POLL", 0.001)
        parser = argparse.ArgumentParser()
        parser.set_defaults(json=False)
        migrate.add(parser.add_subparsers())
        options = parser.parse_args(["migrate", *arguments, "--config-file", "x"])
        status = options.run(options)
        out = capsys.readouterr().out
        return status, json.loads(out) if options.json else out

    return go


CLOUD = Cloud(frozenset({"gw1"}), on_request=True)


def moving(router):
    """The states of a router while it is taken over."""
    down = (Tunnel(f"c-{router[-1]}", "", "198.51.100.1", "PENDING_UPDATE", enabled=True),)
    ours = inherited(router, keeper=Keeper.OURS, objects=CLEARED)
    return [
        inherited(router),
        dataclasses.replace(ours, tunnels=down),
        dataclasses.replace(ours, tunnels=down, objects=OBJECTS),
        ours,
    ]


def test_check_lists_all_and_changes_nothing(run):
    """A table for people, and JSON with the same; 3 if something is in the way."""
    site = PlayedSite(CLOUD, **{ONE: [inherited(ONE)]})
    status, out = run(site, "check")
    assert status == 0
    for said in (ONE, "neutron-vpnaas", "replace  namespace", "c-1  198.51.100.1  ACTIVE"):
        assert said in out
    lonely = PlayedSite(dataclasses.replace(CLOUD, agents=frozenset()), **site.states)
    status, told = run(lonely, "check", "--json")
    assert status == 3
    assert [r["code"] for r in told[0]["obstacles"]] == ["no_agent"]
    assert site.asked == lonely.asked == []


def test_routers_move_one_by_one_and_each_outage_is_told(run):
    """The next is taken when the one before is up."""
    site = PlayedSite(CLOUD, **{ONE: moving(ONE), TWO: moving(TWO)})
    status, told = run(site, "run", "--json")
    assert status == 0
    assert site.asked == [("take", ONE), ("take", TWO)]
    assert [each["outcome"] for each in told] == ["done", "done"]
    assert 0 <= told[0]["outages"]["c-1"] < 5


def test_one_that_does_not_come_up_ends_it(run):
    """The others stay with neutron-vpnaas."""
    stuck = [*moving(ONE)[:2]]
    site = PlayedSite(CLOUD, **{ONE: stuck, TWO: moving(TWO)})
    status, out = run(site, "run", "--wait", "0.2")
    assert status == 3
    assert site.asked == [("take", ONE)]
    assert "not up" in out
    assert "still down" in out


def test_what_is_prevented_is_not_tried(run):
    """And says why."""
    site = PlayedSite(CLOUD, **{ONE: [inherited(ONE, has_gateway=False)]})
    status, out = run(site, "run")
    assert (status, site.asked) == (3, [])
    assert "no_gateway" in out


def test_the_way_back_waits_until_the_router_is_theirs(run):
    """Nothing is asked of a router that is theirs already."""
    ours = inherited(ONE, keeper=Keeper.OURS)
    returning = inherited(ONE, keeper=Keeper.RETURNING)
    site = PlayedSite(CLOUD, **{ONE: [ours, ours, returning, inherited(ONE)]})
    assert run(site, "back")[0] == 0
    assert site.asked == [("give", ONE)]
    status, out = run(PlayedSite(CLOUD, **{ONE: [inherited(ONE)]}), "back")
    assert (status, out) == (0, "Nothing to do.\n")


def test_a_router_that_is_not_there_is_an_error(run):
    """And nothing else is done."""
    site = PlayedSite(CLOUD, **{ONE: moving(ONE)})
    assert run(site, "run", "--router", TWO)[0] == 1
    assert site.asked == []


def test_a_plan_of_both_ways_is_json():
    """What `--json` prints has every field."""
    passage = migration.forth(inherited(ONE), CLOUD)
    assert json.loads(json.dumps(passage, default=migrate._plain))["keeper"] == "neutron-vpnaas"
