"""Keeps keys out of what Neutron tells of a request: its debug log and its notifications."""

from __future__ import annotations

import functools
import logging
import re
from typing import Any

import neutron_lib.rpc

# neutron.api.v2.base.Controller.prepare_request_body, which pecan uses too; and Enforcer.enforce,
# which has what it decides about as JSON; and what oslo.db makes of a database's error, which
# quotes what can't be stored.
_LOGGERS = ("neutron.api.v2.base", "oslo_policy.policy", "oslo_db.sqlalchemy.exc_filters")
_COLUMN = "`psk`"
_IN_JSON = re.compile(r'("psk": )"(?:[^"\\]|\\.)*"', re.IGNORECASE)


def masked(value: Any) -> Any:
    """Return a copy in which every psk is hidden, one whose name is mistyped in capitals too."""
    if isinstance(value, dict):
        return {k: "***" if str(k).lower() == "psk" else masked(v) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


def _masked_json(value: Any) -> Any:
    return _IN_JSON.sub(r'\1"***"', value) if isinstance(value, str) else value


class _PskFilter(logging.Filter):
    """Hides each psk in a record's arguments, and an error that a database has with one."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, dict):
            record.args = masked(record.args)
        elif record.args:
            record.args = tuple(_masked_json(argument) for argument in record.args)
        if isinstance(record.exc_info, tuple) and _COLUMN in str(record.exc_info[1]):
            record.exc_info = None
        return True


_FILTER = _PskFilter()


class _MaskingSerializer:
    """Neutron's own serializer of notifications, which carry the body of each request."""

    def __init__(self, base: Any) -> None:
        self._base = base

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)

    def serialize_entity(self, context: Any, entity: Any) -> Any:
        """Return the payload without keys."""
        return self._base.serialize_entity(context, masked(entity))


def masking(get_notifier: Any) -> Any:
    """Return what gives notifiers as `get_notifier` does, but theirs hide keys."""

    @functools.wraps(get_notifier)
    def get(*arguments: Any, **options: Any) -> Any:
        notifier = get_notifier(*arguments, **options)
        if hasattr(notifier, "_serializer"):  # the one of Neutron's own tests has none
            # The one place of it that every payload passes.
            notifier._serializer = _MaskingSerializer(notifier._serializer)  # noqa: SLF001
        return notifier

    return get


def install() -> None:
    """Begin to hide keys; once or more."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
    # Neutron's controllers ask it, by this name, once the plugins are there.
    if not hasattr(neutron_lib.rpc.get_notifier, "__wrapped__"):
        neutron_lib.rpc.get_notifier = masking(neutron_lib.rpc.get_notifier)
