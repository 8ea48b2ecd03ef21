"""Options of the Neutron server's side."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GROUP = "swanherd"

OPTIONS = [
    cfg.IntOpt(
        "pending_create_timeout",
        default=300,
        min=0,
        help=(
            "Seconds for which a new connection that isn't up yet is shown as PENDING_CREATE, "
            "with the cause, before it is shown as DOWN."
        ),
    ),
    cfg.IntOpt(
        "details_interval",
        default=60,
        min=1,
        help=(
            "Seconds after which the counters and times in a connection's details are written "
            "anew, if they have changed; what was negotiated is written at once."
        ),
    ),
    cfg.StrOpt(
        "weak_algorithms",
        default="allow",
        choices=("allow", "warn", "deny"),
        help=(
            "What is done with a policy that is made with, or changed to, a weak value: 3des, "
            "sha1, group2, group5, group22 to group25, or aggressive mode. warn logs it; deny "
            "answers 400 with the field and what to use. The API's own defaults, sha1 and "
            "group5, are weak."
        ),
    ),
    cfg.ListOpt(
        "psk_keys",
        default=[],
        secret=True,
        help=(
            "Keys that encrypt pre-shared keys in the database, each 32 bytes in URL-safe base64. "
            "The first encrypts, all decrypt: put a new one in front on every controller, run "
            "`swanherdctl secrets rotate`, then remove the old one. Without any, pre-shared keys "
            "are stored in clear, as neutron-vpnaas does."
        ),
    ),
    cfg.ListOpt(
        "psk_key_ids",
        default=[],
        help=(
            "Ids of such keys (32 bytes) in the key manager of [key_manager], through castellan "
            "(the extra `castellan`); they come after psk_keys."
        ),
    ),
    cfg.IntOpt(
        "sweep_interval",
        default=20,
        min=5,
        help=(
            "Seconds between two looks at every router with a VPN, which repair what others "
            "removed and find agents that are gone."
        ),
    ),
    cfg.StrOpt(
        "take_over",
        default="at_once",
        choices=("at_once", "on_request"),
        help=(
            "When routers that neutron-vpnaas served are taken over: all by the first sweep, or "
            "each by `swanherdctl migrate run` or the first change of its VPN. Those of L3 agents "
            "are taken over at once. See docs/migrating.md."
        ),
    ),
    cfg.IntOpt(
        "rpc_workers",
        default=4,
        min=1,
        help="Threads that answer agents in each process of neutron-rpc-server.",
    ),
]


def register(conf: Any) -> None:
    """Register the options; once or more."""
    conf.register_opts(OPTIONS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options for oslo-config-generator."""
    return [(GROUP, OPTIONS)]
