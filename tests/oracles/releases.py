"""Swanherd on older releases of Neutron: `make test-releases [RELEASES=neutron-26]`.

Unit tests and the API's on MariaDB run in each release's own environment
(tests/oracles/environments.py; warnings are theirs); then a cloud on it has tunnels to one on the
newest, once on OVN and once on Open vSwitch (tests/scenario/test_releases.py). What fell runs once
more, and both runs are printed.
"""

import os
import subprocess
import sys
import tempfile
import time
from concurrent import futures

from lab.layout import ROOT, VENV
from tests.oracles.environments import RELEASES, environment

ROOMS = ("agent", "cmd", "core", "dataplane", "ovn", "reconcile", "rpc", "server", "swan")
TESTS = (
    *(f"tests/unit/{room}" for room in ROOMS),
    *("tests/functional/server/test_api.py", "tests/functional/server/test_secrets.py"),
    "tests/functional/ovn/test_sweep.py",
    *("tests/functional/server/test_migrations.py", "tests/functional/l3/test_eventlet.py"),
    *("tests/functional/l3/test_capabilities.py", "tests/functional/dataplane/test_node.py"),
)
SCENARIO = "tests/scenario/test_releases.py"
BACKENDS = {"OVN": "", "Open vSwitch": "-ovs"}
PYTEST = ("-m", "pytest", "-q")


def main(names):
    """Run them on each named release; the exit status is 1 if any failed.

    The tests of all releases run at once; then the tunnels, one cloud after the other.
    """
    chosen = names or list(RELEASES)
    with futures.ThreadPoolExecutor(len(chosen)) as pool:
        codes = pool.map(_units, chosen)
    failed = [f"units and API on {n}" for n, code in zip(chosen, codes, strict=True) if code]
    failed += [
        f"tunnels on {name}, {backend}"
        for name in chosen
        for backend, ending in BACKENDS.items()
        if _tunnels(name, backend, ending)
    ]
    if failed:
        sys.stdout.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


def _units(name):
    argv = (environment(name) / "bin" / "python", *PYTEST, "-W", "ignore", *TESTS)
    beside = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return _twice(f"{name}: units and API", argv, **beside)


def _tunnels(name, backend, ending):
    # The lab itself is always of the newest release.
    argv = (VENV / "bin" / "python", *PYTEST, SCENARIO)
    env = os.environ | {"BACKEND": name + ending}
    return _twice(f"{name}, {backend}: tunnels", argv, env=env)


def _twice(what, argv, **options):
    """Run it, and what failed of it once more; return the last exit status."""
    with tempfile.TemporaryDirectory() as failed:
        argv = (*argv, "-o", f"cache_dir={failed}")
        again = (*argv, "--last-failed", "--last-failed-no-failures", "none")
        return _run(what, argv, **options) and _run(f"{what}, once more", again, **options)


def _run(what, argv, **options):
    """Run it and tell what it took; return its exit status."""
    began = time.monotonic()
    done = subprocess.run(argv, cwd=ROOT, check=False, **options)
    output = (done.stdout or b"").decode(errors="replace")
    sys.stdout.write(f"{output}{what}: {time.monotonic() - began:.0f} s\n")
    sys.stdout.flush()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
