"""What the chart makes is what Kubernetes takes, and what the agent needs."""

import functools
import json
import pathlib
import subprocess

import kubernetes_validate
import pytest
import yaml
from oslo_config import cfg

from swanherd.config import agent

ROOT = pathlib.Path(__file__).parents[3]
CHART = ROOT / "operator" / "charts" / "swanherd"
NEEDED = (
    *("--set", "image.repository=registry.example/swanherd", "--set", "image.tag=v1"),
    *("--set", "bus.existingSecret=neutron-bus"),
)
# The Kubernetes that the chart is for, oldest and newest that the validator knows.
VERSIONS = ("1.27", "1.37")
WITHOUT_SCHEMA = ("ServiceMonitor",)  # another project's


def helm(*arguments):
    command = [ROOT / "build" / "helm", "template", "vpn", CHART, "--namespace", "openstack"]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@functools.cache
def rendered(*arguments):
    done = helm(*NEEDED, *arguments)
    assert done.returncode == 0, done.stderr
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout) if each}


def containers(objects):
    pod = objects["DaemonSet"]["spec"]["template"]["spec"]
    return {each["name"]: each for each in pod["containers"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_it(version):
    """Every object, strictly: no field that isn't there."""
    objects = rendered("--set", "metrics.serviceMonitor.enabled=true")
    assert set(objects) == {
        *("ConfigMap", "DaemonSet", "PodDisruptionBudget", "Service", "ServiceAccount"),
        "ServiceMonitor",
    }
    for kind, each in objects.items():
        if kind not in WITHOUT_SCHEMA:
            kubernetes_validate.validate(each, version, strict=True)


def test_ports_name_their_protocol():
    """It is a part of their key, and some servers give none to what is applied on their side."""
    objects = rendered("--set", "metrics.serviceMonitor.enabled=true")
    ports = [*objects["Service"]["spec"]["ports"], *containers(objects)["agent"]["ports"]]
    assert [port["protocol"] for port in ports] == ["TCP", "TCP"]


@pytest.mark.parametrize(
    ("version", "policy"),
    [("1.20", "policy/v1beta1"), ("1.21", "policy/v1"), ("1.35", "policy/v1")],
)
def test_a_disruption_budget_is_of_the_clusters_api(version, policy):
    """Kubernetes 1.21 brought policy/v1, 1.25 took the other one away."""
    budget = rendered("--kube-version", version)["PodDisruptionBudget"]
    assert budget["apiVersion"] == policy


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (("--set", "imagee.tag=1"), "imagee"),
        (("--set", "dataPlane=fast"), "dataPlane"),
        (("--set", "metrics.port=99999"), "port"),
        (("--set", "ovsdbConnection=/run/db.sock"), "ovsdbConnection"),
        (("--set", "bus.existingSecret="), "existingSecret"),
        (("--set", "image.tag="), "image"),
        (("--set", "podDisruptionBudget.minAvailable=50%"), "minAvailable"),
        (("--set", "podDisruptionBudget.maxUnavailable=1"), "maxUnavailable"),
        (("--set", "probes.liveness.periodSeconds=0"), "periodSeconds"),
        (("--set", "resources.agent.requests.ram=1"), "ram"),
        (("--set", "config.DEFAULT.transport_url=rabbit://u:p@bus/"), "transport_url"),
        (("--set", "config.ovs.other=two\nlines"), "config/ovs/other"),
        (("--set", "terminationGracePeriodSeconds=0"), "terminationGracePeriodSeconds"),
        (("--set", "maxUnavailable=0"), "maxUnavailable"),
        (("--set", "maxUnavailable=0%"), "maxUnavailable"),
        (("--set", "maxUnavailable=some"), "maxUnavailable"),
    ],
)
def test_wrong_values_are_refused_by_name(wrong, named):
    """Before anything is made."""
    done = helm(*NEEDED, *wrong)
    assert done.returncode == 1
    assert named in done.stderr
    assert not done.stdout


