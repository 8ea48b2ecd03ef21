"""Who installs Swanherd into a deployment keeps the deployment's own versions."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lab.layout import ROOT

FILES = sorted((ROOT / "lab").glob("constraints-neutron-*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_we_ask_for_is_what_an_older_release_has(path):
    """Each requirement allows the version that OpenStack pins; else pip would renew Neutron."""
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", path.read_text(), re.MULTILINE))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = map(Requirement, project["dependencies"] + extras["server"] + extras["agent"])
    refused = [
        str(one)
        for one in wanted
        if not one.specifier.contains(pinned[canonicalize_name(one.name)])
    ]
    assert not refused
