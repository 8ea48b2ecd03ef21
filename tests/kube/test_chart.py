"""The chart in a cluster: installed, changed, taken back and removed by helm."""

import os
import pathlib
import subprocess

import pytest
import yaml

from tests.kube.cluster import PATIENCE, Refused, dropped, path_of, until

ROOT = pathlib.Path(__file__).parents[2]
CHART = ROOT / "operator" / "charts" / "swanherd"
VALUES = ROOT / "docs" / "examples" / "values.yaml"
GATEWAYS = {"gateway-1", "gateway-2"}
AGENTS = "/apis/apps/v1/namespaces/openstack/daemonsets/swanherd-ovn-agent"
PODS = "/api/v1/namespaces/openstack/pods?labelSelector=app.kubernetes.io/name%3Dswanherd"


@pytest.fixture
def helm(cluster, tmp_path):
    """Run helm's program as the administrator of the cluster."""
    env = os.environ | {
        "KUBECONFIG": str(cluster.directory / "kubeconfig"),
        **{f"HELM_{each}_HOME": str(tmp_path) for each in ("CACHE", "CONFIG", "DATA")},
    }

    def run(*arguments):
        done = subprocess.run(
            [ROOT / "build" / "helm", "--namespace", "openstack", *arguments],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def images(cluster):
    """Return the agent's image on each node."""
    pods = cluster.ask("GET", PODS)["items"]
    return {
        pod["spec"]["nodeName"]: pod["spec"]["containers"][0]["image"]
        for pod in pods
        if "nodeName" in pod["spec"] and "deletionTimestamp" not in pod["metadata"]
    }


def everywhere(tag):
    return dict.fromkeys(GATEWAYS, f"registry.example/swanherd:{tag}")


def test_helm_installs_changes_takes_back_and_removes_it(cluster, helm):
    """Each field of each object is kept; an agent on each gateway; nothing stays."""
    values = ("--values", str(VALUES))
    helm("install", "swanherd", str(CHART), *values)
    made = [each for each in yaml.safe_load_all(helm("get", "manifest", "swanherd")) if each]
    assert {each["kind"] for each in made} == {
        *("ConfigMap", "DaemonSet", "PodDisruptionBudget", "Service", "ServiceAccount"),
        "ServiceMonitor",
    }
    for each in made:
        assert not list(dropped(each, cluster.ask("GET", path_of(each))))
    until(lambda: images(cluster) == everywhere("v1"))
    until(lambda: cluster.ask("GET", AGENTS)["status"].get("numberReady") == 2)

    helm("upgrade", "swanherd", str(CHART), *values, "--set", "image.tag=v2")
    until(lambda: images(cluster) == everywhere("v2"))
    helm("rollback", "swanherd", "1")
    until(lambda: images(cluster) == everywhere("v1"))
    helm("uninstall", "swanherd")
    until(lambda: not any(cluster.exists(path_of(each)) for each in made))
    until(lambda: not cluster.ask("GET", PODS)["items"])


def evict(cluster, pod):
    """Ask for a pod to go, as `kubectl drain` does; return the number of the answer."""
    name = pod["metadata"]["name"]
    path = f"/api/v1/namespaces/openstack/pods/{name}/eviction"
    body = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name}}
    try:
        cluster.ask("POST", path, body)
    except Refused as refused:
        return refused.code
    return 201


def test_one_agent_may_be_evicted_and_not_both(cluster, helm):
    """The disruption budget counts a DaemonSet's pods."""
    helm("install", "swanherd", str(CHART), "--values", str(VALUES))
    budget = "/apis/policy/v1beta1/namespaces/openstack/poddisruptionbudgets/swanherd-ovn-agent"
    until(lambda: cluster.ask("GET", budget).get("status", {}).get("disruptionsAllowed") == 1)
    cluster.kubelets.ready.clear()
    try:
        first, second = cluster.ask("GET", PODS)["items"]
        assert evict(cluster, first) == 201
        assert evict(cluster, second) == 429
    finally:
        cluster.kubelets.ready.set()
    until(lambda: cluster.ask("GET", budget)["status"]["disruptionsAllowed"] == 1)
    helm("uninstall", "swanherd")
    until(lambda: not cluster.ask("GET", PODS)["items"])


def test_the_documented_command_does_both(cluster, helm):
    """`helm upgrade --install`, twice; the second one changes no pod."""
    command = ("upgrade", "--install", "swanherd", str(CHART), "--values", str(VALUES))
    helm(*command)
    until(lambda: images(cluster) == everywhere("v1"))
    before = {pod["metadata"]["uid"] for pod in cluster.ask("GET", PODS)["items"]}
    generation = cluster.ask("GET", AGENTS)["metadata"]["generation"]
    helm(*command)
    assert cluster.ask("GET", AGENTS)["metadata"]["generation"] == generation
    assert {pod["metadata"]["uid"] for pod in cluster.ask("GET", PODS)["items"]} == before
    helm("uninstall", "swanherd")
    until(lambda: not cluster.ask("GET", PODS)["items"])
