"""A router's own namespace, which is Neutron's: what of it is ours, and what we need to know."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from swanherd.core.home import parse_key
from swanherd.core.model import IPAddress, IPInterface, RouterId
from swanherd.core.network import Duplicate, ObservedNetwork, RouterGuard, Way
from swanherd.dataplane import namespace, network, predecessor, transforms
from swanherd.dataplane.failing import failing
from swanherd.dataplane.home_guards import RouterFirewall
from swanherd.dataplane.privileged import inside, links, namespaces, routes, watch

_CODE = "namespace_failed"


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A device of the router; its MAC and addresses."""

    mac: str
    addresses: frozenset[IPInterface]


def all_keys() -> frozenset[RouterId]:
    """Return every router's own namespace that this node has."""
    try:
        names = os.listdir(inside.DIRECTORY)
    except FileNotFoundError:
        return frozenset()
    return frozenset(RouterId(name) for name in names if parse_key(RouterId(name))[0] is not None)


def is_touched(key: RouterId, firewall: RouterFirewall) -> bool:
    """Tell whether something of ours is in the namespace."""
    with failing(key, _CODE):
        try:
            return firewall.is_there(key)
        except FileNotFoundError:
            return False


def observe(key: RouterId, firewall: RouterFirewall) -> ObservedNetwork:
    """Return what of the namespace is ours, and which devices are in it."""
    with failing(key, _CODE):
        try:
            seen: dict[str, Any] = routes.observe(key)
            guard = firewall.observe(key)
            sas, policies = transforms.observe(key)
        except FileNotFoundError:
            network.forget(key, firewall)
            return ObservedNetwork(exists=False)
    return ObservedNetwork(
        exists=True,
        routes=frozenset(map(network.parse_route, seen["routes"])),
        rules=frozenset(network.parse_rules(seen["rules"])),
        guard=guard,
        devices=frozenset(seen["links"]),
        kernel_sas=sas,
        kernel_policies=policies,
        addresses=frozenset(_addresses(seen["links"].values())),
        duplicates=frozenset(
            Duplicate(name, ipaddress.ip_interface(address))
            for name, link in seen["links"].items()
            for address in link["refused"]
        ),
    )


def _addresses(links_: Iterable[Mapping[str, Any]]) -> Iterator[IPAddress]:
    for link in links_:
        yield from (ipaddress.ip_interface(a).ip for a in link["addresses"])


def devices_around(key: RouterId, pid: int) -> frozenset[str]:
    """Return the devices of the namespace that a process of the router's is in."""
    with failing(key, _CODE):
        try:
            return frozenset(routes.observe(inside.of_process(pid))["links"])
        except FileNotFoundError:
            return frozenset()


def name_again(key: RouterId, pid: int, inode: int) -> None:
    """Give the namespace with that inode, in which that process is, the router's name again."""
    with failing(key, _CODE):
        namespaces.name_again(key, pid, inode)


def devices(key: RouterId) -> Mapping[str, Device]:
    """Return the namespace's devices that are up; none if it isn't there."""
    with failing(key, _CODE):
        try:
            seen: dict[str, Any] = routes.observe(key)
        except FileNotFoundError:
            return {}
    return {
        name: Device(link["mac"], frozenset(map(ipaddress.ip_interface, link["addresses"])))
        for name, link in seen["links"].items()
        if link["up"]
    }


def addresses(key: RouterId, device: str, pid: int | None = None) -> frozenset[IPAddress]:
    """Return the addresses of a device that is up; none if it or the namespace isn't there.

    `pid`: in the namespace of that process.
    """
    with failing(key, _CODE):
        found = links.here(_place(key, pid), device)
        return frozenset(i.ip for i in map(ipaddress.ip_interface, found))


def claim_again(key: RouterId, duplicate: Duplicate) -> None:
    """Let the kernel ask again whether somebody else has the address."""
    with failing(key, _CODE):
        links.claim_again(key, duplicate.device, str(duplicate.interface))


def ensure_guard(key: RouterId, guard: RouterGuard, firewall: RouterFirewall) -> None:
    """Make it the namespace's guard."""
    with failing(key, "guard_failed"):
        if guard.way is Way.DETOUR:
            # What is steered leaves by the device on which it came. A workload that is told of
            # that goes to the central part by itself for 300 s, also when there is none any more.
            # Neutron sees to this too, but a moment after it has made the devices.
            namespaces.never_redirect(key)
        firewall.ensure(key, guard)


def remove_ours(key: RouterId, firewall: RouterFirewall) -> None:
    """Leave the namespace as Neutron has it; idempotent."""
    with failing(key, _CODE):
        try:
            routes.remove_ours(key)
            transforms.remove_ours(key)
            firewall.remove(key)
        except FileNotFoundError:
            return


def spawn(
    key: RouterId, argv: Sequence[str], env: Mapping[str, str], output: str | None = None
) -> int:
    """Start charon in the namespace as `namespace.spawn` does; neutron-vpnaas' makes room."""
    predecessor.succeed(key)
    return namespace.spawn(key, argv, env, output)


def processes(
    key: RouterId, command: str, known: Sequence[int] = (), pid: int | None = None
) -> frozenset[int]:
    """Return the processes of that command's name in the namespace, or in that of `pid`.

    No others are looked for while all that are `known` are there: a node has thousands.
    """
    with failing(key, _CODE):
        return frozenset(watch.processes(_place(key, pid), command, known))


def _place(key: RouterId, pid: int | None) -> str:
    return key if pid is None else inside.of_process(pid)


def wait(
    pids: Mapping[RouterId, Sequence[int]], seconds: float
) -> Mapping[RouterId, Sequence[bytes]]:
    """Return which of these namespaces changed: their addresses, or one of the processes ended.

    Waits at most so many seconds. One that wasn't watched before is among them at once. With
    each are the notices that came from other nodes, by the device on which VRRP speaks.
    """
    with failing(RouterId("-"), _CODE):
        changed: dict[str, list[bytes]] = watch.wait(
            {str(key): list(numbers) for key, numbers in pids.items()}, seconds
        )
    return {RouterId(name): notices for name, notices in changed.items()}
