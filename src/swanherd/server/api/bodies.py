"""Refuses requests that Neutron's controllers would answer with a 500, copy, log or quote."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import webob.dec
import webob.exc
from neutron.api import api_common
from neutron_lib.api import faults

# No attribute of the API is nested by half as much; beyond it Python's own recursion ends.
_DEPTH = 16


def guarded(resources: Iterable[Any]) -> list[Any]:
    """Return the resources; what none of them can mean is answered with a 4xx.

    neutron.api.v2.base answers a PUT of a list, an infinite number, deep nesting, a query that is
    no UTF-8 and the like with 500, and quotes other text in its log.
    """
    listed = list(resources)
    for resource in listed:
        resource.controller = _guarded(resource.controller)
    return listed


def _guarded(application: Any) -> Any:
    controller = application.controller

    @webob.dec.wsgify
    def checked(request: Any) -> Any:
        try:
            _check_request(request, controller)
        except webob.exc.HTTPClientError as error:
            answer = api_common.convert_exception_to_http_exc(error, faults.FAULT_MAP, None)
            raise answer from error
        return application

    # Neutron's other way to an extension's controllers (neutron.pecan_wsgi) looks for these.
    checked.controller = controller
    checked.action_status = application.action_status
    return checked


def _check_request(request: Any, controller: Any) -> None:
    _, route = request.environ.get("wsgiorg.routing_args", ((), {}))
    # Routes knows forms to make and edit (`…/new`, `…/edit`); an API has none.
    # It also knows other formats of a collection (`vpnservices.xml`).
    known = hasattr(controller, route.get("action", "index"))
    if not known or ("id" not in route and route.get("format") not in {None, "json"}):
        raise webob.exc.HTTPNotFound("The resource could not be found.")
    if "revision_number=" in request.headers.get("If-Match", ""):
        raise webob.exc.HTTPBadRequest("If-Match: VPN resources have no revision_number")
    try:
        list(request.GET.items())
    except UnicodeDecodeError:
        raise webob.exc.HTTPBadRequest("The query must be UTF-8") from None
    names = (getattr(controller, name, "") for name in ("_resource", "_collection"))
    why = refusal(request.body, *names)
    if why:
        raise webob.exc.HTTPBadRequest(why)


def refusal(text: bytes, resource: str, collection: str) -> str | None:
    """Return what is wrong with a body of JSON; what is none, Neutron refuses itself."""
    try:
        body = json.loads(text) if text else {}
    except RecursionError:
        return "The request's body is nested too deeply"
    except ValueError:
        return None
    if not isinstance(body, dict):
        return "The request's body must be a JSON object"
    if resource in body and collection in body:
        return f"The request's body must have either {resource!r} or {collection!r}"
    # Neutron refuses these itself, but logs them first: a key may be in them by mistake.
    if resource in body and not isinstance(body[resource], dict):
        return f"{resource!r} must be a JSON object"
    several = body.get(collection)
    if isinstance(several, list) and not all(isinstance(each, dict) for each in several):
        return f"{collection!r} must be a list of JSON objects"
    return next(_unfit(body), None)


def _unfit(body: dict[str, Any]) -> Iterator[str]:
    """Yield what can't be a value of the API, with the name of its field."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), body)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            yield f"Invalid input for {_field(path)}. Reason: it must be a finite number."
        elif not isinstance(value, dict | list):
            continue
        elif len(path) > _DEPTH:
            yield f"Invalid input for {_field(path)}. Reason: it is nested too deeply."
        elif isinstance(value, dict):
            waiting += [((*path, key), each) for key, each in value.items()]
        else:
            waiting += [((*path, ""), each) for each in value]


def _field(path: tuple[str, ...]) -> str:
    """Return the attribute that a path within a body leads to."""
    return repr(path[1] if len(path) > 1 else path[0])
