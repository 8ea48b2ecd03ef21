"""Two real clouds for all scenario tests of a run; sites and tunnels for each module.

BACKEND=ovs makes them clouds of Open vSwitch; the default is OVN, once with centralised and once
with distributed floating IPs; BACKEND=neutron-24, -26 or -27 has the first on that release,
-24-ovs, -26-ovs and -27-ovs on Open vSwitch too; BACKEND=predecessor has neutron-vpnaas in the
second, in Swanherd's place; l3_predecessor has it in L3 agents there. KEEP=1 leaves the clouds up
for a look (`SWANHERD_LAB=test make enter`); the next run starts anew, or with REUSE=1 on what is
up.
KIND=dvr (or ha and dvr-ha, on BACKEND=ha) has routers of that kind where they are of an L3 agent.
"""

import dataclasses
import itertools
import os
import random

import pytest

from lab import faults
from lab import up as lifecycle
from lab.cloud import Cloud
from lab.layout import Lab, Shape
from lab.neutron import AGENT
from lab.ovs import L3_AGENT
from lab.processes import wait_for
from lab.sites import boot, make_public, make_site
from lab.user import enter
from lab.vpn import is_met, join, make_end, remove_end, serving, wait_status
from lab.wiring import wait_wired

# Before anything imports it.
pytest.register_assert_rewrite("tests.scenario.closed")

BACKEND = os.environ.get("BACKEND") or "ovn"
# Of the routers that are made on clouds of Open vSwitch, where a test says nothing else.
KIND = os.environ.get("KIND") or ""
SHAPES = {
    "ovn": Shape(backend_a="ovn", backend_b="ovn-dvr"),
    "ovs": Shape(backend_a="ovs", backend_b="ovs"),
    "failover": Shape(gateways=2),
    "ha": Shape(gateways=2, backend_a="ovs"),
    "neutron_user": Shape(gateways=2, backend_a="ovs", neutron_user=True),
    "neutron-24": Shape(release_a=24),
    "neutron-26": Shape(release_a=26),
    "neutron-27": Shape(release_a=27),
    "neutron-24-ovs": Shape(release_a=24, backend_a="ovs"),
    "neutron-26-ovs": Shape(release_a=26, backend_a="ovs"),
    "neutron-27-ovs": Shape(release_a=27, backend_a="ovs"),
    "predecessor": Shape(predecessor_b=29),
    "l3_predecessor": Shape(backend_b="ovs", predecessor_b=29),
}
collect_ignore_glob = [f"test_{other}*.py" for other in SHAPES if other != BACKEND]
if not BACKEND.startswith("neutron-"):
    collect_ignore_glob.append("test_releases.py")
# A run makes more of them than a project has by default.
UNLIMITED = ("networks", "routers", "security_groups", "security_group_rules", "ports")
REUSE = bool(os.environ.get("REUSE"))
# What an earlier run left in the clouds has other names and networks.
_numbers = itertools.count(random.randrange(40, 200) if REUSE else 16)


def pytest_collection_modifyitems(items):
    """Break whole clouds last.

    After an API worker was killed, Neutron's hash ring still counts it for a while, and what OVN
    tells that one is lost: a new port may stay DOWN.
    """
    items.sort(key=lambda item: "test_recovery" in item.nodeid)


@dataclasses.dataclass
class Pair:
    """Two joined ends with a workload each."""

    one: object
    other: object
    here: object
    there: object
    connections: tuple = ()
    gone: bool = False

    @property
    def ends(self):
        return self.one, self.other

    def up(self, limit=30):
        """Wait until all connections of both ends are ACTIVE."""
        for pair in self.connections:
            for end, connection_id in zip(self.ends, pair, strict=True):
                wait_status(end, connection_id, "ACTIVE", limit)

    def remove(self):
        """Delete both ends of the VPN by the API, if that wasn't done yet."""
        if not self.gone:
            self.gone = True
            for end in self.ends:
                remove_end(end)


def kind_of(cloud):
    """Return the kind of a cloud's routers in this run; OVN has but one."""
    return "" if cloud.plan.has_ovn else KIND


@pytest.fixture(scope="session")
def lab():
    lab = Lab(os.environ.get("SWANHERD_LAB", "test"), SHAPES[BACKEND])
    if not REUSE:
        lifecycle.up(lab)
    enter(lab)
    yield lab
    if not os.environ.get("KEEP"):
        lifecycle.down(lab)


@pytest.fixture(scope="session")
def clouds(lab):
    pair = Cloud(lab, "a"), Cloud(lab, "b")
    for cloud in pair:
        make_public(cloud)
        project = cloud.connect().current_project_id
        unlimited = dict.fromkeys(UNLIMITED, -1)
        cloud.connect("admin").network.update_quota(project, **unlimited)
    return pair


@pytest.fixture(scope="session")
def clients(clouds):
    return tuple(cloud.connect() for cloud in clouds)


@pytest.fixture
def number():
    """A number of its own for a test's names and networks."""
    return next(_numbers)


@pytest.fixture(scope="module")
def make_pair(clouds, clients):
    """Make two sites with a workload each, and ends; what is made goes at the module's end."""
    made = []

    def make(inner=(4,), kinds=None, **policies):
        number = next(_numbers)
        ends, workloads = [], []
        for index, cloud in enumerate(clouds, 1):
            client = clients[index - 1]
            kind = kinds[index - 1] if kinds else kind_of(cloud)
            cidrs = {4: f"10.{number}.{index}.0/24", 6: f"fd00:{number}:{index}::/64"}
            name = f"s{number}-{cloud.name}"
            site = make_site(cloud, client, name, [cidrs[f] for f in inner], kind=kind)
            workloads.append(boot(cloud, client, site, f"w{number}"))
            ends.append(make_end(cloud, client, site, **policies))
        pair = Pair(*ends, *workloads)
        made.append(pair)
        return pair

    yield make
    for pair in made:
        pair.remove()


@pytest.fixture(scope="module")
def pair(make_pair):
    """Two sites joined for IPv4 and IPv6 over IPv4, all connections ACTIVE."""
    pair = make_pair(inner=(4, 6))
    pair.connections = tuple(join(*pair.ends, 4, inner) for inner in (4, 6))
    pair.up()
    return pair


@pytest.fixture(scope="module")
def breakable(clouds, make_pair):
    """A pair like that; in its first cloud everything of `lab.faults` can be broken."""
    cloud = clouds[0]
    agent = AGENT if cloud.plan.has_ovn else L3_AGENT
    for node in cloud.gateways:
        cloud.stop_service(agent, box=node)
        faults.make_small_disk(node)
        cloud.start_service(agent, node)
    pair = make_pair(inner=(4, 6))
    # Neutron's servers end now, and what they were about to tell its agents isn't told again.
    wait_wired(pair.one, 90)
    faults.make_breakable(pair.one)
    pair.connections = tuple(join(*pair.ends, 4, inner) for inner in (4, 6))
    # The L3 agent that was started anew takes all of its routers again, and this one last.
    pair.up(240)
    # Agents that were started anew serve the tunnel before Neutron's turn, which may disturb it.
    # A router that isn't redundant has its VPN on one node, and the others may never meet it.
    for node in cloud.gateways if "ha" in kind_of(cloud) else [serving(pair.one)]:
        wait_for(lambda n=node: is_met(pair.one, n), 90, f"{node.name} is done with the router")
    return pair
