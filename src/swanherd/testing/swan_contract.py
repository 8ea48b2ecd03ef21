"""What every `Swan` must do, whoever stands behind it: FakeCharon and strongSwan both pass.

A test module derives a class from `SwanContract` and gives it a fixture `stage`.
"""
# ruff: noqa: S101 - a law of a contract is an assertion

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pytest

from swanherd.core.failures import Permanent, Temporary
from swanherd.core.ike import (
    CharonOptions,
    IkeConfig,
    Initiate,
    LoadConfig,
    LoadedConfig,
    LoadSecret,
    ObservedCharon,
    RekeyChild,
    ReloadCharon,
    SaState,
    StartCharon,
    StopCharon,
    TerminateChild,
    TerminateIke,
    UnloadConfig,
    UnloadSecret,
)
from swanherd.core.model import RouterId
from swanherd.reconcile.ports import Swan


class SwanStage(Protocol):
    """What a contract test needs: one router whose peer accepts `good` and refuses `bad`.

    The two configs are of different connections; `good` has two children. `wait` returns the
    first observation that meets the condition, letting the peer do its part meanwhile.
    """

    swan: Swan
    router: RouterId
    options: CharonOptions
    good: IkeConfig
    bad: IkeConfig

    def wait(self, met: Callable[[ObservedCharon], bool]) -> ObservedCharon:
        """Return the first observation that meets the condition."""
        ...

    def kill(self) -> None:
        """End the daemon as `kill -9` does."""
        ...


def installed(config: IkeConfig) -> Callable[[ObservedCharon], bool]:
    """Return the condition that all children of the config are installed."""
    names = {name for name, _ in config.children}
    return lambda observed: names <= _installed_children(observed, config)


def _installed_children(observed: ObservedCharon, config: IkeConfig) -> set[str]:
    return {
        child.name
        for sa in observed.ike_sas
        if sa.config == config.name
        for child in sa.children
        if child.state is SaState.INSTALLED
    }


def _sas(observed: ObservedCharon, config: IkeConfig) -> set[int]:
    return {
        sa.unique_id
        for sa in observed.ike_sas
        if sa.config == config.name and sa.state is SaState.ESTABLISHED
    }


def _loaded(config: IkeConfig) -> LoadedConfig:
    return LoadedConfig(config.name, frozenset(name for name, _ in config.children))


def _bring_up(stage: SwanStage) -> ObservedCharon:
    _load(stage, stage.good)
    for child, _ in stage.good.children:
        stage.swan.apply(stage.router, Initiate(stage.good.name, child))
    return stage.wait(installed(stage.good))


def _load(stage: SwanStage, config: IkeConfig) -> None:
    stage.swan.apply(stage.router, StartCharon(stage.options))
    stage.swan.apply(stage.router, LoadSecret(config.connection))
    stage.swan.apply(stage.router, LoadConfig(config))