def test_no_node_waits_for_an_agents_end_for_days():
    """A drain lasts as long as a pod may; the refusal says how long that is."""
    field = "terminationGracePeriodSeconds"
    assert helm(*NEEDED, "--set", f"{field}=300").returncode == 0
    done = helm(*NEEDED, "--set", f"{field}=1000000")
    assert done.returncode == 1
    assert f"'/{field}'" in done.stderr
    assert "want 300" in done.stderr
    for each in ("1", "100%"):
        assert helm(*NEEDED, "--set", f"maxUnavailable={each}").returncode == 0


def test_nothing_is_made_without_an_image_and_a_bus():
    """There is no default for either."""
    done = helm()
    assert done.returncode == 1
    assert "image" in done.stderr
    assert "bus" in done.stderr


def test_the_agent_has_no_capability_but_those_of_the_list():
    """And it isn't privileged; tests/functional/dataplane/test_container.py runs it so."""
    security = containers(rendered())["agent"]["securityContext"]
    assert security["capabilities"]["drop"] == ["ALL"]
    assert (security["privileged"], security["allowPrivilegeEscalation"]) == (False, False)
    assert security["readOnlyRootFilesystem"] is True


def test_only_the_keeper_is_privileged_and_shares_mounts():
    """Kubernetes refuses Bidirectional elsewhere (its API's own validation)."""
    for name, each in containers(rendered()).items():
        shared = [m for m in each["volumeMounts"] if m.get("mountPropagation") == "Bidirectional"]
        assert bool(shared) == each["securityContext"]["privileged"] == (name == "keeper")


def test_it_runs_on_gateway_nodes_in_their_network():
    """One pod at a time is away."""
    spec = rendered()["DaemonSet"]["spec"]
    assert spec["template"]["spec"]["nodeSelector"] == {"openstack-gateway": "enabled"}
    assert spec["template"]["spec"]["hostNetwork"] is True
    assert spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 1


def test_the_agent_reads_what_the_chart_writes(tmp_path, monkeypatch):
    """File and environment together, by oslo.config itself; no option is unknown."""
    objects = rendered(
        *("--set", "ovnSbConnection=tcp:192.0.2.1:6642", "--set", "config.swanherd.workers=9")
    )
    text = objects["ConfigMap"]["data"]["swanherd.conf"]
    (tmp_path / "swanherd.conf").write_text(text)
    given = {"spec.nodeName": "gateway-1", "status.hostIP": "192.0.2.11"}
    for variable in containers(objects)["agent"]["env"]:
        source = variable["valueFrom"]
        value = given.get(source.get("fieldRef", {}).get("fieldPath"), "rabbit://bus/")
        monkeypatch.setenv(variable["name"], value)
    conf = cfg.ConfigOpts()
    agent.register(conf)
    conf.register_opt(cfg.StrOpt("transport_url"))
    conf(["--config-file", str(tmp_path / "swanherd.conf")])
    assert (conf.host, conf.transport_url) == ("gateway-1", "rabbit://bus/")
    assert (conf.metrics.address, conf.metrics.port) == ("192.0.2.11", 9699)
    assert (conf.swanherd.data_plane, conf.swanherd.workers) == ("kernel", 9)
    assert conf.ovn.ovn_sb_connection == "tcp:192.0.2.1:6642"
    for section in conf.list_all_sections():
        known = {
            option.name
            for group, options in agent.GROUPS
            if group == section
            for option in options
        }
        written = {line.split(" = ")[0] for line in part(text, section)}
        assert written <= known


