"""The agent's end of the wire: the source of desired state, and where reports go."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import oslo_messaging

from swanherd.core.failures import Temporary
from swanherd.core.model import DesiredRouter, Reason, RouterId, RouterReport
from swanherd.rpc import codec
from swanherd.rpc.patience import Patience
from swanherd.rpc.topics import (
    AGENT_BINARY,
    AGENT_TOPIC,
    AGENT_TYPE,
    REPORTS_TOPIC,
    REPORTS_VERSION,
    SERVER_TOPIC,
    SERVER_VERSION,
    VERSION,
)
from swanherd.rpc.transport import open_transport

NOWHERE = RouterId("-")

# Of services and connections in one message of reports: some 200 KB, and 0.2 s of the server.
MOST_ROWS = 300

# What Neutron makes a context of: an agent acts for the cloud's administrator.
_CONTEXT = {"is_admin": True}


def _unreachable(router_id: RouterId, error: Exception | str) -> Temporary:
    return Temporary(
        router_id, Reason("server_unreachable", f"The Neutron server didn't answer: {error}")
    )


class _Older(Exception):
    """The server knows only an earlier version of the call."""


def _is_unsupported(error: Exception) -> bool:
    """Tell whether the server answered that it knows no such version; over a bus by its name."""
    kind = oslo_messaging.UnsupportedVersion
    return isinstance(error, kind) or getattr(error, "exc_type", None) == kind.__name__


class ServerClient:
    """Asks and tells the server on behalf of the agent on `host`.

    `timeout`: for how long an answer is waited for at most, in seconds (see `Patience`); `binary`
    is the program that the agent is a part of; `clock` tells monotonic seconds.
    """

    def __init__(
        self,
        conf: Any,
        host: str,
        timeout: float,
        *,
        binary: str = AGENT_BINARY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        transport = open_transport(conf)
        self._binary = binary
        self._clock = clock
        self._host = host
        self._reader = codec.RouterReader()
        self._client = oslo_messaging.get_rpc_client(
            transport,
            oslo_messaging.Target(topic=SERVER_TOPIC, version=VERSION),
            # The bus says at once if no server has listened since it began: no answer would come.
            transport_options=oslo_messaging.TransportOptions(at_least_once=True),
        )
        # Each question has its own: that a short answer comes tells nothing of a long one.
        self._patience = defaultdict[str, Patience](lambda: Patience(timeout))
        self._reports = oslo_messaging.get_rpc_client(
            transport,
            oslo_messaging.Target(topic=REPORTS_TOPIC, version=REPORTS_VERSION),
        )

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be; Temporary if the server can't tell now."""
        plain = self._ask(router_id)
        if plain is None:
            self._reader.forget(router_id)
            return None
        try:
            return self._reader.read(plain)
        except ValueError as error:
            raise _unreachable(router_id, error) from error

    def _ask(self, router_id: RouterId) -> Any:
        """Ask for a router, if the server can, without what is known of it (docs/adr/0019)."""
        question: dict[str, Any] = {"host": self._host, "router_id": router_id}
        known = {"known": self._reader.tags(router_id)}
        try:
            return self._call(router_id, "get_router", question | known, SERVER_VERSION)
        except _Older:
            return self._call(router_id, "get_router", question)

    def get_revisions(self) -> Mapping[RouterId, int]:
        """Return the revision of every router that this host serves."""
        plain: dict[RouterId, int] = self._call(NOWHERE, "get_revisions", {"host": self._host})
        return plain

    def report(self, reports: Sequence[RouterReport]) -> Mapping[RouterId, float]:
        """Send reports, and wait until the server has taken them in; Temporary if it doesn't.

        Return the routers that another host serves, though this one has their addresses too: for
        how many seconds the other has had them. A server of an older release doesn't tell.

        A server works on several messages at once: it would show what is past if it took in the
        next report first. Many are sent in several messages, since the server keeps requests for
        all routers of one waiting until it has taken that in.
        """
        told: dict[str, float] = {}
        for some in _in_parts(reports):
            plain = [codec.dump(report) for report in some]
            answer = self._call(NOWHERE, "report_status", {"host": self._host, "reports": plain})
            told |= (answer or {}).get("served_later", {})
        return {RouterId(router_id): seconds for router_id, seconds in told.items()}

    def report_agent(self, configurations: Mapping[str, Any], *, start: bool) -> None:
        """Send the heartbeat that Neutron's agents table shows; Temporary if the bus is away."""
        state: dict[str, Any] = {
            "binary": self._binary,
            "host": self._host,
            "topic": AGENT_TOPIC,
            "agent_type": AGENT_TYPE,
            "availability_zone": "nova",
            "configurations": dict(configurations),
        }
        if start:
            state["start_flag"] = True
        try:
            self._reports.cast(
                _CONTEXT,
                "report_state",
                agent_state={"agent_state": state},
                # Neutron parses exactly this form, without a zone (oslo_utils.timeutils).
                time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"),
            )
        except oslo_messaging.MessagingException as error:
            raise _unreachable(NOWHERE, error) from error

    def _call(
        self,
        router_id: RouterId,
        method: str,
        arguments: dict[str, Any],
        version: str = VERSION,
    ) -> Any:
        patience = self._patience[method]
        patient = self._client.prepare(timeout=patience.seconds, version=version)
        asked = self._clock()
        try:
            answer = patient.call(_CONTEXT, method, **arguments)
        except oslo_messaging.MessagingException as error:
            if _is_unsupported(error):
                patience.answered(self._clock() - asked)
                raise _Older from error
            patience.missed()
            raise _unreachable(router_id, error) from error
        except oslo_messaging.MessageUndeliverable as error:
            raise _unreachable(router_id, "nobody listens") from error
        except Exception as error:
            # What broke in the server: Python's own exceptions come as what they are there
            # (oslo_messaging._drivers.common, deserialize_remote_exception).
            raise _unreachable(router_id, error) from error
        patience.answered(self._clock() - asked)
        return answer


def _in_parts(reports: Sequence[RouterReport]) -> Iterator[Sequence[RouterReport]]:
    """Yield the reports in parts that have so many rows, or are of one router."""
    part: list[RouterReport] = []
    rows = 0
    for report in reports:
        more = len(report.services) + len(report.connections)
        if part and rows + more > MOST_ROWS:
            yield part
            part, rows = [], 0
        part.append(report)
        rows += more
    yield part


class _HintEndpoint:
    """Takes the server's hints."""

    target = oslo_messaging.Target(version=VERSION)

    def __init__(self, look_again: Callable[[RouterId], None]) -> None:
        self._look_again = look_again

    def router_changed(self, _context: dict[str, Any], router_id: str) -> None:
        """Queue the router."""
        self._look_again(RouterId(router_id))


def listen(conf: Any, host: str, look_again: Callable[[RouterId], None]) -> Any:
    """Call `look_again` for each hint to this host until `stop()` of what is returned."""
    server = oslo_messaging.get_rpc_server(
        open_transport(conf),
        oslo_messaging.Target(topic=AGENT_TOPIC, server=host, version=VERSION),
        [_HintEndpoint(look_again)],
        executor="threading",
        access_policy=oslo_messaging.DefaultRPCAccessPolicy,
    )
    server.start(override_pool_size=1)
    return server
