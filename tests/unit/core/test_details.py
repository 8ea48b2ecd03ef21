import dataclasses

from swanherd.core.details import details_of, live_sas
from swanherd.core.ike import ChildSa, IkeSa, SaState
from swanherd.core.model import ChildDetails, IkeDetails, IkeVersion
from swanherd.core.peering import children_of, ike_config
from swanherd.testing import builders as make

CONNECTION = make.connection(
    selectors=(
        make.selector("10.1.0.0/24", "10.2.0.0/24"),
        make.selector("10.1.0.0/24", "10.3.0.0/24"),
    )
)
CONFIG = ike_config(CONNECTION, make.desired().naming_key)
NAMES = [name for name, _ in CONFIG.children]
IKE = IkeDetails(IkeVersion.V2, "aes-256", "sha256", "sha256", "group19", True, 5, 60, False)


def child(name, number, state=SaState.INSTALLED):
    remote = f"10.{2 + NAMES.index(name)}.0.0/24" if name in NAMES else "10.2.0.0/24"
    details = ChildDetails("10.1.0.0/24", remote, "aes-256", "sha256", None, number, *[0] * 6)
    return ChildSa(name, number, state, details)


def sa(number, *children, config=CONFIG.name, state=SaState.ESTABLISHED):
    ike = dataclasses.replace(IKE, established=number)
    return IkeSa(config, number, state, True, "h", "p", False, children, details=ike)


def told(*sas):
    return details_of(CONFIG.name, children_of(CONNECTION), live_sas(sas))


def numbers(details):
    """Return which IKE SA is told, and which children."""
    return details.ike.established, [c.bytes_in for c in details.children]


def test_without_an_ike_sa_there_are_no_details():
    """Nothing negotiated, or only begun: null."""
    assert told() is None
    assert told(sa(1, state=SaState.CONNECTING)) is None
    assert numbers(told(sa(1))) == (1, [])


def test_the_tunnel_that_will_stay_is_told():
    """One child of each pair: of the present generation, while that carries; the youngest."""
    first, second = NAMES
    old = f"{CONFIG.connection.id}-0123456789abcdef"
    before = sa(1, child(first, 11), child(second, 12), config=old)
    assert numbers(told(before)) == (1, [11, 12])
    half = sa(2, child(first, 21))
    assert numbers(told(before, half)) == (2, [21, 12])
    whole = sa(2, child(first, 21), child(first, 23), child(second, 22))
    assert numbers(told(whole, before)) == (2, [23, 22])


def test_children_of_others_are_not_told():
    """A peering's other connection has its own; what is deleted doesn't carry."""
    first, second = NAMES
    other = ChildSa("ffffffffffff-00000000", 9, SaState.INSTALLED, child(first, 9).details)
    gone = child(second, 12, SaState.DELETED)
    assert numbers(told(sa(1, child(first, 11), gone, other))) == (1, [11])
