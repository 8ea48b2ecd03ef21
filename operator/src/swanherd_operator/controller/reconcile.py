"""One look at one deployment: what is, what should be, and what to say of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swanherd_operator.controller import plan
from swanherd_operator.controller.cluster import KINDS, Away, Cluster, Ref
from swanherd_operator.controller.plan import Condition, Object, Settings
from swanherd_operator.document import API_GROUP, FLAG, KIND, Backend, Deployment, Refused, parse

DEPLOYMENTS = f"{API_GROUP}/v1alpha1"
UNKNOWN_USE = (
    "whether VPN services exist isn't known: tell the operator the cloud, or set the annotation "
    f"{plan.FORCE}=true. Nothing is removed until then"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What a look needs. `render` makes the chart's objects of values for a namespace.

    `vpn_services` counts those of the cloud, None if that isn't known; `now` is RFC 3339.
    """

    cluster: Cluster
    settings: Settings
    render: Callable[[str, str, Mapping[str, Any]], Sequence[Object]]
    vpn_services: Callable[[], int | None]
    now: Callable[[], str]


def look(world: Surroundings, namespace: str, name: str) -> bool:
    """Bring the cluster to what the flag says; True if all of it is so, and no event will tell.

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
            conditions = _disabled(world, document)
    except Refused as refused:
        conditions = [Condition("Accepted", False, "Refused", str(refused))]
    conditions = [*conditions, plan.overall(conditions)]
    _report(world, document, conditions)
    return all(each.holds is not False for each in conditions)


def _enabled(world: Surroundings, document: Object, deployment: Deployment) -> list[Condition]:
    settings, cluster = world.settings, world.cluster
    objects = plan.own_objects(deployment, settings)
    if deployment.backend is Backend.OVN:
        values = plan.chart_values(settings)
        objects = (*objects, *world.render(deployment.name, deployment.namespace, values))
    wanted = plan.owned(objects, document)
    there: dict[str, Object | None] = {}
    for each in wanted:
        ref = Ref.of(each)
        found = cluster.get(ref)
        # A job can't be changed, and has a name for each image.
        if found is None or ref.kind != "Job":
            cluster.apply(each)
        there[ref.kind] = found
    _sweep(world, document, keep={Ref.of(each) for each in wanted})
    accepted = Condition("Accepted", True, "Enabled", f"{FLAG} is true")
    database = plan.database(there["Job"])
    return [accepted, database, plan.agents(deployment, there.get("DaemonSet"))]


def _disabled(world: Surroundings, document: Object) -> list[Condition]:
    """Take away what was made, unless somebody uses it; never anything of the database."""
    accepted = Condition("Accepted", True, "Disabled", f"{FLAG} is false")
    if not _ours(world, document):
        return [accepted]
    forced = document["metadata"].get("annotations", {}).get(plan.FORCE) == "true"
    if not forced:
        count = world.vpn_services()
        if count is None:
            raise Refused(FLAG, UNKNOWN_USE)
        if count:
            raise Refused(FLAG, f"{count} VPN service(s) exist; delete them first")
    _sweep(world, document, keep=set())
    return [accepted]


def _ours(world: Surroundings, document: Object) -> list[Ref]:
    meta = document["metadata"]
    label = f"{plan.LABEL}={meta['name']}"
    found = (world.cluster.labelled(*kind, meta["namespace"], label) for kind in KINDS)
    return [ref for refs in found for ref in refs]


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
    if after != before:
        world.cluster.apply_status({**base, "status": {"conditions": after}})
    told = {each.get("message") for each in before if each.get("reason") == "Refused"}
    for each in conditions:
        if each.reason == "Refused" and each.message not in told:
            world.cluster.tell(document, "VpnRefused", each.message)


__all__ = ["Away", "Surroundings", "look"]
