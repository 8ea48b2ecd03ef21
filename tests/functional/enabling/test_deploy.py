"""The operator's own manifests: what they say is what it needs."""

import pathlib

import kubernetes_validate
import pytest
import yaml
from openstack.config import loader

from swanherd_operator.controller import plan
from swanherd_operator.controller.cluster import KINDS, PLURALS
from swanherd_operator.controller.main import parser
from swanherd_operator.controller.plan import Condition

OPERATOR = pathlib.Path(__file__).parents[3] / "operator"
OBJECTS = list(yaml.safe_load_all((OPERATOR / "deploy" / "operator.yaml").read_text()))
BY_KIND = {each["kind"]: each for each in OBJECTS}


@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_kubernetes_takes_them(version):
    """Strictly."""
    for each in OBJECTS:
        kubernetes_validate.validate(each, version, strict=True)


def test_the_command_line_is_one():
    """The container's arguments are known."""
    (container,) = BY_KIND["Deployment"]["spec"]["template"]["spec"]["containers"]
    options = parser().parse_args(container["args"])
    assert options.namespace == ["openstack"]


def test_the_clouds_file_is_where_the_sdk_looks_for_it():
    """In a Secret that may come later: what isn't disabled needs no cloud."""
    spec = BY_KIND["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert f"{mounts['clouds']['mountPath']}/clouds.yaml" in loader.CONFIG_FILES
    # One file of a Secret (subPath) would stay as it was when the password changes.
    assert "subPath" not in mounts["clouds"]
    assert mounts["clouds"]["readOnly"] is True
    secret = volumes["clouds"]["secret"]
    assert secret["optional"] is True
    cloud = parser().parse_args(container["args"]).os_cloud
    page = (OPERATOR.parent / "docs" / "enabling.md").read_text()
    command = f"kubectl --namespace openstack create secret generic {secret['secretName']} \\\n"
    assert f"{command}    --from-file clouds.yaml" in page
    assert f"clouds:\n  {cloud}:\n" in page


def test_the_role_lets_it_do_what_it_does_and_not_write_the_users_resource():
    """Each kind that it makes and looks through; the deployment is read."""
    may = {}
    for rule in BY_KIND["Role"]["rules"]:
        for resource in rule["resources"]:
            may[rule["apiGroups"][0], resource] = set(rule["verbs"])
    for version, kind in KINDS:
        group = version.rpartition("/")[0]
        assert may[group, PLURALS[kind]] >= {"get", "list", "create", "patch", "delete"}
    assert may["", "pods"] == {"list"}
    assert may["lcm.mirantis.com", "openstackdeployments"] == {"get", "list", "watch"}
    assert may[plan.GROUP, "enablements/status"] >= {"patch"}


def test_a_condition_keeps_the_time_of_its_last_change():
    """Only another status has another time."""
    first = Condition("Ready", False, "Waiting").document([], "t1", 1)
    same = Condition("Ready", False, "Waiting", "more").document([first], "t2", 2)
    other = Condition("Ready", True, "AsWanted").document([same], "t3", 3)
    assert [each["lastTransitionTime"] for each in (first, same, other)] == ["t1", "t1", "t3"]
    assert [each["observedGeneration"] for each in (first, same, other)] == [1, 2, 3]


def test_an_image_by_digest_stays_one():
    """The chart takes a tag or a digest."""
    images = plan.Images("s", "registry.example:5000/swanherd@sha256:" + "a" * 64)
    values = plan.chart_values(plan.Settings(images, "bus"))
    assert values["image"] == {
        "repository": "registry.example:5000/swanherd",
        "digest": "sha256:" + "a" * 64,
    }
