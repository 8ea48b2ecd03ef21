"""The chart's pod, as it is rendered: what Prometheus and Kubernetes' probes find at the agent."""

import contextlib
import dataclasses
import functools
import json
import subprocess
import sys

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from swanherd.agent import control
from swanherd.cmd import swanherdctl
from swanherd.core.health import Southbound, Vitals, health_of
from swanherd.core.model import RouterId
from swanherd.core.turns import Turns
from tests.functional.ovn.daemons import ovsdb_server, until
from tests.functional.server.pod import BIN, ROOT, Pod

CHART = ROOT / "operator" / "charts" / "swanherd"
VALUES = ROOT / "docs" / "examples" / "values.yaml"
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
LIMIT = 60
# What the node and the cluster give the pod: by field, and by Secret.
FIELDS = {"spec.nodeName": "gateway-1", "status.hostIP": "127.0.0.1"}
BUS = "fake:/"  # whom nobody answers: the bus is away
FETCH = "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1]).read().decode())"


@functools.cache
def rendered():
    """Return the chart's objects by kind, with the values of the documents."""
    command = [ROOT / "build" / "helm", "template", "vpn", CHART, "--values", VALUES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout) if each}


def spec():
    return rendered()["DaemonSet"]["spec"]["template"]["spec"]


def container(name="agent"):
    (found,) = (each for each in spec()["containers"] if each["name"] == name)
    return found


def environment():
    """Return the variables of the agent's container."""
    found = {}
    for variable in container()["env"]:
        field = variable["valueFrom"].get("fieldRef", {}).get("fieldPath")
        found[variable["name"]] = FIELDS[field] if field else BUS
    return found


@dataclasses.dataclass
class Running:
    """The agent in its container, and its node's database."""

    pod: Pod
    process: subprocess.Popen

    def probe(self, kind):
        """Run a probe as Kubernetes does: its status and what it prints."""
        probe = container()[kind]
        name, *arguments = probe["exec"]["command"]
        done = self.pod.execute(self.process, "env", f"PATH={BIN}", f"{BIN}/{name}", *arguments)
        return done.returncode, done.stdout + done.stderr

    def fetch(self, url):
        done = self.pod.execute(self.process, sys.executable, "-c", FETCH, url)
        assert done.returncode == 0, done.stderr
        return done.stdout


def mounts(tmp_path):
    """Return the container's emptyDirs, and what the node or a ConfigMap gives, by path."""
    volumes = {each["name"]: each for each in spec()["volumes"]}
    empty, bound = [], {}
    for mount in container()["volumeMounts"]:
        volume, path = volumes[mount["name"]], mount["mountPath"]
        if "emptyDir" in volume:
            empty.append(path)
            continue
        backing = tmp_path / "node" / mount["name"]
        backing.mkdir(parents=True)
        bound[path] = str(backing)
        for name, text in rendered()["ConfigMap"]["data"].items() if "configMap" in volume else ():
            (backing / name).write_text(text)
    return tuple(empty), bound


@contextlib.contextmanager
def node_databases(directory):
    """Run Open vSwitch's and the southbound database, where the chart looks for the first."""
    with (
        ovsdb_server(directory, "Open_vSwitch") as vswitch,
        ovsdb_server(directory, "OVN_Southbound") as southbound,
    ):
        vswitch.socket.rename(directory / "db.sock")
        southbound.run("ovn-sbctl", "init")
        southbound.run("ovn-sbctl", "chassis-add", "chassis-1", "geneve", "192.0.2.101")
        ids = ["external_ids:system-id=chassis-1", "external_ids:hostname=gateway-1"]
        remote = f"unix:/run/openvswitch/{southbound.socket.name}"
        ids.append(f'external_ids:ovn-remote="{remote}"')
        database = f"--db=unix:{directory}/db.sock"
        subprocess.run(["ovs-vsctl", "--no-wait", database, "init"], check=True)
        subprocess.run(
            ["ovs-vsctl", "--no-wait", database, "set", "Open_vSwitch", ".", *ids], check=True
        )
        yield southbound


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    """Run the agent's container: command, variables, mounts, capabilities as rendered."""
    tmp_path = tmp_path_factory.mktemp("chart")
    (tmp_path / "pod").mkdir()
    empty, bound = mounts(tmp_path)
    security = container()["securityContext"]
    pod = Pod(
        tmp_path / "pod",
        {},
        empty=empty,
        bound=bound,
        own_network=True,
        capabilities=tuple(security["capabilities"]["add"]),
    )
    variables = [f"{name}={value}" for name, value in environment().items()]
    command, *rest = container()["command"] + container()["args"]
    with node_databases(tmp_path / "node" / "openvswitch") as southbound:
        with pod.running("env", *variables, f"{BIN}/{command}", *rest) as process:
            made = Running(pod, process)
            made.southbound = southbound
            log = tmp_path / "pod" / "log"
            try:
                until(pod.inside("/var/lib/swanherd/agent.sock").exists, LIMIT)
            except AssertionError:
                raise AssertionError(log.read_text()[-3000:]) from None
            yield made
        assert process.returncode == 0, log.read_text()[-3000:]


