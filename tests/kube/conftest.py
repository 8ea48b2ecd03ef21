"""One cluster for all tests of this folder, with the resources that they need."""

import pathlib

import pytest
import yaml

from tests.kube.cluster import Cluster, Kubelets, create, dropped, join, path_of, until
from tests.kube.pod import MANIFESTS, USER
from tests.kube.stage import CRD, DEPLOYMENTS, Stage, forbidden, written

HERE = pathlib.Path(__file__).parent
NODES = ("gateway-1", "gateway-2", "compute-1")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A cluster with two gateways, the resources of others, and Neutron's namespace."""
    with Cluster(tmp_path_factory.mktemp("kube")).running() as found:
        for number, name in enumerate(NODES):
            labels = {"openstack-gateway": "enabled"} if number < 2 else {}
            join(found, name, labels)
        for each in yaml.safe_load_all((HERE / "resources.yaml").read_text()):
            create(found, each)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "openstack"}}
        create(found, namespace)
        with Kubelets(found, NODES).working() as found.kubelets:
            yield found


@pytest.fixture(scope="session")
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
