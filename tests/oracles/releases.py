"""Unit tests and the API's on older releases of Neutron: `make test-releases`.

Each release has an environment of its own (tests/oracles/environments.py). Warnings are theirs.
"""

import subprocess
import sys

from lab.layout import ROOT
from tests.oracles.environments import RELEASES, environment

ROOMS = ("agent", "cmd", "core", "dataplane", "ovn", "reconcile", "rpc", "server", "swan")
TESTS = (
    *(f"tests/unit/{room}" for room in ROOMS),
    *("tests/functional/server/test_api.py", "tests/functional/server/test_secrets.py"),
    "tests/functional/server/test_migrations.py",
)


def main():
    """Run them on each; the exit status is 1 if any failed."""
    failed = []
    for name in RELEASES:
        python = environment(name) / "bin" / "python"
        argv = [python, "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", *TESTS]
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        if subprocess.run(argv, cwd=ROOT, check=False).returncode:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
