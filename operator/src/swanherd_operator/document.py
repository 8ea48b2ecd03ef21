"""An OpenStackDeployment, read at the door: the part that concerns a VPN, as one value.

Only that part is looked at. What else a document holds is its owner's and its controller's
matter: it may be unknown, wrong or new, and is kept as it is.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml

from swanherd_operator import loader

API_GROUP = "lcm.mirantis.com"
API_VERSION = f"{API_GROUP}/v1alpha1"
KIND = "OpenStackDeployment"

# OpenStack's releases in their order, as the resource names them.
RELEASES = (
    *("queens", "rocky", "stein", "train", "ussuri", "victoria", "wallaby", "xena", "yoga"),
    *("zed", "antelope", "bobcat", "caracal", "dalmatian", "epoxy", "flamingo", "gazpacho"),
    "master",
)
FIRST_RELEASE = "yoga"
FIRST_RELEASE_ON_OVN = "caracal"

PRESETS = ("compute", "compute-tf", "core")
EXTENSIONS = ("dynamic_routing", "portprober", "trunk", "vpnaas")
FLAG = "spec.features.neutron.extensions.vpnaas.enabled"

_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PLAIN = re.compile(r"[\w./-]{1,60}", re.ASCII)
# How much of somebody's text, and of how many of them, an error repeats.
_SHOWN = 40
_SEVERAL = 4

# What people write when they mean the flag.
_MISTAKEN = ("vpn", "vpnaas", "vpn_aas", "swanherd", "neutron_vpnaas")


class Backend(enum.StrEnum):
    """Who switches and routes for Neutron, in the resource's words."""

    OVS = "ml2"
    OVN = "ml2/ovn"
    OPENSDN = "tungstenfabric"


class Refused(Exception):
    """A document that can't be followed. `path` is the place in it, as a person would write it."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(f"{path}: {sentence}")
        self.path = path
        self.sentence = sentence


@dataclasses.dataclass(frozen=True, slots=True)
class Deployment:
    """What a document says of a VPN."""

    name: str
    namespace: str
    release: str
    backend: Backend
    enabled: bool
    distributed: bool

    @property
    def number(self) -> int:
        """The release's place in the order of all releases."""
        return RELEASES.index(self.release)


