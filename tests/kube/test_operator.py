"""The operator in a cluster, with its own account and no right but those of its manifests."""

import json
import pathlib
import random
import signal
import time

import pytest
import yaml

from swanherd_operator.controller.cluster import kinds
from swanherd_operator.controller.plan import FORCE, LABEL
from tests.kube.cluster import collection, create, path_of, until
from tests.kube.pod import MANIFESTS, USER, OperatorPod
from tests.kube.test_chart import dropped

ROOT = pathlib.Path(__file__).parents[2]
CRD = ROOT / "operator" / "crds" / "enablement.yaml"
ON, OFF = ({"extensions": {"vpnaas": {"enabled": flag}}} for flag in (True, False))
VERSION = (1, 20)
DEPLOYMENTS = "/apis/lcm.mirantis.com/v1alpha1/namespaces/openstack/openstackdeployments"
ENABLEMENTS = "/apis/swanherd.io/v1alpha1/namespaces/openstack/enablements"


@pytest.fixture(scope="module")
def installed(cluster):
    """What the page says to apply; the Deployment's pod is admitted. A process is the program."""
    create(cluster, yaml.safe_load(CRD.read_text()))
    for each in yaml.safe_load_all(MANIFESTS.read_text()):
        stored = create(cluster, each)
        assert not list(dropped(each, stored))
    selector = "labelSelector=app.kubernetes.io/name%3Dswanherd-operator"
    pods = f"/api/v1/namespaces/openstack/pods?{selector}"
    until(lambda: len(cluster.ask("GET", pods)["items"]) == 1)
    return cluster


@pytest.fixture
def stage(installed, tmp_path):
    """A cluster without a deployment; at the end all has gone, and nothing was forbidden."""
    found = Stage(installed, tmp_path)
    yield found
    for each in installed.ask("GET", DEPLOYMENTS)["items"]:
        path = path_of(each)
        installed.merge(path, {"metadata": {"finalizers": None}})
        installed.ask("DELETE", path)
    until(lambda: not found.ours() and not found.enablements(), told=found.log)
    asked = installed.asked_by(USER, found.since)
    assert not [each["requestURI"] for each in asked if forbidden(each)]
    groups = {each.get("objectRef", {}).get("apiGroup", "") for each in asked if written(each)}
    assert "lcm.mirantis.com" not in groups


def forbidden(request):
    """Tell whether it was by RBAC, or nobody was known by the token; a quota says 403 too."""
    decision = request.get("annotations", {}).get("authorization.k8s.io/decision")
    return decision == "forbid" or request["responseStatus"]["code"] == 401


def written(request):
    return request["verb"] not in ("get", "list", "watch")


class Stage:
    def __init__(self, cluster, directory):
        self.cluster = cluster
        self.since = cluster.asked()
        self.pod = OperatorPod(cluster, directory)

    def put(self, name="cloud", **neutron):
        document = yaml.safe_load((ROOT / "docs" / "examples" / "osdpl.yaml").read_text())
        document["metadata"]["name"] = name
        document["spec"]["features"]["neutron"].update(neutron)
        return create(self.cluster, document)

    def change(self, neutron, **meta):
        body = {"metadata": meta, "spec": {"features": {"neutron": neutron}}}
        return self.cluster.merge(f"{DEPLOYMENTS}/cloud", body)

    def deployment(self):
        return self.cluster.find(f"{DEPLOYMENTS}/cloud")

    def enablements(self):
        return self.cluster.ask("GET", ENABLEMENTS)["items"]

    def conditions(self, name="cloud"):
        found = self.cluster.find(f"{ENABLEMENTS}/{name}") or {}
        return {each["type"]: each for each in found.get("status", {}).get("conditions", ())}

    def state(self, kind, name="cloud"):
        return self.conditions(name).get(kind, {}).get("status")

    def ours(self, name="cloud"):
        """Return what the operator has made, by kind and name."""
        found = {}
        for version, kind in kinds(VERSION):
            place = collection({"apiVersion": version, "kind": kind, "metadata": {}})
            listed = self.cluster.ask("GET", f"{place}?labelSelector={LABEL}%3D{name}")["items"]
            found |= {(kind, each["metadata"]["name"]): each for each in listed}
        return found

    def events(self):
        listed = self.cluster.ask("GET", "/api/v1/namespaces/openstack/events")["items"]
        of_deployments = [
            e for e in listed if e["involvedObject"]["kind"] == "OpenStackDeployment"
        ]
        return {each["metadata"]["uid"]: each["message"] for each in of_deployments}

    def log(self):
        told = self.pod.log.read_text()[-3000:] if self.pod.log.exists() else ""
        return f"{json.dumps(self.conditions(), indent=1)}\n{sorted(self.ours())}\n{told}"

    def until(self, met):
        until(met, told=self.log)


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
