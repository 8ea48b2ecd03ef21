"""When a stage is at rest, so that a row of `make losses` begins with what stays."""

import dataclasses

from bench.losses.tidy import is_tidy
from swanherd.core.ike import SaState
from tests.unit.core.seen import OLD, charon, ike_sa


def test_nothing_is_there_twice():
    """No second IKE SA of a config, none of another generation, and no child twice."""
    sa = ike_sa()
    assert is_tidy(charon(sa))
    assert is_tidy(charon(sa, ike_sa(2, OLD, state=SaState.DELETING)))
    assert not is_tidy(charon(sa, ike_sa(2)))
    assert not is_tidy(charon(sa, ike_sa(2, state=SaState.CONNECTING)))
    assert not is_tidy(charon(sa, ike_sa(2, OLD)))
    (child,) = sa.children
    twin = dataclasses.replace(child, unique_id=9)
    assert not is_tidy(charon(ike_sa(children=(child, twin))))
    gone = dataclasses.replace(twin, state=SaState.DELETED)
    assert is_tidy(charon(ike_sa(children=(child, gone))))
    replaced = dataclasses.replace(twin, name=f"{child.name}x")
    assert not is_tidy(charon(ike_sa(children=(child, replaced))))
