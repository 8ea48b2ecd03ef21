"""swanherd-ovn-agent: the VPN agent of a gateway node of OVN."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata

from oslo_config import cfg
from oslo_log import log

from swanherd.agent.ovn import OvnAgent
from swanherd.config import agent as options
from swanherd.dataplane import privileged
from swanherd.rpc.transport import find_bus_soon


def main() -> int:
    """Read the configuration and run until a signal ends it; return the exit status."""
    if not privileged.has_capabilities() and (anew := by_sudo(sys.argv)):
        os.execv(anew[0], anew)  # noqa: S606 - fixed programs, and the arguments are ours
    # The process-wide configuration: oslo.messaging registers its tracing options only there.
    conf = cfg.CONF
    log.register_options(conf)
    options.register(conf)
    find_bus_soon(conf)
    conf(sys.argv[1:], project="swanherd", version=metadata.version("swanherd"))
    log.setup(conf, "swanherd")
    privileged.follow_neutron(conf)
    return OvnAgent(conf).run()


def by_sudo(argv: Sequence[str]) -> list[str] | None:
    """Return how to start this program as root, None where sudo doesn't allow that.

    Images of Neutron run as a user without capabilities, and strongSwan's daemons are root's.
    """
    sudo, program = shutil.which("sudo"), shutil.which(argv[0])
    if sudo is None or program is None:
        return None
    command = [os.path.abspath(program), *argv[1:]]
    asked = [sudo, "-n", "-l", "--", *command]
    allowed = subprocess.run(asked, capture_output=True, check=False)  # noqa: S603 - as above
    return [sudo, "-n", "--", *command] if allowed.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
