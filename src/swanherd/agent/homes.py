"""The routers' own namespaces of this node, as the wheel's node; and what only the node knows."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from swanherd.agent.roles import Remembering
from swanherd.agent.waits import DUPLICATE, MISSING, NO_ADDRESS
from swanherd.core import network as net
from swanherd.core.failures import Failure, Temporary
from swanherd.core.home import key_of, parse_key, public_device, site_of
from swanherd.core.model import (
    DesiredRouter,
    HomeNamespace,
    IPAddress,
    Role,
    RouterId,
    RouterReport,
    ScopeMark,
)
from swanherd.core.network import NetworkAction, ObservedNetwork
from swanherd.core.tenure import Later, Tenure, doubted, gives_way, hear, tell
from swanherd.dataplane import home_guards, homes, network
from swanherd.dataplane.home_guards import RouterFirewall

LOG = logging.getLogger(__name__)

# Seconds by which two notices of one tenure may differ on their way.
_AGAIN = 1.0

# The router's devices outside and inside, and that of a distributed one's central part.
_ANNOUNCED = ("qg-", "qr-", "sg-")

# By what a redundant router's address goes from node to node (neutron.agent.l3.ha_router).
_VRRP_DAEMON = "keepalived"


# Tells of a namespace that has lost its name the process id of charon, which is in it, and the
# inode; None of one that has its name, or in which nothing of ours is.
Lost = Callable[[RouterId], tuple[int, int] | None]


def _nothing_lost(_: RouterId) -> tuple[int, int] | None:
    return None


class HomeNode:
    """Implements `reconcile.ports.Node` with the namespaces that Neutron makes; keys name them.

    `firewall` writes the guards; None means what the kernel has.
    """

    def __init__(self, firewall: RouterFirewall | None = None, lost: Lost = _nothing_lost) -> None:
        self._firewall = firewall or home_guards.choose()
        self._lost = lost
        self._lock = threading.Lock()
        self._touched: set[RouterId] = set()

    def find_touched(self) -> None:
        """Find what an earlier process of this agent has left; a namespace that fails is named."""
        found = set()
        for key in homes.all_keys():
            try:
                if homes.is_touched(key, self._firewall):
                    found.add(key)
            except Failure as failure:
                LOG.warning("Not looked into: %s", failure)
                found.add(key)
        with self._lock:
            self._touched |= found

    def routers(self) -> frozenset[RouterId]:
        """Return every namespace in which something of ours is."""
        with self._lock:
            return frozenset(self._touched)

    def observe(
        self, router_id: RouterId, known: ObservedNetwork | None = None
    ) -> ObservedNetwork:
        """Return what of the namespace is ours."""
        if known is not None and (again := network.observe_transforms(router_id, known)):
            return again
        seen = homes.observe(router_id, self._firewall)
        if seen.exists:
            return seen
        return dataclasses.replace(seen, nameless=self.nameless(router_id))

    def nameless(self, router_id: RouterId) -> net.Nameless | None:
        """Return what had the namespace's name, if nothing has it now and charon is in there."""
        lost = self._lost(router_id)
        return lost and net.Nameless(*lost, homes.devices_around(router_id, lost[0]))

    def apply(self, router_id: RouterId, action: NetworkAction) -> None:
        """Do one action; idempotent."""
        with self._lock:
            self._touched.add(router_id)
        match action:
            case net.EnsureNamespace():
                if not homes.observe(router_id, self._firewall).exists:
                    raise Temporary(router_id, MISSING)
            case net.NameNamespace(pid, inode):
                homes.name_again(router_id, pid, inode)
            case net.AwaitAddress(address):
                if address not in homes.observe(router_id, self._firewall).addresses:
                    raise Temporary(router_id, NO_ADDRESS)
            case net.ClaimAgain(duplicate):
                homes.claim_again(router_id, duplicate)
                raise Temporary(router_id, DUPLICATE)
            case net.RemoveNamespace():
                homes.remove_ours(router_id, self._firewall)
                network.forget(router_id, self._firewall)
                with self._lock:
                    self._touched.discard(router_id)
            case net.EnsureGuard(net.RouterGuard() as guard):
                homes.ensure_guard(router_id, guard, self._firewall)
            case (
                net.EnsureGuard()
                | net.EnsureLink()
                | net.RemoveLink()
                | net.EnsureHostAddress()
                | net.RemoveHostAddress()
            ):
                # Links and addresses are Neutron's: the layout has none, none is ever observed.
                raise TypeError(f"{action!r} is for a namespace of ours")
            case _:
                network.apply(router_id, action)

    def tell(self, key: RouterId, notice: bytes) -> None:
        """Tell the router's other agents something once, where its VRRP daemons speak."""
        for name, device in homes.devices(key).items():
            if name.startswith("ha-"):
                network.tell(key, name, device.mac, notice)

    def announce(self, key: RouterId) -> None:
        """Tell the neighbours of every device once that the router's addresses are here now."""
        for name, device in homes.devices(key).items():
            if name.startswith(_ANNOUNCED) and device.addresses:
                network.announce(key, name, device.mac, device.addresses, ())


