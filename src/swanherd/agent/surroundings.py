"""What an agent asks of the machine that it runs on: who encrypts, and what a name means here."""

from __future__ import annotations

import logging

from swanherd.core.model import DataPlane
from swanherd.dataplane import esp

LOG = logging.getLogger(__name__)


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
