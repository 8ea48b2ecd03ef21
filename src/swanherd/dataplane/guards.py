"""Who writes and reads the guard: nft where the kernel has it, iptables where it hasn't."""

from __future__ import annotations

import functools
import ipaddress
import logging
from collections.abc import Mapping
from typing import Protocol

from swanherd.core.model import TrafficSelector
from swanherd.core.network import PUBLIC_DEVICE, TRANSIT_DEVICE, Guard, GuardPair
from swanherd.dataplane import iptables, nft
from swanherd.dataplane.privileged import dumps
from swanherd.dataplane.privileged import iptables as privileged_iptables
from swanherd.dataplane.privileged import nft as privileged_nft

LOG = logging.getLogger(__name__)

# Of both families, so that a kernel which takes it has all that any guard needs.
_SAMPLE = Guard(
    TRANSIT_DEVICE,
    PUBLIC_DEVICE,
    None,
    frozenset(
        GuardPair(TrafficSelector(ipaddress.ip_network(n), ipaddress.ip_network(n)), 1200)
        for n in ("192.0.2.0/24", "2001:db8::/32")
    ),
)


class Firewall(Protocol):
    """The packet filter of the kernel, as far as a guard needs it. All raise OSError."""

    kind: str

    def closed(self) -> Mapping[int, str]:
        """Return the commands of a guard that lets nothing pass, by family; 0 means all."""
        ...

    def observe(self, namespace: str) -> Guard | None:
        """Return the namespace's guard; None if there is none or it isn't as it was written."""
        ...

    def ensure(self, namespace: str, guard: Guard) -> None:
        """Make it the namespace's guard; what both have in common isn't touched."""
        ...

    def forget(self, namespace: str) -> None:
        """Forget what was read of a namespace that isn't there any more."""
        ...


class Nft:
    """The guard as a table of nf_tables."""

    kind = "nft"

    def __init__(self) -> None:
        self._read: dict[str, tuple[str, Guard | None]] = {}  # by namespace, with its state

    def closed(self) -> Mapping[int, str]:
        """Return the commands of a guard that lets nothing pass."""
        return {0: nft.CLOSED}

    def observe(self, namespace: str) -> Guard | None:
        """Return the guard that the table is; read again only if any rule has changed since."""
        state = dumps.nft_generation(namespace)
        known, guard = self._read.get(namespace, ("", None))
        if state and state == known:
            return guard
        guard = nft.read(privileged_nft.listing(namespace)).guard
        self._read[namespace] = state, guard
        return guard

    def ensure(self, namespace: str, guard: Guard) -> None:
        """Make the table this guard's, in one transaction."""
        old = self.observe(namespace)
        if old == guard:
            return
        self._write(namespace, old, guard)
        reading = nft.read(privileged_nft.listing(namespace))
        privileged_nft.load(namespace, nft.mark(guard, reading.digest))

    def forget(self, namespace: str) -> None:
        """Forget what was read of a namespace that isn't there any more."""
        self._read.pop(namespace, None)

    def _write(self, namespace: str, old: Guard | None, new: Guard) -> None:
        if old:
            try:
                privileged_nft.load(namespace, nft.change(old, new))
            except OSError as error:
                LOG.info("The guard of %s is written anew: %s", namespace, error)
            else:
                return
        privileged_nft.load(namespace, nft.replacement(new))


class Iptables:
    """The guard as chains of iptables."""

    kind = "iptables"

    def closed(self) -> Mapping[int, str]:
        """Return the changes that make a guard which lets nothing pass."""
        return iptables.closed()

    def observe(self, namespace: str) -> Guard | None:
        """Return the guard that the chains are."""
        return iptables.read(privileged_iptables.listing(namespace)).guard

    def ensure(self, namespace: str, guard: Guard) -> None:
        """Make the chains this guard's, each family's in one transaction."""
        now = privileged_iptables.listing(namespace)
        if iptables.read(now).guard == guard:
            return
        privileged_iptables.load(namespace, iptables.replacement(guard, now))
        reading = iptables.read(privileged_iptables.listing(namespace))
        privileged_iptables.load(namespace, iptables.mark(guard, reading.digest))

    def forget(self, namespace: str) -> None:
        """Nothing is known by a namespace."""


@functools.cache
def choose() -> Firewall:
    """Return what this kernel has; the log tells which."""
    refusal, _, _ = privileged_nft.refusal(nft.replacement(_SAMPLE)).partition("\n")
    if not refusal:
        LOG.info("Guard: nft")
        return Nft()
    if privileged_iptables.is_there():
        LOG.warning("Guard: iptables, since this kernel's nf_tables don't do: %s", refusal)
        return Iptables()
    LOG.error("Guard: nft, but this kernel refuses it, and there is no iptables: %s", refusal)
    return Nft()
