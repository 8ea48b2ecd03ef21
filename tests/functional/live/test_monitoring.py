"""A real Prometheus scrapes a real agent's endpoint: what it stores is what happened."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import vici
import yaml

from bench.losses.sites import EAST, WEST
from bench.losses.stage import Stage
from lab.install import PROMETHEUS
from swanherd.agent import control
from swanherd.agent.exposition import Page
from swanherd.agent.listener import Address, Listener
from swanherd.agent.monitor import Monitor, about
from swanherd.cmd import swanherdctl
from swanherd.core.ike import ChildSa, IkeSa, SaState
from swanherd.core.model import Dpd, DpdAction, IkeVersion, Status

MONITORING = Path(__file__).resolve().parents[3] / "docs" / "monitoring"
LIMIT = 30.0

pytestmark = pytest.mark.parametrize("stage", [IkeVersion.V2], indirect=True, scope="module")


class Prometheus:
    """One that scrapes an agent each second."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the samples; an error of the query is one of the test."""
        data = urllib.parse.urlencode({"query": query}).encode()
        with urllib.request.urlopen(f"{self._url}/api/v1/query", data, timeout=10) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        found: list[dict[str, Any]] = document["data"]["result"]
        return found

    def value(self, query: str) -> float:
        """Return the one number that the query has.

        After a scrape that took longer than its second Prometheus has none until the next one.
        """
        return self.until(query, lambda _: True)

    def rules(self) -> dict[str, str]:
        """Return how each alert rule went when it was last evaluated."""
        with urllib.request.urlopen(f"{self._url}/api/v1/rules", timeout=10) as answer:
            (group,) = json.load(answer)["data"]["groups"]
        return {rule["name"]: rule["health"] for rule in group["rules"]}

    def until(self, query: str, met: Callable[[float], bool] = bool) -> float:
        """Wait until the query's one number is as wanted."""
        deadline, last = time.monotonic() + LIMIT, None
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                (sample,) = self.ask(query)
                last = float(sample["value"][1])
                if met(last):
                    return last
            time.sleep(0.2)
        raise AssertionError(f"{query} is {last}")


@pytest.fixture(scope="module")
def monitor(stage: Stage) -> Iterator[Monitor]:
    """The monitor of the stage's agent, whose server has just answered."""
    made = Monitor(about("ovn", stage.settings.plane), stage.wheel, stage.swan, 3600.0)
    made.server_answered()
    return made


@pytest.fixture(scope="module")
def agent(monitor: Monitor) -> Iterator[Listener]:
    listener = Listener(Address("127.0.0.1", 0), Page(monitor.metrics).parts, monitor.health)
    listener.ensure()
    yield listener
    listener.stop()


