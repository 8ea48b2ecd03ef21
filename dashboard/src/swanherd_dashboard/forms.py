"""The guided form, and the form that changes a live connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from swanherd_dashboard import making, neutron
from swanherd_dashboard.core import profiles, rows, rules
from swanherd_dashboard.core.rules import Wrong
from swanherd_dashboard.core.words import gettext_noop
from swanherd_dashboard.surroundings import Surroundings

INITIATORS = (
    ("bi-directional", gettext_lazy("both sides")),
    ("response-only", gettext_lazy("only the peer")),
)
DPD_ACTIONS = (
    ("restart", gettext_lazy("restart: negotiate again at once")),
    ("hold", gettext_lazy("hold: negotiate again")),
    ("clear", gettext_lazy("clear: end the tunnel")),
    ("restart-by-peer", gettext_lazy("restart by peer")),
    ("disabled", gettext_lazy("disabled")),
)
# Which field Neutron's refusal belongs to.
FIELD_OF = {
    "VPNPeerAddressNotResolved": "peer_address",
    "ExternalNetworkHasNoSubnet": "peer_address",
    "IPsecSiteConnectionPeerCidrError": "peer_cidrs",
    "SelectorInUse": "peer_cidrs",
    "RouterIsNotExternal": "router",
    "SubnetIsNotConnectedToRouter": "subnets",
    "IPsecSiteConnectionMtuError": "mtu",
    "IPsecSiteConnectionDpdIntervalValueError": "dpd_timeout",
}


class ConnectionForm(forms.Form):
    """What both forms ask for."""

    name = forms.CharField(label=gettext_lazy("Name"), strip=True)
    description = forms.CharField(label=gettext_lazy("Description"), required=False)
    subnets = forms.MultipleChoiceField(
        label=gettext_lazy("Your subnets"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("What the other side may reach."),
    )
    peer_address = forms.CharField(
        label=gettext_lazy("Address of the other side"),
        help_text=gettext_lazy(
            "Its public IP address or name. 0.0.0.0 takes whoever proves the identity."
        ),
    )
    peer_id = forms.CharField(
        label=gettext_lazy("Identity of the other side"),
        required=False,
        help_text=gettext_lazy("What it calls itself; its address, if you leave this empty."),
    )
    local_id = forms.CharField(
        label=gettext_lazy("Identity of this side"),
        required=False,
        help_text=gettext_lazy("This side's public address, if you leave this empty."),
    )
    peer_cidrs = forms.CharField(
        label=gettext_lazy("Networks of the other side"),
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("As 10.9.0.0/24 or fd00:9::/64, one on each line."),
    )
    psk = forms.CharField(
        label=gettext_lazy("Pre-shared key"),
        strip=False,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    profile = forms.ChoiceField(label=gettext_lazy("Policies for"), widget=forms.RadioSelect)
    ike = forms.ChoiceField(label=gettext_lazy("IKE policy"), required=False)
    ipsec = forms.ChoiceField(label=gettext_lazy("IPsec policy"), required=False)
    initiator = forms.ChoiceField(label=gettext_lazy("Who initiates"), choices=INITIATORS)
    dpd_action = forms.ChoiceField(
        label=gettext_lazy("When the peer stops answering"), choices=DPD_ACTIONS
    )
    dpd_interval = forms.IntegerField(label=gettext_lazy("Ask it every (seconds)"))
    dpd_timeout = forms.IntegerField(label=gettext_lazy("Give it up after (seconds)"))
    mtu = forms.IntegerField(label=gettext_lazy("MTU"), help_text=gettext_lazy("0: as it comes."))

    OWN = "own"

    def __init__(self, around: Surroundings, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.around = around
        self.fields["subnets"].choices = [
            (each.id, f"{each.cidr} ({each.name})" if each.name else each.cidr)
            for each in around.subnets.values()
        ]
        self.fields["profile"].choices = self.profile_choices()
        for field, known in (("ike", around.ike), ("ipsec", around.ipsec)):
            chosen = [(each.id, policy_words(each)) for each in known.values()]
            self.fields[field].choices = [("", "–"), *chosen]
        for name, field in self.fields.items():
            self._describe(name, field)

    def profile_choices(self) -> list[tuple[str, str]]:
        """Return the profiles by name, and one's own policies."""
        named = [(key, _(each.title)) for key, each in profiles.PROFILES.items()]
        return [*named, (self.OWN, _("Policies of your own"))]

    def _describe(self, name: str, field: Any) -> None:
        """Tie help and errors to the field for those who hear the page."""
        widget = field.widget
        if isinstance(widget, forms.CheckboxInput):
            return
        if not isinstance(widget, forms.CheckboxSelectMultiple | forms.RadioSelect):
            widget.attrs.setdefault("class", "form-control")
            widget.attrs["aria-describedby"] = f"help_{name} error_{name}"

    def clean(self) -> dict[str, Any]:
        """Check the API's rules; each error stands beside its field."""
        data: dict[str, Any] = super().clean()
        for check in self.checks(data):
            try:
                check()
            except Wrong as wrong:
                self.wrong(wrong)
        return data

    def wrong(self, wrong: Wrong) -> None:
        """Put a rule's sentence beside its field."""
        sentence = _(wrong.text)
        self.add_error(wrong.field, sentence % wrong.values if wrong.values else sentence)

    def refused(self, error: neutron.Refused) -> None:
        """Put Neutron's sentence beside its field, or above them all."""
        self.add_error(FIELD_OF.get(error.kind), error.text)

    def checks(self, data: dict[str, Any]) -> Iterator[Any]:
        """Yield the checks of what was typed so far; what has an error already is left alone."""
        yield lambda: rules.check_name("name", data.get("name", ""))
        yield lambda: rules.check_name("description", data.get("description", ""))
        if "peer_address" in data:
            yield lambda: rules.check_peer_address(data["peer_address"])
        yield lambda: self._identities(data)
        if "peer_cidrs" in data:
            yield lambda: self._networks(data)
        if {"dpd_interval", "dpd_timeout"} <= data.keys():
            yield lambda: rules.check_dpd(data["dpd_interval"], data["dpd_timeout"])
        yield lambda: self._policies(data)

    def _identities(self, data: dict[str, Any]) -> None:
        address = data.get("peer_address", "")
        if not data.get("peer_id"):
            if address in rows.ANYONE:
                raise Wrong(
                    "peer_id",
                    gettext_noop("Give its identity: the address doesn't tell who it is."),
                )
            data["peer_id"] = address
        for field in ("peer_id", "local_id"):
            rules.check_identity(field, data.get(field, ""))

    def _networks(self, data: dict[str, Any]) -> None:
        data["networks"] = rules.parse_networks(data["peer_cidrs"])
        chosen = rules.on_router(
            self.around.subnets, data.get("subnets", []), self.router_id(data)
        )
        data["sides"] = rules.sides(chosen, data["networks"])
        for side in data["sides"]:
            rules.check_mtu(data.get("mtu") or 0, side.version)

    def router_id(self, data: Mapping[str, Any]) -> str:
        """Return the router whose subnets may be chosen."""
        raise NotImplementedError

    def _policies(self, data: dict[str, Any]) -> None:
        if data.get("profile") != self.OWN:
            data["ike"] = data["ipsec"] = ""
            return
        for field in ("ike", "ipsec"):
            if not data.get(field):
                raise Wrong(field, gettext_noop("Choose a policy."))
        ike, ipsec = self.around.ike[data["ike"]], self.around.ipsec[data["ipsec"]]
        rules.check_pair(ike.version, ipsec.integrity)

    def attributes(self) -> dict[str, Any]:
        """Return what goes to the API as it is."""
        data = self.cleaned_data
        same = ("description", "peer_address", "peer_id", "local_id", "initiator", "mtu")
        dpd = {key: data[f"dpd_{key}"] for key in ("action", "interval", "timeout")}
        return {**{key: data[key] for key in same}, "dpd": dpd}


