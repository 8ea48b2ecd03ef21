"""What an edit changes: from the form's values to what Neutron is sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from swanherd_dashboard import making, neutron
from swanherd_dashboard.core import changes, profiles, rows
from swanherd_dashboard.forms import EditForm
from swanherd_dashboard.surroundings import Surroundings

_PLAIN = ("name", "description", "peer_address", "peer_id", "local_id", "initiator", "mtu")


@dataclasses.dataclass(frozen=True, slots=True)
class Edit:
    """A change of a connection: attributes for the API, and what must be made before."""

    attributes: Mapping[str, Any] = dataclasses.field(repr=False)
    new_networks: bool
    new_policies: bool

    @property
    def changed(self) -> frozenset[str]:
        """The names of what changes, in the words of `core.changes`."""
        names = set(self.attributes)
        if self.attributes.get("admin_state_up"):
            names.add("enabling")
        if self.new_networks:
            names.add("local_ep_group_id")
        return frozenset(names)


def edit_of(form: EditForm) -> Edit:
    """Return what a valid form changes."""
    data, found = form.cleaned_data, form.found
    changed = {key: data[key] for key in _PLAIN if data[key] != getattr(found, key)}
    dpd = {key: data[f"dpd_{key}"] for key in ("action", "interval", "timeout")}
    if dpd != dataclasses.asdict(found.dpd):
        changed["dpd"] = dpd
    if data["enabled"] != found.up:
        changed["admin_state_up"] = data["enabled"]
    if data["psk"]:
        changed["psk"] = data["psk"]
    networks = _networks_differ(form)
    if networks and form.service.subnet_id:
        changed["peer_cidrs"] = [str(each) for each in data["networks"]]
        networks = False
    moved = _policies(form)
    changed.update({k: v for k, v in moved.items() if v})
    return Edit(changed, networks, "" in moved.values())


def _networks_differ(form: EditForm) -> bool:
    data, before = form.cleaned_data, form.before
    peers = set(map(str, data["networks"])) != set(before["peer_cidrs"].splitlines())
    return peers or set(data["subnets"]) != set(before["subnets"])


def _policies(form: EditForm) -> dict[str, str]:
    """Return the policies to move to; an empty id: the profile's isn't there yet."""
    data, around, found = form.cleaned_data, form.around, form.found
    if data["profile"] == form.KEEP:
        return {}
    wanted = {"ikepolicy_id": data["ike"], "ipsecpolicy_id": data["ipsec"]}
    if data["profile"] != form.OWN:
        profile = profiles.PROFILES[data["profile"]]
        ike = profiles.find_ike(around.ike.values(), profile)
        ipsec = profiles.find_ipsec(around.ipsec.values(), profile)
        wanted = {
            "ikepolicy_id": ike.id if ike else "",
            "ipsecpolicy_id": ipsec.id if ipsec else "",
        }
    present = {"ikepolicy_id": found.ike_id, "ipsecpolicy_id": found.ipsec_id}
    return {key: value for key, value in wanted.items() if value != present[key]}


def outlook(edit: Edit, form: EditForm, others: Sequence[rows.Connection]) -> list[str]:
    """Return what the change does to the live tunnel, in sentences."""
    changed = edit.changed
    if edit.new_policies:
        changed |= {"ikepolicy_id", "ipsecpolicy_id"}
    found = form.found
    sharing = [
        other
        for other in others
        if other.id != found.id
        and (other.peer_address, other.peer_id, other.local_id, other.service_id)
        == (found.peer_address, found.peer_id, found.local_id, found.service_id)
    ]
    said = changes.outlook(
        changed,
        response_only=found.initiator == "response-only",
        disabling=edit.attributes.get("admin_state_up") is False,
        sharing=len(sharing),
    )
    return [_(sentence) for sentence in said.sentences]


def apply(cloud: neutron.Neutron, around: Surroundings, form: EditForm, edit: Edit) -> None:
    """Make what the change needs, change the connection, and forget what it needs no more."""
    data, found = form.cleaned_data, form.found
    body = dict(edit.attributes)
    with making.undoing(cloud) as undo:
        if edit.new_networks:
            (side,) = data["sides"]
            body.update(making.groups(undo, data["name"] or found.id, side))
        if edit.new_policies:
            made = making.policies(undo, around, data["profile"], data["ike"], data["ipsec"])
            body.update(zip(("ikepolicy_id", "ipsecpolicy_id"), made, strict=True))
        if body:
            cloud.update(neutron.CONNECTIONS, found.id, body)
    if edit.new_networks:
        old = (found.local_group_id, found.peer_group_id)
        making.forget(cloud, [(neutron.GROUPS, each) for each in old if each])