ScopeMarks = Callable[[RouterId], Sequence[ScopeMark]]


class Knowing(Remembering, Protocol):
    """A source that can tell whether it has to ask; `reconcile.source.CachedSource` fits."""

    def is_current(self, router_id: RouterId) -> bool:
        """Tell whether `get_router` would answer at once."""
        ...


class HomeSource:
    """What each of a router's namespaces on this node should be: the server's word and the node's.

    Who serves a redundant router is decided here, by the one thing that neither a lost bus nor a
    late callback can make wrong: the router's address is here, and so is what put it here.
    Only if the server says that another node has it too, got it later and serves, this one is
    silent: for `lease` seconds from that word. `changed` is called when a role begins or ends.

    A turn for a redundant router never waits for the server, which may be cut off just when the
    address moves: it takes what is known, and `ask` gets the router's id to ask and look again.
    `lost` tells where to look for a namespace that has lost its name, and serves all the same.
    """

    def __init__(
        self,
        source: Knowing,
        scope_marks: ScopeMarks,
        clock: Callable[[], float],
        changed: Callable[[RouterId], None] = lambda _: None,
        ask: Callable[[RouterId], None] = lambda _: None,
        lost: Lost = _nothing_lost,
        lease: float = 60.0,
    ) -> None:
        self._source = source
        self._lost = lost
        self._scope_marks = scope_marks
        self._clock = clock
        self._changed = changed
        self._ask = ask
        self._lease = lease
        self._lock, self._since = threading.Lock(), clock()
        self._redundant: dict[RouterId, tuple[int, ...]] = {}
        self._roles: dict[RouterId, Role] = {}
        self._tenures: dict[RouterId, Tenure] = {}
        self._doubted: dict[RouterId, float] = {}
        self._elsewhere: set[RouterId] = set()
        self._later: dict[RouterId, Later] = {}
        # The server's word, and what it was returned as.
        self._sites: dict[RouterId, tuple[DesiredRouter | None, DesiredRouter]] = {}

    def get_router(self, key: RouterId) -> DesiredRouter | None:
        """Return what the namespace should be; None if nothing of ours is to be in it."""
        namespace, router_id = parse_key(key)
        desired = self._desired(router_id)
        site = site_of(desired, namespace) if desired and namespace else None
        with self._lock:
            if desired is not None and site is None:
                self._elsewhere.add(key)
            else:
                self._elsewhere.discard(key)
        if site is None or site.home is None:
            self._forget(key)
            self._sites.pop(key, None)
            return None
        role = Role.ACTIVE
        # What only steers does so on every host.
        if site.home.redundant and site.home.namespace is not None:
            role = self._role(key, site)
        else:
            self._forget(key)
        marks = tuple(self._scope_marks(router_id))
        home = dataclasses.replace(site.home, marks=marks, doubted=self._doubted.get(key))
        return self._same(key, desired, dataclasses.replace(site, role=role, home=home))

    def _same(
        self, key: RouterId, told: DesiredRouter | None, now: DesiredRouter
    ) -> DesiredRouter:
        """Return the same object while nothing changes: what was worked out for it still holds."""
        with self._lock:
            before, known = self._sites.get(key, (None, now))
            same = known if before is told and known == now else now
            self._sites[key] = told, same
        return same

    def _desired(self, router_id: RouterId) -> DesiredRouter | None:
        known = self._source.recall(router_id)
        if known is None or known.home is None or not known.home.redundant:
            return self._source.get_router(router_id)
        if not self._source.is_current(router_id):
            self._ask(router_id)
        return known

    def _forget(self, key: RouterId) -> None:
        with self._lock:
            told = (self._redundant, self._roles, self._tenures, self._doubted, self._later)
            for known in told:
                known.pop(key, None)

    def stays_closed(self, key: RouterId) -> bool:
        """Tell whether the namespace is here though the router's VPN, by the last word, isn't.

        Until Neutron removes it, it forwards packets of the VPN's networks.
        """
        with self._lock:
            is_elsewhere = key in self._elsewhere
        return is_elsewhere and key in homes.all_keys()

    def get_revisions(self) -> Mapping[RouterId, int]:
        """Ask the server; a router may have any of its namespaces here."""
        return {
            key_of(router_id, namespace): revision
            for router_id, revision in self._source.get_revisions().items()
            for namespace in HomeNamespace
        }

    def redundant(self) -> Mapping[RouterId, Sequence[int]]:
        """Return the namespaces to watch, and the processes on which their roles depend."""
        with self._lock:
            return dict(self._redundant)

    def roles(self) -> Mapping[RouterId, Role]:
        """Return the role of every redundant router's namespace, as last decided."""
        with self._lock:
            return dict(self._roles)

    def held(self, key: RouterId) -> float | None:
        """Return for how many seconds at least this node has had a router's address; None: not.

        What was before the agent began isn't counted: nobody knows it.
        """
        with self._lock:
            tenure = self._tenures.get(key)
        if tenure is None or tenure.ended is not None:
            return None
        return self._clock() - (self._since if tenure.began is None else tenure.began)

    def served_later(
        self, keys: Iterable[RouterId], told: Mapping[RouterId, float]
    ) -> Sequence[RouterId]:
        """Take in which of these namespaces' routers another node serves, and for how long.

        It got their addresses so many seconds ago, which are here too. Return those for which
        that is news: they must be looked at.
        """
        now, found = self._clock(), []
        with self._lock:
            for key in keys:
                seconds = told.get(parse_key(key)[1])
                known = self._later.pop(key, None)
                if seconds is not None:
                    self._later[key] = Later(now - seconds, now)
                if (known is None) != (seconds is None):
                    found.append(key)
        return found

    def notice(self, key: RouterId) -> bytes | None:
        """Return what to tell the others of the router, if it was served here and isn't now."""
        with self._lock:
            ended = self._tenures.get(key)
        if ended is None or ended.ended is None:
            return None
        return tell(key, ended, self._clock())

    def hear(self, key: RouterId, notices: Iterable[bytes]) -> bool:
        """Take in what others tell; return whether SAs here may have been replaced by theirs."""
        now = self._clock()
        told = [heard[1] for n in notices if (heard := hear(n, now)) and heard[0] == key]
        with self._lock:
            own = self._tenures.get(key)
            known = self._doubted.get(key, float("-inf"))
            found = [at for t in told if own and (at := doubted(own, t)) and at > known + _AGAIN]
            if found:
                self._doubted[key] = max(found)
        if found:
            LOG.info("%s was served elsewhere too, until %.1f s ago", key, now - max(found))
        return bool(found)

    def _role(self, key: RouterId, site: DesiredRouter) -> Role:
        known = self.redundant().get(key, ())
        pid = next(iter(self._lost(key) or ()), None)
        daemons = tuple(sorted(homes.processes(key, _VRRP_DAEMON, known, pid)))
        here = bool(daemons and _public_addresses(site) & _addresses(key, site, pid))
        with self._lock:
            self._redundant[key] = daemons
            before = self._roles.get(key)
            self._note(key, before, here)
            role = Role.ACTIVE if here and not self._gives_way(key) else Role.STANDBY
            self._roles[key] = role
        if before is not role:
            LOG.info("%s: %s", key, role)
            self._changed(key)
        return role

    def _note(self, key: RouterId, before: Role | None, here: bool) -> None:
        """Note when the node got the address or lost it; with the lock held."""
        tenure, now = self._tenures.get(key), self._clock()
        if here == (tenure is not None and tenure.ended is None):
            return
        self._doubted.pop(key, None)
        if here:
            self._tenures[key] = Tenure(None if before is None else now)
        elif tenure is not None:
            self._tenures[key] = dataclasses.replace(tenure, ended=now)

    def _gives_way(self, key: RouterId) -> bool:
        """Tell whether another node's tunnels are left alone; with the lock held."""
        began = self._tenures[key].began
        own = self._since if began is None else began
        ended = self._doubted.get(key)
        return gives_way(own, self._later.get(key), ended, self._clock(), self._lease)


