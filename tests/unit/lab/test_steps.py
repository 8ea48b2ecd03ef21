import threading

import pytest

from lab.layout import LabError
from lab.steps import Step, run


def test_a_step_begins_after_those_before_it_have_ended() -> None:
    """The order that `after` asks for holds, whatever the order of the list."""
    order: list[str] = []
    steps = [
        Step("c", lambda: order.append("c"), ["a", "b"]),
        Step("b", lambda: order.append("b"), ["a"]),
        Step("a", lambda: order.append("a")),
    ]
    timings = run(steps)
    assert order == ["a", "b", "c"]
    assert timings["a"].end <= timings["b"].begin <= timings["c"].begin


def test_independent_steps_run_at_once() -> None:
    """Two steps that need nothing of each other can meet."""
    meeting = threading.Barrier(2, timeout=10)
    run([Step("one", lambda: meeting.wait()), Step("two", lambda: meeting.wait())])


def test_the_first_failure_ends_all() -> None:
    """A failed step's error reaches the caller, and what needs it never begins."""

    def fail() -> None:
        raise LabError("no more disks")

    began: list[str] = []
    with pytest.raises(LabError, match="no more disks"):
        run([Step("a", fail), Step("b", lambda: began.append("b"), ["a"])])
    assert began == []


def test_steps_that_wait_for_each_other_are_refused() -> None:
    """A circle is an error, not a wait for ever."""
    with pytest.raises(LabError, match="wait for each other"):
        run([Step("a", lambda: None, ["b"]), Step("b", lambda: None, ["a"])])


def test_progress_names_each_step_and_its_note(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each step tells when it was done, how long it took and what it says."""
    run([Step("MariaDB", lambda: "schemas from the cache")])
    said = capsys.readouterr().out
    assert "MariaDB" in said
    assert "schemas from the cache" in said
