"""Options of the agent."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from oslo_config import cfg

DEFAULT_OPTS: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "host",
        default=socket.gethostname(),
        sample_default="example.domain",
        help="Name of this node: the hostname of its OVN chassis, which Neutron binds ports to.",
    ),
)

AGENT_OPTS: Sequence[cfg.Opt] = (
    cfg.StrOpt(
        "state_path",
        default="/var/lib/swanherd",
        help="Directory of the daemons' files, a folder for each router. It needs no backup: "
        "what is lost is made again.",
    ),
    cfg.StrOpt(
        "data_plane",
        default="auto",
        choices=("auto", "kernel", "userspace"),
        help="Who encrypts packets: the kernel's XFRM, or charon itself (kernel-libipsec, "
        "slower, works on any kernel with TUN devices). auto takes the kernel where it has ESP.",
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
        "rpc_timeout", default=15.0, min=1.0, help="Seconds to wait for the server's answer."
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
