import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from swanherd_operator.document import (
    RELEASES,
    Backend,
    Deployment,
    Refused,
    enable,
    load,
    parse,
)

GOOD = """
apiVersion: lcm.mirantis.com/v1alpha1
kind: OpenStackDeployment
metadata: {name: osh-dev, namespace: openstack}
spec:
  openstack_version: caracal
  preset: compute
  something: {of: [no, concern]}
  features:
    neutron:
      backend: ml2/ovn
      floating_network: {physnet: physnet1}
      extensions: {vpnaas: {enabled: true}, trunk: {enabled: false}}
"""


def changed(path, value):
    """Return the good document with one value changed; a path like `spec.preset`."""
    document = yaml.safe_load(GOOD)
    place = document
    *sections, last = path.split("/")
    for key in sections:
        place = place.setdefault(key, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
    return document


def test_a_good_document_says_what_concerns_us():
    """Everything else in it is left alone."""
    expected = Deployment(
        "osh-dev", "openstack", "caracal", Backend.OVN, enabled=True, distributed=False
    )
    assert expected == parse(load(GOOD))


@pytest.mark.parametrize(
    ("path", "value", "where", "what"),
    [
        ("apiVersion", "v1", "apiVersion", "another API"),
        ("metadata/name", None, "metadata.name", "missing"),
        ("spec", None, "spec", "missing"),
        ("spec", [], "spec", "expected a mapping, not a list"),
        ("spec/openstack_version", None, "spec.openstack_version", "missing"),
        ("spec/openstack_version", "2024.1", "spec.openstack_version", "isn't one of"),
        ("spec/openstack_version", 2024.1, "spec.openstack_version", "expected text"),
        ("spec/openstack_version", "antelope", "spec.openstack_version", "needs caracal"),
        ("spec/preset", "compute-tf", "spec.preset", "OpenSDN"),
        ("spec/preset", "huge", "spec.preset", "isn't one of compute"),
        ("spec/features", "x", "spec.features", "expected a mapping"),
        (
            "spec/features/neutron/backend",
            "tungstenfabric",
            "spec.features.neutron.backend",
            "Open",
        ),
        ("spec/features/neutron/backend", "ovn", "spec.features.neutron.backend", "isn't one of"),
        ("spec/features/neutron/vpnaas", {}, "spec.features.neutron.vpnaas", "the flag is spec."),
        ("spec/features/vpnaas", {}, "spec.features.vpnaas", "the flag is spec.features.neutron"),
        (
            "spec/features/neutron/extensions/vpnass",
            {"enabled": True},
            "spec.features.neutron.extensions.vpnass",
            "did you mean vpnaas?",
        ),
        (
            "spec/features/neutron/extensions/vpnaas/enable",
            True,
            "spec.features.neutron.extensions.vpnaas.enable",
            "did you mean enabled?",
        ),
        (
            "spec/features/neutron/extensions/vpnaas/enabled",
            "yes",
            "spec.features.neutron.extensions.vpnaas.enabled",
            "expected true or false, not the text 'yes'",
        ),
        (
            "spec/features/neutron/extensions/vpnaas",
            True,
            "spec.features.neutron.extensions.vpnaas",
            "expected a mapping, not True",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(path, value, where, what):
    """One error, with the path as a person would write it."""
    with pytest.raises(Refused) as refused:
        parse(changed(path, value))
    assert where == refused.value.path
    assert what in refused.value.sentence


@pytest.mark.parametrize("release", RELEASES)
def test_releases_are_refused_up_to_the_first_that_can(release):
    """Yoga on Open vSwitch, Caracal on OVN."""
    for backend, first in (("ml2", "yoga"), ("ml2/ovn", "caracal")):
        document = changed("spec/features/neutron/backend", backend)
        document["spec"]["openstack_version"] = release
        if RELEASES.index(release) >= RELEASES.index(first):
            assert parse(document).enabled
        else:
            with pytest.raises(Refused, match=first):
                parse(document)


def test_what_is_disabled_is_refused_for_no_release_and_no_preset():
    """The flag set to false must be possible wherever it may once have been true."""
    document = changed("spec/features/neutron/extensions/vpnaas/enabled", False)
    document["spec"]["openstack_version"] = "train"
    document["spec"]["preset"] = "compute-tf"
    assert parse(document).enabled is False


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [", "line 1"),
        ("kind: OpenStackDeployment\nkind: OpenStackDeployment\n", "line 2"),
        ("a: &a [x]\n? *a\n: 1\n", "line 1"),
        ("", "kind"),
        ("kind: Pod", "kind"),
        ("- kind: OpenStackDeployment", "kind"),
        ("!!python/object/apply:os.system [id]", "line 1"),
        ("[" * 1000, "document"),
    ],
)
def test_what_is_no_document_is_told_so(text, where):
    """YAML that can't be read, keys that are there twice, and other kinds."""
    with pytest.raises(Refused) as refused:
        load(text)
    assert refused.value.path.startswith(where)


def test_one_of_several_is_chosen_by_its_name():
    """And not without it."""
    other = GOOD.replace("osh-dev", "other")
    both = f"{GOOD}\n---\n{other}"
    with pytest.raises(Refused, match="osh-dev, other"):
        load(both)
    assert load(both, "other")["metadata"]["name"] == "other"
    with pytest.raises(Refused, match="named third"):
        load(both, "third")
    listed = yaml.safe_dump({"kind": "List", "items": list(yaml.safe_load_all(both))})
    assert load(listed, "osh-dev")["metadata"]["name"] == "osh-dev"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@given(
    JSON,
    st.sampled_from(
        [
            "apiVersion",
            "metadata",
            "spec",
            "spec/preset",
            "spec/features",
            "spec/features/neutron",
            "spec/features/neutron/backend",
            "spec/features/neutron/dvr",
            "spec/features/neutron/extensions",
            "spec/features/neutron/extensions/vpnaas",
        ]
    ),
)
def test_any_document_is_understood_or_refused(value, path):
    """No other failure, whatever stands anywhere."""
    with contextlib.suppress(Refused):
        parse(changed(path, value))


def test_setting_the_flag_changes_nothing_else():
    """And not the document that it was given."""
    document = changed("spec/features/neutron/extensions", None)
    before = yaml.safe_dump(document)
    after = enable(document, enabled=True)
    assert parse(after).enabled
    assert before == yaml.safe_dump(document)
    del after["spec"]["features"]["neutron"]["extensions"]
    assert before == yaml.safe_dump(after)
