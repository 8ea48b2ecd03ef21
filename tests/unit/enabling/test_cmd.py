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
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        status = cmd.main([*argv])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.mark.parametrize(
    ("release", "told"),
    [
        ("caracal", ", and a part of them on caracal: see"),
        ("epoxy", ", and a part of them on epoxy: see"),
        ("dalmatian", " and not on dalmatian: see"),
        ("master", None),
    ],
)
def test_what_a_release_is_tested_by_is_told(release, told, run):
    """As the README's table of releases has it."""
    status, out, _ = run(OVN.replace("caracal", release), "enable")
    notes = [line for line in out.splitlines() if "own tests" in line]
    assert status == 0
    assert [told in line for line in notes] == ([True] if told else [])


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


ON = OVN.replace("ml2/ovn", "ml2/ovn, extensions: {vpnaas: {enabled: true}}")
HERE = "spec.features.neutron.extensions"
FLAG = f"{HERE}.vpnaas.enabled"
BOMB = "a0: &a0 [lol]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)
NONE = "kind: there is no OpenStackDeployment in it, but "


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", NONE + "nothing: it is empty"),
        ("# a comment\n---\nnull\n", NONE + "nothing: it is empty"),
        ("hello", NONE + "the text 'hello'"),
        ("42", NONE + "42"),
        ("- a\n- b\n", NONE + "a list"),
        ("kind: Pod\n---\nkind: Service\n", NONE + "Pod, Service"),
        ("kind: [a]\n", NONE + "a mapping without a kind"),
        (OVN.replace("kind: Open", "kind: open"), NONE + "openStackDeployment"),
        ("kind: List\nitems: {a: 1}\n", NONE + "nothing: it is empty"),
        (OVN + "---" + OVN, "kind: there are several (cloud): say which one by --name"),
        (OVN + "---" + OVN.replace("cloud", "[1]"), "kind: there are several ('[1]', cloud): "),
        ("a: [", "line 1, column 5: this isn't YAML: expected the node content"),
        ("a:\n\tb: 1\n", "line 2, column 1: this isn't YAML: found character '\\t'"),
        ("x: 2020-99-99\n" + OVN, "line 1, column 4: this isn't YAML: month must be in 1..12"),
        ("x: " + "9" * 5000, "line 1, column 4: this isn't YAML: Exceeds the limit"),
        ("x: {<<: 5}\n", "line 1, column 9: this isn't YAML: expected a mapping or list"),
        (ON.replace("true", "*none"), "this isn't YAML: found undefined alias 'none'"),
        (ON.replace("true", "&x [*x]"), "this isn't YAML: found unconstructable recursive node"),
        (ON + "\0", "document: this isn't YAML: unacceptable character #x0000"),
        (b"kind: a\n\xe9\n", "-: line 2: this isn't text in UTF-8"),
        ("x: " + "{a: " * 3000, "document: it is nested too deeply"),
        ("x: |\n  " + "y" * (1 << 21), "-: larger than 2 MiB: that is no deployment"),
        (BOMB + ON.replace("true", "*a29"), f"{FLAG}: expected true or false, not a list"),
        (BOMB + ON.replace("{vpnaas: {enabled: true}}", "*a29"), f"{HERE}: expected a mapping"),
        (BOMB + ON.replace("caracal", "*a29"), "spec.openstack_version: expected text"),
        (ON.replace("true", '"true"'), f"{FLAG}: expected true or false, not the text 'true'"),
        (ON.replace("true", '"yes"'), f"{FLAG}: expected true or false, not the text 'yes'"),
        (ON.replace("true", "1"), f"{FLAG}: expected true or false, not 1"),
        (ON.replace("true", "null"), f"{FLAG}: expected true or false, not nothing"),
        (ON.replace("true", ""), f"{FLAG}: expected true or false, not nothing"),
        (ON.replace("true", "✓"), f"{FLAG}: expected true or false, not the text '\\u2713'"),
        (ON.replace("true", ".nan"), f"{FLAG}: expected true or false, not nan"),
        (ON.replace("true", "2020-01-01"), f"{FLAG}: expected true or false, not a value of"),
        (ON.replace("true", "true, enabled: false"), "the key 'enabled' is there twice"),
        (ON.replace("true", "true, more: 1"), f"{HERE}.vpnaas.more: unknown; known are enabled"),
        # The а is Cyrillic.
        (ON.replace("vpnaas:", "vpnаas:"), f"{HERE}.'vpn\\u0430as': unknown; did you mean"),
        (ON.replace("vpnaas:", '"a\\nb":'), f"{HERE}.'a\\nb': unknown; known are"),
        (ON.replace("v1alpha1", "v2"), "apiVersion: 'lcm.mirantis.com/v2' is another API; exp"),
        (ON.replace("name: cloud", "name: wölke"), "metadata.name: 'w\\xf6lke' can't be a na"),
        (ON.replace("cloud", '"a\\nb: c"'), "metadata.name: 'a\\nb: c' can't be a name in Kubern"),
        (ON.replace("cloud", "x" * 5000), "metadata.name: '" + "x" * 40 + "\\u2026' can't"),
        (ON.replace("name: cloud", "name: 5"), "metadata.name: expected text, not 5"),
        (ON.replace("caracal", '"\\e[31mx"'), "spec.openstack_version: '\\x1b[31mx' isn't one of"),
    ],
)  # fmt: skip
def test_a_bad_document_gets_one_clear_error(run, text, told):
    """One line with the place, whatever is wrong; nothing is printed that could be applied."""
    for argv in (["enable"], ["enable", "--diff"], ["show"]):
        status, out, err = run(text, *argv)
        assert (status, out) == (1, "")
        assert told in err
        assert err.startswith("swanherd-enable: ")
        assert err.count("\n") == 1
        assert len(err) < 400


@pytest.mark.parametrize(
    "text",
    [
        ON.replace("true", "yes"),
        ON.replace("true", "on"),
        ON.replace("true", "True"),
        "\ufeff" + ON,
        ON.replace("\n", "\r\n"),
        "x: &x {enabled: false}\n" + ON.replace("{enabled: true}", "{<<: *x, enabled: true}"),
        "x: &x {vpnaas: {enabled: true}}\n" + ON.replace("{vpnaas: {enabled: true}}", "*x"),
        'x: "\\ud800 ☁"\n' + ON,
    ],
)
def test_what_is_yaml_all_the_same_is_read(run, text):
    """Booleans as Kubernetes' own tools read them, references, merges, marks of a system."""
    status, out, err = run(text, "show")
    assert (status, err) == (0, "")
    assert yaml.safe_load(out)["vpnaas"] is True
    assert "enabled: false" not in run(text, "enable", "--diff")[1]


def test_merges_of_merges_are_no_bomb(run):
    """Each key once, however often it is taken over."""
    layers = "".join(
        f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}], k{n}: 1}}\n" for n in range(1, 30)
    )
    status, out, _ = run("m0: &m0 {k: 1}\n" + layers + OVN, "enable", "--diff")
    assert status == 0
    assert len(out) < 5000


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
