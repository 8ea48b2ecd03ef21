"""The images' steps, done in roots of a distribution; there is no container engine here."""

import json
import pathlib
import shutil
import subprocess

import pytest

from tests.functional.enabling.builder import LENT, Builder, Stage, stages

ROOT = pathlib.Path(__file__).parents[3]
FILE = ROOT / "container" / "Containerfile"
BIN = ROOT / ".venv" / "bin"


def test_the_linter_finds_nothing():
    """hadolint, with a reason beside each rule that is off."""
    done = subprocess.run([BIN / "hadolint", FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_image_runs_as_root():
    """The last user of each target has a number that isn't 0."""
    made = dict(stages(FILE.read_text()))
    for target in ("agent", "neutron", "operator"):
        users, name = [], target
        while name in made:
            parent, instructions = made[name]
            users = [rest for word, rest in instructions if word == "USER"] + users
            name = parent
        assert users
        assert users[-1].split(":")[0] not in ("0", "root")


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    if not shutil.which("mmdebstrap"):
        pytest.skip("needs mmdebstrap")
    directory = tmp_path_factory.mktemp("images")
    base = directory / "from"
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", base],
        check=True,
        timeout=900,
    )
    (directory / "helm").mkdir()
    shutil.copy(ROOT / "build" / "helm", directory / "helm" / "helm")
    yield Builder(FILE, ROOT, base, directory, {"helm": directory / "helm"})
    shutil.rmtree(directory, ignore_errors=True)


def test_a_step_cant_change_what_the_machine_lends_it(tmp_path):
    """Files and folders of the machine are read-only in a root, and its authorities elsewhere."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("as it was")
    root = tmp_path / "root"
    for place in ("usr", "dev", "proc"):
        (root / place).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    lent = {"/usr": "/usr", str(mine): "/folder", str(mine / "file"): "/file"}
    for command in ("echo x >/file", "echo x >/folder/file", "rm /folder/file", "touch /usr/x"):
        assert Stage(root).run("sh", "-c", command, lent=lent, check=False).returncode
    assert Stage(root).run("cat", "/folder/file", lent=lent).stdout == "as it was"
    own = Stage(root, env={"PATH": "/bin"}).run("sh", "-c", "echo $PATH", lent=lent)
    assert own.stdout == "/bin\n"  # without the machine's folder of `chroot`
    assert (mine / "file").read_text() == "as it was"
    assert not any(place.startswith("/etc/ssl") for place in LENT.values())


def works(stage, *argv, user=None):
    done = stage.run(*argv, user=user, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_agents_image_has_what_the_agent_needs(builder):
    """Its programs run, as Neutron's user and by sudo as root; no compiler, no pip."""
    agent = builder.build("agent")
    assert "--config-file" in works(agent, *agent.entrypoint, "--help")
    works(agent, "swanherd-netns-keeper", "--help")
    works(agent, "swanherdctl", "--help")
    assert "42424" in works(agent, "id", "-u")
    assert "may run" in works(agent, "sudo", "-n", "-l")
    works(agent, "sudo", "-n", "--", "/opt/swanherd/bin/swanherdctl", "--help")
    assert (agent.root / "usr/sbin/charon-systemd").exists()
    works(
        agent, "/opt/swanherd/bin/python3", "-c", "from swanherd.dataplane.privileged import nft"
    )
    for name in ("usr/bin/gcc", "opt/swanherd/bin/pip", "src"):
        assert not (agent.root / name).exists()
    bill = sbom(agent)
    assert {"swanherd", "vici", "pyroute2", "oslo.messaging"} <= bill
    assert "neutron" not in bill


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_neutrons_image_has_servers_and_agent(builder):
    """Under the names that deployment tools call."""
    neutron = builder.build("neutron")
    for name in ("neutron-db-manage", "neutron-rpc-server", "neutron-ovn-vpn-agent"):
        works(neutron, name, "--help")
    works(neutron, "uwsgi", "--version")
    works(
        neutron, "/opt/swanherd/bin/python3", "-W", "ignore", "-c", "import swanherd.server.plugin"
    )
    assert {"swanherd", "neutron", "PyMySQL"} <= sbom(neutron)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_operators_image_renders_the_chart(builder):
    """With helm, the chart and the operator in it."""
    operator = builder.build("operator")
    assert "--bus-secret" in works(operator, *operator.entrypoint, "--help")
    values = (
        "--set",
        "image.repository=r",
        "--set",
        "image.tag=v1",
        "--set",
        "bus.existingSecret=b",
    )
    chart = "/usr/share/swanherd/chart"
    assert "kind: DaemonSet" in works(operator, "helm", "template", "vpn", chart, *values)
    assert {"swanherd-operator", "kopf", "PyYAML"} <= sbom(operator)


def sbom(stage):
    """Return the names in the CycloneDX bill that is made of the image's environment."""
    site = next((stage.root / "opt/swanherd/lib").glob("python3*/site-packages"))
    python = stage.root / "opt/swanherd/bin/python3"
    assert python.is_symlink()
    command = [
        BIN / "cyclonedx-py",
        "environment",
        "--output-format",
        "JSON",
        stage.root / "opt/swanherd",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{site}: {done.stderr}"
    bill = json.loads(done.stdout)
    assert bill["bomFormat"] == "CycloneDX"
    return {each["name"] for each in bill["components"]}
