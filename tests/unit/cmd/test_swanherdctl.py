import json

import pytest

from swanherd.agent import control
from swanherd.cmd import swanherdctl
from swanherd.core.diagnosis import Finding, Verdict

OK = Finding("router", "guard", Verdict.OK, "2 pairs", "2 pairs")
BAD = Finding("some-id", "IKE SA", Verdict.FAILED, "one", "none", "Look at the peer.")


@pytest.fixture
def ask(tmp_path, capsys):
    """Run swanherdctl against an agent that answers `doctor` so."""
    stops = []

    def run(answer, *arguments):
        path = tmp_path / "agent.sock"
        seen = []
        stops.append(control.serve(path, {"doctor": lambda r: seen.append(r) or answer}))
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
