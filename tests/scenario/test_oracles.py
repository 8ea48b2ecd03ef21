"""Clients' own tests against a real cloud, and every command of the client."""

import json

import pytest
import yaml

from lab.layout import VENV
from lab.sites import make_public
from lab.user import user_box
from tests.oracles import differences
from tests.oracles.environments import FOLDER, environment
from tests.oracles.suites import run_here, run_in
from tests.oracles.tempest_files import tempest_environment


@pytest.mark.timeout(400)
def test_tempest_api_tests_pass(clouds, lab):
    """All 34 of neutron-tempest-plugin's vpnaas.api, unmodified."""
    python = environment("tempest") / "bin" / "python"
    env = tempest_environment(clouds[0], make_public(clouds[0]))
    names = ["neutron_tempest_plugin.vpnaas.api.test_vpnaas"]
    outcome = run_in(user_box(lab), python, names, "tempest-api", 300, env)
    assert outcome.ran == 34
    assert set(differences.TEMPEST) == outcome.failed


@pytest.mark.timeout(200)
def test_sdk_functional_tests_pass(clouds, lab):
    """The four of openstacksdk for VPNs, unmodified: each makes a policy of defaults."""
    entries = yaml.safe_load(lab.clouds_yaml.read_text())["clouds"]
    system = yaml.safe_load(yaml.safe_dump(entries["admin-a"]))
    for scope in ("project_name", "project_domain_id"):
        del system["auth"][scope]
    system["auth"]["system_scope"] = "all"
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / "sdk-clouds.yaml"
    file.write_text(yaml.safe_dump({"clouds": {**entries, "system-admin": system}}))
    env = {
        "OS_CLIENT_CONFIG_FILE": str(file),
        "OS_CLOUD": "admin-a",
        "OPENSTACKSDK_DEMO_CLOUD": "a",
        "OPENSTACKSDK_DEMO_CLOUD_ALT": "other-a",
        "OPENSTACKSDK_OPERATOR_CLOUD": "admin-a",
        "OPENSTACKSDK_SYSTEM_ADMIN_CLOUD": "system-admin",
    }
    python = environment("tempest") / "bin" / "python"
    names = ["openstack.tests.functional.network.v2.test_vpnaas"]
    outcome = run_in(user_box(lab), python, names, "sdk", 150, env)
    assert outcome.ran == 4
    assert set() == outcome.failed


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("extent", ["short", pytest.param("all", marks=pytest.mark.long)])
def test_every_command_and_option_of_the_client_works(clouds, lab, extent):
    """One call an option, or one a choice, but for the differences that are listed."""
    done = user_box(lab).run(
        [f"{VENV}/bin/python", "-W", "ignore", "-m", "tests.oracles.commands", "admin-a", extent],
        env={"OS_CLIENT_CONFIG_FILE": str(lab.clouds_yaml)},
        timeout=1700,
    )
    calls = dict(json.loads(done.stdout))
    assert len(calls) > 90
    failed = {label: said for label, said in calls.items() if said}
    assert set(differences.COMMANDS[extent]) == set(failed), failed


@pytest.mark.timeout(700)
@pytest.mark.parametrize(
    "families",
    [
        "4in4",
        "6in6",
        pytest.param("4in6", marks=pytest.mark.long),
        pytest.param("6in4", marks=pytest.mark.long),
    ],
)
def test_tempest_scenario_passes(clouds, lab, families):
    """Servers are namespaces, all else is tempest's own; a failure is one, and no skip."""
    python = environment("tempest") / "bin" / "python"
    env = tempest_environment(clouds[0], make_public(clouds[0]))
    names = [f"tests.oracles.upstream_scenario.Test{families}"]
    outcome = run_here(
        python, names, f"tempest-{families}", 600, {**env, "SWANHERD_LAB": lab.name}
    )
    assert outcome.ran == 1
    assert set() == outcome.failed
    assert "skipped" not in outcome.log.read_text()
