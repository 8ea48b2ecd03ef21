"""The operator's process against an API server: it follows the flag, whatever happens to it."""

import contextlib
import copy
import os
import pathlib
import signal
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml

from swanherd_operator.controller.plan import FORCE, GROUP, LABEL, VERSION
from tests.functional.enabling.api_server import kubeconfig, serving
from tests.functional.ovn.daemons import until
from tests.unit.enabling.contract import PULL

ROOT = pathlib.Path(__file__).parents[3]
OSDPL = ("lcm.mirantis.com/v1alpha1", "openstackdeployments")
LIMIT = 40
CRD = ROOT / "operator" / "crds" / "enablement.yaml"


def deployment(**neutron):
    """Return a deployment as a cluster has it."""
    found = yaml.safe_load((ROOT / "docs" / "examples" / "osdpl.yaml").read_text())
    found["metadata"].setdefault("namespace", "openstack")
    found["spec"]["features"]["neutron"].update(neutron)
    return found


ON = {"extensions": {"vpnaas": {"enabled": True}}}
OFF = {"extensions": {"vpnaas": {"enabled": False}}}


@pytest.fixture
def stage(tmp_path):
    with serving() as (api, url):
        api.put("v1", "namespaces", {"metadata": {"name": "openstack"}})
        (tmp_path / "kubeconfig").write_text(kubeconfig(url))
        yield Stage(api, tmp_path)


class Stage:
    def __init__(self, api, directory):
        self.api = api
        self.directory = directory

    @contextlib.contextmanager
    def operator(self, end=signal.SIGTERM):
        """Run it as long as the block lasts."""
        env = os.environ | {
            "KUBECONFIG": str(self.directory / "kubeconfig"),
            "PYTHONPATH": str(ROOT / "operator" / "src"),
        }
        with (self.directory / "log").open("a") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "swanherd_operator.controller.main"),
                    *("--server-image", "registry.example/neutron:swanherd"),
                    *("--agent-image", "registry.example/swanherd:v1", "--bus-secret", "bus"),
                    *("--helm", str(ROOT / "build" / "helm"), "--namespace", "openstack"),
                    *("--chart", str(ROOT / "operator" / "charts" / "swanherd")),
                ],
                env=env,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.send_signal(end)
            process.wait(LIMIT)

    def put(self, **neutron):
        return self.api.put(*OSDPL, deployment(**neutron))

    def conditions(self):
        found = self.api.objects.get((VERSION, "enablements", "openstack", "cloud"), {})
        listed = found.get("status", {}).get("conditions", [])
        return {each["type"]: each for each in listed}

    def state(self, kind):
        return self.conditions().get(kind, {}).get("status")

    def until(self, met):
        try:
            until(met, LIMIT)
        except AssertionError:
            log = (self.directory / "log").read_text()[-3000:]
            raise AssertionError(f"{self.conditions()}\n{log}") from None

    def ours(self):
        found = self.api.objects.items()
        return {key[1:]: o for key, o in found if LABEL in o["metadata"].get("labels", {})}

    def events(self):
        return [e["message"] for e in self.api.listed("v1", "events", "openstack")]


AGENTS = ("daemonsets", "openstack", "cloud-ovn-agent")


def finish(stage):
    """Be the controllers that this API server hasn't."""
    for (_, plural, _, name), found in list(stage.api.objects.items()):
        status = {
            "daemonsets": {
                "observedGeneration": found["metadata"]["generation"],
                "desiredNumberScheduled": 2,
                "updatedNumberScheduled": 2,
                "numberReady": 2,
            },
            "jobs": {"succeeded": 1},
        }.get(plural)
        if status:
            meta = {"name": name, "namespace": "openstack"}
            stage.api.put(found["apiVersion"], plural, {"metadata": meta, "status": status})


