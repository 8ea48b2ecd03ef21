import pytest

from swanherd_dashboard.core import changes
from swanherd_dashboard.core.changes import Effect, User, outlook


@pytest.mark.parametrize(
    ("changed", "effect"),
    [
        ({"name", "description"}, Effect.NOTHING),
        ({"initiator"}, Effect.NOTHING),
        ({"mtu", "name"}, Effect.ROUTES),
        ({"peer_cidrs"}, Effect.CHILDREN),
        ({"local_ep_group_id", "mtu"}, Effect.CHILDREN),
        ({"ipsecpolicy_id"}, Effect.CHILDREN),
        ({"ikepolicy_id"}, Effect.SWAP),
        ({"psk", "peer_cidrs"}, Effect.SWAP),
        ({"peer_address"}, Effect.SWAP),
        ({"dpd"}, Effect.SWAP),
    ],
)
def test_the_strongest_effect_is_said(changed, effect):
    """As the table of docs/user-guide.md, What a change does."""
    said = outlook(frozenset(changed), response_only=False, disabling=False)
    assert said.effect is effect


def test_who_only_responds_loses_the_tunnel_at_a_swap():
    """It can't bring a replacement up itself."""
    said = outlook(frozenset({"psk"}), response_only=True, disabling=False)
    assert said.effect is Effect.PASSIVE_SWAP


def test_disabling_is_said_whatever_else_changes():
    """Traffic is then blocked."""
    said = outlook(frozenset({"admin_state_up", "psk"}), response_only=False, disabling=True)
    assert said.effect is Effect.ENDS
    assert len(said.sentences) == 1


def test_others_that_share_the_tunnel_are_named():
    """And that the other side has to follow."""
    alone = outlook(frozenset({"psk"}), response_only=False, disabling=False)
    shared = outlook(frozenset({"psk"}), response_only=False, disabling=False, sharing=1)
    assert len(shared.sentences) == len(alone.sentences) + 1
    assert "must be changed to match" in alone.sentences[-1]


ACTIVE, PASSIVE = User("1", "to-b", False), User("2", "to-c", True)


@pytest.mark.parametrize(
    ("kind", "changed", "users", "said"),
    [
        ("ike", {"pfs"}, [], [Effect.NOTHING]),
        ("ike", {"name", "description"}, [ACTIVE], [Effect.NOTHING]),
        ("ike", {"lifetime"}, [ACTIVE], [Effect.SWAP]),
        ("ike", {"pfs"}, [ACTIVE], [Effect.SWAP, changes.FOLLOW]),
        ("ike", {"lifetime"}, [ACTIVE, PASSIVE], [Effect.SWAP, changes.PASSIVE_SWAP]),
        ("ipsec", {"lifetime", "name"}, [ACTIVE], [changes.CHILD_SWAP]),
        ("ipsec", {"pfs"}, [PASSIVE], [changes.PASSIVE_CHILDREN, changes.FOLLOW]),
    ],
)
def test_a_policys_change_is_said_for_all_that_use_it(kind, changed, users, said):
    """As the table of docs/user-guide.md, What a change does."""
    expected = tuple(changes.SENTENCES.get(each, each) for each in said)
    assert expected == changes.of_policy(kind, frozenset(changed), users)
