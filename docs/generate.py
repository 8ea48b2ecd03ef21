"""Writes the tables of docs/ that the code itself can tell; `--check` fails if one is stale.

A table stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`. Option tables come
from the oslo options, the metrics from their definitions, the schema from the dataclasses that
cross the bus, the status codes from the source text (every `Reason(…)` and the causes of
strongSwan's failures).
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import pkgutil
import re
import sys
import types
import typing
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swanherd import config as config_room
from swanherd.core import metrics, model
from swanherd.rpc import topics

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "swanherd"
DOCS = ROOT / "docs"

_MARKER = re.compile(
    r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end: (?P=name) -->)", re.DOTALL
)


class Stale(Exception):
    """A document can't be made, or isn't what would be made."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; cells lose what would end them."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


# Options


def options(module: str) -> str:
    """Return the options of one module of `swanherd.config`, a table for each section."""
    loaded = importlib.import_module(f"swanherd.config.{module}")
    parts = []
    for section, opts in loaded.list_opts():
        rows = [
            (f"`{opt.name}`", str(opt.type), _default(opt), opt.help or "")
            for opt in sorted(opts, key=lambda opt: str(opt.name))
        ]
        parts.append(f"`[{section}]`\n\n{table(('option', 'type', 'default', 'meaning'), rows)}")
    return "\n\n".join(parts)


def _default(opt: Any) -> str:
    value = opt.default if opt.sample_default is None else opt.sample_default
    return "none" if value is None else f"`{value}`"


def config_modules() -> list[str]:
    """Return the modules of `swanherd.config` that have options."""
    return sorted(module.name for module in pkgutil.iter_modules(config_room.__path__))


