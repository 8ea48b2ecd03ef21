"""Every call that needs root, each a plain function of plain arguments.

They run in this process if it has the capabilities (a container's root, a unit with ambient
capabilities), else in a privsep daemon that the first call starts. Whatever fails raises OSError.
"""

from __future__ import annotations

import pathlib
import sys

from oslo_config import cfg
from oslo_privsep import capabilities as caps
from oslo_privsep import priv_context

NEEDED = (
    caps.CAP_NET_ADMIN,
    caps.CAP_NET_RAW,  # gratuitous ARP is a raw frame
    caps.CAP_NET_BIND_SERVICE,  # for charon, which inherits it
    caps.CAP_SYS_ADMIN,  # setns, mount
    caps.CAP_DAC_OVERRIDE,  # /run/netns
)

default = priv_context.PrivContext(
    __name__,
    cfg_section="swanherd_privileged",
    pypath=f"{__name__}.default",
    capabilities=NEEDED,
)

# One call may wait for what happens in namespaces (`watch.wait`) while the others work; privsep's
# own default is the number of processors.
cfg.CONF.set_default("thread_pool_size", 16, group="swanherd_privileged")


def has_capabilities() -> bool:
    """Tell whether this process may do it all itself (proc(5), CapEff)."""
    status = pathlib.Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    return all(effective & (1 << cap) for cap in NEEDED)


def _has_green_threads() -> bool:
    """Tell whether threads aren't threads: to enter a namespace would then move them all."""
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))


if has_capabilities() and not _has_green_threads():
    default.set_client_mode(False)
