"""The gate's stages: what runs beside what, and what it tells at the end."""

import re
import threading

import pytest

from lab import gate
from lab.gate import FAILED, PHASES, Make, Result, run
from lab.layout import ROOT


def passing(name):
    return Result(name, 1.0, 0, "")


def test_lanes_run_beside_each_other_and_their_stages_in_order():
    """A stage of one lane meets one of the other; the next phase waits for both."""
    meeting, seen = threading.Barrier(2, timeout=5), []

    def stage(name):
        if name in ("a1", "b1"):
            meeting.wait()
        seen.append(name)
        return passing(name)

    results = run(((("a1", "a2"), ("b1",)), (("c",),)), stage, passing)
    assert [result.name for result in results] == ["a1", "a2", "b1", "c"]
    assert seen.index("a1") < seen.index("a2")
    assert seen[-1] == "c"


def test_one_after_another_when_asked():
    """With no two at the same time."""
    at_once = threading.Semaphore(1)

    def stage(name):
        assert at_once.acquire(blocking=False)
        at_once.release()
        return passing(name)

    names = [r.name for r in run(((("a",), ("b", "c")),), stage, passing, side_by_side=False)]
    assert names == ["a", "b", "c"]


@pytest.mark.parametrize(("failing", "ran"), [("check", 1), ("a", 4), ("b", 4)])
def test_all_is_told_unless_the_check_fails(failing, ran):
    """One run tells everything that is wrong; but what isn't even formatted isn't tested."""
    phases = ((("check",),), (("a",), ("b",)), (("c",),))

    def stage(name):
        return Result(name, 1.0, int(name == failing), "")

    results = run(phases, stage, stage)
    assert len(results) == ran
    assert [result.name for result in results if result.code] == [failing]


@pytest.mark.parametrize("second", [0, 2])
def test_what_failed_runs_again_alone(second):
    """When all others have ended; its second try counts, and the first one is told too."""
    ran = []

    def stage(name):
        ran.append(name)
        return Result(name, 3.0, int(name == "a"), "1 failed in 3.0s\n")

    def again(name):
        ran.append(f"{name} again")
        return Result(name, 2.0, second, "1 passed in 2.0s\n")

    results = run(((("a",), ("b",)), (("c",),)), stage, again)
    assert ran[-2:] == ["c", "a again"]
    assert len(ran) == 4
    told = results[0]
    assert (told.name, told.seconds, told.code) == ("a", 5.0, second)
    assert "1 failed, then 1 passed" in told.line


def test_a_line_tells_name_seconds_verdict_and_every_run_of_tests():
    """A second chance doesn't hide the first."""
    output = (
        "....\n1 failed, 20 passed, 3 deselected in 61.20s (0:01:01)\n"
        "===== 1 passed in 2.10s =====\n"
    )
    line = Result("scenario", 63.4, 0, output).line
    assert re.split(r" {2,}", line) == [
        "scenario",
        "63 s",
        "ok",
        "1 failed, 20 passed, 3 deselected, then 1 passed",
    ]
    assert "FAILED" in Result("check", 1.0, 2, "").line


def test_what_a_stage_prints_is_shown_whole_and_kept(tmp_path, capsys):
    """Output and errors, in their order; its code and its time are told."""
    times = iter((3.0, 5.5))
    script = "echo one; echo two >&2; exit 3; #"
    result = Make(tmp_path, ("sh", "-c", script), lambda: next(times))("stage")
    assert (result.seconds, result.code, result.output) == (2.5, 3, "one\ntwo\n")
    assert "one\ntwo\n" in capsys.readouterr().out
    assert (tmp_path / "stage.log").read_text() == "one\ntwo\n"


def test_a_stage_that_runs_tells_how_far_it_is(tmp_path, capsys):
    """So that a person sees that it isn't stuck."""
    done = tmp_path / "done"
    script = f"echo '..s [ 13%]'; printf .; until [ -e {done} ]; do sleep 0.01; done; #"

    def now():
        return 2.0

    stage = Make(tmp_path, ("sh", "-c", script), now, interval=0.05)
    running = threading.Thread(target=stage, args=("stage",))
    running.start()
    told = ""
    while "stage: 0 s, 4 tests [ 13%]" not in told:
        told += capsys.readouterr().out
    done.touch()
    running.join(10)
    assert not running.is_alive()


def test_both_tries_are_kept(tmp_path):
    """The second one's file doesn't replace the first one's."""
    for script, suffix in (("echo one #", ""), ("echo two #", "-again")):
        Make(tmp_path, ("sh", "-c", script), lambda: 0.0, suffix=suffix)("stage")
    assert (tmp_path / "stage.log").read_text() == "one\n"
    assert (tmp_path / "stage-again.log").read_text() == "two\n"


def test_what_fell_in_another_run_is_forgotten(tmp_path, monkeypatch):
    """Else a stage that never came to its tests would run just those later, and pass."""
    kept = tmp_path / "failed" / "scenario"
    kept.mkdir(parents=True)
    for name, value in {"FAILED": kept.parent, "LOGS": tmp_path, "PHASES": ()}.items():
        monkeypatch.setattr(gate, name, value)
    assert gate.main({}) == 0
    assert not kept.exists()
    assert f"cache_dir=$(CURDIR)/{FAILED.relative_to(ROOT)}/" in (ROOT / "Makefile").read_text()


def test_every_stage_is_a_target_of_the_makefile():
    """And none is there twice."""
    names = [name for phase in PHASES for lane in phase for name in lane]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(names) <= set(targets)
    assert len(names) == len(set(names))
