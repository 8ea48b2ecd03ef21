"""A look at a deployment: all of it or nothing, told before it is forgotten, and told as it is."""

import pathlib

import pytest
import yaml

from swanherd_operator.controller.cluster import Away, Denied, Ref, kinds
from swanherd_operator.controller.plan import FORCE, VERSION, Settings, agents, chart_values
from swanherd_operator.controller.reconcile import Surroundings, Unknown, look
from swanherd_operator.document import parse
from swanherd_operator.enabling import Images
from tests.unit.enabling.contract import pod
from tests.unit.enabling.memory import MemoryCluster

ROOT = pathlib.Path(__file__).parents[3]
SETTINGS = Settings(Images("r/neutron:1", "r/swanherd:1"), "bus")


def deployment(name="cloud", *, enabled=True):
    """Return a deployment as a cluster has it."""
    found = yaml.safe_load((ROOT / "docs" / "examples" / "osdpl.yaml").read_text())
    found["metadata"] |= {"name": name, "namespace": "openstack", "uid": "u", "generation": 1}
    found["spec"]["features"]["neutron"]["extensions"] = {"vpnaas": {"enabled": enabled}}
    return found


def rendered(name, namespace, values, version):
    """Return what stands for the chart's objects."""
    policy = "policy/v1" if version >= (1, 21) else "policy/v1beta1"
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app.kubernetes.io/instance": name}}},
        },
        {"apiVersion": policy, "kind": "PodDisruptionBudget", "metadata": {"name": name}},
    ]


def unknown():
    raise Unknown("nobody asks")


def world(cluster, vpn_services=unknown):
    return Surroundings(cluster, SETTINGS, rendered, vpn_services, lambda: "now")


def conditions(cluster, name="cloud"):
    found = cluster.objects[Ref(VERSION, "Enablement", "openstack", name)]
    return {each["type"]: each for each in found["status"]["conditions"]}


def made(cluster):
    return {ref.kind for ref in cluster.objects} - {"OpenStackDeployment", "Enablement"}


def test_what_the_cluster_denies_is_told_and_nothing_is_made_half():
    """Neither the first objects nor the last; the next look makes all, where it may."""
    cluster = MemoryCluster(deployment())
    cluster.denied = ("PodDisruptionBudget",)
    for _ in range(2):
        with pytest.raises(Denied, match="quota"):
            look(world(cluster), "openstack", "cloud")
    assert not made(cluster)
    assert conditions(cluster)["Ready"]["reason"] == "Denied"
    assert cluster.told == [("VpnDenied", "PodDisruptionBudget: exceeded quota")]
    cluster.denied = ()
    look(world(cluster), "openstack", "cloud")
    assert made(cluster) == {"ConfigMap", "DaemonSet", "Job", "PodDisruptionBudget"}


@pytest.mark.parametrize("away", ["events", "status"])
def test_a_refusal_is_told_whichever_part_of_the_api_is_away_first(away):
    """The event isn't lost when it can't be made at once, and isn't made twice."""
    document = deployment()
    document["spec"]["features"]["neutron"]["backend"] = "tungstenfabric"
    cluster = MemoryCluster(document)
    cluster.away = (away,)
    with pytest.raises(Away):
        look(world(cluster), "openstack", "cloud")
    cluster.away = ()
    look(world(cluster), "openstack", "cloud")
    assert [reason for reason, _ in cluster.told] == ["VpnRefused"]
    assert conditions(cluster)["Accepted"]["status"] == "False"


@pytest.mark.parametrize(("length", "accepted"), [(40, "True"), (41, "False"), (64, "False")])
def test_a_name_leaves_room_for_what_is_named_after_it(length, accepted):
    """A job's name becomes a label, which has 63 letters."""
    name = "c" * length
    cluster = MemoryCluster(deployment(name))
    look(world(cluster), "openstack", name)
    assert conditions(cluster, name)["Accepted"]["status"] == accepted
    for found in cluster.objects.values():
        for value in found["metadata"].get("labels", {}).values():
            assert len(value) <= 63
    assert max(len(ref.name) for ref in cluster.objects if ref.kind == "Job" or length > 40) <= 64