@pytest.fixture(scope="module")
def prometheus(agent: Listener, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Debian's, with the rules of the documents."""
    home = tmp_path_factory.mktemp("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    job = {
        "job_name": "swanherd",
        "static_configs": [{"targets": [f"127.0.0.1:{agent.port}"]}],
    }
    document = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [job],
        "rule_files": [str(MONITORING / "alerts.yaml")],
    }
    (home / "prometheus.yaml").write_text(yaml.safe_dump(document))
    argv = [
        str(PROMETHEUS / "prometheus"),
        f"--config.file={home}/prometheus.yaml",
        f"--storage.tsdb.path={home}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    made = Prometheus(f"http://127.0.0.1:{port}")
    try:
        made.until('up{job="swanherd"}')
        yield made
    finally:
        process.terminate()
        process.wait(timeout=20)


def named(stage: Stage, name: str, **labels: str) -> str:
    """Return the query for a metric of west's connection to east."""
    wanted = {"connection_id": stage.connections[WEST]["own"].id, **labels}
    chosen = ",".join(f'{label}="{value}"' for label, value in wanted.items())
    return f"swanherd_{name}{{{chosen}}}"


def ping(count: int, size: int) -> None:
    command = ("ping", "-q", "-c", str(count), "-i", "0.02", "-s", str(size), "-I", "10.1.0.5")
    space = ("ip", "netns", "exec", WEST.workload)
    subprocess.run((*space, *command, "10.2.0.5"), check=True, capture_output=True, timeout=30)


def live(stage: Stage) -> tuple[IkeSa, ChildSa]:
    """Return west's IKE SA to east, and the child SA that carries the first pair."""
    (sa,) = (sa for sa in stage.observed(WEST) if sa.state is SaState.ESTABLISHED)
    installed = [child for child in sa.children if child.state is SaState.INSTALLED]
    return sa, min(installed, key=lambda child: child.name)


def rekey(stage: Stage, what: str) -> None:
    """Let west's charon rekey the IKE SA or a child SA; wait until it has."""
    before = [sa.unique_id for sa in live(stage)]
    message = {"ike-id": before[0]} if what == "ike" else {"child-id": before[1]}
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(stage._state / WEST.router_id / "charon.vici"))
        vici.Session(link).rekey(message)
    place = 0 if what == "ike" else 1
    deadline = time.monotonic() + LIMIT
    while True:
        with contextlib.suppress(ValueError):  # for a moment there are two IKE SAs
            if live(stage)[place].unique_id != before[place]:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def queries() -> Iterator[str]:
    """Yield every query of the dashboard as Grafana asks it, and those of the rules."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"].replace("$__rate_interval", "15s")
            yield re.sub(r"\$(instance|router_id)", ".*", query)
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    yield from (rule["expr"] for rule in rules["groups"][0]["rules"])


def test_every_query_of_dashboard_and_rules_is_answered(
    stage: Stage, prometheus: Prometheus
) -> None:
    """None is an error, and where something is to be seen there is something."""
    prometheus.until("count(swanherd_connection_up == 1)", lambda number: number == 6)
    prometheus.until("count_over_time(swanherd_queue_length[15s])", lambda number: number > 3)
    empty = [query for query in queries() if not prometheus.ask(query)]
    for query in empty:
        # Only what tells of trouble has nothing to tell.
        assert re.search(
            r"== 0|== 1|> \d|\[10m\]|router_failing|connection_problem|last_error", query
        ), query
    assert set(prometheus.rules().values()) <= {"ok", "unknown"}
    assert not prometheus.ask('ALERTS{alertstate="firing"}')


def test_traffic_is_counted_through_rekeys(stage: Stage, prometheus: Prometheus) -> None:
    """Each packet once, whatever SA carried it; rekeys of both kinds are counted.

    So are those by which a race of both sides at the beginning was settled.
    Whoever rekeys drops the old outbound SA first, and charon tells no more of it: what left since
    the last look isn't counted.
    """
    received = named(stage, "connection_packets_total", direction="in")
    octets = named(stage, "connection_bytes_total", direction="in")
    sent = named(stage, "connection_packets_total", direction="out")
    rekeys = [named(stage, "connection_rekeys_total", sa=kind) for kind in ("child", "ike")]
    before = [prometheus.value(query) for query in (received, octets, sent, *rekeys)]
    ping(25, 1000)
    rekey(stage, "child")
    ping(25, 1000)
    see_all(stage)
    rekey(stage, "child")
    rekey(stage, "ike")
    ping(10, 1000)
    see_all(stage)
    prometheus.until(received, lambda number: number - before[0] == 60)
    assert prometheus.value(octets) - before[1] == 60 * 1028
    assert 35 <= prometheus.value(sent) - before[2] <= 60
    assert prometheus.value(rekeys[0]) - before[3] == 2
    assert prometheus.value(rekeys[1]) - before[4] == 1


def see_all(stage: Stage) -> None:
    """Look at everything of west."""
    forget(stage)
    stage.swan.observe(WEST.router_id)


def forget(stage: Stage) -> None:
    """Let the next look at west list everything, as the wheel does each 20 s."""
    stage.swan._routers[WEST.router_id].lists.forget()


def errors(stage: Stage, monitor: Monitor) -> dict[str, float]:
    """Return what the agent tells of the last failure of west's connection: code, and when."""
    (when,) = (
        m for m in monitor.metrics() if m.metric.name.endswith("last_error_timestamp_seconds")
    )
    own = stage.connections[WEST]["own"].id
    return {labels[-1]: at for labels, at in when.samples if own in labels}


