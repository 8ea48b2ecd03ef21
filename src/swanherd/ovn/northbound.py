"""Our rows in OVN's northbound database: from what they are to what they should be.

`nb` is an ovsdbapp backend of OVN_Northbound, Neutron's own for instance. Rows of ours carry the
router's id under our own key in external_ids; no other row is ever touched. All rows of a router
change in one transaction.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ovs.db import idl
from ovsdbapp.backend.ovs_idl import command

from swanherd.core.failures import Temporary
from swanherd.core.model import Reason, RouterId
from swanherd.core.steering import Northbound, Policy, Route
from swanherd.ovn import raw
from swanherd.ovn.database import EVERY_ROUTER, commit, held

ROUTER_KEY = "swanherd:router_id"
REVISION_KEY = "swanherd:revision"
# Counts our transactions, so that of two that run at once the second starts over.
TURN_KEY = "swanherd:turn"

# Neutron's key, without which it can't move a router's gateway (OVNClient in release 29,
# update_router_ha_chassis_group). A network that the router has anyway adds nothing there.
NETWORK_KEY = "neutron:network_name"

# What of ours hangs on Neutron's router.
_ON_ROUTER = ("Logical_Router_Policy", "Logical_Router_Port", "Logical_Router_Static_Route")

# The option of a port that names the chassis that may have it (ovn-nb(5)).
REQUESTED = "requested-chassis"

# Something to do in a transaction.
Step = Callable[[idl.Transaction], None]


class Outcome(enum.Enum):
    """What became of a sync."""

    SAME = "same"
    WRITTEN = "written"
    NEWER = "newer"  # somebody has written a later revision: nothing was changed


def sync(nb: Any, wanted: Northbound) -> Outcome:
    """Make our rows those that are wanted, or raise Temporary.

    If nothing differs there is no transaction. If the rows are of a later revision they stay.
    """
    found = compare(nb, wanted)
    if found is not Outcome.WRITTEN:
        return found
    writing = _Write(nb, wanted.router_id, wanted.revision, lambda r: _steps(r, wanted))
    commit(nb, wanted.router_id, writing)
    return writing.outcome


def compare(nb: Any, wanted: Northbound) -> Outcome:
    """Return what `sync` would do, by what the replica says now, or raise Temporary."""
    with held(nb, wanted.router_id):
        rows = _Rows(nb, wanted.router_id)
        if rows.revision > wanted.revision:
            return Outcome.NEWER
        # A new revision is written in any case, and the transaction looks itself.
        same = rows.revision == wanted.revision and not any(True for _ in _steps(rows, wanted))
        return Outcome.SAME if same else Outcome.WRITTEN


def remove(nb: Any, router_id: RouterId, revision: int) -> Outcome:
    """Remove every row of ours of the router, unless they are of a later revision."""
    with held(nb, router_id):
        if not any(True for _ in _removal(_Rows(nb, router_id))):
            return Outcome.SAME
    writing = _Write(nb, router_id, revision, _removal)
    commit(nb, router_id, writing)
    return writing.outcome


def revision_of(nb: Any, router_id: RouterId) -> int:
    """Return the revision of the router's rows, 0 if there are none, or raise Temporary."""
    with held(nb, router_id):
        return _Rows(nb, router_id).revision


def routers(nb: Any) -> dict[RouterId, int]:
    """Return every router of which rows of ours exist, with their revision (0 if unknown)."""
    with held(nb, EVERY_ROUTER):
        found: dict[RouterId, int] = {}
        for table in _ON_ROUTER:
            for row in nb.tables[table].rows.values():
                if router_id := router_of(row):
                    found[router_id] = 0
        for row in nb.tables["Logical_Switch"].rows.values():
            if router_id := router_of(row):
                found[router_id] = _number(row, REVISION_KEY)
        return found


def router_of(row: Any) -> RouterId | None:
    """Return for which router a row is ours; None if it isn't."""
    router_id = raw.mapping(row, "external_ids").get(ROUTER_KEY)
    return RouterId(router_id) if router_id else None


def _number(switch: Any, key: str) -> int:
    text = switch.external_ids.get(key, "")
    return int(text) if text.isdecimal() else 0