def test_no_condition_has_an_empty_message():
    """An API server may take the one that is applied for null, and refuse the status."""
    cluster = MemoryCluster(deployment())
    look(world(cluster), "openstack", "cloud")
    for each in conditions(cluster).values():
        assert each.get("message", "there") != ""


@pytest.mark.parametrize("version", [(1, 20), (1, 21)])
def test_what_is_taken_away_is_looked_for_in_the_clusters_api(version):
    """Also the disruption budget, whose version has changed."""
    cluster = MemoryCluster(deployment(), version=version)
    look(world(cluster), "openstack", "cloud")
    off = deployment(enabled=False)
    off["metadata"]["annotations"] = {FORCE: "true"}
    cluster.objects[Ref.of(off)] = off
    look(world(cluster), "openstack", "cloud")
    assert not made(cluster)
    assert [kind for api, kind in kinds(version) if api.startswith("policy/")] == [
        "PodDisruptionBudget"
    ]


def test_why_nothing_is_removed_is_told():
    """Where the cloud can't be asked: with the cause, and tried again; the objects stay."""
    cluster = MemoryCluster(deployment())
    look(world(cluster), "openstack", "cloud")
    before = made(cluster)
    off = deployment(enabled=False)
    cluster.objects[Ref.of(off)] = off

    def away():
        raise Unknown("cloud swanherd: Service Unavailable")

    assert not look(world(cluster, away), "openstack", "cloud")
    assert made(cluster) == before
    told = conditions(cluster)["Accepted"]["message"]
    assert "isn't known: cloud swanherd: Service Unavailable" in told
    assert FORCE in told
    assert not look(world(cluster, lambda: 2), "openstack", "cloud")
    assert "2 VPN service(s)" in conditions(cluster)["Accepted"]["message"]
    assert look(world(cluster, lambda: 0), "openstack", "cloud")
    assert not made(cluster)


STATUS = {
    "observedGeneration": 2,
    "desiredNumberScheduled": 2,
    "updatedNumberScheduled": 2,
    "numberReady": 2,
}


@pytest.mark.parametrize(
    ("status", "holds"),
    [
        ({}, True),
        ({"observedGeneration": 1}, False),
        ({"updatedNumberScheduled": 1}, False),
        ({"numberReady": 1}, False),
        ({"desiredNumberScheduled": 0}, False),
    ],
)
def test_agents_are_ready_where_those_that_are_wanted_are(status, holds):
    """Not those of an earlier image or configuration."""
    found = {"metadata": {"generation": 2}, "status": STATUS | status}
    assert agents(parse(deployment()), found).holds is holds


def test_a_job_that_gave_up_is_made_anew():
    """A database that was away for longer than its attempts last is not the end."""
    cluster = MemoryCluster(deployment())
    look(world(cluster), "openstack", "cloud")
    (ref,) = (ref for ref in cluster.objects if ref.kind == "Job")
    gave_up = {"failed": 1, "conditions": [{"type": "Failed", "status": "True"}]}
    cluster.objects[ref] = {**cluster.objects[ref], "status": gave_up}
    assert not look(world(cluster), "openstack", "cloud")
    assert conditions(cluster)["DatabaseReady"]["reason"] == "Failed"
    look(world(cluster), "openstack", "cloud")
    assert "status" not in cluster.objects[ref]
    assert conditions(cluster)["DatabaseReady"]["reason"] == "Migrating"


def waits(reason, message=None):
    told = {"reason": reason} | ({"message": message} if message else {})
    return {"containerStatuses": [{"name": "db-sync", "state": {"waiting": told}}]}


