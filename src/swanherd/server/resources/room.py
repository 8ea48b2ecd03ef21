"""What the five resources share: the store, the looker and a few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any, Protocol

from neutron_lib.db import api as db_api
from oslo_utils import uuidutils

from swanherd.core import validation
from swanherd.core.capabilities import limitation
from swanherd.core.model import DataPlane, RouterId
from swanherd.server.db import values
from swanherd.server.db.models import IpsecPolicyRow
from swanherd.server.db.repository import Repository
from swanherd.server.looker import Looker
from swanherd.server.reading import Collection
from swanherd.server.strength import Strength

LIFETIME_UNITS = "seconds"
DEFAULT_LIFETIME = 3600


class ProviderNames(Protocol):
    """Which service provider a vpnservice has (`server.providers.Providers`)."""

    def of_flavor(self, context: Any, flavor_id: str | None) -> str:
        """Return the provider of a flavor; refuse one that can't be had."""
        ...

    def associate(self, context: Any, service_id: str, provider: str) -> None:
        """Record a service's provider."""
        ...

    def dissociate(self, context: Any, service_id: str) -> None:
        """Forget a service's provider."""
        ...


class Room:
    """The mixins' common ground; the plugin fills it."""

    store: Repository
    looker: Looker
    providers: ProviderNames
    strength: Strength = Strength()
    # The data planes of the agents that are alive (`server.placement.data_planes`).
    data_planes: Callable[[Any], Set[DataPlane | None]] = staticmethod(
        lambda _context: frozenset()
    )

    def _check_capable(self, context: Any, policy: IpsecPolicyRow) -> None:
        """Refuse an IPsec policy that no agent of the cloud can do."""
        wanted = values.ipsec_policy(policy)
        if limitation(wanted, DataPlane.USERSPACE):  # most ask for nothing special
            validation.check_data_planes(wanted, self.data_planes(context))

    def _look(self, *router_ids: str) -> None:
        self.looker.look_all(RouterId(router_id) for router_id in router_ids)

    def _create(self, context: Any, collection: Collection, row: Any) -> dict[str, Any]:
        with db_api.CONTEXT_WRITER.using(context) as session:
            session.add(row)
            session.flush()
            shown: dict[str, Any] = collection.view(row)
        return shown


def named(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that every new resource has; refuse text that can't be stored."""
    fields = ("project_id", "name", "description")
    for field in fields:
        validation.check_text(field, body[field])
    return {"id": uuidutils.generate_uuid(), **{field: body[field] for field in fields}}


def lifetime(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a lifetime that the request names; seconds is the only unit."""
    given = body.get("lifetime") or {}
    columns: dict[str, Any] = {}
    if "units" in given:
        columns["lifetime_units"] = given["units"]
    if "value" in given:
        columns["lifetime_value"] = validation.whole_number("lifetime value", given["value"])
    return columns


def rename(row: Any, body: Mapping[str, Any]) -> None:
    """Change what has no effect on the data plane."""
    for field in ("name", "description"):
        if field in body:
            validation.check_text(field, body[field])
            setattr(row, field, body[field])
