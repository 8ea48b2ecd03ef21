"""What can break in a cloud, as values: for tests of self-healing and for random runs."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from lab import bus, false_clock, faulty_bus, power, services, wsgi
from lab.boxes import Box
from lab.faulty_bus import Faults
from lab.layout import FABRIC_BOX, LabError
from lab.processes import wait_for
from lab.vpn import ANSWER, End, namespace_of

STATE = "/var/lib/swanherd"
DISK_BYTES = 4 << 20  # of the agent's directory in tests that fill it

Act = Callable[[End], object]


def _nothing(_end: End) -> None:
    """End what ends by itself, or needs repair and no end."""


def _at_once(_end: End) -> bool:
    """Tell that everything of others is there as soon as the fault has ended."""
    return True


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What breaks, and what its end is (a supervisor starts a program again, power comes back).

    `hold`: for how many seconds it lasts. `back`: whether what others have in it (the bus, the
    cloud's APIs) answers again. `long`: too slow for every run of the
    tests, or much like what other tests do in every run.
    """

    name: str
    begin: Act
    end: Act = _nothing
    hold: float = 0
    long: bool = False
    back: Callable[[End], bool] = _at_once


# Programs


def _crash(service: str, *, long: bool = False) -> Fault:
    return Fault(
        f"kill -9 {service}",
        lambda end: end.cloud.stop_service(service, signal.SIGKILL),
        lambda end: end.cloud.start_service(service),
        long=long,
    )


def _kill_charon(end: End) -> None:
    box = end.cloud.central
    pids = box.run(["ip", "netns", "pids", namespace_of(end)]).stdout.split()
    box.run(["kill", "-9", *pids])


def _kill_api_worker(end: End) -> None:
    """Kill the process that answers; its master starts another."""
    master = services.find(end.cloud.central, "neutron-api").main
    for worker in master.children():
        worker.send(signal.SIGKILL)
    wait_for(lambda: [w for w in master.children() if w.alive], 30, "another API worker")


def _restart_vswitchd(end: End) -> None:
    cloud = end.cloud
    cloud.start_service("ovs-vswitchd")
    power.address_switches(cloud.central, cloud.plan, cloud.plan.central)


# By hand


def _inside(*argv: str) -> Act:
    return lambda end: end.cloud.central.run(argv, namespace_of(end))


def _delete_namespace(end: End) -> None:
    box, name = end.cloud.central, namespace_of(end)
    before = box.run(["ip", "netns", "pids", name]).stdout.split()
    box.run(["ip", "netns", "delete", name])
    if not before:
        raise LabError(f"nothing ran in {name}")


def _unplug(end: End) -> None:
    box = end.cloud.central
    argv = ["ovs-vsctl", "--bare", "--columns=name", "list", "Interface"]
    short = end.site.router_id.replace("-", "")[:11]
    for name in box.run(argv).stdout.split():
        if name.startswith(f"vt{short}"):
            box.run(["ovs-vsctl", "del-port", "br-int", name])


def _remove_socket(end: End) -> None:
    end.cloud.central.run(["rm", f"{STATE}/routers/{end.site.router_id}/charon.vici"])


def _northbound(*argv: str) -> Act:
    def act(end: End) -> None:
        router = end.site.router_id
        end.cloud.nbctl(*(part.format(router=router) for part in argv))

    return act


def _remove_transit_port(end: End) -> None:
    cloud = end.cloud
    columns = ("--bare", "--columns=name", "find", "Logical_Router_Port")
    key = f'external_ids:"swanherd:router_id"={end.site.router_id}'
    for name in cloud.nbctl(*columns, key).split():
        cloud.nbctl("lrp-del", name)


# Messages

ON_THE_BUS = ("neutron-api", "neutron-rpc-server", "swanherd-ovn-agent")
CLEAR = Faults()


def make_breakable(end: End) -> None:
    """Start services anew, so that the faults of their bus and of their clock can be switched."""
    box = end.cloud.central
    faulty_bus.rule(box, CLEAR)
    false_clock.jump(box, 0)
    for name in dict.fromkeys((*ON_THE_BUS, *CLOCKED)):
        service = services.find(box, name).service
        if faulty_bus.FILE in service.env or false_clock.FILE in service.env:
            continue
        if name in ON_THE_BUS:
            service = faulty_bus.wrapped(box, service)
        if name in CLOCKED:
            service = false_clock.wrapped(box, service)
        # The RPC server's own way out takes half a minute; uWSGI must free its port.
        services.stop(box, name, signal.SIGTERM if name == "neutron-api" else signal.SIGKILL)
        services.start(box, service)


def _bus(name: str, faults: Faults, *, hold: float = 5) -> Fault:
    return Fault(
        name,
        lambda end: faulty_bus.rule(end.cloud.central, faults),
        lambda end: faulty_bus.rule(end.cloud.central, CLEAR),
        hold=hold,
    )


