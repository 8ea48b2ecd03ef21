"""One identity that is written in different ways."""

import dataclasses
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import DataPlane
from swanherd.core.peering import all_unlike, ike_config, peerings
from swanherd.core.precedence import comes_second
from swanherd.core.spelling import as_address
from swanherd.swan import codec, identity
from swanherd.testing import builders as make
from tests.unit.core.seen import DESIRED

WAYS = {
    "case": ("2001:DB8::2", "2001:db8::2"),
    "zeros": ("2001:db8:0:0::2", "2001:db8::2"),
}
NAMES = {"at": ("@gw.example", "gw.example"), **WAYS}


@pytest.mark.parametrize("ways", WAYS.values(), ids=list(WAYS))
def test_connections_to_one_peer_share_an_ike_sa_however_it_is_written(ways):
    """To a responder they are one: of two configs it would refuse the second one's networks."""
    pair = make.selector("10.1.0.0/24", "10.3.0.0/24")
    first, second = (make.connection(way, peer_id=way) for way in ways)
    desired = make.desired(first, dataclasses.replace(second, selectors=(pair,)))
    (peering,) = peerings(desired)
    assert len(peering.children) == 2
    assert not all_unlike(desired)


@pytest.mark.parametrize("ways", NAMES.values(), ids=list(NAMES))
@pytest.mark.parametrize("mine", ["2001:db8::1", "a.example", "z.example"])
def test_one_side_begins_and_one_renews_first_however_each_is_written(ways, mine):
    """Both at once would be a race, at each start and at each renewal."""
    theirs, plain = ways
    own = make.connection(local_id=mine, peer_id=theirs)
    other = make.connection(
        local_id=plain,
        peer_id=mine.upper() if ":" in mine else mine,
        local_address=ipaddress.ip_address(own.peer_address),
        peer_address=str(own.local_address),
    )
    assert comes_second(own) is not comes_second(other)
    rekeys = {lifetime(c) for c in (own, other)}
    assert len(rekeys) == 2


def lifetime(connection):
    config = ike_config(connection, DESIRED.naming_key)
    (message,) = codec.render(config, DataPlane.USERSPACE).values()
    (child,) = message["children"].values()
    return child["rekey_time"]


@given(st.ip_addresses(), st.sampled_from([str, lambda a: a.exploded, lambda a: str(a).upper()]))
def test_charon_reads_every_way_as_the_same(address, way):
    """And what is no address stays as it is."""
    assert as_address(way(address)) == str(address)
    assert identity.render(way(address)) == identity.render(str(address))
    assert as_address(f"host-{address}") == f"host-{address}"
