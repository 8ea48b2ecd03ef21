"""What the operator needs of a cluster, and the same by Kubernetes' API."""

from __future__ import annotations

import dataclasses
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Protocol

MANAGER = "swanherd-operator"
_PATIENCE = 30.0
# Each kind that is applied, and the word for it in a path.
PLURALS = {
    "ConfigMap": "configmaps",
    "DaemonSet": "daemonsets",
    "Enablement": "enablements",
    "Job": "jobs",
    "OpenStackDeployment": "openstackdeployments",
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

Object = Mapping[str, Any]


class Away(Exception):
    """The cluster's API doesn't do it now; it is tried again."""


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

    def get(self, ref: Ref) -> Object | None:
        """Return the object, None if there is none."""
        ...

    def apply(self, wanted: Object) -> None:
        """Let the object have these fields, and no other of ours (server-side apply)."""
        ...

    def apply_status(self, wanted: Object) -> None:
        """Let the object's status be this."""
        ...

    def labelled(self, version: str, kind: str, namespace: str, label: str) -> list[Ref]:
        """Return the objects of a kind that have the label `name=value`."""
        ...

    def delete(self, ref: Ref) -> None:
        """Remove the object and what it owns; idempotent."""
        ...

    def tell(self, about: Object, reason: str, message: str) -> None:
        """Make a warning that `kubectl describe` shows at the object."""
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

    def get(self, ref: Ref) -> Object | None:
        """Return the object, None if there is none."""
        found: Object | None = self._call("GET", ref.path, missing=None)
        return found

    def apply(self, wanted: Object) -> None:
        """Let the object have these fields, and no other of ours (server-side apply)."""
        self._patch(Ref.of(wanted).path, wanted)

    def apply_status(self, wanted: Object) -> None:
        """Let the object's status be this."""
        self._patch(f"{Ref.of(wanted).path}/status", wanted)

    def labelled(self, version: str, kind: str, namespace: str, label: str) -> list[Ref]:
        """Return the objects of a kind that have the label `name=value`."""
        place = Ref(version, kind, namespace, "").collection
        answer = self._call("GET", place, query=[("labelSelector", label)], missing={})
        names = [each["metadata"]["name"] for each in answer.get("items", ())]
        return [Ref(version, kind, namespace, name) for name in names]

    def delete(self, ref: Ref) -> None:
        """Remove the object and what it owns; idempotent."""
        query = [("propagationPolicy", "Background")]
        self._call("DELETE", ref.path, query=query, missing=None)

    def tell(self, about: Object, reason: str, message: str) -> None:
        """Make a warning that `kubectl describe` shows at the object."""
        meta = about["metadata"]
        names = {key: meta[key] for key in ("name", "namespace", "uid")}
        regarding = {"apiVersion": about["apiVersion"], "kind": about["kind"], **names}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{meta['name']}-", "namespace": meta["namespace"]},
            "involvedObject": regarding,
            "type": "Warning",
            "reason": reason,
            "message": message[:1024],
            "source": {"component": MANAGER},
        }
        self._call("POST", f"/api/v1/namespaces/{meta['namespace']}/events", body=event)

    def _patch(self, path: str, wanted: Object) -> None:
        query = [("fieldManager", MANAGER), ("force", "true")]
        content = "application/apply-patch+yaml"
        self._call("PATCH", path, query=query, body=wanted, content=content)

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
            reason = error.read(1000).decode(errors="replace")
            raise Away(f"{method} {path}: {error.code}: {reason}") from error
        except OSError as error:
            raise Away(f"{method} {path}: {error}") from error
        return json.loads(text) if text else None
