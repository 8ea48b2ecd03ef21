"""What the operator thinks of weak algorithms: allowed, allowed with a warning, or denied."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from oslo_log import log as logging

from swanherd.core import validation
from swanherd.server.errors import IpsecValidationFailure

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Strength:
    """Judges what a request writes; `mode` is allow, warn or deny."""

    mode: str = "allow"

    def check(self, resource: str, policy_id: str, columns: Mapping[str, Any]) -> None:
        """Refuse or tell of weak values among the columns that a request writes."""
        if self.mode == "allow":
            return
        if columns.get("ike_version") == "v2":  # which has no such mode
            columns = {k: v for k, v in columns.items() if k != "phase1_negotiation_mode"}
        for field, value, better in validation.weaknesses(columns):
            if self.mode == "deny":
                raise IpsecValidationFailure(
                    resource=resource,
                    key=field,
                    value=value,
                    why=f"it is weak, and this cloud doesn't allow it; use {better}",
                )
            if self.mode == "warn":
                LOG.warning(
                    "%s %s: %s %s is weak; better is %s", resource, policy_id, field, value, better
                )
