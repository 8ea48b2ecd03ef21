"""SAs and policies of the kernel's XFRM in a router's namespace, as the core's values.

Of a thousand connections there are five thousand, and from one look to the next few differ: what
was read before is the same object, and so is a set of nothing else.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from swanherd.core.model import RouterId, TrafficSelector
from swanherd.core.network import Direction, KernelPolicy, KernelSa, Welcome
from swanherd.dataplane.failing import failing
from swanherd.dataplane.namespace import name_of
from swanherd.dataplane.privileged import transforms

T = TypeVar("T")

# Their numbers (linux/xfrm.h)
_DIRECTIONS = (Direction.IN, Direction.OUT, Direction.FORWARD)


@dataclasses.dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """Values by the bytes that the kernel told them by; `all` are the values."""

    values: Mapping[bytes, T]
    all: frozenset[T]

    def again(self, told: Iterable[bytes], read: Callable[[bytes], T]) -> Reading[T]:
        """Return the reading of what is told now; only what is new is read."""
        keys = frozenset(told)
        if keys == self.values.keys():
            return self
        new = {key: read(key) for key in keys - self.values.keys()}
        gone = [self.values[key] for key in self.values.keys() - keys]
        values = {key: value for key, value in self.values.items() if key in keys} | new
        # Sets of sets don't ask for hashes again.
        found = self.all.difference(gone).union(new.values())
        if len(found) != len(values):  # several bytes for one value
            found = frozenset(values.values())
        return Reading(values, found)


_NO_SAS: Reading[KernelSa] = Reading({}, frozenset())
_NO_POLICIES: Reading[KernelPolicy] = Reading({}, frozenset())
# By the namespace's name: what was read last.
_READ: dict[str, tuple[Reading[KernelSa], Reading[KernelPolicy]]] = {}


def observe(namespace: str) -> tuple[frozenset[KernelSa], frozenset[KernelPolicy]]:
    """Return the SAs that have keys and the policies, the same sets if they are as before.

    Raises OSError; FileNotFoundError if there is no such namespace.
    """
    told_sas, told_policies = transforms.observe(namespace)
    sas, policies = _READ.get(namespace, (_NO_SAS, _NO_POLICIES))
    sas, policies = sas.again(told_sas, parse_sa), policies.again(told_policies, parse_policy)
    _READ[namespace] = sas, policies
    return sas.all, policies.all


def forget(namespace: str) -> None:
    """Forget what was read of a namespace that isn't there any more."""
    _READ.pop(namespace, None)


def remove_ours(namespace: str) -> None:
    """Remove all policies of ours; idempotent. Raises OSError."""
    transforms.remove_ours(namespace)


def remove_sa(router_id: RouterId, sa: KernelSa) -> None:
    """Remove an SA; idempotent."""
    with failing(router_id, "link_failed"):
        transforms.remove_sa(name_of(router_id), str(sa.destination), sa.protocol, sa.spi)


def ensure_policy(router_id: RouterId, policy: KernelPolicy) -> None:
    """Add a policy of ours, or replace it."""
    if policy.welcome is None:
        raise TypeError("this policy is charon's to make")
    with failing(router_id, "link_failed"):
        transforms.ensure_policy(name_of(router_id), render_policy(policy))


def remove_policy(router_id: RouterId, policy: KernelPolicy) -> None:
    """Remove a policy; idempotent."""
    with failing(router_id, "link_failed"):
        transforms.remove_policy(name_of(router_id), render_policy(policy))


def parse_sa(told: bytes) -> KernelSa:
    """Return the SA that the kernel told of."""
    message = transforms.read_sa(told)
    source, destination = (ipaddress.ip_address(message[k]) for k in ("source", "destination"))
    return KernelSa(source, destination, message["protocol"], message["spi"])


def parse_policy(told: bytes) -> KernelPolicy:
    """Return the policy that the kernel told of."""
    message = transforms.read_policy(told)
    direction = _DIRECTIONS[message["direction"]]
    ends = [ipaddress.ip_network(message[key]) for key in ("source", "destination")]
    local, remote = ends if direction is Direction.OUT else ends[::-1]
    welcome = message["welcome"]
    if welcome is None:
        return KernelPolicy(TrafficSelector(local, remote), direction)
    tunnels = tuple((protocol, reqid) for protocol, reqid in welcome["tunnels"])
    if (between := welcome["ends"]) is not None:
        between = (ipaddress.ip_address(between[0]), ipaddress.ip_address(between[1]))
    ours = Welcome(tunnels, welcome["priority"], between)
    return KernelPolicy(TrafficSelector(local, remote), direction, ours)


def render_policy(policy: KernelPolicy) -> dict[str, Any]:
    """Return the plain message of a policy."""
    ends = (str(policy.selector.local), str(policy.selector.remote))
    source, destination = ends if policy.direction is Direction.OUT else ends[::-1]
    return {
        "source": source,
        "destination": destination,
        "direction": _DIRECTIONS.index(policy.direction),
        "welcome": None if policy.welcome is None else _render_welcome(policy.welcome),
    }


def _render_welcome(welcome: Welcome) -> dict[str, Any]:
    ends = None if welcome.ends is None else list(map(str, welcome.ends))
    return {"tunnels": welcome.tunnels, "priority": welcome.priority, "ends": ends}
