"""The operator in a cluster, with its own account and no right but those of its manifests."""

import random
import signal
import time

import pytest

from swanherd_operator.controller.plan import FORCE
from tests.kube.cluster import create, path_of
from tests.kube.pod import USER
from tests.kube.stage import DEPLOYMENTS, OFF, ON


def shape(objects):
    """Return what objects say, without what each cluster and moment writes into them."""
    own = ("apiVersion", "kind", "spec", "data", "automountServiceAccountToken")
    return {
        name: {key: without_server(found[key]) for key in own if key in found}
        for name, found in objects.items()
    }


def without_server(value):
    """Leave out what is an address or an id that the API gives each object anew."""
    if isinstance(value, dict):
        return {
            k: without_server(v)
            for k, v in value.items()
            if k not in ("clusterIP", "clusterIPs", "controller-uid", "selector")
        }
    return [without_server(each) for each in value] if isinstance(value, list) else value


def test_it_follows_the_flag_and_writes_nothing_into_the_users_resource(stage):
    """Objects of which no field is dropped, real statuses, and all of it gone again."""
    before = stage.put(**ON)
    with stage.pod.running():
        stage.until(lambda: stage.state("Ready") == "True")
        kinds_made = {kind for kind, _ in stage.ours()}
        assert kinds_made == {
            *("ConfigMap", "DaemonSet", "Job", "PodDisruptionBudget", "ServiceAccount")
        }
        assert {c["status"] for c in stage.conditions().values()} == {"True"}
        for found in [*stage.ours().values(), *stage.enablements()]:
            (owner,) = found["metadata"]["ownerReferences"]
            assert owner["uid"] == before["metadata"]["uid"]
        assert stage.deployment() == before
        changed = stage.change(OFF)
        stage.until(lambda: "isn't known" in stage.conditions()["Accepted"]["message"])
        assert {kind for kind, _ in stage.ours()} == kinds_made
        changed = stage.change(OFF, annotations={FORCE: "true"})
        stage.until(lambda: not stage.ours())
        stage.until(lambda: stage.conditions()["Accepted"]["reason"] == "Disabled")
        assert stage.deployment() == changed


def test_agents_of_open_vswitch_are_the_l3_agents(stage):
    """On ml2 nothing of the chart."""
    stage.put(**ON, backend="ml2")
    with stage.pod.running():
        stage.until(lambda: stage.state("Ready") == "True")
    assert {kind for kind, _ in stage.ours()} == {"ConfigMap", "Job"}
    assert stage.conditions()["AgentsReady"]["status"] == "Unknown"


@pytest.mark.parametrize(
    ("neutron", "told"),
    [
        ({**ON, "backend": "tungstenfabric"}, "doesn't support VPNaaS"),
        ({"vpnaas": {"enabled": True}}, "the flag is"),
        ({"extensions": {"vpnaas": {"enabled": "yes"}}}, "expected true or false"),
        ({"extensions": ["vpnaas"]}, "expected a mapping"),
    ],
)
def test_what_cant_be_followed_is_refused_by_a_condition_and_one_event(neutron, told, stage):
    """And nothing is made; another change that is as wrong isn't told again."""
    before = stage.events()
    stage.put(**neutron)
    with stage.pod.running():
        stage.until(lambda: stage.state("Accepted") == "False")
        stage.change({"other": "thing"})
        generation = stage.deployment()["metadata"]["generation"]
        stage.until(lambda: stage.conditions()["Accepted"]["observedGeneration"] == generation)
    assert told in stage.conditions()["Accepted"]["message"]
    (message,) = (stage.events()[new] for new in stage.events().keys() - before.keys())
    assert told in message
    assert not stage.ours()


def test_an_old_release_is_refused_and_followed_when_it_is_upgraded(stage):
    """The same process, the same object."""
    stage.put(**ON)
    stage.cluster.merge(f"{DEPLOYMENTS}/cloud", {"spec": {"openstack_version": "antelope"}})
    with stage.pod.running():
        stage.until(lambda: stage.state("Accepted") == "False")
        assert not stage.ours()
        stage.cluster.merge(f"{DEPLOYMENTS}/cloud", {"spec": {"openstack_version": "caracal"}})
        stage.until(lambda: stage.state("Ready") == "True")


def test_a_name_that_is_too_long_is_refused(stage):
    """Kubernetes wouldn't take what is named after it; the longest that goes, goes."""
    longest, longer = "c" * 40, "d" * 64
    stage.put(longest, **ON)
    stage.put(longer, **ON)
    with stage.pod.running():
        stage.until(lambda: stage.state("Ready", longest) == "True")
        stage.until(lambda: stage.state("Accepted", longer) == "False")
    assert "at most 40 letters" in stage.conditions(longer)["Accepted"]["message"]
    assert not stage.ours("d" * 63)


