"""What can break in a cloud, as values: for tests of self-healing and for random runs."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from lab import bus, false_clock, faulty_bus, openvswitch, power, replug, services, steering, wsgi
from lab.boxes import Box
from lab.faulty_bus import Faults
from lab.layout import FABRIC_BOX, INTERNET_BOX, LabError
from lab.ovs import L3_AGENT
from lab.processes import wait_for
from lab.scene import OVN, OVS, Act, Back, Fault, Scene
from lab.services import Service
from lab.vpn import ANSWER, End, agent_of, is_met, kill_charons, namespace_of

STATE = "/var/lib/swanherd"
DISK_BYTES = 4 << 20  # of the agent's directory in tests that fill it


def _opening(name: str, begin: Act, backend: str) -> Fault:
    return Fault(name, begin, long=True, on=[backend], opens=True)


# Programs


def _is_served(scene: Scene) -> bool:
    """Tell whether a server takes what agents say."""
    return bus.is_heard(scene.cloud.lab, scene.cloud.plan, "swanherd-server")


def _crash(service: str, *, there: bool = False, **more: Any) -> Fault:
    """Return the end of a program of the cloud's central node, or of the one that serves."""

    def box(scene: Scene) -> Box:
        return scene.node if there else scene.cloud.central

    return Fault(
        f"kill -9 {service}",
        lambda scene: scene.cloud.stop_service(service, signal.SIGKILL, box(scene)),
        lambda scene: scene.cloud.start_service(service, box(scene)),
        **more,
    )


def _kill_charon(scene: Scene) -> None:
    kill_charons(scene.end)


def _kill_keepalived(scene: Scene) -> None:
    scene.node.run(["kill", "-9", *_keepalived(scene)])


def _keepalived(scene: Scene) -> list[str]:
    """Return the process ids of the router's VRRP daemon on the node, as the node has them."""
    wanted = f"^keepalived .*{scene.end.site.router_id}"
    return scene.node.run(["pgrep", "-f", wanted], check=False).stdout.split()


def _kill_api_worker(scene: Scene) -> None:
    """Kill the process that answers; its master starts another."""
    master = services.find(scene.cloud.central, "neutron-api").main
    for worker in master.children():
        worker.send(signal.SIGKILL)
    wait_for(lambda: [w for w in master.children() if w.alive], 30, "another API worker")


def _restart_vswitchd(scene: Scene) -> None:
    scene.cloud.start_service("ovs-vswitchd", scene.node)
    openvswitch.address_switches(scene.node, scene.cloud.plan, scene.chassis)
    if not scene.cloud.plan.has_ovn:
        replug.bring_back(scene.node)


# By hand


def _inside(*argv: str) -> Act:
    return lambda scene: scene.node.run(argv, namespace_of(scene.end))


def _delete_namespace(scene: Scene) -> None:
    name = namespace_of(scene.end)
    before = scene.node.run(["ip", "netns", "pids", name]).stdout.split()
    scene.node.run(["ip", "netns", "delete", name])
    if not before:
        raise LabError(f"nothing ran in {name}")


def _restart_l3_agent(scene: Scene) -> None:
    """Do what an operator does: Neutron itself never makes anew what is gone of a router."""
    scene.cloud.restart_service(L3_AGENT, signal.SIGKILL, scene.node)


def _is_there(scene: Scene) -> bool:
    """Tell whether Neutron's part is on the node: a namespace, and of redundant ones keepalived.

    On OVN the VPN has an address of its own, and it is ours to make that answer.
    """
    if scene.cloud.plan.has_ovn:
        return True
    if namespace_of(scene.end) not in scene.node.run(["ip", "netns"]).stdout:
        return False
    return not _is_redundant(scene) or bool(_keepalived(scene))


def _is_redundant(scene: Scene) -> bool:
    """Tell whether another node can serve the router."""
    return "ha" in scene.end.site.kind