# Surroundings


def _stop_database(end: End) -> None:
    services.stop(Box(end.cloud.lab, FABRIC_BOX), "mariadb", signal.SIGKILL)


def _start_database(end: End) -> None:
    box = Box(end.cloud.lab, FABRIC_BOX)
    services.start(box, services.find(box, "mariadb").service)


def make_small_disk(end_cloud: Box) -> None:
    """Give the agent a small disk of its own; before there is anything in its directory."""
    # A box has a mount of its own there in any case.
    if end_cloud.run(["stat", "-f", "-c", "%T", STATE]).stdout.strip() == "tmpfs":
        return
    size = f"size={DISK_BYTES}"
    end_cloud.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", STATE])


def _fill_disk(end: End) -> None:
    """Fill the agent's disk, and make it need some."""
    # More than there is room for, and not much more: should the disk ever be another one.
    fill = ["dd", "if=/dev/zero", f"of={STATE}/full", "bs=4k", f"count={2 * DISK_BYTES >> 12}"]
    if not end.cloud.central.run(fill, check=False).returncode:
        raise LabError(f"{STATE} has more room than {DISK_BYTES} bytes")
    _kill_charon(end)


def _empty_disk(end: End) -> None:
    end.cloud.central.run(["rm", "-f", f"{STATE}/full"])


def _bus_answers(end: End) -> bool:
    return bus.answers(end.cloud.lab, end.cloud.plan)


def _cloud_answers(end: End) -> bool:
    """Tell whether the bus and Neutron's API answer, which asks Keystone who asks."""
    if not (_bus_answers(end) and wsgi.answers(end.cloud.lab, end.cloud.plan, 9696)):
        return False
    try:
        reply = end.client.network.get("/networks?limit=1", timeout=ANSWER)
    except (SDKException, ClientException):
        return False
    return bool(reply.status_code == 200)


CLOCKED = (
    "swanherd-ovn-agent",
    "neutron-api",
    "neutron-rpc-server",
    "neutron-ovn-maintenance-worker",
)


def _jump_to(seconds: int) -> Act:
    return lambda end: false_clock.jump(end.cloud.central, seconds)


def _cut_power(end: End) -> None:
    power.cut(end.cloud.lab, end.cloud.plan.central)


def _boot(end: End) -> None:
    power.boot(end.cloud.lab, end.cloud.plan, end.cloud.plan.central)


FAULTS = (
    Fault("kill -9 charon", _kill_charon, long=True),
    _crash("swanherd-ovn-agent", long=True),
    _crash("neutron-rpc-server", long=True),
    Fault("kill -9 of an API worker", _kill_api_worker),
    _crash("ovsdb-nb", long=True),
    _crash("ovsdb-sb"),
    _crash("ovsdb-server", long=True),
    Fault(
        "kill -9 ovs-vswitchd",
        lambda end: end.cloud.stop_service("ovs-vswitchd", signal.SIGKILL),
        _restart_vswitchd,
    ),
    _crash("ovn-controller"),
    _crash("ovn-northd", long=True),
    Fault("namespace deleted", _delete_namespace, long=True),
    Fault("routes flushed", _inside("ip", "route", "flush", "dev", "tr0"), long=True),
    Fault("rules flushed", _inside("ip", "rule", "flush", "protocol", "90"), long=True),
    Fault("guard flushed", _inside("nft", "flush", "ruleset"), long=True),
    Fault("transit device deleted", _inside("ip", "link", "delete", "tr0"), long=True),
    Fault("public device deleted", _inside("ip", "link", "delete", "ex0")),
    Fault("port unplugged", _unplug),
    Fault("VICI socket removed", _remove_socket),
    Fault(
        "policies removed from OVN", _northbound("lr-policy-del", "neutron-{router}"), long=True
    ),
    Fault("transit port removed from OVN", _remove_transit_port),
    Fault("transit switch removed from OVN", _northbound("ls-del", "swanherd-{router}")),
    _bus("every 3rd message lost", Faults(drop=3)),
    _bus("every 2nd message twice", Faults(repeat=2)),
    _bus("every 2nd message late", Faults(late=2)),
    Fault(
        "RabbitMQ away",
        lambda end: end.cloud.stop_service("rabbitmq", signal.SIGKILL),
        lambda end: end.cloud.start_service("rabbitmq"),
        hold=60,
        long=True,
        back=_bus_answers,
    ),
    Fault("MariaDB away", _stop_database, _start_database, hold=60, long=True),
    Fault("clock 7 min ahead", _jump_to(420), hold=10, long=True),
    Fault("clock 14 min back", _jump_to(-420), hold=10, long=True),
    Fault("clock right again", _jump_to(0), hold=10, long=True),
    Fault("disk full", _fill_disk, _empty_disk, hold=10),
    Fault("power cut and boot", _cut_power, _boot, hold=3, long=True, back=_cloud_answers),
)
