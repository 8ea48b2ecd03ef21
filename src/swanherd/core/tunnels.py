"""What to do in charon: load, swap before break, initiate, terminate. Measured in docs/live.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from swanherd.core.ike import (
    Fault,
    IkeConfig,
    IkeSa,
    Initiate,
    LoadConfig,
    LoadedConfig,
    LoadSecret,
    ObservedCharon,
    SaState,
    SwanAction,
    TerminateChild,
    TerminateIke,
    UnloadConfig,
    UnloadSecret,
)
from swanherd.core.model import (
    DesiredRouter,
    DpdAction,
    IkeVersion,
    Initiator,
    SiteConnection,
)
from swanherd.core.naming import connection_of, ike_config

# Two IKE SAs of one config that came up within this many seconds are a race of both sides; with
# more between them the peer is replacing the older one and ends it itself.
RACE = 5

# Addresses that mean "whoever knows the key": nobody to initiate to.
ANY_PEER = frozenset({"0.0.0.0", "::", "%any"})  # noqa: S104 (nothing is bound)

_COMING = frozenset({SaState.CREATED, SaState.CONNECTING})
_LIVE = frozenset({SaState.ESTABLISHED, SaState.REKEYING})
_CARRYING = frozenset({SaState.INSTALLED, SaState.REKEYING})


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """The time of the look and the patience that it has, all in seconds.

    `grace`: how long the SAs of the last generation stay when the peer refuses the new one.
    `first_retry` and `last_retry` bound the pause between attempts that fail.
    """

    now: float
    grace: float = 300.0
    first_retry: float = 1.0
    last_retry: float = 30.0


def wanted_configs(desired: DesiredRouter) -> tuple[IkeConfig, ...]:
    """Return the IKE configs that charon should have, sorted by name."""
    configs = (
        ike_config(c, desired.naming_key)
        for c in desired.connections
        if c.up and c.local_address is not None and c.selectors
    )
    return tuple(sorted(configs, key=lambda config: config.name))


def carrying(config_name: str, sas: Iterable[IkeSa]) -> frozenset[str]:
    """Return the names of the children that carry traffic under the config."""
    return frozenset(
        child.name
        for sa in sas
        if sa.config == config_name and sa.state in _LIVE
        for child in sa.children
        if child.state in _CARRYING
    )


def is_complete(config: IkeConfig, sas: Iterable[IkeSa]) -> bool:
    """Tell whether every child of the config carries traffic."""
    return {name for name, _ in config.children} <= carrying(config.name, sas)


def may_initiate(connection: SiteConnection, fault: Fault | None) -> bool:
    """Tell whether it is for us to begin."""
    if connection.initiator is Initiator.RESPONSE_ONLY or connection.peer_address in ANY_PEER:
        return False
    # "clear" means: gone until the peer, or a change, brings it back.
    cleared = fault is not None and fault.code == "dpd_timeout"
    return not (cleared and connection.dpd.action is DpdAction.CLEAR)


def retry_at(fault: Fault, timing: Timing) -> float:
    """Return when to try again: pauses grow with the time that it has failed already."""
    pause = (fault.last - fault.first) / 2
    return fault.last + min(max(pause, timing.first_retry), timing.last_retry)


def plan_tunnels(
    desired: DesiredRouter, charon: ObservedCharon, timing: Timing
) -> tuple[tuple[SwanAction, ...], float | None]:
    """Return the actions in charon, and in how many seconds time alone will change them."""
    wanted = wanted_configs(desired)
    actions: list[SwanAction] = list(_load(wanted, charon))
    waits: list[float] = []
    faults = {fault.config: fault for fault in charon.faults}
    for config in wanted:
        fault = faults.get(config.name)
        actions += _prune(config, charon.ike_sas)
        initiate, wait = _initiate(config, charon.ike_sas, fault, timing)
        actions += initiate
        waits += [wait] if wait is not None else []
        end_old, wait = _end_old(config, charon.ike_sas, fault, timing)
        actions += end_old
        waits += [wait] if wait is not None else []
    actions += _end_stale(wanted, charon.ike_sas)
    return tuple(actions), min(waits, default=None)


def _load(wanted: Sequence[IkeConfig], charon: ObservedCharon) -> Iterable[SwanAction]:
    for config in wanted:
        loaded = LoadedConfig(config.name, frozenset(name for name, _ in config.children))
        is_new = all(c.name != config.name for c in charon.configs)
        # A new generation may mean a new key; the secret's id stays the connection's.
        if is_new or config.connection.id not in charon.secrets:
            yield LoadSecret(config.connection)
        if loaded not in charon.configs:
            yield LoadConfig(config)
    names = {config.name for config in wanted}
    yield from map(UnloadConfig, sorted(c.name for c in charon.configs if c.name not in names))
    ids = {config.connection.id for config in wanted}
    yield from map(UnloadSecret, sorted(charon.secrets - ids))


def _initiate(
    config: IkeConfig, sas: Sequence[IkeSa], fault: Fault | None, timing: Timing
) -> tuple[tuple[SwanAction, ...], float | None]:
    """Initiate what is missing: one child first, the others once the IKE SA is there."""
    present = carrying(config.name, sas)
    missing = [name for name, _ in config.children if name not in present]
    if not missing or not may_initiate(config.connection, fault):
        return (), None
    ours = [sa for sa in sas if sa.config == config.name]
    if any(sa.state in _COMING or (sa.state in _LIVE and sa.busy) for sa in ours):
        return (), None
    if fault is not None and (at := retry_at(fault, timing)) > timing.now:
        return (), at - timing.now
    if any(sa.state in _LIVE for sa in ours):
        return tuple(Initiate(config.name, name) for name in missing), None
    return (Initiate(config.name, missing[0]),), None


def _prune(config: IkeConfig, sas: Sequence[IkeSa]) -> Iterable[SwanAction]:
    """End children that aren't wanted any more and IKE SAs that are one too many."""
    names = {name for name, _ in config.children}
    ours = [sa for sa in sas if sa.config == config.name]
    for sa in ours:
        yield from (
            TerminateChild(child.unique_id)
            for child in sa.children
            if child.name not in names and child.state in _CARRYING
        )
    live = [sa for sa in ours if sa.state in _LIVE]
    if not live:
        return
    keeper = min(live, key=_preference)
    if names <= carrying(config.name, [keeper]):
        yield from (
            TerminateIke(sa.unique_id, force=False) for sa in live if _lost_race(sa, keeper)
        )
        yield from (
            TerminateIke(sa.unique_id, force=True)
            for sa in ours
            if sa.state in _COMING and sa.initiator
        )


