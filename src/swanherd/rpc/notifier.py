"""The server's hints to agents: look again."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

import oslo_messaging

from swanherd.core.model import RouterId
from swanherd.rpc.topics import AGENT_TOPIC, VERSION
from swanherd.rpc.transport import open_transport

LOG = logging.getLogger(__name__)


class AgentNotifier:
    """Casts hints from a thread of its own; a hint carries no data and losing one is harmless.

    While the bus is away a cast waits for it: the API's answer must not.
    """

    def __init__(self, conf: Any) -> None:
        self._client = oslo_messaging.get_rpc_client(
            open_transport(conf),
            oslo_messaging.Target(topic=AGENT_TOPIC, version=VERSION),
        )
        self._hints: queue.SimpleQueue[tuple[str, RouterId]] = queue.SimpleQueue()
        self._waiting: set[tuple[str, RouterId]] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def router_changed(self, host: str, router_id: RouterId) -> None:
        """Tell the agent on `host` to look at the router again; returns at once."""
        with self._lock:
            if (host, router_id) in self._waiting:
                return
            self._waiting.add((host, router_id))
            if self._thread is None:
                # Not before the first hint: the process may fork until then.
                self._thread = threading.Thread(target=self._send, name="hints", daemon=True)
                self._thread.start()
        self._hints.put((host, router_id))

    def _send(self) -> None:
        while True:
            host, router_id = self._hints.get()
            with self._lock:
                self._waiting.discard((host, router_id))
            try:
                self._client.prepare(server=host).cast({}, "router_changed", router_id=router_id)
            except oslo_messaging.MessagingException as error:
                # The agent's periodic comparison of revisions finds the change all the same.
                LOG.warning("No hint to agent %s for router %s: %s", host, router_id, error)
            except Exception:
                # Whatever breaks for one, the thread is there for all hints to come.
                LOG.exception("The hint to agent %s for router %s broke", host, router_id)
