"""What the operator needs of a cluster, and the same by Kubernetes' API."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Protocol

MANAGER = "swanherd-operator"
_PATIENCE = 30.0
_LONGEST = 64 * 1024
# Each kind that is applied or looked at, and the word for it in a path.
PLURALS = {
    "ConfigMap": "configmaps",
    "DaemonSet": "daemonsets",
    "Enablement": "enablements",
    "Job": "jobs",
    "OpenStackDeployment": "openstackdeployments",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "ServiceMonitor": "servicemonitors",
}
# What is looked through for leftovers, with the version of its API.
KINDS = (
    *(("v1", "ConfigMap"), ("v1", "Service"), ("v1", "ServiceAccount"), ("apps/v1", "DaemonSet")),
    *(("batch/v1", "Job"), ("policy/v1", "PodDisruptionBudget")),
)
# The first Kubernetes with policy/v1, as the chart has it too.
_POLICY = (1, 21)
# Answers that say that another try would be answered so too, as long as nobody changes anything.
_DENIED = (400, 403, 404, 422)

Object = Mapping[str, Any]
Version = tuple[int, int]


def kinds(version: Version) -> tuple[tuple[str, str], ...]:
    """Return KINDS as that version of Kubernetes has them."""
    older = {} if version >= _POLICY else {"policy/v1": "policy/v1beta1"}
    return tuple((older.get(api, api), kind) for api, kind in KINDS)


class Away(Exception):
    """The cluster's API doesn't do it now; it is tried again."""


class Denied(Away):
    """The cluster's API refuses it as it is; it is told, and tried again."""


class _There(Away):
    """It is there already, or somebody changes it at this moment."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ref:
    """An object by its place."""

    version: str
    kind: str
    namespace: str
    name: str

    @staticmethod
    def of(found: Object) -> Ref:
        """Return the place of an object."""
        meta = found["metadata"]
        return Ref(found["apiVersion"], found["kind"], meta["namespace"], meta["name"])

    @property
    def collection(self) -> str:
        """The path of all of its kind in its namespace."""
        root = f"/apis/{self.version}" if "/" in self.version else f"/api/{self.version}"
        return f"{root}/namespaces/{self.namespace}/{PLURALS[self.kind]}"

    @property
    def path(self) -> str:
        """The object's own path."""
        return f"{self.collection}/{self.name}"


