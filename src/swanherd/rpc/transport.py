"""The bus, as Neutron uses it."""

from __future__ import annotations

from typing import Any

import oslo_messaging
from oslo_messaging import opts

# Neutron's processes set the same default (neutron.common.config): both ends must agree.
CONTROL_EXCHANGE = "neutron"

# The longest pause in seconds between two attempts to reach a bus that is away, unless that is
# configured: oslo.messaging's own 30 s are as long as a whole repair may take.
LONGEST_PAUSE = 2
_RABBIT = "oslo_messaging_rabbit"


def find_bus_soon(conf: Any) -> None:
    """Have a process that is ours alone find a bus that has come back within seconds."""
    conf.register_opts(dict(opts.list_opts())[_RABBIT], _RABBIT)
    conf.set_default("rabbit_interval_max", LONGEST_PAUSE, _RABBIT)


def open_transport(conf: Any) -> Any:
    """Return the transport that `[DEFAULT] transport_url` names."""
    oslo_messaging.set_transport_defaults(control_exchange=CONTROL_EXCHANGE)
    return oslo_messaging.get_rpc_transport(conf)