def test_it_follows_the_flag_and_tells_when_all_is_there(stage):
    """Objects, conditions, a resource that nobody wrote into; off again, and all is gone."""
    before = copy.deepcopy(stage.put(**ON))
    with stage.operator():
        stage.until(lambda: AGENTS in stage.ours() and stage.state("Accepted") == "True")
        assert stage.state("Ready") == "False"
        finish(stage)
        stage.until(lambda: stage.state("Ready") == "True")
        for found in stage.ours().values():
            if found["kind"] != "Enablement":
                bare = {k: v for k, v in found.items() if k != "status"}
                bare["metadata"] = {
                    k: v for k, v in bare["metadata"].items() if k != "resourceVersion"
                }
                kubernetes_validate.validate(bare, "1.35", strict=True)
            (owner,) = found["metadata"]["ownerReferences"]
            assert owner["uid"] == before["metadata"]["uid"]
        key = (*OSDPL, "openstack", "cloud")
        assert stage.api.objects[key] == before
        stage.put(**OFF)
        stage.until(lambda: "isn't known" in stage.conditions()["Accepted"]["message"])
        assert AGENTS in stage.ours()
        forced = {"metadata": {**before["metadata"], "annotations": {FORCE: "true"}}}
        stage.api.put(*OSDPL, forced)
        stage.until(lambda: {plural for plural, *_ in stage.ours()} == {"enablements"})
        stage.until(lambda: stage.conditions()["Accepted"]["reason"] == "Disabled")
    touched = {change[2] for change in stage.api.changes}
    assert "openstackdeployments" not in touched


def test_an_image_that_is_not_there_is_told(stage):
    """In the status, until the job goes on."""

    def told():
        return stage.conditions()["DatabaseReady"]

    stage.put(**ON)
    with stage.operator():
        stage.until(lambda: stage.state("DatabaseReady") == "False")
        (job,) = stage.api.listed("batch/v1", "jobs", "openstack")
        meta = {"name": "p", "namespace": "openstack"}
        labels = job["spec"]["selector"]["matchLabels"]
        waits = {"containerStatuses": [{"state": PULL}]}
        stage.api.put("v1", "pods", {"metadata": {**meta, "labels": labels}, "status": waits})
        meta["name"] = job["metadata"]["name"]
        stage.api.put("batch/v1", "jobs", {"metadata": meta, "status": {"active": 1}})
        stage.until(lambda: "ImagePullBackOff: Back-off pulling image" in told()["message"])
        finish(stage)
        stage.until(lambda: stage.state("Ready") == "True")


def test_a_killed_operator_goes_on_where_it_was(stage):
    """What changed meanwhile is done, and nothing twice."""
    stage.put(**ON)
    with stage.operator(end=signal.SIGKILL):
        stage.until(lambda: AGENTS in stage.ours())
    stage.api.remove("apps/v1", *AGENTS)
    finish(stage)
    with stage.operator():
        stage.until(lambda: AGENTS in stage.ours())
        finish(stage)
        stage.until(lambda: stage.state("Ready") == "True")
    jobs = [change for change in stage.api.changes if change[2] == "jobs"]
    assert len(jobs) == 1


def test_an_api_that_is_away_is_tried_again(stage):
    """Nothing is lost, and nothing is told as done that isn't."""
    stage.api.broken = True
    stage.put(**ON)
    with stage.operator():
        stage.until(lambda: "503" in (stage.directory / "log").read_text())
        assert not stage.conditions()
        stage.api.broken = False
        stage.until(lambda: AGENTS in stage.ours())


@pytest.mark.parametrize(
    ("neutron", "told"),
    [
        ({**ON, "backend": "tungstenfabric"}, "doesn't support VPNaaS"),
        ({"vpnaas": {"enabled": True}}, "the flag is"),
        ({"extensions": {"vpnaas": {"enabled": "yes"}}}, "expected true or false"),
    ],
)
def test_what_cant_be_followed_is_refused_once_by_an_event(neutron, told, stage):
    """With the place in the document; nothing is made."""
    stage.put(**neutron)
    with stage.operator():
        stage.until(lambda: stage.state("Accepted") == "False")
        stage.until(lambda: len(stage.events()) == 1)
        # Another change of it that is as wrong isn't told again.
        meta = {**deployment()["metadata"], "labels": {"changed": "yes"}}
        stage.api.put(*OSDPL, {"metadata": meta})
    (event,) = stage.events()
    assert told in event
    assert event.startswith("spec.features.neutron.")
    assert {plural for plural, *_ in stage.ours()} == {"enablements"}


def test_the_crd_is_what_the_operator_writes():
    """Group, version, kind and the status as a subresource."""
    crd = yaml.safe_load(CRD.read_text())
    kubernetes_validate.validate(crd, "1.35", strict=True)
    (version,) = crd["spec"]["versions"]
    assert (crd["spec"]["group"], version["name"]) == tuple(VERSION.split("/"))
    assert version["subresources"] == {"status": {}}
    assert GROUP in crd["metadata"]["name"]
