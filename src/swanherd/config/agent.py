"""Options of the agent."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

# Where the agent's files are; the second where the first can't be made, as in a container with a
# read-only root, which has a directory of its own for Neutron's state.
STATE_PATH = "/var/lib/swanherd"
NEUTRON_STATE_PATH = "/var/lib/neutron"
BESIDE_NEUTRON = "swanherd"

DEFAULT_OPTS: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "host",
        default=socket.gethostname(),
        sample_default="example.domain",
        help="Name of this node: the hostname of its OVN chassis, which Neutron binds ports to.",
    ),
    cfg.StrOpt(
        "state_path",
        default=NEUTRON_STATE_PATH,
        help="Neutron's directory, as in neutron.conf; see [swanherd] state_path.",
    ),
)

AGENT_OPTS: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "state_path",
        help="Directory of the daemons' files, a folder for each router. It needs no backup: "
        "what is lost is made again. If it isn't set: /var/lib/swanherd, and where that can't be "
        "written, the folder swanherd in [DEFAULT] state_path.",
    ),
    cfg.StrOpt(
        "data_plane",
        default="auto",
        choices=("auto", "kernel", "userspace"),
        help="Who encrypts packets: the kernel's XFRM, or charon itself (kernel-libipsec, "
        "slower, works on any kernel with TUN devices). auto takes the kernel where it has ESP.",
    ),
    cfg.StrOpt(
        "namespace_keeper",
        default="",
        help="Socket of swanherd-netns-keeper, which makes the namespaces for an OVN agent in a "
        "container that isn't privileged. Empty: the agent makes them itself.",
    ),
    cfg.IntOpt("workers", default=4, min=1, help="How many routers are worked on at once."),
    cfg.FloatOpt(
        "compare_interval",
        default=20.0,
        min=1.0,
        help="Seconds between two comparisons of all routers' revisions with the server's; "
        "also how often drift on the node is looked for.",
    ),
    cfg.FloatOpt(
        "report_interval",
        default=10.0,
        min=1.0,
        help="Seconds between two heartbeats to Neutron's agents table.",
    ),
    cfg.FloatOpt(
        "rpc_timeout",
        default=15.0,
        min=1.0,
        help="The longest time in seconds to wait for the server's answer. The first wait is 3 s, "
        "and each one after an answer that didn't come is twice as long.",
    ),
    cfg.FloatOpt(
        "desired_max_age",
        default=120.0,
        min=1.0,
        help="Seconds after which the desired state of a router is fetched anew, changed or not.",
    ),
    cfg.FloatOpt(
        "swap_grace",
        default=300.0,
        min=0.0,
        help="Seconds that the old tunnel of a changed connection stays while the peer refuses "
        "the new one; so a key can be changed on one side first without loss.",
    ),
    cfg.FloatOpt(
        "last_retry",
        default=30.0,
        min=1.0,
        help="The longest pause in seconds between two attempts to reach a peer.",
    ),
    cfg.FloatOpt(
        "fence_after",
        default=60.0,
        min=5.0,
        help="Seconds after which an agent that can't reach OVN's southbound database stops "
        "sending for all its routers: another gateway may serve them by then. So long two may "
        "serve one router, at most; and so long the database may be away without harm.",
    ),
)

OVN_OPTS: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "ovn_sb_connection",
        default="",
        help="Where OVN's southbound database answers; several remotes with commas between. "
        "Empty: where this node's ovn-controller finds it.",
    ),
    cfg.StrOpt(
        "ovn_sb_private_key", default="", help="File of the private key, for an ssl: remote."
    ),
    cfg.StrOpt(
        "ovn_sb_certificate", default="", help="File of the certificate, for an ssl: remote."
    ),
    cfg.StrOpt(
        "ovn_sb_ca_cert", default="", help="File of the authority's certificate, for ssl:."
    ),
)

METRICS_OPTS: Sequence[cfg.Opt] = (
    cfg.BoolOpt(
        "enabled",
        default=True,
        help="Serve metrics for Prometheus (/metrics) and the agent's health (/livez, /readyz, "
        "/healthz) over HTTP.",
    ),
    cfg.HostAddressOpt(
        "address",
        default="127.0.0.1",
        help="Address to listen on. Whoever reaches it reads ids of routers and connections, "
        "their states and how much they carry: choose an address of the management network.",
    ),
    cfg.PortOpt("port", default=9699, help="TCP port to listen on."),
    cfg.StrOpt(
        "socket",
        default="",
        help="Path of a unix socket to listen on instead, for the user and the group of the "
        "agent.",
    ),
)

OVS_OPTS: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "ovsdb_connection",
        default="unix:/run/openvswitch/db.sock",
        help="Where this node's Open_vSwitch database is.",
    ),
)

# What is registered by whom: Neutron registers [DEFAULT] host itself, so in its processes only
# the other groups are.
GROUPS = (
    ("DEFAULT", DEFAULT_OPTS),
    ("swanherd", AGENT_OPTS),
    ("metrics", METRICS_OPTS),
    ("ovs", OVS_OPTS),
    ("ovn", OVN_OPTS),
)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options for oslo-config-generator."""
    return [(group, list(options)) for group, options in GROUPS]


def register(conf: cfg.ConfigOpts) -> None:
    """Register the agent's options."""
    for group, options in GROUPS:
        conf.register_opts(options, group=None if group == "DEFAULT" else group)


def register_beside_neutron(conf: cfg.ConfigOpts) -> None:
    """Register what is ours alone in a process of Neutron's, which has [DEFAULT] and [ovs]."""
    conf.register_opts(AGENT_OPTS, group="swanherd")
    conf.register_opts(METRICS_OPTS, group="metrics")


def state_path(conf: Any, first: Path = Path(STATE_PATH)) -> Path:
    """Return the directory of the daemons' files: as configured, else where it is or can be."""
    there = earlier_state(conf, first)
    if there is not None and (conf.swanherd.state_path or _can_be_made(there)):
        return there
    return first if _can_be_made(first) else Path(conf.state_path) / BESIDE_NEUTRON


def earlier_state(conf: Any, first: Path = Path(STATE_PATH)) -> Path | None:
    """Return the directory as configured, else the one that an agent already had, whoever's."""
    if conf.swanherd.state_path:
        return Path(conf.swanherd.state_path)
    beside = Path(conf.state_path) / BESIDE_NEUTRON
    return next((path for path in (first, beside) if path.is_dir()), None)


def _can_be_made(directory: Path) -> bool:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK | os.X_OK)
