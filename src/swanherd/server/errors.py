"""Which exception of the API a broken rule becomes (neutron-lib's, where it has one).

A subclass keeps neutron-lib's name, since that name is the `type` in the response's body.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from neutron_lib import exceptions as lib_exc
from neutron_lib.exceptions import vpn as vpn_exc
from oslo_db import exception as db_exc

from swanherd.core.validation import Invalid, Rule

# MariaDB's "Incorrect string value" and "Illegal mix of collations": the database's character
# set can't hold or compare the text (utf8mb3 has no characters beyond the basic plane).
_UNSTORABLE = (1366, 1267)
# "Incorrect string value: '…' for column `neutron`.`vpnservices`.`name` at row 1"
_COLUMN = re.compile(r"for column (?:`[^`]*`\.)*[`']([^`']+)[`'] at row")


class IpsecValidationFailure(vpn_exc.IpsecValidationFailure):
    """A value that can't be honoured; says what is allowed."""

    message = vpn_exc.IpsecValidationFailure.message + ": %(why)s"


class VPNPeerAddressNotResolved(vpn_exc.VPNPeerAddressNotResolved):
    """An address that no peer can have; says which can."""

    message = vpn_exc.VPNPeerAddressNotResolved.message + ": %(why)s"


class SelectorInUse(lib_exc.Conflict):
    """Two connections of a router may not protect the same pair of networks."""

    message = (
        "IPsec site connection %(connection_id)s of the same router already protects "
        "%(local)s to %(remote)s; each pair of a local subnet and a peer CIDR may be in one "
        "connection of a router only"
    )


_EXCEPTIONS: Mapping[Rule, Callable[..., Exception]] = {
    Rule.UNSUPPORTED: IpsecValidationFailure,
    Rule.DPD_TIMEOUT: vpn_exc.IPsecSiteConnectionDpdIntervalValueError,
    Rule.MTU: vpn_exc.IPsecSiteConnectionMtuError,
    Rule.PEER_ADDRESS: VPNPeerAddressNotResolved,
    Rule.PEER_CIDR: vpn_exc.IPsecSiteConnectionPeerCidrError,
    Rule.MISSING_PEER_CIDRS: vpn_exc.MissingPeerCidrs,
    Rule.PEER_CIDRS_WITH_GROUPS: vpn_exc.PeerCidrsInvalid,
    Rule.GROUPS_WITH_SUBNET: vpn_exc.InvalidEndpointGroup,
    Rule.MISSING_GROUPS: vpn_exc.MissingRequiredEndpointGroup,
    Rule.GROUP_TYPE: vpn_exc.WrongEndpointGroupType,
    Rule.NO_ENDPOINT: vpn_exc.MissingEndpointForEndpointGroup,
    Rule.ENDPOINT: vpn_exc.InvalidEndpointInEndpointGroup,
    Rule.MIXED_GROUP: vpn_exc.MixedIPVersionsForIPSecEndpoints,
    Rule.MIXED_PEER_CIDRS: vpn_exc.MixedIPVersionsForPeerCidrs,
    Rule.MIXED_SIDES: vpn_exc.MixedIPVersionsForIPSecConnection,
}


def api_error(invalid: Invalid) -> Exception:
    """Return the exception that the API answers with."""
    make = _EXCEPTIONS.get(invalid.rule)
    if make is None:
        return lib_exc.InvalidInput(error_message=invalid.text)
    return make(**invalid.details)


def _code(error: db_exc.DBError) -> Any:
    arguments = getattr(getattr(error.inner_exception, "orig", None), "args", None)
    return arguments[0] if arguments else None


def _field(error: db_exc.DBError) -> str:
    """Return which attribute the database refused, if it says so."""
    found = _COLUMN.search(str(getattr(error.inner_exception, "orig", "")))
    return found[1] if found else "the text"


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn broken rules, and what the database refuses, into the API's exceptions."""
    try:
        yield
    except Invalid as invalid:
        raise api_error(invalid) from invalid
    except db_exc.DBReferenceError as error:
        # What was there when it was checked has gone, or is in use since: Neutron asks again.
        raise db_exc.RetryRequest(error) from error
    except db_exc.DBError as error:
        if _code(error) in _UNSTORABLE:
            why = f"the database's character set can't hold a character of {_field(error)}"
            raise lib_exc.InvalidInput(error_message=why) from error
        raise