class Cluster(Protocol):
    """A cluster. Everything raises Away where it can't be done now."""

    def version(self) -> Version:
        """Return Kubernetes' own version."""
        ...

    def serves(self, version: str) -> bool:
        """Tell whether it has this group and version."""
        ...

    def get(self, ref: Ref) -> Object | None:
        """Return the object, None if there is none."""
        ...

    def apply(self, wanted: Object, *, rehearse: bool = False) -> Object:
        """Let the object have these fields, and no other of ours (server-side apply).

        Return what it then is. A rehearsal tells whether it would be taken, and changes nothing.
        """
        ...

    def apply_status(self, wanted: Object) -> None:
        """Let the object's status be this."""
        ...

    def labelled(self, version: str, kind: str, namespace: str, label: str) -> list[Object]:
        """Return the objects of a kind that have the label `name=value`, or several by commas."""
        ...

    def delete(self, ref: Ref) -> None:
        """Remove the object and what it owns; idempotent."""
        ...

    def tell(self, about: Object, reason: str, message: str) -> None:
        """Make a warning that `kubectl describe` shows at the object; one of a kind."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """How to reach a cluster's API: as a pod's account, or by a kubeconfig's token or files."""

    server: str
    ca_file: str | None = None
    ca_text: str | None = None
    token: str | None = None
    certificate: str | None = None
    key: str | None = None

    def context(self) -> ssl.SSLContext | None:
        """Return what TLS needs; None without TLS."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cafile=self.ca_file, cadata=self.ca_text)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context


class ApiCluster:
    """Implements Cluster by HTTP; `access` is asked each time, since tokens are replaced."""

    def __init__(self, access: Callable[[], Access]) -> None:
        self._access = access

    def version(self) -> Version:
        """Return Kubernetes' own version."""
        told = self._call("GET", "/version")
        # Some distributions write 27+.
        return int(told["major"]), int(re.sub(r"\D.*", "", told["minor"]))

    def serves(self, version: str) -> bool:
        """Tell whether it has this group and version."""
        return self._call("GET", f"/apis/{version}", missing=None) is not None

    def get(self, ref: Ref) -> Object | None:
        """Return the object, None if there is none."""
        found: Object | None = self._call("GET", ref.path, missing=None)
        return found

    def apply(self, wanted: Object, *, rehearse: bool = False) -> Object:
        """Let the object have these fields, and no other of ours (server-side apply)."""
        return self._patch(Ref.of(wanted).path, wanted, rehearse=rehearse)

    def apply_status(self, wanted: Object) -> None:
        """Let the object's status be this."""
        self._patch(f"{Ref.of(wanted).path}/status", wanted)

    def labelled(self, version: str, kind: str, namespace: str, label: str) -> list[Object]:
        """Return the objects of a kind that have the label `name=value`, or several by commas."""
        place = Ref(version, kind, namespace, "").collection
        answer = self._call("GET", place, query=[("labelSelector", label)], missing={})
        # In a list they don't say what they are.
        named = {"apiVersion": version, "kind": kind}
        return [{**each, **named} for each in answer.get("items", ())]

    def delete(self, ref: Ref) -> None:
        """Remove the object and what it owns; idempotent."""
        query = [("propagationPolicy", "Background")]
        self._call("DELETE", ref.path, query=query, missing=None)

    def tell(self, about: Object, reason: str, message: str) -> None:
        """Make a warning that `kubectl describe` shows at the object; one of a kind."""
        meta = about["metadata"]
        told = f"{meta['uid']} {meta.get('generation')} {reason} {message}"
        digest = hashlib.sha256(told.encode()).hexdigest()[:16]
        # At most 253 letters, as any name in Kubernetes.
        begin = meta["name"][:200].rstrip("-.")
        names = {key: meta[key] for key in ("name", "namespace", "uid")}
        regarding = {"apiVersion": about["apiVersion"], "kind": about["kind"], **names}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{begin}.{digest}", "namespace": meta["namespace"]},
            "involvedObject": regarding,
            "type": "Warning",
            "reason": reason,
            "message": message[:1024],
            "source": {"component": MANAGER},
        }
        with contextlib.suppress(_There):
            self._call("POST", f"/api/v1/namespaces/{meta['namespace']}/events", body=event)

    def _patch(self, path: str, wanted: Object, *, rehearse: bool = False) -> Object:
        query = [("fieldManager", MANAGER), ("force", "true")]
        query += [("dryRun", "All")] * rehearse
        content = "application/apply-patch+yaml"
        found: Object = self._call("PATCH", path, query=query, body=wanted, content=content)
        return found

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Object | None = None,
        content: str = "application/json",
        missing: Any = Away,
    ) -> Any:
        access = self._access()
        headers = {"Accept": "application/json", "Content-Type": content}
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        asked = f"?{urllib.parse.urlencode(query)}" if query else ""
        request = urllib.request.Request(  # noqa: S310 - the cluster's own address
            f"{access.server.rstrip('/')}{path}{asked}",
            method=method,
            headers=headers,
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with urllib.request.urlopen(  # noqa: S310 - as above
                request, timeout=_PATIENCE, context=access.context()
            ) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404 and missing is not Away:
                return missing
            sentence = f"{method} {path}: {error.code}: {_reason(error.read(_LONGEST))}"
            kind = {409: _There, **dict.fromkeys(_DENIED, Denied)}.get(error.code, Away)
            raise kind(sentence) from error
        except OSError as error:
            raise Away(f"{method} {path}: {error}") from error
        return json.loads(text) if text else None


def _reason(body: bytes) -> str:
    """Return the sentence of an answer; what it is as text where it has none."""
    text = body.decode(errors="replace")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(text)["message"])
    return text[:1000]
