"""Whatever happens in whatever order: nothing of a pair goes before its guard is there."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.failures import Failure
from swanherd.core.ike import Initiate, LoadConfig
from swanherd.core.network import EnsureGuard, RemoveNamespace
from swanherd.testing import builders as make
from tests.examples import times
from tests.unit.reconcile.test_convergence import DESIREDS, Stage, planes


class Guarded(Stage):
    """Looks at the guard before each action and after it."""

    def __init__(self, plane):
        super().__init__(plane)
        self.apply_network, self.node.apply = self.node.apply, self.network_action
        self.apply_swan, self.charon.apply = self.charon.apply, self.swan_action

    @property
    def guarded(self):
        guard = self.node.observe(make.ROUTER).guard
        return None if guard is None else frozenset(pair.selector for pair in guard.pairs)

    @property
    def wanted(self):
        return frozenset(s for c in self.source.desired.connections for s in c.selectors)

    def network_action(self, router_id, action):
        before = self.guarded
        try:
            self.apply_network(router_id, action)
        finally:
            if not isinstance(action, RemoveNamespace | EnsureGuard):
                assert self.guarded == before, action
            elif before is not None and self.guarded is not None:
                assert before & self.wanted <= self.guarded, action

    def swan_action(self, router_id, action):
        if isinstance(action, LoadConfig | Initiate):
            assert self.guarded is not None
            assert self.wanted <= self.guarded, action
        self.apply_swan(router_id, action)


@times(2.5)
@given(st.lists(DESIREDS, min_size=1, max_size=4), planes, st.data())
def test_charon_has_nothing_to_do_with_a_pair_that_is_not_guarded(history, plane, data):
    """Nor is a wanted pair's guard ever taken away, whatever fails and whatever is lost."""
    stage = Guarded(plane)
    for desired in history:
        stage.source.desired = desired
        stage.may_fail(data)
        for _ in range(data.draw(st.integers(1, 3))):
            try:
                stage.turn()
            except Failure:
                stage.now += 1
            with contextlib.suppress(Failure):
                stage.shake(data.draw(st.sampled_from(stage.shakes)))
            lost = stage.node.observe(make.ROUTER).exists and data.draw(st.booleans())
            if lost and data.draw(st.booleans()):
                stage.node.lose_namespace(make.ROUTER)
            elif lost:
                stage.node.drift(make.ROUTER, guard=None)
