"""What an agent asks of the machine that it runs on: who encrypts, and what a name means here."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from swanherd.agent.telling import CONTROL_SOCKET
from swanherd.config import agent as options
from swanherd.core.failures import Failure
from swanherd.core.model import DataPlane
from swanherd.dataplane import daemons, esp

LOG = logging.getLogger(__name__)

# In the state directory: a directory for each router.
ROUTERS = "routers"


def choose_data_plane(wanted: str) -> DataPlane:
    """Return the data plane for the option's value; the log tells why."""
    if wanted != "auto":
        LOG.info("Data plane: %s, as configured", wanted)
        return DataPlane(wanted)
    if esp.kernel_has_esp():
        LOG.info("Data plane: kernel (its XFRM has ESP)")
        return DataPlane.KERNEL
    LOG.warning(
        "Data plane: userspace, since this kernel has no ESP (modules esp4 and esp6). "
        "It is slower; load the modules and restart the agent to use the kernel."
    )
    return DataPlane.USERSPACE


def own_state(conf: Any) -> Path:
    """Return the directory of the daemons' files, which is ours now, whoever's it was.

    So what runs is found again after an agent that was root is Neutron's user, or the reverse.
    """
    if (earlier := options.earlier_state(conf)) is not None:
        try:
            daemons.take(earlier, (ROUTERS, CONTROL_SOCKET))
        except Failure as failure:
            LOG.warning("%s stays as it is: %s", earlier, failure)
    return options.state_path(conf)