def test_certificates_are_files_where_the_configuration_names_them(tmp_path):
    """Of the southbound database and of the bus; as the page has it, for the agent alone."""
    page = (ROOT / "docs" / "enabling.md").read_text()
    shown = next(b for b in page.split("```yaml\n") if b.startswith("certificates:"))
    values = yaml.safe_load(shown.partition("```")[0])
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    objects = rendered("--values", str(tmp_path / "values.yaml"))
    kubernetes_validate.validate(objects["DaemonSet"], VERSIONS[-1], strict=True)
    mounts = {name: each["volumeMounts"] for name, each in containers(objects).items()}
    (mount,) = (each for each in mounts["agent"] if each["name"] == "certificates")
    assert mount["readOnly"] is True
    assert "certificates" not in {each["name"] for each in mounts["keeper"]}
    pod = objects["DaemonSet"]["spec"]["template"]["spec"]
    (volume,) = (each for each in pod["volumes"] if each["name"] == "certificates")
    assert volume["secret"]["secretName"] == values["certificates"]["existingSecret"]
    (tmp_path / "swanherd.conf").write_text(objects["ConfigMap"]["data"]["swanherd.conf"])
    conf = cfg.ConfigOpts()
    agent.register(conf)
    conf.register_opt(cfg.StrOpt("ssl_ca_file"), group="oslo_messaging_rabbit")
    conf(["--config-file", str(tmp_path / "swanherd.conf")])
    assert conf.ovn.ovn_sb_connection.startswith("ssl:")
    named = (conf.ovn.ovn_sb_private_key, conf.ovn.ovn_sb_certificate, conf.ovn.ovn_sb_ca_cert)
    for path in map(pathlib.PurePosixPath, (*named, conf.oslo_messaging_rabbit.ssl_ca_file)):
        assert path.parent == pathlib.PurePosixPath(mount["mountPath"])


def test_without_certificates_there_is_no_such_volume():
    """A Secret without a name is refused by Kubernetes."""
    pod = rendered()["DaemonSet"]["spec"]["template"]["spec"]
    assert "certificates" not in {each["name"] for each in pod["volumes"]}


def part(text, section):
    """Return the lines of a section."""
    lines = text.split(f"[{section}]\n", 1)[1].split("\n[", 1)[0].splitlines()
    return [line for line in lines if " = " in line]


@pytest.mark.parametrize("name", ["2026", "1e3", "true"])
def test_a_name_that_yaml_takes_for_another_kind_stays_text(name):
    """Of the release, which Kubernetes makes labels of, and of the bus' Secret."""
    command = [ROOT / "build" / "helm", "template", name, CHART, *NEEDED]
    given = f"bus.existingSecret={name},bus.key={name},priorityClassName={name}"
    text = subprocess.run([*command, "--set-string", given], capture_output=True, check=True)
    for each in filter(None, yaml.safe_load_all(text.stdout)):
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("value", [1500000, 0.5, 0, "07", "a, b"])
def test_an_options_value_is_written_as_it_is_given(value, tmp_path):
    """In a file of values too, where helm takes each number for a fraction."""
    (tmp_path / "values.yaml").write_text(json.dumps({"config": {"ovs": {"option": value}}}))
    text = rendered("--values", str(tmp_path / "values.yaml"))["ConfigMap"]["data"]
    assert f"\noption = {value}\n" in text["swanherd.conf"] + "\n"


def test_probes_ask_what_swanherdctl_tells():
    """Liveness restarts only where that would help: not for a bus that is away."""
    agent_container = containers(rendered())["agent"]
    live = ["swanherdctl", "health", "--live"]
    assert agent_container["livenessProbe"]["exec"]["command"] == live
    assert agent_container["startupProbe"]["exec"]["command"] == live
    assert agent_container["readinessProbe"]["exec"]["command"] == live[:2]


def test_the_pages_values_are_the_examples():
    """And the chart takes them."""
    example = ROOT / "docs" / "examples" / "values.yaml"
    assert f"```yaml\n{example.read_text()}```" in (ROOT / "docs" / "enabling.md").read_text()
    done = helm("--values", example)
    assert done.returncode == 0, done.stderr
