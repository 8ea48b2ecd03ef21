"""Conversions of values that say which field they refuse."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from neutron_lib import exceptions as lib_exc

Convert = Callable[[Any], Any]


def naming(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return a resource's attributes; neutron-lib's say what is no integer, not of which field."""
    return {field: _named(field, attribute) for field, attribute in attributes.items()}


def _named(field: str, attribute: Any) -> Any:
    if not isinstance(attribute, dict):
        return attribute
    return {
        key: _naming(field, value) if key == "convert_to" else _named(field, value)
        for key, value in attribute.items()
    }


def _naming(field: str, convert: Convert) -> Convert:
    @functools.wraps(convert)
    def converted(value: Any) -> Any:
        try:
            return convert(value)
        except lib_exc.InvalidInput as error:
            # "Invalid input for operation: '[]' is not an integer."
            why = str(error).partition(": ")[2].rstrip(".")
            raise lib_exc.InvalidInput(error_message=f"{field}: {why}") from error

    return converted