def test_a_started_agent_is_alive_and_not_ready_while_nobody_answers(agent):
    """Startup and liveness pass; readiness says that it is the server, and what to do."""
    assert agent.probe("startupProbe")[0] == 0
    assert agent.probe("livenessProbe")[0] == 0
    until(lambda: "ok    southbound" in agent.probe("readinessProbe")[1], LIMIT)
    status, printed = agent.probe("readinessProbe")
    assert status == 3
    shown = (ROOT / "docs" / "monitoring.md").read_text().split("# swanherdctl health\n")[1]
    assert printed == shown.split("# ")[0]


def test_the_southbound_database_that_is_away_is_told_and_no_reason_to_restart(agent):
    """Until it is back."""
    agent.southbound.stop()
    try:
        away = "FAIL  southbound  southbound_unreachable"
        until(lambda: away in agent.probe("readinessProbe")[1], LIMIT)
        assert agent.probe("livenessProbe")[0] == 0
    finally:
        agent.southbound.start()
    until(lambda: "ok    southbound" in agent.probe("readinessProbe")[1], LIMIT)


def test_what_the_service_monitor_leads_to_are_the_agents_metrics(agent):
    """By labels and names as Prometheus' operator and Kubernetes follow them."""
    service, monitor = rendered()["Service"], rendered()["ServiceMonitor"]
    labels = rendered()["DaemonSet"]["spec"]["template"]["metadata"]["labels"]
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert service["spec"]["selector"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["endpoints"]
    (port,) = (p for p in service["spec"]["ports"] if p["name"] == endpoint["port"])
    (opened,) = (p for p in container()["ports"] if p["name"] == port["targetPort"])
    # The pod is in the node's network: its address is the node's, and both ports are one.
    assert opened["containerPort"] == opened["hostPort"]
    url = f"http://{FIELDS['status.hostIP']}:{opened['containerPort']}"
    page = agent.fetch(url + endpoint.get("path", "/metrics"))
    found = {family.name: family for family in text_string_to_metric_families(page)}
    (info,) = found["swanherd_agent_info"].samples
    assert (info.labels["backend"], info.labels["data_plane"]) == ("ovn", "kernel")
    checks = {s.labels["check"]: s.value for s in found["swanherd_check_ok"].samples}
    told = {c["name"]: c["ok"] for c in json.loads(agent.fetch(url + "/livez"))["checks"]}
    assert checks == told == {"wheel": 1, "charon": 1, "bus": 0, "southbound": 1}


GOOD = Vitals(
    now=1000.0, turns=Turns(ended=999.0), waiting=0, answered=990.0, compare_interval=20.0,
    silent={}, southbound=Southbound(current=True, fenced=False),
)  # fmt: skip
ROUTER = RouterId("5aa4e7d0-0000-4000-8000-000000000001")


@pytest.mark.parametrize(
    ("changes", "statuses", "told"),
    [
        ({}, (0, 0, 0), "ok    wheel\n"),
        (
            {"turns": Turns(ended=999.0, running={ROUTER: 800.0})},
            (3, 3, 3),
            "FAIL  wheel       wheel_stuck: ",
        ),
        ({"waiting": 1, "turns": Turns(ended=800.0)}, (3, 3, 3), "FAIL  wheel       wheel_idle: "),
        ({"silent": {ROUTER: "charon_silent"}}, (0, 0, 3), "FAIL  charon      charon_silent: "),
        ({"answered": 900.0}, (0, 0, 3), "FAIL  bus         server_unreachable: "),
        ({"southbound": Southbound(current=False, fenced=True)}, (0, 0, 3), "  fenced: "),
    ],
    ids=["well", "stuck", "idle", "charon", "bus", "fenced"],
)
def test_only_a_wheel_that_stands_still_has_the_pod_restarted(
    changes, statuses, told, tmp_path, capsys
):
    """Every other failure takes it out of service, with a line that says why."""
    health = health_of(dataclasses.replace(GOOD, **changes))
    path = tmp_path / "agent.sock"
    stop = control.serve(path, {"health": lambda _: health})
    try:
        for probe, status in zip(PROBES, statuses, strict=True):
            _, *arguments = container()[probe]["exec"]["command"]
            assert swanherdctl.main(["--socket", str(path), *arguments]) == status, probe
            assert told in capsys.readouterr().out
    finally:
        stop()


def test_without_an_agent_each_probe_fails_with_a_sentence(capsys, tmp_path):
    """As before the first start, and after a crash."""
    for kind in PROBES:
        _, *arguments = container()[kind]["exec"]["command"]
        assert swanherdctl.main(["--socket", str(tmp_path / "none"), *arguments]) == 1
        assert "no agent answers" in capsys.readouterr().err