class _Rows:
    """What is there of one router."""

    def __init__(self, nb: Any, router_id: RouterId) -> None:
        self.nb = nb
        self.router_id = router_id
        self.switch = nb.lookup("Logical_Switch", f"swanherd-{router_id}", default=None)
        # Neutron's name of the router's row (neutron.common.ovn.utils.ovn_name).
        self.router = nb.lookup("Logical_Router", f"neutron-{router_id}", default=None)

    @property
    def revision(self) -> int:
        """The revision that the rows are of, 0 if there are none."""
        return _number(self.switch, REVISION_KEY) if self.switch else 0

    def of_ours(self, column: str) -> Iterator[Any]:
        """Yield the rows that the router's column refers to and that carry our key."""
        found = raw.referred(self.router, column)
        return (row for row in found if router_of(row) == self.router_id)


class _Write(command.BaseCommand):
    """Take the steps that are needed, unless a later revision is there."""

    def __init__(
        self,
        nb: Any,
        router_id: RouterId,
        revision: int,
        steps: Callable[[_Rows], Iterator[Step]],
    ) -> None:
        super().__init__(nb)
        self.router_id = router_id
        self.revision = revision
        self.outcome = Outcome.SAME
        self._steps = steps

    def run_idl(self, txn: idl.Transaction) -> None:
        """Look again, since this runs in another thread, and again after a conflict."""
        rows = _Rows(self.api, self.router_id)
        if rows.switch is not None:
            # The server refuses the transaction if this column has changed since it was read.
            rows.switch.verify("external_ids")
        if rows.revision > self.revision:
            self.outcome = Outcome.NEWER
            return
        steps = list(self._steps(rows))
        self.outcome = Outcome.WRITTEN if steps else Outcome.SAME
        for step in steps:
            step(txn)


def _steps(rows: _Rows, wanted: Northbound) -> Iterator[Step]:
    """Yield what must be done; nothing if all is as wanted."""
    if rows.router is None:
        text = "OVN doesn't have the router yet, or no longer."
        raise Temporary(wanted.router_id, Reason("ovn_router_missing", text))
    changes = [
        *_policy_steps(rows, wanted),
        *_route_steps(rows, wanted),
        *_router_port_steps(rows, wanted),
        *_switch_steps(rows, wanted),
    ]
    if changes and rows.switch is not None:
        changes.append(lambda _: _take_turn(rows.switch))
    yield from changes


def _take_turn(switch: Any) -> None:
    switch.setkey("external_ids", TURN_KEY, str(_number(switch, TURN_KEY) + 1))


def _policy_steps(rows: _Rows, wanted: Northbound) -> Iterator[Step]:
    missing = {_columns_of(policy): policy for policy in wanted.policies}
    stale = [row for row in rows.of_ours("policies") if not missing.pop(_read(row), None)]
    table = rows.nb.tables["Logical_Router_Policy"]
    for policy in sorted(missing.values(), key=lambda p: (p.priority, p.match)):
        columns = _render_policy(policy) | _external_ids(wanted)
        yield _insertion(table, columns, rows.router, "policies")
    for row in stale:
        yield _removing(rows.router, "policies", row)


def _route_steps(rows: _Rows, wanted: Northbound) -> Iterator[Step]:
    missing = set(wanted.routes)
    stale = []
    for row in rows.of_ours("static_routes"):
        route = Route(raw.value(row, "ip_prefix"), raw.value(row, "nexthop"))
        if route in missing:
            missing.remove(route)
        else:
            stale.append(row)
    table = rows.nb.tables["Logical_Router_Static_Route"]
    for route in sorted(missing):
        columns = {"ip_prefix": route.prefix, "nexthop": route.nexthop}
        yield _insertion(table, columns | _external_ids(wanted), rows.router, "static_routes")
    for row in stale:
        yield _removing(rows.router, "static_routes", row)


def _router_port_steps(rows: _Rows, wanted: Northbound) -> Iterator[Step]:
    port = wanted.router_port
    beside = {NETWORK_KEY: f"neutron-{port.beside}"} if port.beside else {}
    columns = {
        "name": port.name,
        "mac": port.mac,
        "networks": sorted(port.networks),
        "external_ids": {ROUTER_KEY: wanted.router_id} | beside,
    }
    present = {row.name: row for row in rows.of_ours("ports")}
    if row := present.get(port.name):
        yield from _corrections(row, columns)
    else:
        table = rows.nb.tables["Logical_Router_Port"]
        yield _insertion(table, columns, rows.router, "ports")