def load(text: str, name: str | None = None) -> Mapping[str, Any]:
    """Return the OpenStackDeployment in a YAML or JSON text; the one of that name among several.

    A List of Kubernetes is opened. Raises Refused.
    """
    try:
        documents = loader.documents(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "document"
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise Refused(where, f"this isn't YAML: {problem}") from None
    except RecursionError:
        raise Refused("document", "it is nested too deeply") from None
    opened = list(_opened(documents))
    found = [d for d in opened if isinstance(d, dict) and d.get("kind") == KIND]
    named = [d for d in found if name is None or _name(d) == name]
    if not named:
        what = f"{KIND} named {name}" if name and found else KIND
        raise Refused("kind", f"there is no {what} in it, but {_listed(opened)}")
    if len(named) > 1:
        names = ", ".join(sorted({_shown(_name(d)) for d in named}))
        way = "say which one by --name" if name is None else "leave one"
        raise Refused("kind", f"there are several ({names}): {way}")
    return named[0]


def parse(document: Mapping[str, Any]) -> Deployment:
    """Return what the document says of a VPN, or raise Refused at the first wrong thing."""
    version = _text(document, "", "apiVersion", required=True)
    if version != API_VERSION:
        raise Refused("apiVersion", f"{_short(version)} is another API; expected {API_VERSION}")
    metadata = _section(document, "", "metadata")
    name = _object_name(metadata, "name", required=True)
    namespace = _object_name(metadata, "namespace") or "openstack"
    spec = _section(document, "", "spec", required=True)
    release = _choice(spec, "spec", "openstack_version", RELEASES, required=True)
    preset = _choice(spec, "spec", "preset", PRESETS) or "compute"
    features = _section(spec, "spec", "features")
    neutron = _section(features, "spec.features", "neutron")
    enabled = _enabled(neutron)
    _mistakes(features, "spec.features")
    _mistakes(neutron, "spec.features.neutron")
    path = "spec.features.neutron"
    backend = Backend(_choice(neutron, path, "backend", tuple(Backend)) or Backend.OVS)
    dvr = _section(neutron, path, "dvr")
    distributed = _flag(dvr, f"{path}.dvr", "enabled")
    deployment = Deployment(name, namespace, release, backend, enabled, distributed)
    if enabled:
        _refuse_impossible(deployment, preset)
    return deployment


def enable(document: Mapping[str, Any], *, enabled: bool) -> dict[str, Any]:
    """Return the document with the flag set; nothing else of it changes."""
    changed = dict(document)
    place = changed
    *sections, flag = FLAG.split(".")
    for key in sections:
        place[key] = dict(place.get(key) or {})
        place = place[key]
    place[flag] = enabled
    return changed


def _refuse_impossible(deployment: Deployment, preset: str) -> None:
    """Refuse what no VPN of ours can work on."""
    if deployment.backend is Backend.OPENSDN or preset == "compute-tf":
        path = "spec.preset" if preset == "compute-tf" else "spec.features.neutron.backend"
        raise Refused(
            path,
            "OpenSDN (Tungsten Fabric) doesn't support VPNaaS; use the backend ml2 or ml2/ovn, "
            f"or set {FLAG} to false",
        )
    first = FIRST_RELEASE_ON_OVN if deployment.backend is Backend.OVN else FIRST_RELEASE
    if deployment.number < RELEASES.index(first):
        where = " on ml2/ovn" if deployment.backend is Backend.OVN else ""
        raise Refused(
            "spec.openstack_version",
            f"VPNaaS{where} needs {first} or a later release, and this is {deployment.release}",
        )


def _enabled(neutron: Mapping[str, Any]) -> bool:
    path = "spec.features.neutron.extensions"
    extensions = _section(neutron, "spec.features.neutron", "extensions")
    _no_others(extensions, path, EXTENSIONS)
    vpnaas = _section(extensions, path, "vpnaas")
    _no_others(vpnaas, f"{path}.vpnaas", ("enabled",))
    return _flag(vpnaas, f"{path}.vpnaas", "enabled")


def _mistakes(section: Mapping[str, Any], path: str) -> None:
    for key in section:
        if key in _MISTAKEN:
            raise Refused(f"{path}.{key}", f"unknown; the flag is {FLAG}")


def _no_others(section: Mapping[str, Any], path: str, known: Collection[str]) -> None:
    for key in section:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise Refused(f"{path}.{_shown(key)}", f"unknown; {hint}")


def _section(
    parent: Mapping[str, Any], path: str, key: str, *, required: bool = False
) -> Mapping[str, Any]:
    where = f"{path}.{key}".lstrip(".")
    value = parent.get(key)
    if value is None:
        if required:
            raise Refused(where, "it is missing")
        return {}
    if not isinstance(value, dict):
        raise Refused(where, f"expected a mapping, not {_kind(value)}")
    return value


def _text(parent: Mapping[str, Any], path: str, key: str, *, required: bool = False) -> str:
    where = f"{path}.{key}".lstrip(".")
    value = parent.get(key)
    if value is None and not required:
        return ""
    if value is None:
        raise Refused(where, "it is missing")
    if not isinstance(value, str) or not value:
        raise Refused(where, f"expected text, not {_kind(value)}")
    return value


def _object_name(parent: Mapping[str, Any], key: str, *, required: bool = False) -> str:
    value = _text(parent, "metadata", key, required=required)
    # RFC 1123, as Kubernetes has it: no other gets into a cluster.
    if value and not (len(value) <= 253 and _OBJECT_NAME.fullmatch(value)):
        raise Refused(f"metadata.{key}", f"{_short(value)} can't be a name in Kubernetes")
    return value


def _choice(
    parent: Mapping[str, Any],
    path: str,
    key: str,
    choices: Collection[str],
    *,
    required: bool = False,
) -> str:
    value = _text(parent, path, key, required=required)
    if value and value not in choices:
        allowed = ", ".join(str(choice) for choice in choices)
        raise Refused(f"{path}.{key}", f"{_short(value)} isn't one of {allowed}")
    return value


def _flag(parent: Mapping[str, Any], path: str, key: str) -> bool:
    value = parent.get(key, False)
    if not isinstance(value, bool):
        raise Refused(f"{path}.{key}", f"expected true or false, not {_kind(value)}")
    return value


def _kind(value: object) -> str:
    """Return what a value is in YAML's words; a short scalar as it is."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str() if value:
            return f"the text {_short(value)}"
        case str():
            return "an empty text"
        case bool() | int() | float():
            return f"{value!r:.40}"
        case _:
            return f"a value of the kind {type(value).__name__}"


def _short(text: str) -> str:
    """Return a text in quotes; what isn't printed, or looks like another letter, by its number."""
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _shown(key: object) -> str:
    """Return a key or a name for a path, on one line and readable."""
    text = str(key)
    return text if _PLAIN.fullmatch(text) else _short(text)


def _listed(documents: Collection[Any]) -> str:
    """Return what a text holds instead."""
    if not documents:
        return "nothing: it is empty"
    shown = {_shown_kind(d) for d in documents}
    return ", ".join(sorted(shown)[:_SEVERAL])


def _shown_kind(document: Any) -> str:
    if not isinstance(document, dict):
        return _kind(document)
    kind = document.get("kind")
    return _shown(kind) if isinstance(kind, str) else "a mapping without a kind"


def _name(document: Mapping[str, Any]) -> Any:
    metadata = document.get("metadata")
    return metadata.get("name", "?") if isinstance(metadata, dict) else "?"


def _opened(documents: Collection[Any]) -> Iterator[Any]:
    for document in documents:
        if isinstance(document, dict) and document.get("kind") in ("List", f"{KIND}List"):
            items = document.get("items")
            yield from items if isinstance(items, list) else ()
        else:
            yield document
