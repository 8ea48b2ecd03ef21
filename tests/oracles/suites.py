"""Running suites of unittest's kind by testtools, and reading what became of them."""

import dataclasses
import os
import pathlib
import re
import subprocess

from lab.layout import ROOT
from tests.oracles.environments import FOLDER

QUIET = ("-W", "ignore", "-m", "testtools.run")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How many tests ran, and the names of those that failed or were skipped."""

    ran: int
    failed: frozenset[str]
    log: pathlib.Path


def run_here(python, names, log_name, timeout, env=None):
    """Run tests on this machine as it is."""
    log = FOLDER / f"{log_name}.log"
    with log.open("w") as out:
        subprocess.run(
            [python, *QUIET, *names],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=timeout,
            env={**os.environ, **(env or {})},
        )
    return read(log)


def run_in(box, python, names, log_name, timeout, env):
    """Run tests in a box of a lab."""
    log = FOLDER / f"{log_name}.log"
    argv = [str(python), *QUIET, *names]
    done = box.run(argv, check=False, timeout=timeout, env=env)
    log.write_text(done.stdout + done.stderr)
    return read(log)


def read(log):
    """Return what a log of testtools.run tells."""
    said = log.read_text(errors="replace")
    ran = re.findall(r"^Ran (\d+) tests?", said, re.MULTILINE)
    assert ran, f"nothing ran: {log}"
    failed = re.findall(r"^(?:FAIL|ERROR): (?:.*\.)?(\w+\.\w+)(?:\[.*)?$", said, re.MULTILINE)
    broken = re.findall(r"^(?:FAIL|ERROR): (setUpClass .*)$", said, re.MULTILINE)
    return Outcome(int(ran[0]), frozenset([*failed, *broken]), log)