def _public_addresses(site: DesiredRouter) -> frozenset[IPAddress]:
    return frozenset(i.ip for i in site.public.addresses) if site.public else frozenset()


def _addresses(key: RouterId, site: DesiredRouter, pid: int | None) -> frozenset[IPAddress]:
    if site.public is None:
        return frozenset()
    return homes.addresses(key, public_device(site.public.port_id), pid)


class Answering(Protocol):
    """A reporter that hears what others serve; `rpc.client.ServerClient` fits."""

    def report(self, reports: Sequence[RouterReport]) -> Mapping[RouterId, float]:
        """Tell the server; return since when others serve what is here too, in seconds."""
        ...


class HomeReporter:
    """Tells the server of routers, not of namespaces; one that only steers has nothing to tell.

    What the source knows goes with it: for how long this node has had a redundant router's
    address. What the server answers goes to the source; `look` is called for what that changes.
    """

    def __init__(
        self, reporter: Answering, source: HomeSource, look: Callable[[RouterId], None]
    ) -> None:
        self._reporter = reporter
        self._source = source
        self._look = look

    def report(self, reports: Sequence[RouterReport]) -> None:
        """Tell the server, and take in what it answers."""
        told = {r.router_id: self._of_router(r) for r in reports if r.services or r.connections}
        if not told:
            return
        later = self._reporter.report(list(told.values()))
        held = [key for key, report in told.items() if report.held is not None]
        for key in self._source.served_later(held, later):
            self._look(key)

    def _of_router(self, report: RouterReport) -> RouterReport:
        held = self._source.held(report.router_id)
        return dataclasses.replace(report, router_id=parse_key(report.router_id)[1], held=held)