def _switch_steps(rows: _Rows, wanted: Northbound) -> Iterator[Step]:
    ids = {ROUTER_KEY: wanted.router_id, REVISION_KEY: str(wanted.revision)}
    ports = [_render_peer(wanted), _render_namespace_port(wanted)]
    table = rows.nb.tables["Logical_Switch_Port"]
    if rows.switch is None:
        yield lambda txn: _insert_switch(txn, rows, wanted.switch, ids, ports)
        return
    yield from _corrections(rows.switch, {"external_ids": ids})
    present = {row.name: row for row in rows.switch.ports}
    for columns in ports:
        if row := present.get(columns["name"]):
            yield from _corrections(row, columns)
        else:
            yield _insertion(table, columns, rows.switch, "ports")
    names = {columns["name"] for columns in ports}
    for name, row in present.items():
        if name not in names:
            yield _removing(rows.switch, "ports", row)


def _insert_switch(
    txn: idl.Transaction,
    rows: _Rows,
    name: str,
    ids: Mapping[str, str],
    ports: list[dict[str, Any]],
) -> None:
    """Insert the switch with its ports.

    Nothing in the schema keeps two writers from making it twice, but the names of ports are
    unique (ovn-nb(5)): the second transaction fails, and its retry finds the first one's rows.
    """
    switch = txn.insert(rows.nb.tables["Logical_Switch"])
    switch.name = name
    switch.external_ids = dict(ids)
    table = rows.nb.tables["Logical_Switch_Port"]
    switch.ports = [_insert(txn, table, columns) for columns in ports]


def _removal(rows: _Rows) -> Iterator[Step]:
    if rows.router is not None:
        for column in ("ports", "policies", "static_routes"):
            for row in rows.of_ours(column):
                yield _removing(rows.router, column, row)
    if rows.switch is not None:
        yield lambda _: rows.switch.delete()


def _insert(txn: idl.Transaction, table: Any, columns: Mapping[str, Any]) -> Any:
    row = txn.insert(table)
    for column, value in columns.items():
        setattr(row, column, value)
    return row


def _insertion(table: Any, columns: Mapping[str, Any], parent: Any, column: str) -> Step:
    """Return the step that inserts a row and refers to it from its parent."""
    return lambda txn: parent.addvalue(column, _insert(txn, table, columns))


def _removing(parent: Any, column: str, row: Any) -> Step:
    """Return the step that drops the reference; the server collects the row (RFC 7047 §4.1)."""
    return lambda _: parent.delvalue(column, row)


def _corrections(row: Any, columns: Mapping[str, Any]) -> Iterator[Step]:
    """Yield a step for each column that differs; of a map only the wanted keys count."""
    for column, value in columns.items():
        now = getattr(row, column)
        if isinstance(value, dict):
            for key, each in value.items():
                if now.get(key) != each:
                    yield _setting_key(row, column, key, each)
        elif (sorted(now) if isinstance(value, list) else now) != value:
            yield _setting(row, column, value)


def _setting(row: Any, column: str, value: Any) -> Step:
    return lambda _: setattr(row, column, value)


def _setting_key(row: Any, column: str, key: str, value: str) -> Step:
    return lambda _: row.setkey(column, key, value)


def _external_ids(wanted: Northbound) -> dict[str, dict[str, str]]:
    return {"external_ids": {ROUTER_KEY: wanted.router_id}}


def _render_peer(wanted: Northbound) -> dict[str, Any]:
    return {
        "name": wanted.router_port.peer,
        "type": "router",
        "addresses": ["router"],
        "options": {"router-port": wanted.router_port.name},
    } | _external_ids(wanted)


def _render_namespace_port(wanted: Northbound) -> dict[str, Any]:
    port = wanted.namespace_port
    return {
        "name": port.name,
        "type": "",
        "addresses": [" ".join((port.mac, *sorted(port.addresses)))],
        # Without it every chassis where the port is plugged claims it (ovn-nb(5)).
        "options": {REQUESTED: port.host} if port.host else {},
    } | _external_ids(wanted)


def _render_policy(policy: Policy) -> dict[str, Any]:
    return {
        "priority": policy.priority,
        "match": policy.match,
        "action": policy.action.value,
        "nexthops": [policy.nexthop] if policy.nexthop else [],
    }


def _columns_of(policy: Policy) -> tuple[Any, ...]:
    """Return what `_read` returns for the policy's row."""
    nexthops = [policy.nexthop] if policy.nexthop else []
    return int(policy.priority), policy.match, policy.action.value, *nexthops


def _read(row: Any) -> tuple[Any, ...]:
    """Return a policy's columns, whoever has written what."""
    columns = (raw.value(row, column) for column in ("priority", "match", "action"))
    return *columns, *raw.members(row, "nexthops")