class SwanContract:
    """The laws."""

    def test_at_first_there_is_nothing(self, stage: SwanStage) -> None:
        """A router that was never started is not listed and not running."""
        assert stage.router not in stage.swan.routers()
        assert ObservedCharon(running=False) == stage.swan.observe(stage.router)

    def test_started_is_running_and_empty(self, stage: SwanStage) -> None:
        """After StartCharon the daemon runs with the options and has nothing loaded."""
        stage.swan.apply(stage.router, StartCharon(stage.options))
        expected = ObservedCharon(running=True, options=stage.options)
        assert expected == stage.swan.observe(stage.router)
        assert stage.router in stage.swan.routers()

    def test_starting_again_changes_nothing(self, stage: SwanStage) -> None:
        """StartCharon of a running daemon with equal options keeps its SAs."""
        before = _bring_up(stage)
        stage.swan.apply(stage.router, StartCharon(stage.options))
        after = stage.swan.observe(stage.router)
        assert _sas(before, stage.good) == _sas(after, stage.good)

    def test_options_are_reloaded_and_no_sa_is_touched(self, stage: SwanStage) -> None:
        """ReloadCharon changes what the daemon runs with, there and back; every SA stays."""
        before = _bring_up(stage)
        other = replace(stage.options, aggressive_psk=not stage.options.aggressive_psk)
        for options in (other, stage.options):
            stage.swan.apply(stage.router, ReloadCharon(options))
            after = stage.swan.observe(stage.router)
            assert options == after.options
            assert _sas(before, stage.good) == _sas(after, stage.good)
            stage.swan.apply(stage.router, StartCharon(options))
            assert _sas(before, stage.good) == _sas(stage.swan.observe(stage.router), stage.good)

    def test_stopped_leaves_nothing(self, stage: SwanStage) -> None:
        """After StopCharon the router isn't listed and nothing is observed; twice is fine."""
        _bring_up(stage)
        for _ in range(2):
            stage.swan.apply(stage.router, StopCharon())
            assert stage.router not in stage.swan.routers()
            assert ObservedCharon(running=False) == stage.swan.observe(stage.router)

    def test_what_is_loaded_is_observed(self, stage: SwanStage) -> None:
        """A config shows with its name and children, a secret with its connection's id."""
        _load(stage, stage.good)
        observed = stage.swan.observe(stage.router)
        assert frozenset({_loaded(stage.good)}) == observed.configs
        assert frozenset({stage.good.connection.id}) == observed.secrets
        assert observed.ike_sas == ()

    def test_a_config_without_an_ike_sa_is_idle_since_it_was_first_seen_so(
        self, stage: SwanStage
    ) -> None:
        """It stays that moment at each look, until an IKE SA begins."""
        _load(stage, stage.good)
        first, again = (stage.swan.observe(stage.router).idle for _ in range(2))
        assert first.keys() == {stage.good.name}
        assert first == again
        assert _bring_up(stage).idle == {}

    def test_when_a_config_was_loaded_is_observed(self, stage: SwanStage) -> None:
        """It is the same moment at each look, until it is loaded again."""
        _load(stage, stage.good)
        first, again = (stage.swan.observe(stage.router).loaded for _ in range(2))
        assert first.keys() == {stage.good.name}
        assert first == again

    def test_since_when_a_child_is_of_nothing_that_is_loaded_is_observed(
        self, stage: SwanStage
    ) -> None:
        """It is the same moment at each look; of a child that is loaded nothing is told."""
        before = _bring_up(stage)
        assert before.outdated == {}
        stage.swan.apply(stage.router, UnloadConfig(stage.good.name))
        first, again = (stage.swan.observe(stage.router).outdated for _ in range(2))
        assert first == again
        assert first.keys() == {c.unique_id for sa in before.ike_sas for c in sa.children}
        _load(stage, stage.good)
        assert stage.swan.observe(stage.router).outdated == {}

    def test_what_rank_a_config_was_loaded_with_is_observed(self, stage: SwanStage) -> None:
        """The last one holds; the first rank is none, and what is unloaded has none."""
        before = _bring_up(stage)
        for rank in (41, 43):
            stage.swan.apply(stage.router, LoadConfig(stage.good, rank=rank))
            seen = stage.swan.observe(stage.router)
            assert {stage.good.name: rank} == seen.ranks
            assert _sas(before, stage.good) == _sas(seen, stage.good)
        stage.swan.apply(stage.router, LoadConfig(stage.good))
        assert stage.swan.observe(stage.router).ranks == {}
        stage.swan.apply(stage.router, LoadConfig(stage.good, rank=41))
        stage.swan.apply(stage.router, UnloadConfig(stage.good.name))
        assert stage.swan.observe(stage.router).ranks == {}

    def test_loading_again_is_harmless(self, stage: SwanStage) -> None:
        """Loading what is loaded keeps every SA, and unloading twice is no failure."""
        before = _bring_up(stage)
        _load(stage, stage.good)
        assert _sas(before, stage.good) == _sas(stage.swan.observe(stage.router), stage.good)
        for _ in range(2):
            stage.swan.apply(stage.router, UnloadConfig(stage.good.name))
            stage.swan.apply(stage.router, UnloadSecret(stage.good.connection.id))

    def test_children_are_replaced_and_no_sa_is_touched(self, stage: SwanStage) -> None:
        """Loading a config of the same name replaces its children; live SAs go on."""
        before = _bring_up(stage)
        fewer = IkeConfig(stage.good.name, stage.good.connection, stage.good.children[:1])
        stage.swan.apply(stage.router, LoadConfig(fewer))
        after = stage.swan.observe(stage.router)
        assert frozenset({_loaded(fewer)}) == after.configs
        assert _installed_children(before, stage.good) == _installed_children(after, stage.good)

    def test_unloading_leaves_the_sas(self, stage: SwanStage) -> None:
        """UnloadConfig and UnloadSecret end no SA."""
        before = _bring_up(stage)
        stage.swan.apply(stage.router, UnloadConfig(stage.good.name))
        stage.swan.apply(stage.router, UnloadSecret(stage.good.connection.id))
        after = stage.swan.observe(stage.router)
        assert frozenset() == after.configs
        assert frozenset() == after.secrets
        assert _sas(before, stage.good) == _sas(after, stage.good)

    def test_all_children_share_one_ike_sa(self, stage: SwanStage) -> None:
        """Children of one config come up in one IKE SA that this side began."""
        observed = _bring_up(stage)
        (sa,) = (sa for sa in observed.ike_sas if sa.config == stage.good.name)
        assert sa.initiator
        assert str(stage.good.connection.local_address) == sa.local_host
        assert stage.good.connection.peer_address == sa.remote_host
        assert not sa.busy

    def test_initiating_what_is_unknown_is_refused(self, stage: SwanStage) -> None:
        """Initiate of a config or child that isn't loaded is Permanent."""
        _load(stage, stage.good)
        for config, child in ((stage.good.name, "nothing"), ("nothing", "nothing")):
            with pytest.raises(Permanent) as caught:
                stage.swan.apply(stage.router, Initiate(config, child))
            assert caught.value.reason.code == "charon_refused"

    def test_a_refusal_is_a_fault(self, stage: SwanStage) -> None:
        """What the peer refuses leaves no SA but a fault under the config's name."""
        _load(stage, stage.bad)
        stage.swan.apply(stage.router, Initiate(stage.bad.name, stage.bad.children[0][0]))
        observed = stage.wait(lambda o: bool(o.faults) and not o.ike_sas)
        (fault,) = observed.faults
        assert fault.config == stage.bad.name
        assert fault.code
        assert fault.text
        assert fault.first <= fault.last

    def test_a_fault_goes_with_its_config(self, stage: SwanStage) -> None:
        """UnloadConfig forgets why the config failed."""
        _load(stage, stage.bad)
        stage.swan.apply(stage.router, Initiate(stage.bad.name, stage.bad.children[0][0]))
        stage.wait(lambda o: bool(o.faults) and not o.ike_sas)
        stage.swan.apply(stage.router, UnloadConfig(stage.bad.name))
        assert stage.swan.observe(stage.router).faults == ()

    def test_one_child_ends_alone(self, stage: SwanStage) -> None:
        """TerminateChild ends that child; the IKE SA and the others go on."""
        observed = _bring_up(stage)
        (sa,) = observed.ike_sas
        first, second = sa.children
        stage.swan.apply(stage.router, TerminateChild(first.unique_id))
        left = {second.name}
        after = stage.wait(lambda o: _installed_children(o, stage.good) == left)
        assert _sas(observed, stage.good) == _sas(after, stage.good)

    def test_a_child_is_made_anew_in_its_ike_sa(self, stage: SwanStage) -> None:
        """RekeyChild puts another child of that name into it; one that is gone is no failure."""
        observed = _bring_up(stage)
        (sa,) = observed.ike_sas
        first = sa.children[0]
        stage.swan.apply(stage.router, RekeyChild(first.unique_id))

        def is_new(seen: ObservedCharon) -> bool:
            children = [c for each in seen.ike_sas for c in each.children]
            up = [c for c in children if c.state is SaState.INSTALLED and c.name == first.name]
            return bool(up) and first.unique_id not in {c.unique_id for c in up}

        # A child that another replaces is no reason for a look: nothing tells of it.
        deadline = time.monotonic() + 10
        while not is_new(after := stage.swan.observe(stage.router)):
            assert time.monotonic() < deadline, after
        assert _sas(observed, stage.good) == _sas(after, stage.good)
        stage.swan.apply(stage.router, RekeyChild(1_000_000))

    @pytest.mark.parametrize("force", [True, False])
    def test_terminating_an_ike_sa_ends_all(self, stage: SwanStage, force: bool) -> None:
        """TerminateIke ends the IKE SA with its children; what is gone already is no failure."""
        (sa,) = _bring_up(stage).ike_sas
        stage.swan.apply(stage.router, TerminateIke(sa.unique_id, force))
        observed = stage.wait(lambda o: not o.ike_sas)
        assert observed.faults == ()
        assert frozenset({_loaded(stage.good)}) == observed.configs
        stage.swan.apply(stage.router, TerminateIke(sa.unique_id, force))
        stage.swan.apply(stage.router, TerminateChild(sa.children[0].unique_id))

    def test_a_killed_daemon_is_not_running(self, stage: SwanStage) -> None:
        """After kill -9 nothing runs, actions are Temporary failures, and it can start again."""
        _bring_up(stage)
        stage.kill()
        assert not stage.wait(lambda o: not o.running).running
        assert stage.router in stage.swan.routers()
        with pytest.raises(Temporary):
            stage.swan.apply(stage.router, LoadConfig(stage.good))
        _bring_up(stage)

    def test_other_options_mean_another_daemon(self, stage: SwanStage) -> None:
        """StartCharon with other options replaces the daemon, and with it all SAs."""
        _bring_up(stage)
        other = CharonOptions(stage.options.data_plane, aggressive_psk=True)
        stage.swan.apply(stage.router, StartCharon(other))
        expected = ObservedCharon(running=True, options=other)
        assert expected == stage.swan.observe(stage.router)
