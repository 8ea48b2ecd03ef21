"""Swanherd on older releases of Neutron: `make test-releases [RELEASES=neutron-26]`.

Unit tests and the API's on MariaDB run in each release's own environment
(tests/oracles/environments.py; warnings are theirs); then a cloud on it has tunnels to one on the
newest (tests/scenario/test_releases.py).
"""

import os
import subprocess
import sys

from lab.layout import ROOT, VENV
from tests.oracles.environments import RELEASES, environment

ROOMS = ("agent", "cmd", "core", "dataplane", "ovn", "reconcile", "rpc", "server", "swan")
TESTS = (
    *(f"tests/unit/{room}" for room in ROOMS),
    *("tests/functional/server/test_api.py", "tests/functional/server/test_secrets.py"),
    "tests/functional/server/test_migrations.py",
)


SCENARIO = "tests/scenario/test_releases.py"


def main(names):
    """Run them on each named release; the exit status is 1 if any failed."""
    failed = [what for name in names or RELEASES for what in _failures(name)]
    if failed:
        sys.stdout.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


def _failures(name):
    """Yield which of a release's two runs failed."""
    plain = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    python = environment(name) / "bin" / "python"
    if _run(f"{name}: units and API", [python, *plain, "-W", "ignore", *TESTS]):
        yield f"units and API on {name}"
    # The lab itself is always of the newest release.
    if _run(f"{name}: tunnels", [VENV / "bin" / "python", *plain, SCENARIO], BACKEND=name):
        yield f"tunnels on {name}"


def _run(what, argv, **settings):
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()
    return subprocess.run(argv, cwd=ROOT, check=False, env=os.environ | settings).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
