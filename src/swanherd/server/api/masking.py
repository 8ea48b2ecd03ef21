"""Keeps keys out of Neutron's own log: with debug on, it prints the body of each request."""

from __future__ import annotations

import logging
from typing import Any

# neutron.api.v2.base.Controller.prepare_request_body, which pecan uses too.
_LOGGERS = ("neutron.api.v2.base",)


def masked(value: Any) -> Any:
    """Return a copy in which every psk is hidden."""
    if isinstance(value, dict):
        return {k: "***" if k == "psk" else masked(v) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


class _PskFilter(logging.Filter):
    """Hides each psk in a record's arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, dict):
            record.args = masked(record.args)
        return True


_FILTER = _PskFilter()


def install() -> None:
    """Begin to hide keys; once or more."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