def _preference(sa: IkeSa) -> tuple[int, str]:
    """Order IKE SAs of one config so that both sides prefer the same one, the least.

    Its SPI, not its address, since a NAT shows each side other addresses (docs/adr/0004).
    """
    return -sum(child.state in _CARRYING for child in sa.children), sa.initiator_spi


def _lost_race(sa: IkeSa, keeper: IkeSa) -> bool:
    return (
        sa.unique_id != keeper.unique_id
        and sa.initiator != keeper.initiator
        and abs(sa.age - keeper.age) <= RACE
    )


def _end_old(
    config: IkeConfig, sas: Sequence[IkeSa], fault: Fault | None, timing: Timing
) -> tuple[tuple[SwanAction, ...], float | None]:
    """End the SAs of the connection's last generation when the new one carries, or has failed."""
    connection = config.connection
    old = [
        sa
        for sa in sas
        if sa.config != config.name
        and connection_of(sa.config) == connection.id
        and sa.state in _LIVE | _COMING
    ]
    if not old:
        return (), None
    complete = is_complete(config, sas)
    # Who never initiates can only make room for the peer to come again.
    if not complete and may_initiate(connection, None):
        if fault is None:
            return (), None
        left = fault.first + timing.grace - timing.now
        if left > 0:
            return (), left
    actions: list[SwanAction] = []
    for sa in old:
        if connection.ike.version is IkeVersion.V1:
            # The responder would keep the old child until its lifetime ends.
            actions += [TerminateChild(c.unique_id) for c in sa.children if c.state in _CARRYING]
        moved = sa.remote_host != connection.peer_address
        actions.append(TerminateIke(sa.unique_id, force=moved or not complete))
    return tuple(actions), None


def _end_stale(wanted: Sequence[IkeConfig], sas: Sequence[IkeSa]) -> Iterable[SwanAction]:
    """End the SAs of connections that are gone or administratively down."""
    ids = {config.connection.id for config in wanted}
    for sa in sas:
        if connection_of(sa.config) not in ids and sa.state in _LIVE | _COMING:
            yield TerminateIke(sa.unique_id, force=True)