# What crosses the bus

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "DesiredRouter": {
        "id": "Neutron's id of the router.",
        "revision": "Raised by each change of the router's VPN; starts at the time in ms.",
        "epoch": "Raised each time the router moves to another host.",
        "naming_key": "Keys the digests in the names of IKE configs (adr/0003).",
        "public": "The port on the external network; null while it isn't there.",
        "transit": "The port on the transit network; null while it isn't there.",
        "router_addresses": "The router's own addresses in the local subnets.",
        "services": "The router's vpnservices.",
        "connections": "The connections of all of them, also those that are down.",
        "problems": "What only the server knows: pairs of a row's id and a Reason.",
        "role": "`active`, or `standby`: everything loaded, nothing said.",
        "home": "The router's own namespaces on an L3 agent's node; null with OVN.",
        "unsettled": "The connections of which the server waits to hear; null: of any.",
    },
    "Home": {
        "namespace": "Where charon lives on this host: `qrouter` or `snat`; null where the host "
        "only steers.",
        "connected": "The router's internal networks.",
        "distributed": "Whether the router is a distributed one.",
        "detours": "The ways from its parts to the central one.",
        "redundant": "Whether several hosts have the router and the one with its address serves.",
        "marks": "Never on the wire: the node fills it in.",
        "doubted": "Never on the wire: the node fills it in.",
    },
    "Detour": {
        "network": "The subnet whose packets it is for.",
        "port_id": "The router's interface in the subnet.",
        "gateway": "The central part's address in the subnet.",
    },
    "ScopeMark": {"network": "A local subnet.", "mark": "The packets' mark."},
    "Attachment": {
        "port_id": "Name of the logical switch port: the interface's `iface-id`.",
        "mac": "MAC address.",
        "addresses": "Addresses with prefix length.",
        "gateways": "Next hops, at most one of each family.",
        "mtu": "MTU of the link in bytes.",
    },
    "Service": {"id": "Neutron's id of the vpnservice.", "up": "Its admin_state_up."},
    "SiteConnection": {
        "id": "Neutron's id of the ipsec_site_connection.",
        "service_id": "Its vpnservice.",
        "up": "Whether connection and service are administratively up.",
        "local_address": "Our public address of the peer's family; null if there is none.",
        "local_id": "Our identity; empty: the local address.",
        "peer_address": "IP address or name; the agent looks names up.",
        "peer_id": "The identity that the peer must prove.",
        "psk": "The pre-shared key, in clear: protect the bus.",
        "initiator": "`bi-directional` or `response-only`.",
        "mtu": "Largest inner packet in bytes; 0: what fits.",
        "dpd": "Dead peer detection.",
        "ike": "The IKE policy.",
        "ipsec": "The IPsec policy.",
        "selectors": "Every pair of networks to protect: one child SA each.",
    },
    "IkePolicy": {
        "version": "`v1` or `v2`.",
        "mode": "`main` or `aggressive`; IKEv2 ignores it.",
        "encryption": "encryption_algorithm as in the API.",
        "integrity": "auth_algorithm as in the API.",
        "dh_group": "pfs as in the API.",
        "lifetime": "Seconds.",
    },
    "IpsecPolicy": {
        "transform": "`esp`, `ah` or `ah-esp`.",
        "mode": "`tunnel` or `transport`.",
        "encryption": "encryption_algorithm as in the API.",
        "integrity": "auth_algorithm as in the API.",
        "dh_group": "pfs as in the API.",
        "lifetime": "Seconds.",
    },
    "Dpd": {
        "action": "As in the API.",
        "interval": "Seconds between questions.",
        "timeout": "Seconds after which the peer counts as dead.",
    },
    "TrafficSelector": {"local": "A subnet here.", "remote": "A CIDR there, of the same family."},
    "RouterReport": {
        "router_id": "The router.",
        "revision": "The revision that was applied.",
        "epoch": "The epoch of the desired state that was applied.",
        "services": "A row for each vpnservice.",
        "connections": "A row for each connection of which there is news.",
        "role": "`active` or `standby`: as what the agent reports.",
        "ready": "Whether namespace, daemon and configs are as they should be.",
        "held": "For how many seconds at least the host has had a redundant router's address; "
        "null where it hasn't, and for other routers.",
    },
    "RowStatus": {
        "id": "The service's or connection's id.",
        "status": "`ACTIVE`, `DOWN`, `ERROR`, or `PENDING_UPDATE` during a swap.",
        "reason": "Why; null when there is nothing to say.",
        "effective_mtu": "A connection's largest inner packet in bytes: the least of its `mtu`, "
        "of what the path leaves beside the suite, and of what the data plane takes. Null for "
        "a service, and where nobody can say.",
        "details": "What was negotiated, and the counters; null while there is no IKE SA.",
    },
    "TunnelDetails": {
        "ike": "The IKE SA.",
        "children": "The child SAs that carry traffic, sorted by their networks.",
    },
    "IkeDetails": {
        "version": "`v1` or `v2`.",
        "encryption": "As in the API where it has a word, else strongSwan's name.",
        "integrity": "Likewise; null with an AEAD.",
        "prf": "Likewise.",
        "dh_group": "Likewise, as `pfs` has it.",
        "initiator": "Whether this side began.",
        "established": "Seconds since it was established.",
        "rekey_in": "Seconds until this side rekeys it.",
        "nat": "Whether a NAT was found on either side.",
    },
    "ChildDetails": {
        "local": "The local network.",
        "remote": "The peer's network.",
        "encryption": "As in IkeDetails; null with `ah`.",
        "integrity": "Likewise; null with an AEAD.",
        "dh_group": "Likewise; null if the IKE SA's exchange was used.",
        "bytes_in": "Bytes that were decrypted.",
        "bytes_out": "Bytes that were encrypted.",
        "packets_in": "Packets that were decrypted.",
        "packets_out": "Packets that were encrypted.",
        "installed": "Seconds since it was installed.",
        "rekey_in": "Seconds until this side rekeys it.",
        "expires_in": "Seconds until it ends.",
    },
    "Reason": {
        "code": "For programs (statuses.md lists all).",
        "text": "A sentence for people.",
        "hint": "What to do about it.",
    },
}

_WIRE_TYPES: Mapping[Any, str] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    model.Secret: "string (secret)",
    model.IPAddress: "IP address",
    model.IPNetwork: "CIDR",
    model.IPInterface: "address/prefix length",
}


def schema() -> str:
    """Return a table for each dataclass that crosses the bus, field by field."""
    return "\n\n".join(f"### {name}\n\n{_fields(name)}" for name in MEANINGS)


def _fields(name: str) -> str:
    kind = getattr(model, name)
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    meanings = MEANINGS[name]
    if [field.name for field in fields] != list(meanings):
        raise Stale(f"{name} has other fields than MEANINGS in docs/generate.py says")
    rows = [
        (
            f"`{field.name}`",
            _wire_type(hints[field.name]),
            "yes" if field.default is dataclasses.MISSING else "no",
            meanings[field.name],
        )
        for field in fields
    ]
    return table(("field", "on the wire", "required", "meaning"), rows)


