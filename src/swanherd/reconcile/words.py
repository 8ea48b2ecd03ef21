"""What the log says of an action: which, and of what, in a line that doesn't grow. Pure."""

from __future__ import annotations

from swanherd.core.ike import LoadConfig, LoadSecret
from swanherd.core.network import EnsureGuard
from swanherd.core.planner import Action


def words(action: Action) -> str:
    """Return the action in words; what there may be a thousand of is only counted.

    Whole they are in what `swanherdctl` shows of a router and of its plan.
    """
    match action:
        case LoadSecret(connection):
            return f"LoadSecret({connection.id})"
        case LoadConfig(config, quiet, rank):
            count = len(config.children)
            return f"LoadConfig({config.name}, {count} children, quiet={quiet}, rank={rank})"
        case EnsureGuard(guard):
            return f"EnsureGuard({len(guard.pairs)} pairs, silent={guard.silent})"
        case _:
            return repr(action)
