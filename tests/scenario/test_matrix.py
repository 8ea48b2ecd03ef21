"""Each inner family over each outer one, on each backend: sixteen cells in two labs.

A lab's two clouds are two backends (with Open vSwitch: two kinds of routers), so that each pair of
sites proves a cell on either side. Each router has both inner families at once.
"""

import contextlib
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import matrix, probes, wires
from lab.boxes import end as end_process
from lab.capture import Capture
from lab.layout import LabError
from lab.processes import wait_for
from lab.sites import boot
from lab.vpn import join, kill_charons
from tests.scenario.conftest import BACKEND

# Side by side: what each cloud's routers are, and which column of the matrix that is.
KINDS = {"ovn": ("", ""), "ovs": ("legacy", "dvr")}[BACKEND]
COLUMNS = {"ovn": ("ovn", "ovn-dvr"), "ovs": ("ovs", "ovs-dvr")}[BACKEND]
CARRIED = "udp port 500 or udp port 4500 or esp"


@dataclasses.dataclass
class Stage:
    """Two joined sites; on each two workloads, of which one has a floating IP."""

    lab: object
    pair: object
    outer: int
    public: tuple  # the workloads with a floating IP
    floating: tuple  # and these addresses

    def apps(self, side):
        """The workloads without a floating IP: this side's, the other's."""
        return (self.pair.here, self.pair.there)[:: -1 if side else 1]

    def inner(self, family):
        """A filter for packets in clear of a family."""
        workloads = (self.pair.here, self.pair.there, *self.public)
        return " or ".join(f"host {address(w, family)}" for w in workloads)

    def wire(self, side, filter=""):
        return Capture.on_wire(self.lab, self.pair.ends[side].cloud.plan, filter)


def address(workload, family):
    return workload.ipv4 if family == 4 else workload.ipv6


@pytest.fixture(scope="module")
def cells(request):
    """Results by place; a cell whose test began and never ended is not one that works."""
    made = {}
    for item in request.session.items:
        if item.path == request.path:
            given = item.callspec.params
            place = COLUMNS[given["side"]], given["inner"], given["stage"]
            made[place] = matrix.Cell(*place, False, "not finished")
    matrix.write(made.values())
    yield made
    matrix.write(made.values())


@contextlib.contextmanager
def recorded(cells, *place):
    """Record what the block says, or how it fails, as the cell's detail."""
    said = []
    try:
        yield said
    except BaseException as problem:
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        cells[place] = matrix.Cell(*place, False, lines[0])
        raise
    cells[place] = matrix.Cell(*place, True, "; ".join(said))


@pytest.fixture(scope="module", params=[4, 6], ids=["outer4", "outer6"])
def stage(request, make_pair, lab):
    pair = make_pair(inner=(4, 6), kinds=KINDS)
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(_with_floating_ip, pair.ends))
    pair.connections = tuple(join(*pair.ends, request.param, inner) for inner in (4, 6))
    argv = ["python", "-m", "lab.whoami", "8080"]
    servers = [app.box.popen(argv, netns=app.name) for app in (pair.here, pair.there)]
    pair.up()
    yield Stage(lab, pair, request.param, *zip(*made, strict=True))
    for server in servers:
        with server:  # closes its pipes
            end_process(server)


def _with_floating_ip(end):
    network = end.client.network
    workload = boot(end.cloud, end.client, end.site, f"f-{end.site.name}")
    floating = network.create_ip(
        floating_network_id=network.find_network("public").id, port_id=workload.port_id
    )
    return workload, floating.floating_ip_address


@pytest.fixture(scope="module")
def cut(stage):
    """The peer dies: what each side's wire showed of each family, and of IKE, meanwhile."""
    wires_ = [stage.wire(side) for side in (0, 1)]
    with contextlib.ExitStack() as stack:
        for wire in wires_:
            stack.enter_context(wire)
        with wires.internet_cut(stage.lab):
            for end in stage.pair.ends:
                kill_charons(end)
            tries = [(side, family) for side in (0, 1) for family in (4, 6)]
            with ThreadPoolExecutor() as pool:
                answers = list(pool.map(lambda t: _ping(stage, *t), tries))
        assert answers == [False] * 4
        for side, family in tries:
            here, there = stage.apps(side)
            here.wait_for_ping(address(there, family), 60)
    stage.pair.up(60)
    return [
        {f: wire.lines(stage.inner(f)) for f in (4, 6)} | {"ike": wire.count("udp port 500")}
        for wire in wires_
    ]


def _ping(stage, side, family):
    here, there = stage.apps(side)
    return here.pings(address(there, family), count=10, wait=0.5)


@pytest.mark.parametrize("side", [0, 1], ids=COLUMNS)
@pytest.mark.parametrize("inner", [4, 6], ids=["inner4", "inner6"])
def test_a_family_over_another(stage, cells, cut, inner, side):
    """Everything that a tunnel is for, and nothing of it in clear, whatever dies."""
    here, there = stage.apps(side)
    far = address(there, inner)
    with recorded(cells, COLUMNS[side], inner, stage.outer) as said:
        with stage.wire(side) as wire:
            passes_both_ways(here, there, inner)
            # A floating IP doesn't take a workload's packets away from the tunnel.
            stage.public[side].wait_for_ping(far, 5)
            device = stage.pair.ends[side].site.mtu
            said.append(f"largest packet {probes.largest_packet(here, far, device)}")
            other_traffic_goes_its_way(stage, side)
        carried = wire.count(CARRIED)
        assert carried > 100, f"only {carried} packets of IKE and ESP"
        said.append(f"{carried} packets of IKE and ESP")
        only_tunnel_packets(stage, wire, inner)
        assert cut[side]["ike"], "nothing tried to reach the dead peer"
        assert cut[side][inner] == [], "packets in clear while the peer was dead"


def passes_both_ways(here, there, family):
    """Pings and TCP, from either side."""
    for source, target in ((here, there), (there, here)):
        source.wait_for_ping(address(target, family), 5)
        probes.fetch(source, address(target, family), 200_000)


def other_traffic_goes_its_way(stage, side):
    """SNAT to the router's address without a floating IP; with one it is used both ways."""
    app, _ = stage.apps(side)
    assert probes.seen_from(app) in stage.pair.ends[side].site.router_addresses
    floating = stage.floating[side]
    wait_for(lambda: probes.reachable(stage.lab, floating), 10, f"{floating} answers")
    assert floating == probes.seen_from(stage.public[side])


def only_tunnel_packets(stage, wire, inner):
    """Between the gateways is IKE and ESP only, and no packet with an inner address."""
    if lines := wire.lines(stage.inner(inner)):
        raise LabError(f"{len(lines)} packets in clear, the first: {lines[0]}")
    one, other = (end.address(stage.outer) for end in stage.pair.ends)
    assert wire.lines(f"host {one} and host {other} and not ({CARRIED} or icmp6 or arp)") == []
