"""Where the agent's files are."""

import pathlib
from types import SimpleNamespace

from swanherd.config.agent import state_path


def conf(own=None):
    return SimpleNamespace(state_path="/var/lib/neutron", swanherd=SimpleNamespace(state_path=own))


def test_what_is_configured_holds(tmp_path):
    """Even where the default could be."""
    assert pathlib.Path("/srv/vpn") == state_path(conf("/srv/vpn"), tmp_path)


def test_the_default_holds_where_it_can_be_made(tmp_path):
    """The directory needn't be there yet."""
    assert tmp_path / "new" == state_path(conf(), tmp_path / "new")


def test_beside_neutrons_state_where_the_default_cant_be():
    """As on a container's read-only root; /proc can't be written by anybody."""
    found = state_path(conf(), pathlib.Path("/proc/swanherd"))
    assert pathlib.Path("/var/lib/neutron/swanherd") == found


def test_where_an_agent_had_it_already_it_stays(tmp_path):
    """Whoever that was: what runs is told of there."""
    told = SimpleNamespace(state_path=str(tmp_path), swanherd=SimpleNamespace(state_path=None))
    (tmp_path / "swanherd").mkdir()
    assert tmp_path / "swanherd" == state_path(told, tmp_path / "first")
    (tmp_path / "first").mkdir()
    assert tmp_path / "first" == state_path(told, tmp_path / "first")
