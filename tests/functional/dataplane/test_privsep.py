"""An agent without capabilities does the same through a privsep helper."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys


def test_everything_crosses_to_the_helper() -> None:
    """Values and failures are the same as without a helper."""
    root = pathlib.Path(__file__).parents[3]
    env = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}
    command = [sys.executable, "-m", "tests.functional.dataplane.privsep_client"]
    done = subprocess.run(
        command, env=env, timeout=60, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
