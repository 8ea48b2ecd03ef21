"""The dashboard and the alert rules ask for what there is, and every alert is explained."""

import json
import re
from itertools import combinations
from pathlib import Path

import yaml

from swanherd.core.metrics import METRICS

MONITORING = Path(__file__).resolve().parents[3] / "docs" / "monitoring"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
RULES = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
PAGE = (MONITORING.parent / "monitoring.md").read_text()

_NAME = re.compile(r"\b(?:swanherd|process)_\w+")
_PROCESS = {"process_resident_memory_bytes"}
_OF_TARGETS = {"instance", "job"}


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries():
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield from (variable["query"]["query"] for variable in variables() if "datasource" in variable)
    yield from (rule["expr"] for rule in RULES)


def variables():
    return DASHBOARD["templating"]["list"]


def metric(name):
    return METRICS.get(name) or METRICS.get(re.sub("_(bucket|count|sum)$", "", name))


def test_every_metric_that_is_asked_for_exists():
    """And every one that there is is asked for somewhere."""
    named = {name for query in queries() for name in _NAME.findall(query)} - _PROCESS
    assert {name for name in named if metric(name) is None} == set()
    assert METRICS.keys() - {metric(name).name for name in named} == set()


def test_every_label_that_is_asked_for_exists():
    """By selectors, by `by (…)` and `on (…)`, and in legends."""
    known = {label for m in METRICS.values() for label in m.labels} | _OF_TARGETS | {"le"}
    for query in queries():
        chosen = re.findall(r"(\w+)=~?\"", query)
        joined = re.findall(r"(?:by|on|ignoring) \(([^)]*)\)", query)
        assert {*chosen, *re.findall(r"\w+", " ".join(joined))} <= known, query
    legends = " ".join(t["legendFormat"] for p in panels() for t in p["targets"])
    assert set(re.findall(r"{{(\w+)}}", legends)) <= known


def test_the_dashboard_is_one_that_grafana_takes():
    """Ids once, no panel on another, every panel by the source that is chosen, and titled."""
    assert DASHBOARD["schemaVersion"] >= 36
    assert [v["name"] for v in variables()] == ["datasource", "instance", "router_id"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        assert panel["title"]
        assert {panel["datasource"]["uid"]} | {
            target["datasource"]["uid"] for target in panel["targets"]
        } == {"${datasource}"}
        assert [t["refId"] for t in panel["targets"]] == sorted(
            {t["refId"] for t in panel["targets"]}
        )
    places = [(panel["title"], panel["gridPos"]) for panel in DASHBOARD["panels"]]
    for _, at in places:
        assert at["x"] + at["w"] <= 24
    for (one, a), (other, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, (one, other)


def test_every_alert_is_explained_and_tested():
    """A row in the page says what to do, and a promtool test sees it fire."""
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert [n for n in re.findall(r"^\| `(Swanherd\w+)`", PAGE, re.MULTILINE)] == names
    tested = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text())["tests"]
    fired = {
        rule["alertname"]
        for test in tested
        for rule in test["alert_rule_test"]
        if rule["exp_alerts"]
    }
    assert fired == set(names)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_the_example_of_a_scrape_is_what_the_alerts_expect():
    """The job's name; and every YAML block of the page is YAML."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (scrape,) = [yaml.safe_load(block) for block in blocks if "scrape_configs" in block]
    (job,) = scrape["scrape_configs"]
    down = next(rule for rule in RULES if rule["alert"] == "SwanherdAgentDown")
    assert f'job="{job["job_name"]}"' in down["expr"]
    assert scrape["rule_files"] == ["alerts.yaml"]