def _wire_type(hint: Any) -> str:
    if hint in _WIRE_TYPES:
        return _WIRE_TYPES[hint]
    if isinstance(hint, typing.NewType):
        return "string"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        rest = [a for a in arguments if a is not types.NoneType]
        one = rest[0] if len(rest) == 1 else model.IPAddress
        return f"{_wire_type(one)} or null"
    if origin is tuple:
        inner = [a for a in arguments if a is not Ellipsis]
        return f"list of {', '.join(map(_wire_type, inner))}"
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return "string"


def topic_table() -> str:
    """Return the topics and versions."""
    rows = [
        ("server", f"`{topics.SERVER_TOPIC}`", topics.SERVER_VERSION, "agents ask and tell"),
        ("agent", f"`{topics.AGENT_TOPIC}.<host>`", topics.VERSION, "the server hints"),
        ("Neutron", f"`{topics.REPORTS_TOPIC}`", topics.REPORTS_VERSION, "agents' heartbeats"),
    ]
    return table(("who listens", "topic", "version", "for"), rows)


def method_table() -> str:
    """Return the methods on both topics, from the classes that answer them."""
    rows = [
        *_methods("rpc/server.py", "Endpoint", topics.SERVER_TOPIC, "call"),
        *_methods("rpc/client.py", "_HintEndpoint", topics.AGENT_TOPIC, "cast"),
    ]
    return table(("topic", "method", "arguments", "returns", "meaning"), rows)


def _methods(path: str, name: str, topic: str, how: str) -> Iterator[Sequence[str]]:
    tree = ast.parse((SOURCE / path).read_text())
    owner = next(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == name)
    for method in owner.body:
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
            arguments = ", ".join(
                f"{a.arg}: {ast.unparse(a.annotation)}" if a.annotation else a.arg
                for a in method.args.args[2:]
            )
            returns = ast.unparse(method.returns) if method.returns else "None"
            answer = "nothing" if returns == "None" else f"`{returns}`"
            first = (ast.get_docstring(method) or "").partition("\n")[0]
            yield f"`{topic}`", f"`{method.name}`", f"`{arguments}`", f"{answer} ({how})", first


# Metrics


def metric_table() -> str:
    """Return every metric of an agent."""
    rows = [
        (f"`{m.name}`", str(m.kind), ", ".join(f"`{label}`" for label in m.labels), m.meaning)
        for m in metrics.METRICS.values()
    ]
    return table(("metric", "type", "labels", "meaning"), rows)


# Status codes

_ROOMS = {
    "core/status.py": "agent",
    "core/steering.py": "server",
    "core/placement.py": "server",
    "swan": "agent, strongSwan",
    "dataplane": "agent, node",
    "ovn": "OVN's and Open vSwitch's databases",
    "rpc": "agent's log only",
    "agent": "agent",
    "reconcile": "agent",
    "server": "server",
}

Found = tuple[str, str, str, str]  # code, sentence, hint, room


@functools.cache
def codes() -> str:
    """Return every status code with its sentences and hints."""
    merged: dict[str, tuple[dict[str, None], dict[str, None], dict[str, None]]] = defaultdict(
        lambda: ({}, {}, {})
    )
    for path in sorted(SOURCE.rglob("*.py")):
        room = _room(path.relative_to(SOURCE).as_posix())
        if room is None:
            continue
        text = path.read_text()
        if not any(f"{call}(" in text for call in ("Reason", "failing", "Cause")):
            continue
        for code, *words in _found(_Module(ast.parse(text)), room):
            for seen, word in zip(merged[code], words, strict=True):
                seen.update({word: None} if word else {})
    rows = [
        (f"`{code}`", *(" / ".join(words) for words in merged[code])) for code in sorted(merged)
    ]
    return table(("code", "sentence", "hint", "from"), rows)


def _room(path: str) -> str | None:
    return next((room for start, room in _ROOMS.items() if path.startswith(start)), None)