def _is_reached(scene: Scene) -> bool:
    """Tell whether the internet reaches the router's own address.

    A namespace that was deleted answers as long as its old daemon lives.
    """
    if scene.cloud.plan.has_ovn:
        return True
    ping = ["ping", "-n", "-c", "1", "-W", "1", scene.end.address(4)]
    return not Box(scene.cloud.lab, INTERNET_BOX).run(ping, check=False).returncode


_MET: Back = [("the L3 agent's first turn", lambda scene: is_met(scene.end, scene.node))]
_THERE: Back = [("Neutron's part of the router", _is_there), *_MET]
_REACHED: Back = [("the router's own address", _is_reached)]
_MADE: Back = [*_THERE, *_REACHED]


def _if_alone(is_there: Callable[[Scene], bool]) -> Callable[[Scene], bool]:
    """Return the same, for a node that nobody stands by for."""
    return lambda scene: _is_redundant(scene) or is_there(scene)


# Of a redundant router another node has the part that is missing.
_SERVED_AGAIN: Back = [*((what, _if_alone(there)) for what, there in _THERE), *_REACHED]


def _interfaces(box: Box) -> list[str]:
    return box.run(["ovs-vsctl", "--bare", "--columns=name", "list", "Interface"]).stdout.split()


def _unplug(scene: Scene) -> None:
    short = scene.end.site.router_id.replace("-", "")[:11]
    for name in _interfaces(scene.node):
        if name.startswith(f"vt{short}"):
            scene.node.run(["ovs-vsctl", "del-port", "br-int", name])


def _unplug_gateway(scene: Scene) -> None:
    """Take the router's own port on the external network out of the switch."""
    listed = scene.node.run(["ip", "-o", "link"], namespace_of(scene.end)).stdout
    (name,) = re.findall(r"qg-[0-9a-f-]+", listed)[:1]
    scene.node.run(["ovs-vsctl", "del-port", "br-int", name])


def _remove_socket(scene: Scene) -> None:
    router = scene.end.site.router_id
    key = router if scene.cloud.plan.has_ovn else namespace_of(scene.end)
    scene.node.run(["rm", f"{STATE}/routers/{key}/charon.vici"])


def _northbound(*argv: str) -> Act:
    def act(scene: Scene) -> None:
        router = scene.end.site.router_id
        scene.cloud.nbctl(*(part.format(router=router) for part in argv))

    return act


def _remove_transit_port(scene: Scene) -> None:
    cloud = scene.cloud
    columns = ("--bare", "--columns=name", "find", "Logical_Router_Port")
    key = f'external_ids:"swanherd:router_id"={scene.end.site.router_id}'
    for name in cloud.nbctl(*columns, key).split():
        cloud.nbctl("lrp-del", name)


# Messages

CLEAR = Faults()
# Where the cloud's API is.
SERVERS = ("neutron-api", "neutron-rpc-server")
MAINTENANCE = "neutron-ovn-maintenance-worker"


def make_breakable(end: End) -> None:
    """Start services anew, so that the faults of their bus and of their clock can be switched."""
    cloud = end.cloud
    for box in cloud.gateways:
        faulty_bus.rule(box, CLEAR)
        false_clock.jump(box, 0)
        central = SERVERS if box.name == cloud.central.name else ()
        maintenance = (MAINTENANCE,) if central and cloud.plan.has_ovn else ()
        for name in (*central, agent_of(end)):
            _wrap(box, name, faulty_bus.FILE, faulty_bus.wrapped, false_clock.wrapped)
        for name in maintenance:
            _wrap(box, name, false_clock.FILE, false_clock.wrapped)


def make_clock_false(end: End) -> None:
    """Start the agents of an end's gateways anew, so that their clock can jump."""
    for box in end.cloud.gateways:
        false_clock.jump(box, 0)
        _wrap(box, agent_of(end), false_clock.FILE, false_clock.wrapped)