class ConnectForm(ConnectionForm):
    """From nothing to a tunnel."""

    router = forms.ChoiceField(label=gettext_lazy("Router"))

    DEFAULTS: Mapping[str, Any] = {
        "profile": profiles.DEFAULT,
        "initiator": "bi-directional",
        "dpd_action": "restart",
        "dpd_interval": 30,
        "dpd_timeout": 120,
        "mtu": 0,
    }

    def __init__(self, around: Surroundings, *args: Any, **kwargs: Any) -> None:
        super().__init__(around, *args, initial=dict(self.DEFAULTS), **kwargs)
        self.fields["router"].choices = sorted(around.routers.items(), key=lambda each: each[1])

    def router_id(self, data: Mapping[str, Any]) -> str:
        """Return the router that is chosen."""
        return str(data.get("router", ""))

    def checks(self, data: dict[str, Any]) -> Iterator[Any]:
        """Yield the checks, the key's too."""
        yield from super().checks(data)
        yield lambda: rules.check_key(data.get("psk", ""))
        if data.get("psk"):
            yield lambda: rules.check_strength(data["psk"])
        if len(data.get("sides", ())) > 1:
            most = rules.MAX_TEXT - len(making.suffix(data["sides"][0]))
            yield lambda: rules.check_name("name", data.get("name", ""), most)


