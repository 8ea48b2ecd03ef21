"""What commands on a server's host need: Neutron's settings, and its database by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def settle(config_files: Sequence[str]) -> Any:
    """Read the settings, as the server does; return them."""
    # Only the server's hosts have Neutron.
    from neutron.common import config as neutron_config
    from oslo_config import cfg

    from swanherd.config import server as options
    from swanherd.server.db.head import get_metadata

    get_metadata()
    neutron_config.register_common_config_options()
    options.register(cfg.CONF)
    cfg.CONF(args=[f"--config-file={name}" for name in config_files], project="neutron")
    return cfg.CONF
