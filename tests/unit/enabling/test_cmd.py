import io

import pytest
import yaml

from swanherd_operator import cmd, sources
from swanherd_operator.document import enable, load
from swanherd_operator.outputs import osdpl

DOCUMENT = """
apiVersion: lcm.mirantis.com/v1alpha1
kind: OpenStackDeployment
metadata: {name: cloud}
spec: {openstack_version: caracal, preset: compute, features: {neutron: {backend: BACKEND}}}
"""
OVN = DOCUMENT.replace("BACKEND", "ml2/ovn")
OVS = DOCUMENT.replace("BACKEND", "ml2")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command with a text on standard input; return status, output, errors."""

    def call(text, *argv):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        status = cmd.main([*argv])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.mark.parametrize(("text", "plugin"), [(OVN, "ovn-vpnaas"), (OVS, "vpnaas")])
def test_helm_values_switch_the_plugin_on(run, text, plugin):
    """The names are those that openstack-helm's users write already."""
    status, out, _ = run(text, "enable", "--format", "helm", "--server-image", "r/neutron:1")
    values = yaml.safe_load(out)
    assert status == 0
    assert values["conf"]["neutron"]["DEFAULT"]["service_plugins"].endswith(f",{plugin}")
    assert values["images"]["tags"]["neutron_server"] == "r/neutron:1"
    own = text is OVN
    assert values.get("manifests", {}).get("daemonset_ovn_vpn_agent", False) is own
    assert ("l3_agent" in values["conf"]) is not own


def test_the_patch_sets_the_flag_and_the_images(run):
    """Merged into the document it gives one that says so."""
    _, out, _ = run(
        OVN, "enable", "--server-image", "r/neutron:1", "--agent-image", "r/vpn-agent:1"
    )
    patch = yaml.safe_load(out)
    after = osdpl.merged(load(OVN), patch)
    tags = after["spec"]["services"]["networking"]["neutron"]["values"]["images"]["tags"]
    assert after["spec"]["features"]["neutron"]["extensions"]["vpnaas"] == {"enabled": True}
    assert tags["neutron_ovn_vpn_agent"] == "r/vpn-agent:1"
    assert after["spec"]["features"]["neutron"]["backend"] == "ml2/ovn"


def test_disabling_takes_back_what_enabling_set(run):
    """The document is then as it was, but for the flag."""
    _, enabling, _ = run(OVN, "enable", "--server-image", "r/neutron:1")
    _, disabling, _ = run(OVN, "disable", "--force")
    enabled = osdpl.merged(load(OVN), yaml.safe_load(enabling))
    disabled = osdpl.merged(enabled, yaml.safe_load(disabling))
    tags = disabled["spec"].pop("services")
    assert tags == {"networking": {"neutron": {"values": {"images": {"tags": {}}}}}}
    assert disabled == enable(load(OVN), enabled=False)


@pytest.mark.parametrize("form", ["osdpl", "helm", "kolla", "files"])
@pytest.mark.parametrize("text", [OVN, OVS])
def test_every_form_has_an_answer_for_every_backend(run, text, form):
    """Enabled and disabled; what isn't a file of several parts is YAML."""
    for argv in (["enable"], ["disable", "--force"]):
        status, out, err = run(text, *argv, "--format", form)
        assert (status, err) == (0, "")
        if form != "files":
            yaml.safe_load(out)


def test_kolla_gets_its_own_words(run):
    """One switch, the kind of the agent, and the images in full."""
    _, out, _ = run(OVN, "enable", "--format", "kolla", "--server-image", "r/neutron:1")
    variables = yaml.safe_load(out)
    assert variables["enable_neutron_vpnaas"] is True
    assert variables["neutron_plugin_agent"] == "ovn"
    assert variables["neutron_ovn_vpn_agent_image_full"] == "r/neutron:1"


def test_the_difference_is_what_changes_and_nothing_else(run):
    """A unified diff; none where the flag has its value already."""
    _, out, _ = run(OVN, "enable", "--diff")
    changes = [line for line in out.splitlines() if line.startswith(("+ ", "- "))]
    assert [line[1:].strip() for line in changes] == ["extensions:", "vpnaas:", "enabled: true"]
    enabled = yaml.safe_dump(enable(load(OVN), enabled=True))
    assert run(enabled, "enable", "--diff")[1] == ""


@pytest.mark.parametrize(
    "argv", [["enable"], ["enable", "--diff"], ["enable", "--format", "helm"]]
)
def test_what_is_refused_prints_nothing_but_why(run, argv):
    """With exit status 1: nothing is there that could be applied by half."""
    status, out, err = run(OVN.replace("ml2/ovn", "tungstenfabric"), *argv)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "spec.features.neutron.backend: OpenSDN" in err


def test_disabling_is_refused_while_services_exist(run, monkeypatch):
    """And while nobody can tell; force overrides both."""
    assert "isn't known" in run(OVN, "disable")[2]
    monkeypatch.setattr(sources, "vpn_services", lambda cloud: 3)
    status, out, err = run(OVN, "disable", "--os-cloud", "here")
    assert (status, out) == (1, "")
    assert "3 VPN service(s) exist" in err
    assert run(OVN, "disable", "--os-cloud", "here", "--force")[0] == 0
    monkeypatch.setattr(sources, "vpn_services", lambda cloud: 0)
    assert run(OVN, "disable", "--os-cloud", "here")[0] == 0


def test_what_cannot_be_read_is_told(run, tmp_path):
    """A missing file, and one that is no text."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none", binary):
        status, out, err = run("", "enable", str(path))
        assert (status, out) == (1, "")
        assert str(path) in err


def test_show_tells_what_was_understood(run):
    """For people who wonder whether the flag is where it must be."""
    _, out, _ = run(OVN, "show")
    assert yaml.safe_load(out)["vpnaas"] is False


def test_a_document_of_references_to_references_is_no_bomb(run):
    """What is small in the file stays small in the difference."""
    layers = "\n".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))
    text = OVN.replace("spec: {", "extra:\n  l0: &l0 [lol]\n" + layers + "\nspec: {")
    status, out, _ = run(text, "enable", "--diff")
    assert status == 0
    assert len(out) < 5000
