"""neutron-vpnaas' API tests."""

import re
import subprocess

import pytest

from lab.layout import ROOT
from tests.oracles import differences
from tests.oracles.environments import FOLDER, environment

MODULE = "tests.oracles.upstream_unit"
# How many there are in neutron-vpnaas 29: fewer would mean that some weren't run.
COUNT = {"TestApi": 52, "TestResources": 25, "TestEndpointGroups": 8}


@pytest.mark.timeout(600)
def test_neutron_vpnaas_own_api_tests_pass():
    """All of them, unmodified, but for the differences that are listed with their reasons."""
    python = environment("unit") / "bin" / "python"
    classes = [f"{MODULE}.{name}" for name in COUNT]
    with (FOLDER / "unit.log").open("w+") as log:
        subprocess.run(
            [python, "-W", "ignore", "-m", "testtools.run", *classes],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=540,
        )
        log.seek(0)
        said = log.read()
    (ran,) = re.findall(r"^Ran (\d+) tests", said, re.MULTILINE)
    assert sum(COUNT.values()) == int(ran)
    failed = set(re.findall(rf"^(?:FAIL|ERROR): {MODULE}\.(\S+)", said, re.MULTILINE))
    assert set(differences.UNIT) == failed