UNSCHEDULABLE = {
    "conditions": [
        {"type": "Ready", "status": "False"},
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"},
    ]
}


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (waits("ImagePullBackOff", "r/n:1"), "Waiting", "its pod waits: ImagePullBackOff: r/n:1"),
        (waits("ErrImagePull", "code =\n NotFound"), "Waiting", "ErrImagePull: code = NotFound"),
        (waits("ErrImagePull", "x" * 9999), "Waiting", "ErrImagePull: xxx"),
        (waits("CreateContainerConfigError"), "Waiting", "pod waits: CreateContainerConfigError"),
        (waits("CrashLoopBackOff", "back-off 10s"), "Waiting", "CrashLoopBackOff: back-off 10s"),
        (UNSCHEDULABLE, "Waiting", "its pod waits: Unschedulable: 0/3"),
        ({"initContainerStatuses": waits("ErrImagePull")["containerStatuses"]}, "Waiting", "Err"),
        (waits("ContainerCreating"), "Migrating", "The job hasn't ended yet."),
        ({"containerStatuses": [{"state": {"running": {}}}]}, "Migrating", "hasn't ended"),
        ({}, "Migrating", "The job hasn't ended yet."),
    ],
)
def test_a_job_that_waits_says_why_and_goes_on(status, reason, told):
    """For an image that isn't there, a Secret, a node; once that is mended it needs nobody."""
    cluster = MemoryCluster(deployment())
    assert not look(world(cluster), "openstack", "cloud")
    (job,) = (found for found in cluster.objects.values() if found["kind"] == "Job")
    waiting = {**pod("tables", job["spec"]["selector"]["matchLabels"]), "status": status}
    gone = {**waiting, "status": waits("ImageInspectError")}
    gone["metadata"] = {**gone["metadata"], "name": "a", "deletionTimestamp": "then"}
    strange = {**pod("other", {"x": "y"}), "status": waits("ImageInspectError")}
    for each in (gone, waiting, strange):
        cluster.objects[Ref.of(each)] = each
    assert not look(world(cluster), "openstack", "cloud")
    found = conditions(cluster)["DatabaseReady"]
    assert (found["status"], found["reason"]) == ("False", reason)
    assert told in found["message"]
    assert len(found["message"]) <= 1024
    cluster.objects[Ref.of(waiting)] = {**waiting, "status": {}}
    look(world(cluster), "openstack", "cloud")
    assert conditions(cluster)["DatabaseReady"]["reason"] == "Migrating"
    cluster.apply_status({**job, "status": {"succeeded": 1}})
    look(world(cluster), "openstack", "cloud")
    assert conditions(cluster)["DatabaseReady"]["status"] == "True"


def test_agents_that_wait_say_why():
    """By the DaemonSet's own selector."""
    cluster = MemoryCluster(deployment())
    labels = {"app.kubernetes.io/name": "swanherd", "app.kubernetes.io/instance": "cloud"}
    waiting = {**pod("agent-1", labels), "status": waits("ImagePullBackOff", "r/swanherd:1")}
    cluster.objects[Ref.of(waiting)] = waiting
    look(world(cluster), "openstack", "cloud")
    (agents_,) = (found for found in cluster.objects.values() if found["kind"] == "DaemonSet")
    cluster.apply_status({**agents_, "status": {"desiredNumberScheduled": 2, "numberReady": 1}})
    look(world(cluster), "openstack", "cloud")
    told = conditions(cluster)["AgentsReady"]["message"]
    assert told.startswith("0 of 2 gateway nodes")
    assert told.endswith("; a pod waits: ImagePullBackOff: r/swanherd:1")


@pytest.mark.parametrize(
    ("image", "values"),
    [
        ("r.example/swanherd:v1", {"repository": "r.example/swanherd", "tag": "v1"}),
        ("r.example/swanherd", {"repository": "r.example/swanherd", "tag": "latest"}),
        ("r.example:5000/swanherd", {"repository": "r.example:5000/swanherd", "tag": "latest"}),
        ("r:5000/s:v1@sha256:0a", {"repository": "r:5000/s:v1", "digest": "sha256:0a"}),
    ],
)
def test_an_image_without_a_tag_is_the_latest(image, values):
    """As Kubernetes has it; a registry's port is no tag."""
    settings = Settings(Images("r/neutron:1", image), "bus")
    assert chart_values(settings)["image"] == values