class EditForm(ConnectionForm):
    """Changes a live connection; an empty key stays as it is."""

    enabled = forms.BooleanField(label=gettext_lazy("Enabled"), required=False)

    KEEP = "keep"

    def __init__(
        self,
        around: Surroundings,
        service: rows.Service,
        found: rows.Connection,
        networks: tuple[Sequence[str], Sequence[str]],
        *args: Any,
    ) -> None:
        self.service, self.found = service, found
        self.before: dict[str, Any] = {
            "name": found.name,
            "description": found.description,
            "subnets": list(networks[0]),
            "peer_cidrs": "\n".join(rules.spelt_once(networks[1])),
            "peer_address": found.peer_address,
            "peer_id": found.peer_id,
            "local_id": found.local_id,
            "profile": self.KEEP,
            "initiator": found.initiator,
            "dpd_action": found.dpd.action,
            "dpd_interval": found.dpd.interval,
            "dpd_timeout": found.dpd.timeout,
            "mtu": found.mtu,
            "enabled": found.up,
        }
        super().__init__(around, *args, initial=self.before)
        self.fields["psk"].help_text = _("Empty: the key stays as it is.")
        self.fields["name"].required = False

    def profile_choices(self) -> list[tuple[str, str]]:
        """Return the profiles, and the policies as they are."""
        return [(self.KEEP, _("as they are")), *super().profile_choices()]

    def router_id(self, data: Mapping[str, Any]) -> str:
        """Return the service's router."""
        return self.service.router_id

    def checks(self, data: dict[str, Any]) -> Iterator[Any]:
        """Yield the checks; a connection stays of one IP version."""
        if self.service.subnet_id:
            data["subnets"] = [self.service.subnet_id]
        yield from super().checks(data)
        yield lambda: self._one_version(data)
        if data.get("psk"):
            yield lambda: rules.check_key(data["psk"])
        if data.get("psk"):  # an error takes it away
            yield lambda: rules.check_strength(data["psk"])

    @staticmethod
    def _one_version(data: Mapping[str, Any]) -> None:
        if len(data.get("sides", ())) > 1:
            text = gettext_noop(
                "A connection is of one IP version: make a second one for the other."
            )
            raise Wrong("peer_cidrs", text)


def policy_words(policy: rows.Policy) -> str:
    """Return a policy in a line."""
    said = (policy.version and f"IKE{policy.version}", policy.encryption, policy.integrity)
    words = ", ".join(each for each in (*said, policy.group) if each)
    name = f"{policy.name}: {words}" if policy.name else words
    weak = profiles.weak(policy)
    return f"{name} ({_('weak')}: {', '.join(weak)})" if weak else name
