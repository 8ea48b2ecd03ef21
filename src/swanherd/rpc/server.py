"""The server's end of the wire: what agents may ask and tell."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import oslo_messaging

from swanherd.core.model import DesiredRouter, RouterId, RouterReport
from swanherd.rpc import codec
from swanherd.rpc.topics import SERVER_TOPIC, SERVER_VERSION
from swanherd.rpc.transport import open_transport

LOG = logging.getLogger(__name__)


class Handler(Protocol):
    """What the server does with a question of an agent."""

    def get_router(self, host: str, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be; None if that host has nothing to do with it."""
        ...

    def get_revisions(self, host: str) -> Mapping[RouterId, int]:
        """Return the revision of every router that the host serves."""
        ...

    def report_status(
        self, host: str, reports: Sequence[RouterReport]
    ) -> Mapping[RouterId, float]:
        """Take in what is true on the host; return since when others serve what it has."""
        ...


class Endpoint:
    """Turns messages into calls of the handler."""

    target = oslo_messaging.Target(version=SERVER_VERSION)

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def get_router(
        self,
        _context: dict[str, Any],
        host: str,
        router_id: str,
        known: dict[str, str] | None = None,
    ) -> dict[str, Any] | None:
        """Answer an agent that looks at one router, without what it knows by these tags."""
        desired = self._handler.get_router(host, RouterId(router_id))
        if desired is None:
            return None
        plain = codec.dump(desired)
        return plain if known is None else codec.difference(plain, known)

    def get_revisions(self, _context: dict[str, Any], host: str) -> dict[str, int]:
        """Answer an agent's periodic comparison."""
        return {str(i): revision for i, revision in self._handler.get_revisions(host).items()}

    def report_status(
        self, _context: dict[str, Any], host: str, reports: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Take in an agent's reports; one that can't be read doesn't keep the others out.

        The answer's `served_later` tells of routers whose addresses the agent's node has, and
        another one too: for how many seconds, since it got them later and serves.
        """
        values = []
        for plain in reports:
            try:
                values.append(codec.load(RouterReport, plain))
            except ValueError as error:
                LOG.warning("Ignored a report of agent %s: %s", host, error)
        later = self._handler.report_status(host, values)
        return {"served_later": {str(i): seconds for i, seconds in later.items()}}


def start(handler: Handler, conf: Any, host: str, workers: int = 4) -> Any:
    """Serve agents from this process until `stop()`; returns the started message server."""
    server = oslo_messaging.get_rpc_server(
        open_transport(conf),
        oslo_messaging.Target(topic=SERVER_TOPIC, server=host, version=SERVER_VERSION),
        [Endpoint(handler)],
        executor="threading",
        access_policy=oslo_messaging.DefaultRPCAccessPolicy,
    )
    server.start(override_pool_size=workers)
    return server
