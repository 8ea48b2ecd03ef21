"""Forms of IKE and IPsec policies, in use or not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from swanherd_dashboard.core import profiles, rows, rules
from swanherd_dashboard.core.choices import CHOICES, LEAST_LIFETIME

# The API's attribute → the name of the value in `rows.Policy`.
VALUES: Mapping[str, str] = {
    "name": "name",
    "description": "description",
    "ike_version": "version",
    "phase1_negotiation_mode": "mode",
    "transform_protocol": "protocol",
    "encapsulation_mode": "encapsulation",
    "encryption_algorithm": "encryption",
    "auth_algorithm": "integrity",
    "pfs": "group",
    "lifetime": "lifetime",
}
_AEAD = gettext_lazy("GCM and CCM prove the packets' integrity themselves.")


def _choice(label: Any, help_text: Any = "") -> forms.ChoiceField:
    return forms.ChoiceField(label=label, help_text=help_text)


class PolicyForm(forms.Form):
    """What both kinds have; fields have the API's names."""

    kind = ""
    weak_as: Mapping[str, str] = {
        "encryption_algorithm": "encryption",
        "auth_algorithm": "integrity",
        "pfs": "group",
        "phase1_negotiation_mode": "mode",
    }

    name = forms.CharField(label=gettext_lazy("Name"))
    description = forms.CharField(label=gettext_lazy("Description"), required=False)
    encryption_algorithm = _choice(gettext_lazy("Encryption"))
    auth_algorithm = _choice(gettext_lazy("Integrity"), _AEAD)
    pfs = _choice(gettext_lazy("Diffie-Hellman group"))
    lifetime = forms.IntegerField(label=gettext_lazy("Lifetime (seconds)"))

    def __init__(self, found: rows.Policy | None, data: Any = None) -> None:
        self.before = {name: getattr(found, VALUES[name]) for name in self.base_fields if found}
        super().__init__(data, initial=self.before or self.defaults())
        for name, field in self.fields.items():
            if isinstance(field, forms.ChoiceField):
                field.choices = [(each, self._word(name, each)) for each in CHOICES[name]]
            field.widget.attrs["class"] = "form-control"
            field.widget.attrs["aria-describedby"] = f"help_{name} error_{name}"
        self.fields["name"].required = not found

    def defaults(self) -> dict[str, Any]:
        """Return what a new policy begins with: what is preferred, and the modern lifetime."""
        modern = getattr(profiles.PROFILES[profiles.DEFAULT], self.kind)
        preferred = {name: CHOICES[name][0] for name in self.base_fields if name in CHOICES}
        return {**preferred, "lifetime": modern.lifetime}

    def _word(self, name: str, value: str) -> str:
        weak = value in profiles.WEAK.get(self.weak_as.get(name, ""), ())
        return f"{value} ({_('weak')})" if weak else value

    def clean(self) -> dict[str, Any]:
        """Check the API's rules; the others are Neutron's to say."""
        data: dict[str, Any] = super().clean()
        seconds = data.get("lifetime", LEAST_LIFETIME)
        if not LEAST_LIFETIME <= seconds <= rules.MAX_SECONDS:
            bounds = {"least": LEAST_LIFETIME, "most": rules.MAX_SECONDS}
            text = _("Between %(least)s and %(most)s seconds.")
            self.add_error("lifetime", text % bounds)
        for name in ("name", "description"):
            try:
                rules.check_name(name, data.get(name, ""))
            except rules.Wrong as wrong:
                self.add_error(name, _(wrong.text) % wrong.values)
        return data

    def body(self) -> dict[str, Any]:
        """Return what changes, or all of a new policy, in the API's form."""
        data = self.cleaned_data
        body = {k: data[k] for k in self.fields if data[k] != self.before.get(k)}
        if "lifetime" in body:
            body["lifetime"] = {"units": "seconds", "value": body["lifetime"]}
        return body

    def digest(self) -> str:
        """Return what names this change, so that no other is confirmed with it."""
        return hashlib.sha256(json.dumps(self.body(), sort_keys=True).encode()).hexdigest()


class IkeForm(PolicyForm):
    """How two gateways authenticate and agree on keys."""

    kind = "ike"

    ike_version = _choice(gettext_lazy("IKE version"))
    phase1_negotiation_mode = _choice(
        gettext_lazy("Mode"), gettext_lazy("Counts with IKEv1 alone.")
    )


class IpsecForm(PolicyForm):
    """How packets are protected."""

    kind = "ipsec"

    transform_protocol = _choice(gettext_lazy("Protocol"))
    encapsulation_mode = _choice(gettext_lazy("Encapsulation"))