def _wrap(box: Box, name: str, mark: str, *wraps: Callable[[Box, Service], Service]) -> None:
    service = services.find(box, name).service
    if mark in service.env:
        return
    for wrap in wraps:
        service = wrap(box, service)
    # The RPC server's own way out takes half a minute; uWSGI must free its port.
    services.stop(box, name, signal.SIGTERM if name == "neutron-api" else signal.SIGKILL)
    services.start(box, service)


def _bus(name: str, faults: Faults, *, hold: float = 5) -> Fault:
    return Fault(
        name,
        lambda scene: _rule(scene, faults),
        lambda scene: _rule(scene, CLEAR),
        hold=hold,
    )


def _rule(scene: Scene, faults: Faults) -> None:
    for box in scene.cloud.gateways:
        faulty_bus.rule(box, faults)


# Surroundings


def _stop_database(scene: Scene) -> None:
    services.stop(Box(scene.cloud.lab, FABRIC_BOX), "mariadb", signal.SIGKILL)


def _start_database(scene: Scene) -> None:
    box = Box(scene.cloud.lab, FABRIC_BOX)
    services.start(box, services.find(box, "mariadb").service)


def make_small_disk(node: Box) -> None:
    """Give the agent a small disk of its own; before there is anything in its directory."""
    # A box has a mount of its own there in any case.
    if node.run(["stat", "-f", "-c", "%T", STATE]).stdout.strip() == "tmpfs":
        return
    size = f"size={DISK_BYTES}"
    node.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", STATE])


def _fill_disk(scene: Scene) -> None:
    """Fill the agent's disk, and make it need some."""
    # More than there is room for, and not much more: should the disk ever be another one.
    fill = ["dd", "if=/dev/zero", f"of={STATE}/full", "bs=4k", f"count={2 * DISK_BYTES >> 12}"]
    if not scene.node.run(fill, check=False).returncode:
        raise LabError(f"{STATE} has more room than {DISK_BYTES} bytes")
    _kill_charon(scene)


def _empty_disk(scene: Scene) -> None:
    scene.node.run(["rm", "-f", f"{STATE}/full"])


def _bus_answers(scene: Scene) -> bool:
    return bus.answers(scene.cloud.lab, scene.cloud.plan)


def _api_answers(scene: Scene) -> bool:
    """Tell whether Neutron's API answers, which asks Keystone who asks."""
    if not wsgi.answers(scene.cloud.lab, scene.cloud.plan, 9696):
        return False
    try:
        reply = scene.end.client.network.get("/networks?limit=1", timeout=ANSWER)
    except (SDKException, ClientException):
        return False
    return bool(reply.status_code == 200)


_BUS: Back = [("the bus", _bus_answers)]
_SERVED: Back = [("Neutron's RPC server", _is_served)]
# A new worker loads all of Neutron before it answers.
_API: Back = [("Neutron's API", _api_answers)]
_CLOUD: Back = [*_BUS, *_API, *_SERVED, *_SERVED_AGAIN]


def _jump_to(seconds: int) -> Act:
    return lambda scene: _jump(scene, seconds)


def _jump(scene: Scene, seconds: int) -> None:
    for box in scene.cloud.gateways:
        false_clock.jump(box, seconds)


def _cut_power(scene: Scene) -> None:
    power.cut(scene.cloud.lab, scene.chassis)


def _boot(scene: Scene) -> None:
    power.boot(scene.cloud.lab, scene.cloud.plan, scene.chassis)


def of(backend: str, kind: str = "") -> tuple[Fault, ...]:
    """Return what can break of a router of this kind in a cloud of this backend, in this order."""
    redundant, distributed = "ha" in kind, "dvr" in kind
    return tuple(
        f
        for f in FAULTS
        if backend in f.on and redundant >= f.redundant and distributed >= f.distributed
    )


