"""What a cluster should have for a deployment's flag, as values; no cluster is asked here."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swanherd_operator.document import FLAG, Backend, Deployment, Refused
from swanherd_operator.enabling import NEUTRON_USER, Images
from swanherd_operator.outputs import helm, texts

GROUP = "swanherd.io"
VERSION = f"{GROUP}/v1alpha1"
LABEL = f"{GROUP}/deployment"
FORCE = f"{GROUP}/force-disable"
# Reasons that are also told by an event, with its reason.
TOLD = {"Refused": "VpnRefused", "Denied": "VpnDenied"}
# The job's name, which Kubernetes makes a label of its pods of.
_JOB = "{name}-swanherd-db-{digest:.10}"
# A container that is about to start waits so too. What Kubernetes says may be long.
_USUAL = ("", "ContainerCreating", "PodInitializing")
_MOST = 800
_LONGEST = 63 - len(_JOB.format(name="", digest="0" * 10))

Object = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the operator was told: images, and the names of secrets that are there."""

    images: Images
    bus_secret: str
    bus_key: str = "transport_url"
    neutron_secret: str = "neutron-etc"  # noqa: S105 - a name, as openstack-helm has it


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
            # An empty one is none: Kubernetes 1.20 makes null of it where it is applied.
            **({"message": self.message} if self.message else {}),
            "lastTransitionTime": since,
            "observedGeneration": generation,
        }


def chart_values(settings: Settings) -> dict[str, Any]:
    """Return the chart's values for the agents."""
    repository, separator, rest = settings.images.agent.rpartition("@")
    if separator:
        image = {"repository": repository, "digest": rest}
    else:
        repository, colon, rest = settings.images.agent.rpartition(":")
        if not colon or "/" in rest:  # a registry's port, if anything
            repository, rest = settings.images.agent, "latest"
        image = {"repository": repository, "tag": rest}
    return {
        "image": image,
        "bus": {"existingSecret": settings.bus_secret, "key": settings.bus_key},
    }


def own_objects(deployment: Deployment, settings: Settings) -> tuple[Object, ...]:
    """Return what isn't the chart's: the servers' values, and the job for the tables."""
    return (_values(deployment, settings), job(deployment, settings))


def label(name: str) -> str:
    """Return the label's value for a deployment: its name, as far as a label goes."""
    return name[:63].rstrip("-.")


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
        labels = {**each["metadata"].get("labels", {}), LABEL: label(meta["name"])}
        extra = {"namespace": meta["namespace"], "labels": labels, "ownerReferences": [owner]}
        found.append({**each, "metadata": {**each["metadata"], **extra}})
    return tuple(found)


def job(deployment: Deployment, settings: Settings) -> Object:
    """Return the job that brings the tables to the image's shape: one for each image."""
    digest = hashlib.sha256(settings.images.server.encode()).hexdigest()
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
        "metadata": {"name": _JOB.format(name=deployment.name, digest=digest)},
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


def refuse_long(deployment: Deployment) -> None:
    """Refuse a deployment after which nothing of ours can be named."""
    if len(deployment.name) > _LONGEST:
        sentence = f"what is made for it is named after it, which takes at most {_LONGEST} letters"
        raise Refused("metadata.name", sentence)


def accepted(deployment: Deployment) -> Condition:
    """Tell what the flag is."""
    reason = "Enabled" if deployment.enabled else "Disabled"
    return Condition("Accepted", True, reason, f"{FLAG} is {str(deployment.enabled).lower()}")


def gave_up(found: Object) -> bool:
    """Tell whether a job has used up its attempts: Kubernetes makes no more."""
    told = found.get("status", {}).get("conditions", ())
    return any((each["type"], each["status"]) == ("Failed", "True") for each in told)


def waiting(pods: Sequence[Object]) -> str:
    """Return why one of the pods can't start, in Kubernetes' words; empty if none says it."""
    for pod in sorted(pods, key=lambda each: str(each["metadata"]["name"])):
        if "deletionTimestamp" in pod["metadata"]:
            continue
        for told in _causes(pod.get("status", {})):
            if (reason := told.get("reason", "")) not in _USUAL:
                words = f"{reason}: {told.get('message') or ''}".split()
                return " ".join(words)[:_MOST].rstrip(":")
    return ""


def _causes(status: Object) -> Iterator[Object]:
    for told in status.get("conditions", ()):
        if (told["type"], told["status"]) == ("PodScheduled", "False"):
            yield told
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind, ()):
            yield container.get("state", {}).get("waiting") or {}


def database(found: Object | None, pods: Sequence[Object] = ()) -> Condition:
    """Tell how far the job is, and what its pod waits for."""
    if found and gave_up(found):
        return Condition("DatabaseReady", False, "Failed", "The job gave up; it is made anew.")
    status = (found or {}).get("status", {})
    if status.get("succeeded"):
        return Condition("DatabaseReady", True, "Migrated", "The tables are the server image's.")
    failed = status.get("failed", 0)
    text = f"{failed} attempts failed." if failed else "The job hasn't ended yet."
    if why := waiting(pods):
        # Kubernetes tries again by itself, and the operator looks again.
        return Condition("DatabaseReady", False, "Waiting", f"{text[:-1]}; its pod waits: {why}")
    return Condition("DatabaseReady", False, "Migrating", text)


def agents(deployment: Deployment, found: Object | None, pods: Sequence[Object] = ()) -> Condition:
    """Tell how many agents of how many work, and what one of the others waits for."""
    if deployment.backend is not Backend.OVN:
        return Condition("AgentsReady", None, "L3Agents", "The L3 agents of Neutron have the VPN.")
    status = (found or {}).get("status", {})
    # A status of an earlier specification tells of agents that are going to be replaced.
    generation = (found or {}).get("metadata", {}).get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        return Condition("AgentsReady", False, "Waiting", "Kubernetes hasn't looked at it yet.")
    wanted = status.get("desiredNumberScheduled", 0)
    ready = min(status.get("numberReady", 0), status.get("updatedNumberScheduled", 0))
    text = f"{ready} of {wanted} gateway nodes have an agent that is ready and as wanted"
    if not wanted:
        return Condition("AgentsReady", False, "NoNode", "No node is labelled as a gateway.")
    if ready == wanted:
        return Condition("AgentsReady", True, "Ready", text)
    why = waiting(pods)
    return Condition(
        "AgentsReady", False, "Waiting", f"{text}; a pod waits: {why}" if why else text
    )


def overall(conditions: Sequence[Condition]) -> Condition:
    """Tell whether all of it is as the flag says."""
    bad = [each.kind for each in conditions if each.holds is False]
    if bad:
        return Condition("Ready", False, "Waiting", f"Not so yet: {', '.join(bad)}")
    return Condition("Ready", True, "AsWanted", "All is as the flag says.")
