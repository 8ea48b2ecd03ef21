"""One look at one deployment: what is, what should be, and what to say of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swanherd_operator.controller import plan
from swanherd_operator.controller.cluster import Away, Cluster, Denied, Ref, Version, kinds
from swanherd_operator.controller.plan import Condition, Object, Settings
from swanherd_operator.document import API_GROUP, FLAG, KIND, Backend, Deployment, Refused, parse

DEPLOYMENTS = f"{API_GROUP}/v1alpha1"
UNKNOWN_USE = (
    "whether VPN services exist isn't known: {why}. Nothing is removed until it is, or until the "
    f"annotation {plan.FORCE}=true says that it may be"
)


class Unknown(Exception):
    """Whether the cloud has VPN services isn't known; the sentence says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What a look needs. `render` makes the chart's objects of a name, a namespace and values.

    `vpn_services` counts those of the cloud, or raises Unknown; `now` is RFC 3339.
    """

    cluster: Cluster
    settings: Settings
    render: Callable[[str, str, Mapping[str, Any], Version], Sequence[Object]]
    vpn_services: Callable[[], int]
    now: Callable[[], str]


def look(world: Surroundings, namespace: str, name: str) -> bool:
    """Bring the cluster to what the flag says; True if all of it is so.

    Idempotent; raises Away where it has to be tried again.
    """
    document = world.cluster.get(Ref(DEPLOYMENTS, KIND, namespace, name))
    if document is None or "deletionTimestamp" in document["metadata"]:
        return True  # what is ours has it as the owner, and goes with it
    try:
        deployment = parse(document)
        if deployment.enabled:
            conditions = _enabled(world, document, deployment)
        else:
            conditions = _disabled(world, document, deployment)
    except Refused as refused:
        conditions = [Condition("Accepted", False, "Refused", str(refused))]
    except Denied as denied:
        ready = Condition("Ready", False, "Denied", str(denied)[:1024])
        _report(world, document, [plan.accepted(deployment), ready])
        raise
    conditions = [*conditions, plan.overall(conditions)]
    _report(world, document, conditions)
    return all(each.holds is not False for each in conditions)


def _enabled(world: Surroundings, document: Object, deployment: Deployment) -> list[Condition]:
    settings, cluster = world.settings, world.cluster
    plan.refuse_long(deployment)
    objects = plan.own_objects(deployment, settings)
    if deployment.backend is Backend.OVN:
        values, version = plan.chart_values(settings), cluster.version()
        objects = (*objects, *world.render(deployment.name, deployment.namespace, values, version))
    wanted = plan.owned(objects, document)
    # A job can't be changed, and has a name for each image.
    there = {each["kind"]: cluster.get(Ref.of(each)) for each in wanted if each["kind"] == "Job"}
    applied = [each for each in wanted if there.get(each["kind"]) is None]
    # All of it is taken, or none of it is made.
    for each in applied:
        cluster.apply(each, rehearse=True)
    for each in applied:
        there[each["kind"]] = cluster.apply(each)
    _sweep(world, document, keep={Ref.of(each) for each in wanted})
    job, daemons = there["Job"], there.get("DaemonSet")
    database = _told(world, job, lambda pods: plan.database(job, pods))
    if job and plan.gave_up(job):
        # Its end is an event, and the next look makes another. Its pod's log is gone already.
        cluster.delete(Ref.of(job))
    agents = _told(world, daemons, lambda pods: plan.agents(deployment, daemons, pods))
    return [plan.accepted(deployment), database, agents]


def _told(
    world: Surroundings, of: Object | None, told: Callable[[Sequence[Object]], Condition]
) -> Condition:
    """Return what is told of a job or DaemonSet; its pods are looked at where it isn't ready."""
    condition = told(())
    return told(_pods(world, of)) if condition.holds is False else condition


def _pods(world: Surroundings, of: Object | None) -> Sequence[Object]:
    """Return the pods that a job or DaemonSet selects; Kubernetes gives a job its selector."""
    if of is None:
        return ()
    wanted = of.get("spec", {}).get("selector", {}).get("matchLabels", {})
    label = ",".join(f"{name}={value}" for name, value in sorted(wanted.items()))
    return world.cluster.labelled("v1", "Pod", of["metadata"]["namespace"], label) if label else ()


def _disabled(world: Surroundings, document: Object, deployment: Deployment) -> list[Condition]:
    """Take away what was made, unless somebody uses it; never anything of the database."""
    accepted = plan.accepted(deployment)
    if not _ours(world, document):
        return [accepted]
    forced = document["metadata"].get("annotations", {}).get(plan.FORCE) == "true"
    if not forced:
        try:
            count = world.vpn_services()
        except Unknown as error:
            raise Refused(FLAG, UNKNOWN_USE.format(why=error)) from error
        if count:
            raise Refused(FLAG, f"{count} VPN service(s) exist; delete them first")
    _sweep(world, document, keep=set())
    return [accepted]


def _ours(world: Surroundings, document: Object) -> list[Ref]:
    meta = document["metadata"]
    label = f"{plan.LABEL}={plan.label(meta['name'])}"
    looked = kinds(world.cluster.version())
    found = (world.cluster.labelled(*kind, meta["namespace"], label) for kind in looked)
    return [Ref.of(each) for objects in found for each in objects]


def _sweep(world: Surroundings, document: Object, keep: set[Ref]) -> None:
    for ref in _ours(world, document):
        if ref not in keep:
            world.cluster.delete(ref)


def _report(world: Surroundings, document: Object, conditions: Sequence[Condition]) -> None:
    """Write the status, and an event where a refusal is new."""
    meta = document["metadata"]
    ref = Ref(plan.VERSION, "Enablement", meta["namespace"], meta["name"])
    found = world.cluster.get(ref)
    before = (found or {}).get("status", {}).get("conditions", [])
    generation = meta.get("generation", 0)
    after = [each.document(before, world.now(), generation) for each in conditions]
    base = {
        "apiVersion": ref.version,
        "kind": ref.kind,
        "metadata": {"name": ref.name, "namespace": ref.namespace},
    }
    if found is None:
        (owned,) = plan.owned([base], document)
        world.cluster.apply(owned)
    told = {each.get("message") for each in before if each.get("reason") in plan.TOLD}
    # Before the status, which says that it was told: once more is better than never.
    for each in conditions:
        if each.reason in plan.TOLD and each.message not in told:
            world.cluster.tell(document, plan.TOLD[each.reason], each.message)
    if after != before:
        world.cluster.apply_status({**base, "status": {"conditions": after}})


__all__ = ["DEPLOYMENTS", "Away", "Denied", "Surroundings", "Unknown", "look"]
