"""The panel's pages, and what they ask for again and again."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

from django import http, shortcuts
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST
from horizon import messages, views

from swanherd_client import peers
from swanherd_client.tunnel import Unsayable
from swanherd_dashboard import making, neutron
from swanherd_dashboard.core import live as told
from swanherd_dashboard.core import picture, rows
from swanherd_dashboard.downloads import as_download
from swanherd_dashboard.pages import PageOfOne

INDEX = "horizon:project:swanherd:index"
PAGE = 50
MOST_IDS = 100


class IndexView(views.HorizonTemplateView):
    """The list of the project's connections."""

    template_name = "swanherd_dashboard/index.html"
    page_title = gettext_lazy("VPN")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the page's connections, filtered by `q`."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        words = self.request.GET.get("q", "")
        try:
            cloud = neutron.of(self.request)
            found = cloud.connections(rows.LISTED)
            context["routers"] = routers_of(cloud)
        except neutron.Refused as error:
            messages.error(self.request, error.text)
            found = []
        chosen = [each for each in found if rows.matches(each, words)]
        shown, pages = rows.page(chosen, _number(self.request.GET.get("page")), PAGE)
        number = min(_number(self.request.GET.get("page")), pages)
        context.update(
            q=words,
            total=len(found),
            matching=len(chosen),
            connections=[
                {"row": each, **told.brief(each, _), "router": _router(context, each)}
                for each in shown
            ],
            page_number=number,
            pages=pages,
        )
        return context


class PictureView(views.HorizonTemplateView):
    """The picture of the project's VPN."""

    template_name = "swanherd_dashboard/picture.html"
    page_title = gettext_lazy("Picture of the VPN")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what is drawn: five requests to Neutron, however much there is."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        context["legend"] = ("ACTIVE", "PENDING_UPDATE", "DOWN", "ERROR")
        try:
            cloud = neutron.of(self.request)
            found = cloud.connections(rows.LISTED)
            context["picture"] = picture.draw(found, _known(cloud))
        except neutron.Refused as error:
            messages.error(self.request, error.text)
        return context


def _known(cloud: neutron.Neutron) -> picture.Known:
    subnets = cloud.get("subnets", ("id", "name", "cidr"))
    return picture.Known(
        services=cloud.services(),
        routers={row["id"]: row["name"] for row in cloud.mine("routers", ("id", "name"))},
        subnets={row["id"]: (row["name"], row["cidr"]) for row in subnets},
        groups={row["id"]: row["endpoints"] for row in cloud.mine(neutron.GROUPS)},
    )


def routers_of(cloud: neutron.Neutron) -> Mapping[str, Mapping[str, str]]:
    """Return id and name of the router of each of the project's vpnservices."""
    services = cloud.services()
    names = {row["id"]: row["name"] for row in cloud.mine("routers", ("id", "name"))}
    return {
        service.id: {"id": service.router_id, "name": names.get(service.router_id, "")}
        for service in services.values()
    }


def _router(context: Mapping[str, Any], found: rows.Connection) -> Mapping[str, str]:
    known: Mapping[str, Mapping[str, str]] = context.get("routers", {})
    return known.get(found.service_id, {})


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else 1


@require_GET
def live(request: http.HttpRequest) -> http.HttpResponse:
    """Answer with what a list's page shows of these connections now: one request to Neutron."""
    ids = [each for each in request.GET.getlist("id") if _is_uuid(each)][:MOST_IDS]
    found = []
    if ids:
        try:
            found = list(neutron.of(request).connections(rows.LIVE, id=ids))
        except neutron.Refused as error:
            return _unanswered(error)
    return _json({"connections": [told.brief(each, _) for each in found]})


class ConnectionView(PageOfOne):
    """All that is known of a connection."""

    template_name = "swanherd_dashboard/connection.html"
    index = INDEX
    page_title = "{{ connection.label }}"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the connection and what it refers to."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        cloud = neutron.of(self.request)
        found = cloud.connection(str(kwargs["connection_id"]), rows.SHOWN)
        context.update(tunnel_context(found))
        context.update(
            wanted_of(cloud, found),
            devices=[(key, d.title, _(d.proof)) for key, d in peers.DEVICES.items()],
            untested=_("untested"),
            traffic=told.traffic(found),
        )
        return context


