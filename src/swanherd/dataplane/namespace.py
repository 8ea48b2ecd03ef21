"""A router's VPN namespace: its name, its life, and daemons in it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from swanherd.core.home import parse_key
from swanherd.core.model import RouterId
from swanherd.dataplane import privileged
from swanherd.dataplane.failing import failing
from swanherd.dataplane.guards import Firewall
from swanherd.dataplane.privileged import inside, namespaces, removals

_PREFIX = "qvpn-"
_CODE = "namespace_failed"

_SETPRIV = "/usr/bin/setpriv"  # util-linux
_DAEMONS_CAPABILITIES = ("net_admin", "net_raw", "net_bind_service")


class Maker(Protocol):
    """Who makes and removes namespaces: `privileged.namespaces` here, or `keeper.Keeper`."""

    def make(self, namespace: str, firewall: str, closed: Mapping[int, str]) -> None:
        """Make the namespace, or bring one that is there to its shape; idempotent."""
        ...

    def delete(self, namespace: str) -> None:
        """Remove the namespace's name; idempotent."""
        ...


HERE: Maker = namespaces


def name_of(router_id: RouterId) -> str:
    """Return the namespace's name, as `ip netns` shows it: ours, or for a key the router's own."""
    whose, _ = parse_key(router_id)
    return router_id if whose is not None else f"{_PREFIX}{router_id}"


def routers() -> frozenset[RouterId]:
    """Return every router that has a namespace on this node, or the file of one."""
    try:
        names = os.listdir(inside.DIRECTORY)
    except FileNotFoundError:
        return frozenset()
    return frozenset(RouterId(n.removeprefix(_PREFIX)) for n in names if n.startswith(_PREFIX))


def namespace_inode(router_id: RouterId) -> int | None:
    """Return the number by which the kernel knows the namespace; None if there is none."""
    return inside.inode_of(name_of(router_id))


def ensure(router_id: RouterId, firewall: Firewall, maker: Maker = HERE) -> None:
    """Make the namespace with a guard that lets nothing pass; one that is there keeps its own."""
    with failing(router_id, _CODE):
        maker.make(name_of(router_id), firewall.kind, dict(firewall.closed()))


def remove(router_id: RouterId, maker: Maker = HERE) -> None:
    """Remove the namespace; idempotent."""
    with failing(router_id, _CODE):
        maker.delete(name_of(router_id))


def spawn(
    router_id: RouterId, argv: Sequence[str], env: Mapping[str, str], output: str | None = None
) -> int:
    """Start a daemon inside the namespace, in a session of its own; return its process id.

    It is this process' user, with the capabilities that it needs. What it prints is appended to
    the file `output`, which only its owner can read. Raises Temporary or Permanent with the code
    `namespace_failed`.
    """
    with failing(router_id, _CODE):
        command = [*_as_ourselves(), *argv]
        pid: int = namespaces.spawn(name_of(router_id), command, dict(env), output)
        return pid


def _as_ourselves() -> tuple[str, ...]:
    """Return what a privsep helper, which is root, puts before the command of our daemon.

    charon keeps CAP_NET_ADMIN alone, also as root: it couldn't read our files (capabilities(7)).
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0 or not privileged.default.client_mode:
        return ()
    kept = ",".join(f"+{name}" for name in _DAEMONS_CAPABILITIES)
    who = (f"--reuid={user}", f"--regid={group}", "--clear-groups")
    return (_SETPRIV, *who, f"--inh-caps={kept}", f"--ambient-caps={kept}", "--")


def wait_for_removals(router_ids: Collection[RouterId], seconds: float) -> frozenset[RouterId]:
    """Return the routers from whose namespace something was removed, or the namespace itself.

    Waits at most so many seconds. What was removed before the first call isn't told of.
    """
    names = {name_of(router_id): router_id for router_id in router_ids}
    with failing(RouterId("-"), _CODE):
        gone: list[str] = removals.wait(sorted(names), seconds)
    return frozenset(names[name] for name in gone)
