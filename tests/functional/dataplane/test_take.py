"""An agent's directory goes to its new user; one that others use too stays as it is."""

import os

import pytest

from swanherd.core.failures import Failure
from swanherd.dataplane import daemons

OURS = ("routers", "agent.sock")


@pytest.fixture
def theirs(tmp_path):
    if os.getuid() != 0:
        pytest.skip("needs root")
    directory = tmp_path / "state"
    (directory / "routers" / "r").mkdir(parents=True)
    (directory / "routers" / "r" / "strongswan.conf").touch()
    (directory / "agent.sock").touch()
    for path in (directory, *directory.rglob("*")):
        os.chown(path, 42424, 42424)
    return directory


def owners(directory):
    return {path.stat().st_uid for path in (directory, *directory.rglob("*"))}


def test_all_of_it_is_taken(theirs):
    """Whoever's it was."""
    daemons.take(theirs, OURS)
    assert owners(theirs) == {os.geteuid()}


def test_nothing_is_taken_of_a_directory_that_others_use(theirs):
    """As if an operator had named Neutron's own: nothing of it would be Neutron's any more."""
    (theirs / "lock").touch()
    os.chown(theirs / "lock", 42424, 42424)
    with pytest.raises(Failure, match="lock"):
        daemons.take(theirs, OURS)
    assert owners(theirs) == {42424}
