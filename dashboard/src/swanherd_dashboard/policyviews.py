"""The pages of IKE and IPsec policies: list, new, change (in use or not), delete."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

from django import http, shortcuts
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from horizon import messages, views

from swanherd_dashboard import neutron
from swanherd_dashboard.core import changes, profiles, rows
from swanherd_dashboard.forms import policy_words
from swanherd_dashboard.policyforms import IkeForm, IpsecForm, PolicyForm

POLICIES = "horizon:project:swanherd:policies"
_USERS = ("id", "name", "ikepolicy_id", "ipsecpolicy_id", "initiator")


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """One of the two kinds of policies."""

    key: str
    path: str
    title: Any
    form: type[PolicyForm]
    used_as: str  # the connection's value that names it


KINDS = {
    "ike": Kind("ike", neutron.IKE, gettext_lazy("IKE policies"), IkeForm, "ike_id"),
    "ipsec": Kind("ipsec", neutron.IPSEC, gettext_lazy("IPsec policies"), IpsecForm, "ipsec_id"),
}


def _kind(key: str) -> Kind:
    if key not in KINDS:
        raise http.Http404
    return KINDS[key]


def users(kind: Kind, policy_id: str, found: Sequence[rows.Connection]) -> list[changes.User]:
    """Return the connections that use a policy."""
    return [
        changes.User(each.id, each.label, each.initiator == "response-only")
        for each in found
        if getattr(each, kind.used_as) == policy_id
    ]


class PoliciesView(views.HorizonTemplateView):
    """Both kinds, each with the connections that use it."""

    template_name = "swanherd_dashboard/policies.html"
    page_title = gettext_lazy("VPN Policies")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the policies: three requests to Neutron, however much there is."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        try:
            cloud = neutron.of(self.request)
            found = cloud.connections(_USERS)
            context["kinds"] = [(kind, _listed(cloud, kind, found)) for kind in KINDS.values()]
        except neutron.Refused as error:
            messages.error(self.request, error.text)
        return context


def _listed(
    cloud: neutron.Neutron, kind: Kind, found: Sequence[rows.Connection]
) -> list[dict[str, Any]]:
    policies = sorted(
        map(rows.policy, cloud.mine(kind.path)), key=lambda each: (each.name.lower(), each.id)
    )
    return [
        {
            "policy": policy,
            "values": policy_words(dataclasses.replace(policy, name="")),
            "weak": profiles.weak(policy),
            "users": users(kind, policy.id, found),
        }
        for policy in policies
    ]


class PolicyView(views.HorizonTemplateView):
    """A form that is shown, checked and carried out; what Neutron refuses is said in it."""

    template_name = "swanherd_dashboard/policy.html"
    cloud: neutron.Neutron
    kind: Kind

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> http.HttpResponse:
        """Know the kind; what can't even be shown leads back to the list."""
        self.kind = _kind(kwargs["kind"])
        self.cloud = neutron.of(request)
        try:
            answer: http.HttpResponse = super().dispatch(request, *args, **kwargs)
        except neutron.Refused as error:
            messages.error(request, error.text)
            return shortcuts.redirect(POLICIES)
        return answer

    def form(self, data: Any = None) -> PolicyForm:
        """Return the page's form."""
        return self.kind.form(None, data)

    def carry_out(self, form: PolicyForm) -> http.HttpResponse | None:
        """Do what a valid form says; None if there is something to say before."""
        raise NotImplementedError

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the form."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        context.setdefault("form", self.form())
        return context

    def post(self, request: Any, *args: Any, **kwargs: Any) -> http.HttpResponse:
        """Check the form and carry it out, or show it again with what is to be said."""
        form = self.form(request.POST)
        if form.is_valid():
            try:
                if answer := self.carry_out(form):
                    return answer
            except neutron.Refused as error:
                form.add_error(None, error.text)
        answer = self.render_to_response(self.get_context_data(form=form, **kwargs))
        answer["Cache-Control"] = "no-store"
        return answer


class NewView(PolicyView):
    """A new policy."""

    page_title = gettext_lazy("New Policy")

    def carry_out(self, form: PolicyForm) -> http.HttpResponse:
        """Make it."""
        self.cloud.create(self.kind.path, form.body())
        messages.success(self.request, _("Made the policy %s.") % form.cleaned_data["name"])
        return shortcuts.redirect(POLICIES)


class EditView(PolicyView):
    """A change of a policy, with what it does to the tunnels that use it said before."""

    page_title = gettext_lazy("Change the Policy")

    def form(self, data: Any = None) -> PolicyForm:
        """Return the form with the policy's values."""
        found = self.cloud.one(self.kind.path, str(self.kwargs["policy_id"]))
        return self.kind.form(rows.policy(found), data)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the form, who uses the policy, and what the change does to them."""
        context = super().get_context_data(**kwargs)
        form, policy_id = context["form"], str(self.kwargs["policy_id"])
        context["users"] = users(self.kind, policy_id, self.cloud.connections(_USERS))
        if form.is_bound and form.is_valid():
            said = changes.of_policy(self.kind.key, frozenset(form.body()), context["users"])
            context.update(outlook=[_(each) for each in said], digest=form.digest())
        return context

    def carry_out(self, form: PolicyForm) -> http.HttpResponse | None:
        """Change it once this very change is confirmed."""
        if self.request.POST.get("confirmed") != form.digest():
            return None
        if body := form.body():
            self.cloud.update(self.kind.path, str(self.kwargs["policy_id"]), body)
        messages.success(self.request, _("Changed the policy %s.") % form.cleaned_data["name"])
        return shortcuts.redirect(POLICIES)


@require_POST
def delete(request: http.HttpRequest, kind: str, policy_id: uuid.UUID) -> http.HttpResponse:
    """Delete a policy; Neutron keeps one that is in use."""
    cloud, path = neutron.of(request), _kind(kind).path
    try:
        found = cloud.one(path, str(policy_id), ("id", "name"))
        cloud.delete(path, str(policy_id))
    except neutron.Refused as error:
        messages.error(request, error.text)
    else:
        messages.success(request, _("Deleted the policy %s.") % (found["name"] or policy_id))
    return shortcuts.redirect(POLICIES)