FAULTS = (
    Fault("kill -9 charon", _kill_charon, long=True),
    _crash("swanherd-ovn-agent", there=True, long=True, on=[OVN]),
    _crash(L3_AGENT, there=True, long=True, back=_MET, on=[OVS]),
    _crash("neutron-openvswitch-agent", there=True, on=[OVS]),
    Fault("kill -9 keepalived", _kill_keepalived, on=[OVS], redundant=True),
    _crash("neutron-rpc-server", long=True, back=_SERVED),
    Fault("kill -9 of an API worker", _kill_api_worker, back=_API),
    _crash("ovsdb-nb", long=True, on=[OVN]),
    _crash("ovsdb-sb", on=[OVN]),
    _crash("ovsdb-server", there=True, long=True),
    Fault(
        "kill -9 ovs-vswitchd",
        lambda scene: scene.cloud.stop_service("ovs-vswitchd", signal.SIGKILL, scene.node),
        _restart_vswitchd,
    ),
    _crash("ovn-controller", there=True, on=[OVN]),
    _crash("ovn-northd", long=True, on=[OVN]),
    Fault("namespace deleted", _delete_namespace, long=True),
    Fault(
        "namespace deleted, L3 agent restarted",
        _delete_namespace,
        _restart_l3_agent,
        long=True,
        back=_MADE,
        on=[OVS],
    ),
    Fault("routes flushed", _inside("ip", "route", "flush", "dev", "tr0"), long=True, on=[OVN]),
    Fault(
        "routes flushed",
        _inside("ip", "route", "flush", "table", "all", "protocol", "90"),
        long=True,
        on=[OVS],
    ),
    Fault("rules flushed", _inside("ip", "rule", "flush", "protocol", "90"), long=True),
    # On userspace ESP, as in the lab, a routing rule of the namespace keeps clear packets out too.
    Fault("guard flushed", _inside("nft", "flush", "ruleset"), long=True, on=[OVN]),
    _opening("guard flushed", _inside("nft", "flush", "table", "inet", "swanherd"), OVS),
    *steering.FAULTS,
    Fault("transit device deleted", _inside("ip", "link", "delete", "tr0"), long=True, on=[OVN]),
    Fault("tunnel device deleted", _inside("ip", "link", "delete", "ipsec0"), long=True, on=[OVS]),
    Fault("public device deleted", _inside("ip", "link", "delete", "ex0"), on=[OVN]),
    Fault("port unplugged", _unplug, on=[OVN]),
    Fault(
        "gateway port unplugged, L3 agent restarted",
        _unplug_gateway,
        _restart_l3_agent,
        long=True,
        back=_MADE,
        on=[OVS],
    ),
    Fault("VICI socket removed", _remove_socket),
    _opening("policies removed from OVN", _northbound("lr-policy-del", "neutron-{router}"), OVN),
    Fault("transit port removed from OVN", _remove_transit_port, on=[OVN]),
    Fault("transit switch removed from OVN", _northbound("ls-del", "swanherd-{router}"), on=[OVN]),
    _bus("every 3rd message lost", Faults(drop=3)),
    _bus("every 2nd message twice", Faults(repeat=2)),
    _bus("every 2nd message late", Faults(late=2)),
    Fault(
        "RabbitMQ away",
        lambda scene: scene.cloud.stop_service("rabbitmq", signal.SIGKILL),
        lambda scene: scene.cloud.start_service("rabbitmq"),
        hold=60,
        long=True,
        back=_BUS,
    ),
    Fault("MariaDB away", _stop_database, _start_database, hold=60, long=True),
    Fault("clock 7 min ahead", _jump_to(420), hold=10, long=True),
    Fault("clock 14 min back", _jump_to(-420), hold=10, long=True),
    Fault("clock right again", _jump_to(0), hold=10, long=True),
    Fault("disk full", _fill_disk, _empty_disk, hold=10),
    Fault(
        "power cut and boot",
        _cut_power,
        _boot,
        hold=3,
        long=True,
        back=_CLOUD,
        standby=_THERE,
    ),
)
