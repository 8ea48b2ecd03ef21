"""Every call that needs root, each a plain function of plain arguments.

They run in this process if it has the capabilities (a container's root, a unit with ambient
capabilities), else in a privsep daemon that the first call starts. Whatever fails raises OSError.

An agent without them is another user than its daemons, so the privsep daemon also has what that
takes, and what puts charon before other processes, as far as it can have it.
"""

from __future__ import annotations

import contextlib
import pathlib
import shlex
import sys
from typing import Any

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

# Of a daemon whose agent is another user: to see whose processes are, and to give it files that
# were root's.
BETWEEN_USERS = (caps.CAP_CHOWN, caps.CAP_SYS_PTRACE)

# Without them things are worse, and work: charon has its place among the others' processes.
WELCOME = (caps.CAP_SYS_NICE,)

_SECTION = "swanherd_privileged"

# Where Neutron is told how its own are started; its agents have these options already.
_NEUTRONS = (
    ("AGENT", [cfg.StrOpt("root_helper")]),
    ("privsep", [cfg.StrOpt("helper_command")]),
)


def _has(capability: int, which: str) -> bool:
    """Tell whether this process has it in that set of its own (proc(5))."""
    status = pathlib.Path("/proc/self/status").read_text()
    return bool(int(status.split(f"{which}:")[1].split()[0], 16) & (1 << capability))


default = priv_context.PrivContext(
    __name__,
    cfg_section=_SECTION,
    pypath=f"{__name__}.default",
    # The daemon imports this before it drops the others: what a container hasn't can't be kept.
    capabilities=(*NEEDED, *(each for each in (*BETWEEN_USERS, *WELCOME) if _has(each, "CapPrm"))),
)

# One call may wait for what happens in namespaces (`watch.wait`) while the others work; privsep's
# own default is the number of processors.
cfg.CONF.set_default("thread_pool_size", 16, group=_SECTION)


def has_capabilities() -> bool:
    """Tell whether this process may do it all itself (proc(5), CapEff)."""
    return all(_has(each, "CapEff") for each in NEEDED)


def follow_neutron(conf: Any) -> None:
    """Let the daemon be started as Neutron's own are, unless we were told how.

    Rootwrap lets privsep-helper pass whatever its filters are, so nothing has to be configured
    for us.
    """
    for group, options in _NEUTRONS:
        with contextlib.suppress(cfg.DuplicateOptError):
            conf.register_opts(options, group=group)
    if conf.AGENT.root_helper:
        priv_context.init(root_helper=shlex.split(conf.AGENT.root_helper))
    if conf.privsep.helper_command:
        conf.set_default("helper_command", conf.privsep.helper_command, group=_SECTION)


def _has_green_threads() -> bool:
    """Tell whether threads aren't threads: to enter a namespace would then move them all."""
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))


if has_capabilities() and not _has_green_threads():
    default.set_client_mode(False)
