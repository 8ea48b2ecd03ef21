"""L3 agents that are Neutron's user, as in its images: the VPN is as of those that are root.

Cloud a has them, on two network nodes and a compute node; cloud b is OVN's.
"""

import json
import pathlib
import stat

import pytest

from lab import neutron_user, services
from lab.boxes import Box
from lab.layout import LabError
from lab.ovs import L3_AGENT
from lab.processes import wait_for
from lab.vpn import (
    agent_of,
    agent_view,
    child_sas,
    join,
    leftovers,
    namespace_of,
    remove_end,
    roles,
)


@pytest.fixture(scope="module", params=["", "ha", "dvr"], ids=["legacy", "ha", "dvr"])
def pair(request, make_pair):
    """A router of cloud a's L3 agents, joined with one of OVN."""
    pair = make_pair(kinds=(request.param, ""))
    pair.connections = (join(*pair.ends, 4, 4),)
    pair.up(90)
    return pair


def serving(pair):
    """Return the node that serves the first router; of a redundant one each has a daemon."""
    return next(Box(pair.one.cloud.lab, n) for n, r in roles(pair.one).items() if r == "active")


def status_of(process):
    """Return the user and the effective capabilities of a process."""
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    words = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}
    return int(words["Uid:"][1]), int(words["CapEff:"][0], 16)


def daemon(pair):
    """Return where the daemon's files are, as seen from here, and its process."""
    box = serving(pair)
    root = pathlib.Path(f"/proc/{box.init().pid}/root/var/lib/swanherd/routers")
    directory = root / namespace_of(pair.one)
    return directory, box.process(json.loads((directory / "charon.json").read_text())["pid"])


def test_agent_and_daemon_are_neutrons_user(pair):
    """The agent has no capability, the daemon that of networks; others reach neither's files."""
    pair.here.wait_for_ping(pair.there.ipv4)
    agent = services.find(serving(pair), L3_AGENT).main
    assert status_of(agent) == (neutron_user.USER, 0)
    directory, charon = daemon(pair)
    user, capabilities = status_of(charon)
    assert (user, capabilities) == (neutron_user.USER, 1 << 12)
    mode = directory.stat()
    assert (mode.st_uid, stat.S_IMODE(mode.st_mode)) == (neutron_user.USER, 0o700)
    assert {path.stat().st_uid for path in directory.iterdir()} == {neutron_user.USER}


def test_a_new_key_takes_effect(pair):
    """On both sides, by the API."""
    for end, connection in zip(pair.ends, pair.connections[0], strict=True):
        end.client.network.update_vpn_ipsec_site_connection(connection, psk="another-key")
    pair.up(60)
    pair.here.wait_for_ping(pair.there.ipv4, 30)


def test_an_agent_that_restarts_rebuilds_nothing(pair):
    """The same daemon, with the same SAs."""
    before = what_runs(pair)
    pair.one.cloud.restart_service(agent_of(pair.one), box=serving(pair))
    wait_for(lambda: said_again(pair), 60, "the agent tells of the router", every=0.5)
    assert before == what_runs(pair)
    pair.here.wait_for_ping(pair.there.ipv4)


def what_runs(pair):
    """Return the SAs and the daemon; its parent was the helper, which went with the agent."""
    charon = daemon(pair)[1]
    return child_sas(pair.one), charon.pid, charon.start


def said_again(pair):
    """Whether the new agent has told that its plan is to do nothing."""
    try:
        return agent_view(pair.one, "plan")["actions"] == []
    except LabError:
        return False


def test_what_is_deleted_is_gone(pair):
    """No daemon, no file, no rule of ours, on any node."""
    directory, charon = daemon(pair)
    pair.gone = True
    for end in pair.ends:
        remove_end(end)
    wait_for(lambda: not charon.alive and not directory.exists(), 30, "the daemon has ended")
    wait_for(lambda: not leftovers(pair.one.cloud), 30, "nothing of ours is left")
