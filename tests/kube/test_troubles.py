"""What happens to an operator in a cluster that has troubles of its own."""

import pytest
import yaml

from swanherd_operator.controller.plan import FORCE
from tests.kube.cluster import create, path_of
from tests.kube.pod import ACCOUNT
from tests.kube.stage import CRD, DEPLOYMENTS, OFF, ON

AGENTS = ("DaemonSet", "cloud-ovn-agent")


def test_the_api_may_be_away_while_it_works(stage):
    """What was asked for before is done afterwards, by the same process."""
    stage.put(**ON)
    with stage.pod.running() as process:
        stage.until(lambda: stage.state("Accepted") == "True")
        with stage.cluster.api_away():
            pass
        stage.until(lambda: stage.state("Ready") == "True")
        stage.change(OFF, annotations={FORCE: "true"})
        stage.until(lambda: not stage.ours())
        assert process.poll() is None
    stage.forget_requests()


def test_a_token_that_is_replaced_is_read_anew(stage):
    """As kubelets do it, before the old one ends."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "first"}}
    first = create(stage.cluster, secret)
    stage.pod.token.write_text(stage.cluster.token("openstack", ACCOUNT, first))
    stage.put(**ON)
    with stage.pod.running() as process:
        stage.until(lambda: stage.state("Ready") == "True")
        stage.pod.token.write_text(stage.cluster.token("openstack", ACCOUNT))
        stage.cluster.ask("DELETE", path_of(first))
        with stage.cluster.api_away():
            pass  # which ends the watches that the first one had opened
        stage.change(OFF, annotations={FORCE: "true"})
        stage.until(lambda: not stage.ours(), 200)
        assert process.poll() is None
    stage.forget_requests()


def test_what_others_remove_is_made_again(stage):
    """The agents at once; with them what has no event of its own."""
    stage.put(**ON)
    with stage.pod.running():
        stage.until(lambda: stage.state("Ready") == "True")
        before = stage.ours()
        for key in (("ConfigMap", "cloud-ovn-agent"), AGENTS):
            stage.cluster.ask("DELETE", path_of(before[key]))
        stage.until(lambda: stage.ours().keys() == before.keys())
        stage.until(lambda: stage.state("Ready") == "True")
    assert stage.ours()[AGENTS]["metadata"]["uid"] != before[AGENTS]["metadata"]["uid"]


def test_what_others_change_is_put_right_and_what_they_add_stays(stage):
    """An image is ours, an annotation of somebody else isn't."""
    stage.put(**ON)
    with stage.pod.running():
        stage.until(lambda: stage.state("Ready") == "True")
        path = path_of(stage.ours()[AGENTS])
        before = stage.cluster.ask("GET", path)["spec"]
        image = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x"}
        stage.cluster.ask("PATCH", path, [image], "application/json-patch+json")
        stage.cluster.merge(path, {"metadata": {"annotations": {"others": "note"}}})
        stage.until(lambda: stage.cluster.ask("GET", path)["spec"] == before)
    assert stage.cluster.ask("GET", path)["metadata"]["annotations"]["others"] == "note"


@pytest.mark.usefixtures("without_definition")
def test_it_waits_for_the_definition_of_its_own_resource(stage):
    """Started first, it follows the flag when the definition is there."""
    with stage.pod.running():
        stage.until(lambda: "has no swanherd.io/v1alpha1 yet" in stage.pod.log.read_text())
        create(stage.cluster, yaml.safe_load(CRD.read_text()))
        stage.put(**ON)
        stage.until(lambda: stage.state("Ready") == "True")


@pytest.fixture
def without_definition(stage):
    """The cluster without the operator's own resource."""
    path = path_of(yaml.safe_load(CRD.read_text()))
    stage.cluster.ask("DELETE", path)
    stage.until(lambda: not stage.cluster.exists(path))
    served = DEPLOYMENTS.replace("lcm.mirantis.com", "swanherd.io").rsplit("/", 3)[0]
    stage.until(lambda: not stage.cluster.exists(served))
