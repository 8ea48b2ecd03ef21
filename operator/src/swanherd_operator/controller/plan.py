"""What a cluster should have for a deployment's flag, as values; no cluster is asked here."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from swanherd_operator.document import Backend, Deployment
from swanherd_operator.enabling import NEUTRON_USER, Images
from swanherd_operator.outputs import helm, texts

GROUP = "swanherd.io"
VERSION = f"{GROUP}/v1alpha1"
LABEL = f"{GROUP}/deployment"
FORCE = f"{GROUP}/force-disable"

Object = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the operator was told: images, and the names of secrets that are there."""

    images: Images
    bus_secret: str
    bus_key: str = "transport_url"
    neutron_secret: str = "neutron-etc"  # noqa: S105 - a name, as openstack-helm has it
    os_cloud: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """One sentence of a status."""

    kind: str
    holds: bool | None
    reason: str
    message: str = ""

    def document(self, before: Sequence[Object], now: str, generation: int) -> dict[str, Any]:
        """Return it as Kubernetes has it; the time is that of the last change of `status`."""
        status = {True: "True", False: "False", None: "Unknown"}[self.holds]
        old = next((each for each in before if each.get("type") == self.kind), {})
        since = old.get("lastTransitionTime", now) if old.get("status") == status else now
        return {
            "type": self.kind,
            "status": status,
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": since,
            "observedGeneration": generation,
        }


def chart_values(settings: Settings) -> dict[str, Any]:
    """Return the chart's values for the agents."""
    repository, separator, rest = settings.images.agent.rpartition("@")
    if separator:
        image = {"repository": repository, "digest": rest}
    else:
        repository, _, rest = settings.images.agent.rpartition(":")
        image = {"repository": repository, "tag": rest}
    return {
        "image": image,
        "bus": {"existingSecret": settings.bus_secret, "key": settings.bus_key},
    }


def own_objects(deployment: Deployment, settings: Settings) -> tuple[Object, ...]:
    """Return what isn't the chart's: the servers' values, and the job for the tables."""
    return (_values(deployment, settings), job(deployment, settings))


def owned(objects: Sequence[Object], deployment: Object) -> tuple[Object, ...]:
    """Return the objects with their owner, with which they go, and the label to find them by."""
    meta = deployment["metadata"]
    owner = {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
    }
    found = []
    for each in objects:
        labels = {**each["metadata"].get("labels", {}), LABEL: meta["name"]}
        extra = {"namespace": meta["namespace"], "labels": labels, "ownerReferences": [owner]}
        found.append({**each, "metadata": {**each["metadata"], **extra}})
    return tuple(found)


def job(deployment: Deployment, settings: Settings) -> Object:
    """Return the job that brings the tables to the image's shape: one for each image."""
    digest = hashlib.sha256(settings.images.server.encode()).hexdigest()[:10]
    container = {
        "name": "db-sync",
        "image": settings.images.server,
        "command": ["neutron-db-manage"],
        "args": [
            "--config-file=/etc/neutron/neutron.conf",
            *("--subproject", "swanherd", "upgrade", "heads"),
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "neutron", "mountPath": "/etc/neutron", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in a container of its own
        ],
    }
    pod = {
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NEUTRON_USER,
            "runAsGroup": NEUTRON_USER,
            "fsGroup": NEUTRON_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "neutron", "secret": {"secretName": settings.neutron_secret}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{deployment.name}-swanherd-db-{digest}"},
        "spec": {"backoffLimit": 10, "template": {"spec": pod}},
    }


def _values(deployment: Deployment, settings: Settings) -> Object:
    """Return what openstack-helm's chart `neutron` takes, but for the agents, which are ours."""
    values = helm.values(deployment, settings.images, enabled=True)
    if deployment.backend is Backend.OVN:
        values.pop("manifests")
        values["conf"].pop("ovn_vpn_agent")
        values["images"]["tags"].pop("neutron_ovn_vpn")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{deployment.name}-swanherd-neutron-values"},
        "data": {"values.yaml": texts.yaml_of(values)},
    }


def database(found: Object | None) -> Condition:
    """Tell how far the job is."""
    status = (found or {}).get("status", {})
    if status.get("succeeded"):
        return Condition("DatabaseReady", True, "Migrated")
    failed = status.get("failed", 0)
    return Condition(
        "DatabaseReady", False, "Migrating", f"{failed} attempts failed" * bool(failed)
    )


def agents(deployment: Deployment, found: Object | None) -> Condition:
    """Tell how many agents of how many work."""
    if deployment.backend is not Backend.OVN:
        return Condition("AgentsReady", None, "L3Agents", "The L3 agents of Neutron have the VPN.")
    status = (found or {}).get("status", {})
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    text = f"{ready} of {wanted} gateway nodes have an agent that is ready"
    if not wanted:
        return Condition("AgentsReady", False, "NoNode", "No node is labelled as a gateway.")
    return Condition(
        "AgentsReady", ready == wanted, "Ready" if ready == wanted else "Waiting", text
    )


def overall(conditions: Sequence[Condition]) -> Condition:
    """Tell whether all of it is as the flag says."""
    bad = [each.kind for each in conditions if each.holds is False]
    return Condition("Ready", not bad, "AsWanted" if not bad else "Waiting", ", ".join(bad))
