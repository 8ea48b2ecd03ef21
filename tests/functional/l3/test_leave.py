"""`swanherdctl leave`: a node of L3 agents without anything of ours, as before us."""

from __future__ import annotations

from pathlib import Path

import pytest

from swanherd.agent import control
from swanherd.agent.telling import CONTROL_SOCKET
from swanherd.cmd.swanherdctl import main
from swanherd.core.model import Status
from swanherd.testing import builders as make
from tests.functional.l3.stand import EAST, WEST, Stand, desired, legacy, run, within


def seen(name: str) -> list[str]:
    """Return what a router's network is: rules, routes, tables of packet filters, processes."""
    saved = within(name, "iptables-save").splitlines()
    return [
        *run("ip", "-n", name, "rule").splitlines(),
        *run("ip", "-n", name, "route", "show", "table", "all", "proto", "90").splitlines(),
        *(line.partition(" [")[0] for line in saved if not line.startswith("#")),
        *within(name, "nft", "list", "tables", check=False).splitlines(),
        *run("ip", "netns", "pids", name).splitlines(),
    ]


def test_each_router_is_left_as_neutron_has_it(
    stand: Stand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Charon, guard, rules and routes go; once more there is nothing to do."""
    west, east = stand.site(WEST, legacy), stand.site(EAST, legacy)
    before = [seen(site.key) for site in (west, east)]
    west.source.desired = desired(WEST, EAST, make.home())
    east.source.desired = desired(EAST, WEST, make.home())
    east.turn()
    west.until(Status.ACTIVE)
    assert [seen(site.key) for site in (west, east)] != before
    for site in (west, east):
        site.swan.close()  # the L3 agent is stopped; its daemons live on
        routers = tmp_path / site.plan.name / "routers"
        routers.parent.mkdir()
        routers.symlink_to(stand.state / site.plan.name)
        file = tmp_path / f"{site.plan.name}.conf"
        file.write_text(f"[swanherd]\nstate_path = {routers.parent}\n")
        command = ["leave", "--config-file", str(file)]
        if site is west:
            assert main([*command, "--keep-closed"]) == 0
            assert not run("ip", "netns", "pids", west.key)
            assert west.firewall.is_there(west.key)
        assert main(command) == 0
        assert site.key in capsys.readouterr().out
    assert [seen(site.key) for site in (west, east)] == before
    assert main(["leave", "--config-file", str(file)]) == 0
    assert not capsys.readouterr().out


def test_an_agent_that_runs_keeps_what_is_its_own(
    own_network: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It would make all of it again at its next look."""
    file = tmp_path / "agent.conf"
    file.write_text(f"[swanherd]\nstate_path = {tmp_path}\n")
    stop = control.serve(tmp_path / CONTROL_SOCKET, {})
    try:
        assert main(["leave", "--config-file", str(file)]) == 1
    finally:
        stop()
    assert "stop it first" in capsys.readouterr().err
    assert main(["leave", "--config-file", str(file)]) == 0
