"""The server's hints to agents: look again."""

from __future__ import annotations

import logging
from typing import Any

import oslo_messaging

from swanherd.core.model import RouterId
from swanherd.rpc.topics import AGENT_TOPIC, VERSION
from swanherd.rpc.transport import open_transport

LOG = logging.getLogger(__name__)


class AgentNotifier:
    """Casts hints; a hint carries no data and losing one is harmless."""

    def __init__(self, conf: Any) -> None:
        self._client = oslo_messaging.get_rpc_client(
            open_transport(conf),
            oslo_messaging.Target(topic=AGENT_TOPIC, version=VERSION),
        )

    def router_changed(self, host: str, router_id: RouterId) -> None:
        """Tell the agent on `host` to look at the router again."""
        try:
            self._client.prepare(server=host).cast({}, "router_changed", router_id=router_id)
        except oslo_messaging.MessagingException as error:
            # The agent's periodic comparison of revisions finds the change all the same.
            LOG.warning("No hint to agent %s for router %s: %s", host, router_id, error)
