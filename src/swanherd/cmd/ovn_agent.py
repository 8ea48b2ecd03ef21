"""swanherd-ovn-agent: the VPN agent of a gateway node of OVN."""

from __future__ import annotations

import sys
from importlib import metadata

from oslo_config import cfg
from oslo_log import log

from swanherd.agent.ovn import OvnAgent
from swanherd.config import agent as options


def main() -> int:
    """Read the configuration and run until a signal ends it; return the exit status."""
    # The process-wide configuration: oslo.messaging registers its tracing options only there.
    conf = cfg.CONF
    log.register_options(conf)
    options.register(conf)
    conf(sys.argv[1:], project="swanherd", version=metadata.version("swanherd"))
    log.setup(conf, "swanherd")
    return OvnAgent(conf).run()


if __name__ == "__main__":
    sys.exit(main())