def wanted_of(cloud: neutron.Neutron, found: rows.Connection) -> dict[str, Any]:
    """Return what the connection refers to, as the API has it."""
    service = rows.service(cloud.get(f"{neutron.SERVICES}/{found.service_id}"))
    router = cloud.get(f"routers/{service.router_id}", ("id", "name"))
    peer_nets = list(found.peer_cidrs)
    subnet_ids = [service.subnet_id] if service.subnet_id else []
    if found.local_group_id:
        subnet_ids = cloud.get(f"{neutron.GROUPS}/{found.local_group_id}")["endpoints"]
    if found.peer_group_id:
        peer_nets = cloud.get(f"{neutron.GROUPS}/{found.peer_group_id}")["endpoints"]
    subnets = cloud.get("subnets", ("id", "name", "cidr"), id=subnet_ids) if subnet_ids else []
    return {
        "service": service,
        "router": router,
        "local_networks": sorted(subnets, key=lambda subnet: subnet["cidr"]),
        "peer_networks": peer_nets,
        "ike_policy": rows.policy(cloud.get(f"{neutron.IKE}/{found.ike_id}")),
        "ipsec_policy": rows.policy(cloud.get(f"{neutron.IPSEC}/{found.ipsec_id}")),
    }


def tunnel_context(found: rows.Connection) -> dict[str, Any]:
    """Return what the page shows that changes by itself."""
    age = told.ages(found, datetime.datetime.now(datetime.UTC))
    return {"connection": found, "brief": told.brief(found, _), "age": age}


@require_GET
def connection_live(request: http.HttpRequest, connection_id: uuid.UUID) -> http.HttpResponse:
    """Answer with what the connection's page shows now: one request to Neutron."""
    try:
        found = neutron.of(request).connection(str(connection_id), rows.LIVE)
    except neutron.Refused as error:
        return _unanswered(error)
    context = tunnel_context(found)
    # Without the request: Horizon's context processors would ask Keystone for the projects.
    html = render_to_string("swanherd_dashboard/_tunnel.html", context)
    return _json({**context["brief"], "html": html, "traffic": told.traffic(found)})


@require_POST
def peer(request: http.HttpRequest, connection_id: uuid.UUID) -> http.HttpResponse:
    """Answer with the configuration of the other side's device, with the key only if asked for."""
    device = request.POST.get("device", "")
    page = reverse("horizon:project:swanherd:connection", args=(connection_id,))
    if device not in peers.DEVICES:
        messages.error(request, _("Choose what the other side is."))
        return shortcuts.redirect(page)
    with_key = request.POST.get("with_key") == "on"
    try:
        tunnel, key = neutron.of(request).tunnel(str(connection_id), with_key=with_key)
        files = peers.export(device, tunnel, key)
    except Unsayable as error:
        messages.error(request, str(error))
        return shortcuts.redirect(page)
    except neutron.Refused as error:
        messages.error(request, error.text)
        return shortcuts.redirect(INDEX)
    return as_download(files, f"{tunnel.label}-{device}")


@require_POST
def delete(request: http.HttpRequest, connection_id: uuid.UUID) -> http.HttpResponse:
    """Delete a connection."""
    cloud = neutron.of(request)
    try:
        found = cloud.connection(str(connection_id), rows.LISTED)
        making.delete(cloud, found)
    except neutron.Refused as error:
        messages.error(request, error.text)
    else:
        messages.success(request, _("Deleted the connection %s.") % found.label)
    return shortcuts.redirect(INDEX)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _json(body: Mapping[str, Any]) -> http.HttpResponse:
    answer = http.JsonResponse(dict(body))
    answer["Cache-Control"] = "no-store"
    return answer


def _unanswered(error: neutron.Refused) -> http.HttpResponse:
    status = 404 if error.status == 404 else 502
    return http.JsonResponse({"error": error.text}, status=status)