def test_what_the_cluster_refuses_is_told_and_nothing_is_made_half(stage):
    """A quota stands for whatever an administrator forbids; when it goes, all is made."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"count/poddisruptionbudgets.policy": "0"}},
    }
    path = path_of(create(stage.cluster, quota))
    used = {"hard": quota["spec"]["hard"], "used": quota["spec"]["hard"]}
    stage.cluster.merge(f"{path}/status", {"status": used})
    stage.put(**ON)
    with stage.pod.running():
        try:
            stage.until(lambda: stage.conditions().get("Ready", {}).get("reason") == "Denied")
            assert "exceeded quota" in stage.conditions()["Ready"]["message"]
            assert not stage.ours()
        finally:
            stage.cluster.ask("DELETE", path)
        stage.until(lambda: stage.state("Ready") == "True")
    (denied,) = (each for each in stage.events().values() if "exceeded quota" in each)
    assert "poddisruptionbudgets" in denied


def test_killed_at_any_moment_it_ends_as_if_nothing_had_been(stage):
    """A row of kills while it makes things, and while it takes them away."""
    stage.put(**ON)
    with stage.pod.running():
        stage.until(lambda: stage.state("Ready") == "True")
    wanted = shape(stage.ours())
    generator = random.Random(7)
    for flag, ends in (
        (OFF, lambda: not stage.ours()),
        (ON, lambda: shape(stage.ours()) == wanted),
    ):
        stage.change(flag, annotations={FORCE: "true"})
        for _ in range(3):
            with stage.pod.running(end=signal.SIGKILL):
                time.sleep(generator.uniform(1, 3))  # a moment by chance is what is tried
        with stage.pod.running():
            stage.until(ends)
            stage.until(lambda: stage.state("Ready") == "True")


def test_with_the_operator_down_a_deletion_takes_all_with_it(stage):
    """It has no finalizer there: Kubernetes collects what the deployment owns."""
    stage.put(**ON)
    with stage.pod.running():
        stage.until(lambda: stage.state("Ready") == "True")
    assert "finalizers" not in stage.deployment()["metadata"]
    stage.cluster.ask("DELETE", f"{DEPLOYMENTS}/cloud")
    stage.until(lambda: not stage.deployment() and not stage.ours() and not stage.enablements())


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_a_deletion_that_others_hold_up_is_left_to_them(policy, stage):
    """Nothing is made anew while it is going; all goes when they let it."""
    stage.put(**ON)
    with stage.pod.running():
        stage.until(lambda: stage.state("Ready") == "True")
        stage.cluster.merge(
            f"{DEPLOYMENTS}/cloud", {"metadata": {"finalizers": ["a.test/others"]}}
        )
        stage.cluster.ask("DELETE", f"{DEPLOYMENTS}/cloud", {"propagationPolicy": policy})
        assert "deletionTimestamp" in stage.deployment()["metadata"]
        if policy == "Foreground":
            stage.until(lambda: not stage.ours())
        stage.change({"finalizers": "are there"})
        stage.cluster.merge(f"{DEPLOYMENTS}/cloud", {"metadata": {"finalizers": None}})
        stage.until(lambda: not stage.deployment() and not stage.ours())
        stage.until(lambda: not stage.enablements())


def test_its_account_may_do_nothing_else(stage):
    """Not write the user's resource, read a secret, or touch another namespace."""
    may = {("get", "lcm.mirantis.com", "openstackdeployments", "openstack"): True}
    may |= {
        (verb, "lcm.mirantis.com", "openstackdeployments", "openstack"): False
        for verb in ("create", "update", "patch", "delete")
    }
    may |= {
        ("get", "", "secrets", "openstack"): False,
        ("list", "", "configmaps", "default"): False,
    }
    for (verb, group, resource, namespace), allowed in may.items():
        asked = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": USER, "resourceAttributes": asked},
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = stage.cluster.ask("POST", path, review)["status"]
        assert answer["allowed"] is allowed, asked


def test_a_job_is_made_for_each_image_and_statuses_are_of_what_is_wanted(stage):
    """A new image of agents isn't told as ready while the old ones run."""
    stage.put(**ON)
    with stage.pod.running():
        stage.until(lambda: stage.state("Ready") == "True")
    stage.cluster.kubelets.ready.clear()
    try:
        with stage.pod.running("--agent-image=registry.example/swanherd:v2"):
            stage.until(lambda: stage.state("AgentsReady") == "False")
            stage.cluster.kubelets.ready.set()
            stage.until(lambda: stage.state("Ready") == "True")
    finally:
        stage.cluster.kubelets.ready.set()
