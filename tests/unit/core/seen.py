"""One connection, and what a look at charon may show of it."""

from swanherd.core.ike import ChildSa, Fault, IkeSa, LoadedConfig, ObservedCharon, SaState
from swanherd.core.network import ObservedNetwork
from swanherd.core.peering import ike_config
from swanherd.core.tunnels import Timing, plan_tunnels
from swanherd.testing import builders as make

CONNECTION = make.connection()
DESIRED = make.desired(CONNECTION)
CONFIG = ike_config(CONNECTION, DESIRED.naming_key)
LOADED = LoadedConfig(CONFIG.name, frozenset(name for name, _ in CONFIG.children))
OLD = f"{CONFIG.connection.id}-0123456789abcdef"


def ike_sa(unique_id=1, config=CONFIG.name, state=SaState.ESTABLISHED, **changes):
    fields = {
        "initiator": True,
        "local_host": "203.0.113.2",
        "remote_host": "198.51.100.2",
        "busy": False,
        "children": tuple(
            ChildSa(name, 100 + unique_id, SaState.INSTALLED) for name, _ in CONFIG.children
        ),
    }
    return IkeSa(config=config, unique_id=unique_id, state=state, **(fields | changes))


def charon(*sas, configs=(LOADED,), faults=(), secrets=frozenset({CONFIG.connection.id})):
    return ObservedCharon(
        running=True,
        configs=frozenset(configs),
        secrets=secrets,
        ike_sas=sas,
        faults=tuple(faults),
    )


def fault(first=0.0, last=0.0, code="peer_silent"):
    return Fault(CONFIG.name, code, "text", "hint", first, last)


def actions(observed, desired=DESIRED, now=0.0):
    return plan_tunnels(desired, observed, Timing(now))[0]


def network(wanted):
    """What a node shows whose network is as wanted."""
    return ObservedNetwork(
        exists=True,
        guard=wanted.guard,
        links=wanted.links,
        host_addresses=wanted.host_addresses,
        routes=wanted.routes,
        rules=wanted.rules,
    )
