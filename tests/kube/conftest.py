"""One cluster for all tests of this folder, with the resources that they need."""

import pathlib

import pytest
import yaml

from tests.kube.cluster import Cluster, Kubelets, create, join

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
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
