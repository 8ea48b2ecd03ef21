import json
import subprocess
import sys

import pytest

from swanherd.agent import control
from swanherd.cmd import swanherdctl
from swanherd.core.findings import Finding, Verdict
from swanherd.core.health import BUS_AWAY, Check, Health

COMMANDS = ("doctor", "health")
OK = Finding("router", "guard", Verdict.OK, "2 pairs", "2 pairs")
BAD = Finding("some-id", "IKE SA", Verdict.FAILED, "one", "none", "Look at the peer.")


@pytest.fixture
def ask(tmp_path, capsys, monkeypatch):
    """Run swanherdctl against an agent that answers `doctor` so."""
    monkeypatch.setattr(control, "_POLL", 0.005)
    stops = []

    def run(answer, *arguments):
        path = tmp_path / "agent.sock"
        seen = []
        stops.append(
            control.serve(path, {c: lambda r: seen.append(r) or answer for c in COMMANDS})
        )
        status = swanherdctl.main(["--socket", str(path), *arguments])
        return status, capsys.readouterr().out, seen

    yield run
    for stop in stops:
        stop()


def answer(*findings, verdict="ok"):
    return {
        "placed_here": True,
        "router": "r",
        "connection": None,
        "data_plane": "kernel",
        "verdict": verdict,
        "findings": findings,
    }


def test_all_well_ends_with_zero(ask):
    """And the table has a line for each finding."""
    status, out, seen = ask(answer(OK), "doctor", "r")
    assert (status, seen) == (0, [{"command": "doctor", "id": "r"}])
    assert "ok    guard  2 pairs" in out


def test_a_failure_ends_with_three_and_says_what_to_do(ask):
    """A person sees what was wanted, what is, and the hint."""
    status, out, _ = ask(answer(OK, BAD, verdict="failed"), "doctor", "r")
    assert status == 3
    assert "FAIL  IKE SA  none  (wanted: one)" in out
    assert "→ Look at the peer." in out


def test_json_has_all_of_it(ask):
    """With the option on either side of the command."""
    for arguments in (("--json", "doctor", "r"), ("doctor", "r", "--json")):
        status, out, _ = ask(answer(BAD, verdict="failed"), *arguments)
        assert (status, json.loads(out)["findings"][0]["hint"]) == (3, "Look at the peer.")


def test_what_is_not_here_ends_with_one(ask):
    """The agent knows neither a router nor a connection of that id."""
    status, out, _ = ask({"placed_here": False}, "doctor", "r; rm -rf /")
    assert status == 1
    assert "no router" in out


def test_health_is_an_exec_probe(ask):
    """Readiness by default, liveness with --live; each failed check says why, and what to do."""
    checks = (Check("wheel", True, True), Check("bus", False, False, BUS_AWAY))
    status, out, seen = ask(Health(True, False, checks), "health")
    assert (status, seen) == (3, [{"command": "health"}])
    assert "ok    wheel\n" in out
    assert f"FAIL  bus         {BUS_AWAY.code}: {BUS_AWAY.text}" in out
    assert BUS_AWAY.hint in out
    assert ask(Health(True, False, checks), "health", "--live")[0] == 0
    assert ask(Health(False, False, checks), "health", "--live")[0] == 3
    assert ask(Health(True, True, checks[:1]), "health")[0] == 0


def test_no_agent_is_no_health(tmp_path, capsys):
    """Exit status 1, and a sentence."""
    path = tmp_path / "nobody.sock"
    assert swanherdctl.main(["--socket", str(path), "health", "--live"]) == 1
    assert "no agent answers" in capsys.readouterr().err


def test_a_probe_imports_nothing_that_is_slow_or_warns():
    """A pod's probe runs it every few seconds, and shows what it says."""
    heavy = ("eventlet", "neutron", "oslo_privsep", "pyroute2", "sqlalchemy", "vici")
    code = "import sys, swanherd.cmd.swanherdctl; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()}.isdisjoint(heavy)
    assert done.stderr == ""
