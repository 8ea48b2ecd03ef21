"""Who writes and reads the guard of a router's own namespace: nft, or iptables without it."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import logging
from typing import Protocol

from swanherd.core.model import ScopeMark, TrafficSelector
from swanherd.core.network import GuardPair, RouterGuard, Way
from swanherd.dataplane import router_iptables, router_nft
from swanherd.dataplane.privileged import dumps
from swanherd.dataplane.privileged import iptables as privileged_iptables
from swanherd.dataplane.privileged import nft as privileged_nft

LOG = logging.getLogger(__name__)

_ENDS = {4: ("192.0.2.0/24", "198.51.100.0/24"), 6: ("2001:db8:1::/48", "2001:db8:2::/48")}
# Of both families, so that a kernel which takes it has all that any guard needs.
_SAMPLE = RouterGuard(
    way=Way.XFRM,
    public="qg-0",
    addresses=frozenset(map(ipaddress.ip_address, ("192.0.2.1", "2001:db8:1::1"))),
    pairs=frozenset(
        GuardPair(TrafficSelector(*map(ipaddress.ip_network, ends)), 1200)
        for ends in _ENDS.values()
    ),
    marks=frozenset(ScopeMark(ipaddress.ip_network(local), 1) for local, _ in _ENDS.values()),
)


class RouterFirewall(Protocol):
    """The packet filter of the kernel, as far as such a guard needs it. All raise OSError."""

    kind: str

    def observe(self, namespace: str) -> RouterGuard | None:
        """Return the namespace's guard; None if there is none or it isn't as it was written."""
        ...

    def ensure(self, namespace: str, guard: RouterGuard) -> None:
        """Make it the namespace's guard."""
        ...

    def is_there(self, namespace: str) -> bool:
        """Tell whether a guard of ours, whatever it has become, is in the namespace."""
        ...

    def remove(self, namespace: str) -> None:
        """Leave nothing of ours; idempotent."""
        ...

    def forget(self, namespace: str) -> None:
        """Forget what was read of a namespace that isn't there any more."""
        ...


class Nft:
    """The guard as a table of nf_tables."""

    kind = "nft"

    def __init__(self) -> None:
        self._read: dict[str, tuple[str, router_nft.Reading]] = {}  # by namespace, with its state

    def observe(self, namespace: str) -> RouterGuard | None:
        """Return the guard that the table is; read again only if any rule has changed since."""
        return self._reading(namespace).guard

    def ensure(self, namespace: str, guard: RouterGuard) -> None:
        """Make the table this guard's: the sets first, then the rules that ask them.

        Where a take-over only lets a silent one speak, the sets stay, and it costs half as much.
        """
        now = self._reading(namespace)
        if now.guard == guard:
            return
        if now.guard and dataclasses.replace(now.guard, silent=guard.silent) == guard:
            privileged_nft.load(namespace, router_nft.rules_anew(guard, now))
        else:
            generation = now.generation
            privileged_nft.load(namespace, router_nft.stage(guard, generation))
            privileged_nft.load(namespace, router_nft.switch(guard, generation, now))
        reading = router_nft.read(privileged_nft.listing(namespace))
        privileged_nft.load(namespace, router_nft.mark(reading))

    def _reading(self, namespace: str) -> router_nft.Reading:
        state: str = dumps.nft_generation(namespace)
        known = self._read.get(namespace)
        if state and known is not None and known[0] == state:
            return known[1]
        reading = router_nft.read(privileged_nft.listing(namespace))
        self._read[namespace] = state, reading
        return reading

    def is_there(self, namespace: str) -> bool:
        """Tell whether there is a table of ours."""
        return bool(privileged_nft.listing(namespace))

    def remove(self, namespace: str) -> None:
        """Remove the table."""
        privileged_nft.load(namespace, router_nft.REMOVAL)
        self.forget(namespace)

    def forget(self, namespace: str) -> None:
        """Forget what was read of a namespace that isn't there any more."""
        self._read.pop(namespace, None)


class Iptables:
    """The guard as chains of iptables beside Neutron's."""

    kind = "iptables"

    def observe(self, namespace: str) -> RouterGuard | None:
        """Return the guard that the chains are."""
        return router_iptables.read(self._listing(namespace)).guard

    def ensure(self, namespace: str, guard: RouterGuard) -> None:
        """Make the chains this guard's, each table in one transaction."""
        now = self._listing(namespace)
        if router_iptables.read(now).guard == guard:
            return
        privileged_iptables.load(namespace, router_iptables.replacement(guard, now))
        reading = router_iptables.read(self._listing(namespace))
        privileged_iptables.load(namespace, router_iptables.mark(guard, reading.digest))

    def is_there(self, namespace: str) -> bool:
        """Tell whether there is a chain of ours."""
        return router_iptables.is_there(self._listing(namespace))

    def remove(self, namespace: str) -> None:
        """Remove our chains and what jumps to them."""
        removal = router_iptables.removal(self._listing(namespace))
        if removal:
            privileged_iptables.load(namespace, removal)

    def forget(self, namespace: str) -> None:
        """Nothing is known by a namespace."""

    @staticmethod
    def _listing(namespace: str) -> router_iptables.Listing:
        listing: dict[int, str] = privileged_iptables.listing(namespace, router_iptables.TABLES)
        return listing


@functools.cache
def choose() -> RouterFirewall:
    """Return what this kernel has; the log tells if it isn't nft."""
    everything = "\n".join((router_nft.stage(_SAMPLE, 0), _switched()))
    refusal, _, _ = privileged_nft.refusal(everything).partition("\n")
    if not refusal:
        return Nft()
    if privileged_iptables.is_there():
        LOG.warning("Guard of routers: iptables, as this kernel's nf_tables don't do: %s", refusal)
        return Iptables()
    LOG.error("Guard of routers: nft, but the kernel refuses it, and no iptables: %s", refusal)
    return Nft()


def _switched() -> str:
    return router_nft.switch(_SAMPLE, 0, router_nft.read(""))