def test_a_dead_peer_is_seen(stage: Stage, monitor: Monitor, prometheus: Prometheus) -> None:
    """Enabled and down, with its code; retransmissions, the death once, and when it was."""
    down = prometheus.value(named(stage, "connection_dead_peer_total"))
    stage.change(WEST, dpd=Dpd(DpdAction.RESTART, 1, 3))
    stage.settle()
    began = time.time()
    pid = stage.pid(EAST)
    os.kill(pid, signal.SIGSTOP)
    try:
        prometheus.until(named(stage, "connection_up"), lambda up: not up)
        assert prometheus.value(named(stage, "connection_enabled")) == 1
        prometheus.until(named(stage, "connection_problem", code="dpd_timeout"))
        assert prometheus.value(named(stage, "connection_dead_peer_total")) - down == 1
        assert prometheus.value(named(stage, "connection_retransmissions_total")) > 0
        last = named(stage, "connection_last_error_timestamp_seconds", code="dpd_timeout")
        died = prometheus.value(last)
        assert began < died < time.time()
        alert = 'ALERTS{alertname="SwanherdConnectionDown", alertstate="pending"}'
        assert prometheus.until(f"count({alert})") >= 1
    finally:
        os.kill(pid, signal.SIGCONT)
    stage.wait(WEST, lambda row: row.status is Status.ACTIVE)
    prometheus.until(named(stage, "connection_up"))
    # What was last wrong stays: the death, or what came of the first try to set up anew.
    ((_, told),) = errors(stage, monitor).items()
    assert died - 0.001 <= told


def test_memory_and_health_are_those_of_the_daemons(
    stage: Stage, monitor: Monitor, prometheus: Prometheus
) -> None:
    """The memory that the kernel tells; and a charon that is killed is missed until it is back."""
    assert monitor.health().ready
    pid = stage.pid(WEST)
    router = f'{{router_id="{WEST.router_id}"}}'
    told = prometheus.value(f"swanherd_charon_resident_memory_bytes{router}")
    status = Path(f"/proc/{pid}/status").read_text()
    held = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]
    assert abs(told - held) < 1 << 20
    os.kill(pid, signal.SIGKILL)
    stage.wheel.look_again(WEST.router_id)
    deadline = time.monotonic() + LIMIT
    while not is_another(stage, pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stage.settle()
    assert monitor.health().ready
    assert prometheus.until(f"swanherd_charon_up{router}")


def test_a_charon_that_doesnt_answer_is_told_by_the_probe_programs(
    stage: Stage, monitor: Monitor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The readiness probe names it; the liveness probe passes: a restart wouldn't help."""
    stop = control.serve(tmp_path / "agent.sock", {"health": lambda _: monitor.health()})
    health = ["--socket", str(tmp_path / "agent.sock"), "health"]
    pid = stage.pid(WEST)
    os.kill(pid, signal.SIGSTOP)
    try:
        forget(stage)
        stage.wheel.look_again(WEST.router_id)
        until_health(health, 3)
        said = capsys.readouterr().out.splitlines()
        assert any(line.startswith("FAIL  charon      charon_silent: ") for line in said), said
        assert swanherdctl.main([*health, "--live"]) == 0
        os.kill(pid, signal.SIGCONT)
        until_health(health, 0)
    finally:
        os.kill(pid, signal.SIGCONT)
        stop()


def until_health(command: list[str], status: int) -> None:
    """Wait until the probe's program ends so."""
    deadline = time.monotonic() + LIMIT
    while swanherdctl.main(command) != status:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_another(stage: Stage, pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return stage.pid(WEST) != pid
    return False


def test_a_scrape_is_cheap_and_touches_no_daemon(stage: Stage, agent: Listener) -> None:
    """A stopped charon holds up nothing: it isn't asked."""
    pid = stage.pid(WEST)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for path in ("metrics", "readyz", "livez"):
            with urllib.request.urlopen(
                f"http://127.0.0.1:{agent.port}/{path}", timeout=5
            ) as answer:
                assert answer.status == 200
        assert time.monotonic() - began < 1.0
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_rules_pass_their_own_tests() -> None:
    """promtool, on the files as they are shipped."""
    for command in (("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")):
        done = subprocess.run(
            (str(PROMETHEUS / "promtool"), *command),
            cwd=MONITORING,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
