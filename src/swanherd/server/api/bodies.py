"""Refuses a body that is no JSON object, before Neutron's controllers copy, log or quote it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import webob.exc

_VERBS = ("create", "update")


def only_objects(resources: Iterable[Any]) -> list[Any]:
    """Return the resources; their own controllers answer anything else with 400.

    neutron.api.v2.base would answer a PUT of a list with 500, and quotes other text in its log.
    """
    listed = list(resources)
    for resource in listed:
        controller = resource.controller.controller
        for verb in _VERBS:
            setattr(controller, verb, _checked(getattr(controller, verb)))
    return listed


def _checked(method: Any) -> Any:
    @functools.wraps(method)
    def checked(*arguments: Any, body: Any = None, **options: Any) -> Any:
        if body is not None and not isinstance(body, dict):
            raise webob.exc.HTTPBadRequest("The request's body must be a JSON object")
        return method(*arguments, body=body, **options)

    return checked
