import os
import subprocess
import sys

import pytest

from lab.layout import LabError
from lab.processes import Process, beside, kill, wait_for, wait_gone


def test_a_process_is_known_by_its_start() -> None:
    """A recorded process isn't mistaken for a later one that got its id."""
    me = Process.of(os.getpid())
    assert me is not None
    assert me.alive
    assert not Process(me.pid, me.start + 1, me.parent, me.session).alive


def test_what_has_ended_is_gone_at_once() -> None:
    """Waiting for a process that ended long ago, or whose id another has now, doesn't wait."""
    me = Process.of(os.getpid())
    assert me is not None
    assert wait_gone([Process(me.pid, me.start - 1, me.parent, me.session)], 0)


def test_waiting_ends_with_the_answer_or_with_what_was_waited_for() -> None:
    """The first true answer is returned; without one the error names the thing and the limit."""
    answers = iter([0, None, 42])
    assert wait_for(lambda: next(answers), 10, "an answer", every=0) == 42
    with pytest.raises(LabError, match="the moon: not within 0 s"):
        wait_for(lambda: None, 0, "the moon", every=0)


FORKS = """
import os, signal, subprocess, sys
subprocess.Popen(["cat"])
print(os.fork() or signal.pause(), flush=True)
sys.stdin.read()
"""


def test_a_worker_is_what_a_program_forked_and_no_other_program() -> None:
    """An agent's worker is the agent itself; the daemons that it started aren't."""
    argv = [sys.executable, "-c", FORKS]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        forked = int(program.stdout.readline())
        main = Process.of(program.pid)
        assert main is not None
        try:
            assert len(main.children()) == 2
            assert [worker.pid for worker in main.workers()] == [forked]
        finally:
            kill(main.workers())


def test_a_program_is_found_in_its_box_though_others_end_meanwhile() -> None:
    """Programs come and go by the hundred beside a measurement of an hour."""
    box = os.getpid()
    with subprocess.Popen(["sleep", "60"]) as program:
        ended = [subprocess.Popen(["true"]) for _ in range(100)]
        try:
            for _ in range(20):
                assert program.pid in beside(box, "sleep")
            assert beside(box, "leep") == []
        finally:
            program.kill()
            for each in ended:
                each.wait()