class _Module:
    """A parsed module: names and what they were last assigned, in their function or globally."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.nodes = tuple(ast.walk(tree))
        self._functions = [n for n in self.nodes if isinstance(n, ast.FunctionDef)]

    def value(self, node: ast.expr) -> ast.expr:
        """Return what a name stands for where it is used; any other expression as it is."""
        if not isinstance(node, ast.Name):
            return node
        around = [f for f in self._functions if f.lineno <= node.lineno <= (f.end_lineno or 0)]
        # The innermost function begins last; a parameter of it isn't known here.
        inner = max(around, key=lambda f: f.lineno, default=None)
        scopes: list[Sequence[ast.AST]] = [list(ast.walk(inner))] if inner else []
        for scope in (*scopes, self.tree.body):
            values = [
                n.value
                for n in scope
                if isinstance(n, ast.Assign)
                and isinstance(n.targets[0], ast.Name)
                and n.targets[0].id == node.id
                and n.lineno <= node.lineno
            ]
            if values:
                return values[-1]
        return node

    def calls(self, name: str) -> Iterator[ast.Call]:
        """Yield the calls of a function by its plain name."""
        for node in self.nodes:
            match node:
                case ast.Call(func=ast.Name(id=called)) if called == name:
                    yield node

    def constants(self, node: ast.expr) -> list[str]:
        """Return the texts that an expression may be, as far as the source tells."""
        match self.value(node):
            case ast.Constant(value=str(text)):
                return [text]
            case ast.IfExp(body=body, orelse=orelse):
                return [*self.constants(body), *self.constants(orelse)]
        return []

    def words(self, node: ast.expr) -> str:
        """Return a sentence of the source; what is filled in stands in italics."""
        match self.value(node):
            case ast.Constant(value=str(text)):
                return text
            case ast.JoinedStr(values=values):
                return "".join(map(self._part, values))
        return "(told by the system)"

    @staticmethod
    def _part(node: ast.expr) -> str:
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.FormattedValue(value=ast.Name(id=name)):
                return f"*{name}*"
            case ast.FormattedValue(value=ast.Attribute(attr=name)):
                return f"*{name}*"
        return "…"


def _found(module: _Module, room: str) -> Iterator[Found]:
    for call in module.calls("Reason"):
        words = [module.words(argument) for argument in call.args[1:]]
        for code in module.constants(call.args[0]) if len(call.args) > 1 else ():
            yield code, words[0], words[1] if len(words) > 1 else "", room
    # The node's failures: the kernel tells the sentence.
    for call in module.calls("failing"):
        for code in module.constants(call.args[1]):
            yield code, "(told by the kernel)", "(what the node lacks, if that is known)", room
    for node in module.nodes:
        if isinstance(node, ast.Dict):
            yield from _causes(module, node, room)


def _causes(module: _Module, node: ast.Dict, room: str) -> Iterator[Found]:
    for key, value in zip(node.keys, node.values, strict=True):
        match key, value:
            case (
                ast.Constant(value=str(code)),
                ast.Call(func=ast.Name(id="Cause"), args=[_, text, hint]),
            ):
                yield code, module.words(text), module.words(hint), room


# Documents


def parts() -> Mapping[str, Callable[[], str]]:
    """Return what makes each table, by its name."""
    made: dict[str, Callable[[], str]] = {
        "topics": topic_table,
        "methods": method_table,
        "schema": schema,
        "codes": codes,
        "metrics": metric_table,
    }
    for module in config_modules():
        made[f"options-{module}"] = functools.partial(options, module)
    return made


def render(text: str) -> str:
    """Return a document with its tables made anew; Stale if it names one that isn't known."""
    known = parts()

    def replace(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in known:
            raise Stale(f"nothing makes the table {name}")
        return f"{found[1]}\n{known[name]()}\n\n{found[3]}"

    return _MARKER.sub(replace, text)


def stale(*, write: bool) -> list[str]:
    """Return the documents that aren't what would be made, and write them if that is wanted."""
    found, used = [], set()
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text()
        used |= {match["name"] for match in _MARKER.finditer(text)}
        made = render(text)
        if made != text:
            found.append(path.relative_to(ROOT).as_posix())
            if write:
                path.write_text(made)
    if missing := sorted(set(parts()) - used):
        raise Stale(f"no document has the table {', '.join(missing)}")
    return found


def main(arguments: Sequence[str]) -> int:
    """Write or check; exit status 1 if something is stale or can't be made."""
    checking = list(arguments) == ["--check"]
    try:
        found = stale(write=not checking)
    except Stale as error:
        sys.stderr.write(f"docs/generate.py: {error}\n")
        return 1
    for name in found:
        sys.stdout.write(f"{name} {'is stale' if checking else 'written'}\n")
    return 1 if checking and found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
