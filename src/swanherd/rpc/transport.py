"""The bus, as Neutron uses it."""

from __future__ import annotations

from typing import Any

import oslo_messaging

# Neutron's processes set the same default (neutron.common.config): both ends must agree.
CONTROL_EXCHANGE = "neutron"


def open_transport(conf: Any) -> Any:
    """Return the transport that `[DEFAULT] transport_url` names."""
    oslo_messaging.set_transport_defaults(control_exchange=CONTROL_EXCHANGE)
    return oslo_messaging.get_rpc_transport(conf)
