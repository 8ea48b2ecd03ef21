"""The pages with forms: a new connection, and a change of a live one.

The page's script sends a form in the background, so that a key which was typed stays in the
browser while errors are mended; without the script the form is sent as ever.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from django import http, shortcuts
from django.contrib import messages  # Horizon's own are lost with an answer to a script
from django.core.exceptions import NON_FIELD_ERRORS
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from horizon import views

from swanherd_dashboard import editing, making, neutron, surroundings
from swanherd_dashboard.core import profiles, rows
from swanherd_dashboard.forms import ConnectForm, EditForm

INDEX = "horizon:project:swanherd:index"
CONNECTION = "horizon:project:swanherd:connection"


@method_decorator(sensitive_post_parameters("psk"), name="dispatch")
class FormView(views.HorizonTemplateView):
    """A form that is shown, checked and carried out."""

    template_name = "swanherd_dashboard/form.html"
    cloud: neutron.Neutron
    around: surroundings.Surroundings

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> http.HttpResponse:
        """Look around first; what Neutron refuses then leads back to the list.

        A form that was filled in stays where it is, with Neutron's sentence.
        """
        self.cloud = neutron.of(request)
        try:
            self.around = surroundings.look(self.cloud)
            answer: http.HttpResponse = super().dispatch(request, *args, **kwargs)
        except neutron.Refused as error:
            if request.method == "POST" and _background(request):
                return http.JsonResponse({"errors": {NON_FIELD_ERRORS: [error.text]}})
            messages.error(request, error.text)
            return shortcuts.redirect(INDEX)
        return answer

    def form(self, data: Any = None) -> Any:
        """Return the page's form."""
        raise NotImplementedError

    def carry_out(self, form: Any) -> http.HttpResponse | None:
        """Do what a valid form says; None if it has errors then."""
        raise NotImplementedError

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the form and what the script needs."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        context.setdefault("form", self.form())
        context["routers_of_subnets"] = {
            each.id: each.routers for each in self.around.subnets.values()
        }
        context["notes"] = {key: _(each.note) for key, each in profiles.PROFILES.items()}
        return context

    def post(self, request: Any, *args: Any, **kwargs: Any) -> http.HttpResponse:
        """Check the form and carry it out, or say what is wrong beside each field."""
        form = self.form(request.POST)
        if form.is_valid() and (answer := self.carry_out(form)):
            return answer
        if _background(request):
            errors = {field: list(said) for field, said in form.errors.items()}
            return http.JsonResponse({"errors": errors})
        answer = self.render_to_response(self.get_context_data(form=form, **kwargs))
        answer["Cache-Control"] = "no-store"
        return answer

    def leave(self, url: str) -> http.HttpResponse:
        """Lead to another page."""
        if _background(self.request):
            return http.JsonResponse({"location": url})
        return shortcuts.redirect(url)


def _background(request: Any) -> bool:
    return bool(request.headers.get("X-Requested-With") == "XMLHttpRequest")


class ConnectView(FormView):
    """From nothing to a tunnel."""

    page_title = gettext_lazy("Connect a Site")

    def form(self, data: Any = None) -> ConnectForm:
        """Return the guided form."""
        return ConnectForm(self.around, data)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the context with the words of this form."""
        return super().get_context_data(
            submit=_("Connect"), back=reverse(INDEX), new=True, **kwargs
        )

    def carry_out(self, form: ConnectForm) -> http.HttpResponse | None:
        """Make everything, or nothing."""
        data = form.cleaned_data
        wanted = making.Wanted(
            name=data["name"],
            router_id=data["router"],
            sides=data["sides"],
            psk=data["psk"],
            profile=data["profile"],
            ike_id=data["ike"],
            ipsec_id=data["ipsec"],
            attributes=form.attributes(),
        )
        try:
            first, *_more = making.connect(self.cloud, self.around, wanted)
        except neutron.Refused as error:
            form.refused(error)
            return None
        messages.success(self.request, _("Made the connection %s.") % data["name"])
        return self.leave(reverse(CONNECTION, args=(first,)))


class EditView(FormView):
    """A change of a live connection."""

    page_title = gettext_lazy("Change the Connection")
    found: rows.Connection
    service: rows.Service

    def form(self, data: Any = None) -> EditForm:
        """Return the form with the connection's values; never its key."""
        connection_id = str(self.kwargs["connection_id"])
        self.found = found = self.cloud.connection(connection_id, rows.SHOWN)
        self.service = service = self._service(found.service_id)
        local, peer = [service.subnet_id], list(found.peer_cidrs)
        if found.local_group_id:
            local = self.cloud.get(f"{neutron.GROUPS}/{found.local_group_id}")["endpoints"]
        if found.peer_group_id:
            peer = self.cloud.get(f"{neutron.GROUPS}/{found.peer_group_id}")["endpoints"]
        around = _of_router(self.around, service.router_id)
        return EditForm(around, service, found, (local, peer), data)

    def _service(self, service_id: str) -> rows.Service:
        """Return the connection's service, which an administrator may have in another project."""
        mine = self.around.services.get(service_id)
        return mine or rows.service(self.cloud.get(f"{neutron.SERVICES}/{service_id}"))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the context with the words of this form."""
        context = super().get_context_data(submit=_("Change"), new=False, **kwargs)
        context["back"] = reverse(CONNECTION, args=(self.found.id,))
        context["connection"] = self.found
        context["fixed_subnet"] = bool(self.service.subnet_id)
        return context

    def carry_out(self, form: EditForm) -> http.HttpResponse | None:
        """Say what the change does to the tunnel; do it once that is confirmed."""
        edit = editing.edit_of(form)
        sentences = editing.outlook(edit, form, self.cloud.connections(rows.SHOWN))
        if self.request.POST.get("confirmed") != "yes":
            if _background(self.request):
                return http.JsonResponse({"outlook": sentences})
            context = self.get_context_data(form=form, outlook=sentences)
            return self.render_to_response(context)
        try:
            editing.apply(self.cloud, self.around, form, edit)
        except neutron.Refused as error:
            form.refused(error)
            return None
        messages.success(self.request, _("Changed the connection %s.") % form.found.label)
        return self.leave(reverse(CONNECTION, args=(form.found.id,)))


def _of_router(around: surroundings.Surroundings, router_id: str) -> surroundings.Surroundings:
    """Return the surroundings with the subnets of one router."""
    chosen = {key: each for key, each in around.subnets.items() if router_id in each.routers}
    return dataclasses.replace(around, subnets=chosen)
