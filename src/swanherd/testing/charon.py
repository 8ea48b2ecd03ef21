"""FakeCharon: strongSwan daemons in memory, with the semantics that were measured on real ones.

It passes the same contract as the real thing (`swan_contract`). Nothing happens behind the
test's back: a negotiation that `Initiate` began goes on only in `settle`.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Callable, Iterator, Mapping

from swanherd.core.failures import Failure, Permanent, Temporary
from swanherd.core.ike import (
    CharonOptions,
    ChildSa,
    DeclareDead,
    Fault,
    IkeConfig,
    IkeSa,
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
    SwanAction,
    TerminateChild,
    TerminateIke,
    UnloadConfig,
    UnloadSecret,
)
from swanherd.core.loading import outdated
from swanherd.core.model import ConnectionId, IkeVersion, Reason, RouterId, Secret
from swanherd.core.tunnels import carrying


class Answer(enum.Enum):
    """What the peer does with a negotiation."""

    ACCEPT = "accept"
    REFUSE = "refuse"  # AUTHENTICATION_FAILED: no IKE SA comes up
    REFUSE_CHILD = "refuse_child"  # the IKE SA comes up, the child doesn't
    SILENT = "silent"  # no answer: the IKE SA stays CONNECTING
    FORGET = "forget"  # it had begun to answer: nobody knows of the IKE SA any more


@dataclasses.dataclass
class _Sa:
    config: str
    unique_id: int
    initiator: bool
    local_host: str
    remote_host: str
    state: SaState = SaState.CONNECTING
    children: list[ChildSa] = dataclasses.field(default_factory=list)
    pending: list[str] = dataclasses.field(default_factory=list)
    forgotten: float | None = None  # by the peer, since then

    def installed(self, child: str) -> bool:
        return any(c.name == child and c.state is SaState.INSTALLED for c in self.children)

    def value(self) -> IkeSa:
        return IkeSa(
            config=self.config,
            unique_id=self.unique_id,
            state=self.state,
            initiator=self.initiator,
            local_host=self.local_host,
            remote_host=self.remote_host,
            busy=bool(self.pending),
            children=tuple(self.children),
            initiator_spi=f"{self.unique_id:016x}",
            answered=self.state is SaState.ESTABLISHED or self.forgotten is not None,
            unanswered=self.forgotten,
        )


@dataclasses.dataclass
class _Daemon:
    options: CharonOptions
    configs: dict[str, IkeConfig] = dataclasses.field(default_factory=dict)
    secrets: dict[ConnectionId, Secret] = dataclasses.field(default_factory=dict)
    sas: dict[int, _Sa] = dataclasses.field(default_factory=dict)
    idle: dict[str, float] = dataclasses.field(default_factory=dict)
    quiet: set[str] = dataclasses.field(default_factory=set)
    lacking: dict[str, float] = dataclasses.field(default_factory=dict)
    loaded: dict[str, float] = dataclasses.field(default_factory=dict)
    outdated: Mapping[int, float] = dataclasses.field(default_factory=dict)
    ranks: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Injected:
    kind: type[Failure]
    after: bool


class FakeCharon:
    """A Swan in memory.

    `answer(router_id, config, child)` decides what the peer does; `applied` records every action
    that took effect; `calls` counts observe and apply together (for `fail_at`).
    """

    def __init__(
        self,
        clock: Callable[[], float] = lambda: 0.0,
        on_event: Callable[[RouterId], None] = lambda _: None,
    ) -> None:
        self.answer: Callable[[RouterId, IkeConfig, str], Answer] = lambda *_: Answer.ACCEPT
        self.applied: list[tuple[RouterId, SwanAction]] = []
        self.calls = 0
        self._clock = clock
        self._on_event = on_event
        self._daemons: dict[RouterId, _Daemon] = {}
        self._files: set[RouterId] = set()
        self._faults: dict[RouterId, dict[str, Fault]] = {}
        self._injected: dict[int, _Injected] = {}
        self._ids = itertools.count(1)

    # The port

    def routers(self) -> frozenset[RouterId]:
        """Return every router that has a charon or files of one."""
        return frozenset(self._files | self._daemons.keys())

    def observe(
        self, router_id: RouterId, spis: frozenset[int] = frozenset(), *, recent: bool = False
    ) -> ObservedCharon:
        """Return what the router's charon is and has."""
        self._maybe_fail(router_id, self._next_call())
        faults = tuple(self._faults.get(router_id, {}).values())
        daemon = self._daemons.get(router_id)
        if daemon is None:
            return ObservedCharon(running=False, faults=faults)
        configs = daemon.configs.values()
        sas = tuple(sa.value() for sa in daemon.sas.values())
        busy = {sa.config for sa in sas}
        daemon.idle = {
            name: daemon.idle.get(name, self._clock()) for name in daemon.configs.keys() - busy
        }
        daemon.lacking = {
            c.name: daemon.lacking.get(c.name, self._clock())
            for c in configs
            if c.connection.ike.version is IkeVersion.V1
            and c.name in busy
            and not {n for n, _ in c.children} <= carrying(c.name, sas)
        }
        listed = frozenset(
            LoadedConfig(c.name, frozenset(n for n, _ in c.children), c.name in daemon.quiet)
            for c in configs
        )
        daemon.outdated = outdated(listed, sas, daemon.outdated, self._clock())
        return ObservedCharon(
            running=True,
            options=daemon.options,
            configs=listed,
            secrets=frozenset(daemon.secrets),
            ike_sas=sas,
            faults=faults,
            idle=daemon.idle,
            lacking=daemon.lacking,
            loaded=dict(daemon.loaded),
            outdated=daemon.outdated,
            ranks={name: rank for name, rank in daemon.ranks.items() if rank},
        )

    def apply(self, router_id: RouterId, action: SwanAction) -> None:
        """Do one action; idempotent."""
        injected = self._next_call()
        if injected is None or injected.after:
            self._apply(router_id, action)
            self.applied.append((router_id, action))
        self._maybe_fail(router_id, injected)

    # The test's hands

    def fail_at(self, call: int, kind: type[Failure] = Temporary, *, after: bool = False) -> None:
        """Let the nth call from now (1 = the next) raise; `after`: its effect happens first."""
        self._injected[self.calls + call] = _Injected(kind, after)

    def settle(self) -> bool:
        """Let every negotiation that is under way go on until the peer's answer is in.

        Return whether any was.
        """
        any_waited = False
        for router_id, daemon in list(self._daemons.items()):
            waiting = [sa for sa in daemon.sas.values() if sa.pending]
            for sa in waiting:
                self._negotiate(router_id, daemon, sa)
            if waiting:
                any_waited = True
                self._on_event(router_id)
        return any_waited

    def give_up(self) -> None:
        """Let every negotiation to which the peer is silent reach its last retransmission."""
        for router_id, daemon in list(self._daemons.items()):
            silent = [sa for sa in daemon.sas.values() if sa.pending]
            for sa in silent:
                daemon.sas.pop(sa.unique_id)
                self._fault(router_id, sa.config, "peer_silent")
            if silent:
                self._on_event(router_id)

    def kill(self, router_id: RouterId) -> None:
        """Kill the daemon as `kill -9` does: configs, secrets and SAs die, files stay."""
        if self._daemons.pop(router_id, None) is not None:
            self._on_event(router_id)

    def peer_initiates(self, router_id: RouterId, config: str) -> None:
        """Let the peer set up the config's IKE SA with all its children."""
        daemon = self._daemons[router_id]
        sa = self._new_sa(daemon, daemon.configs[config], initiator=False)
        sa.state = SaState.ESTABLISHED
        for child, _ in daemon.configs[config].children:
            self._install(sa, child)
        self._faults.get(router_id, {}).pop(config, None)
        self._on_event(router_id)

    def peer_deletes(self, router_id: RouterId, config: str) -> None:
        """Let the peer end the config's IKE SAs."""
        self._drop(router_id, config, "peer_deleted")

    def peer_dies(self, router_id: RouterId, config: str) -> None:
        """Let dead peer detection end the config's IKE SAs."""
        self._drop(router_id, config, "dpd_timeout")

    def peer_deletes_child(self, router_id: RouterId, config: str, child: str) -> None:
        """Let the peer end one child SA; the IKE SA stays."""
        for sa in self._daemons[router_id].sas.values():
            if sa.config == config:
                sa.children = [c for c in sa.children if c.name != child]
        self._on_event(router_id)

    def psk(self, router_id: RouterId, connection_id: ConnectionId) -> Secret | None:
        """Return the PSK that is loaded for a connection, as a peer would find out."""
        daemon = self._daemons.get(router_id)
        return daemon.secrets.get(connection_id) if daemon else None

    def loaded(self, router_id: RouterId) -> dict[str, IkeConfig]:
        """Return the IKE configs that are loaded, by name."""
        daemon = self._daemons.get(router_id)
        return dict(daemon.configs) if daemon else {}

    # How charon behaves

    def _next_call(self) -> _Injected | None:
        self.calls += 1
        return self._injected.pop(self.calls, None)

    def _maybe_fail(self, router_id: RouterId, injected: _Injected | None) -> None:
        if injected is not None:
            raise injected.kind(router_id, Reason("injected", "The test wanted this to fail."))

    def _apply(self, router_id: RouterId, action: SwanAction) -> None:
        match action:
            case StartCharon(options):
                self._start(router_id, options)
            case ReloadCharon(options):
                self._running(router_id).options = options
            case StopCharon():
                self._daemons.pop(router_id, None)
                self._files.discard(router_id)
                self._faults.pop(router_id, None)
            case _:
                self._command(router_id, self._running(router_id), action)

    def _command(  # noqa: C901 - one flat match
        self, router_id: RouterId, daemon: _Daemon, action: SwanAction
    ) -> None:
        match action:
            case LoadSecret(connection):
                daemon.secrets[connection.id] = connection.psk
            case UnloadSecret(connection_id):
                daemon.secrets.pop(connection_id, None)
            case LoadConfig(config, quiet, rank):
                daemon.ranks[config.name] = rank
                daemon.configs[config.name] = config
                daemon.loaded[config.name] = self._clock()
                daemon.quiet = daemon.quiet - {config.name} | ({config.name} if quiet else set())
            case UnloadConfig(name):
                daemon.configs.pop(name, None)
                daemon.ranks.pop(name, None)
                self._faults.get(router_id, {}).pop(name, None)
            case Initiate(config_name, child):
                self._initiate(router_id, daemon, config_name, child)
            case TerminateIke(unique_id, _):
                daemon.sas.pop(unique_id, None)
            case DeclareDead(config_name, unique_id):
                daemon.sas.pop(unique_id, None)
                self._fault(router_id, config_name, "dpd_timeout")
            case TerminateChild(unique_id):
                for sa in daemon.sas.values():
                    sa.children = [c for c in sa.children if c.unique_id != unique_id]
            case RekeyChild(unique_id):
                for sa in daemon.sas.values():
                    sa.children = [
                        ChildSa(c.name, next(self._ids), c.state)
                        if c.unique_id == unique_id
                        else c
                        for c in sa.children
                    ]

    def _start(self, router_id: RouterId, options: CharonOptions) -> None:
        running = self._daemons.get(router_id)
        if running is None or running.options != options:
            self._daemons[router_id] = _Daemon(options)
            self._files.add(router_id)

    def _running(self, router_id: RouterId) -> _Daemon:
        daemon = self._daemons.get(router_id)
        if daemon is None:
            reason = Reason("charon_unreachable", "strongSwan isn't running.")
            raise Temporary(router_id, reason)
        return daemon

    def _initiate(self, router_id: RouterId, daemon: _Daemon, name: str, child: str) -> None:
        config = daemon.configs.get(name)
        if config is None or child not in {n for n, _ in config.children}:
            text = f"strongSwan refused initiate: CHILD_SA config '{child}' not found."
            raise Permanent(router_id, Reason("charon_refused", text))
        # charon puts a child into the IKE SA of the same config, also while that connects.
        sa = next((s for s in daemon.sas.values() if s.config == name), None)
        if sa is None:
            sa = self._new_sa(daemon, config, initiator=True)
        if child not in sa.pending and not sa.installed(child):
            sa.pending.append(child)

    def _new_sa(self, daemon: _Daemon, config: IkeConfig, *, initiator: bool) -> _Sa:
        sa = _Sa(
            config=config.name,
            unique_id=next(self._ids),
            initiator=initiator,
            local_host=str(config.connection.local_address),
            remote_host=config.connection.peer_address,
        )
        daemon.sas[sa.unique_id] = sa
        return sa

    def _negotiate(self, router_id: RouterId, daemon: _Daemon, sa: _Sa) -> None:
        config = daemon.configs.get(sa.config)
        # charon goes on with a config that was unloaded in the meantime: the SA holds it.
        for child in list(sa.pending) if sa.forgotten is None else ():
            answer = Answer.ACCEPT if config is None else self.answer(router_id, config, child)
            if config is not None and config.connection.id not in daemon.secrets:
                answer = Answer.REFUSE
            if not self._conclude(router_id, daemon, sa, child, answer):
                return

    def _conclude(
        self, router_id: RouterId, daemon: _Daemon, sa: _Sa, child: str, answer: Answer
    ) -> bool:
        """Let the peer answer one child; return whether the IKE SA can go on to the next."""
        match answer:
            case Answer.SILENT | Answer.FORGET:
                sa.forgotten = self._clock() if answer is Answer.FORGET else None
                self._fault(router_id, sa.config, "peer_silent")
                return False
            case Answer.REFUSE:
                if sa.state is not SaState.ESTABLISHED:
                    del daemon.sas[sa.unique_id]
                sa.pending.clear()
                self._fault(router_id, sa.config, "psk_or_id_mismatch")
                return False
            case Answer.REFUSE_CHILD:
                self._fault(router_id, sa.config, "esp_proposal_mismatch")
            case Answer.ACCEPT:
                self._install(sa, child)
                self._faults.get(router_id, {}).pop(sa.config, None)
        sa.state = SaState.ESTABLISHED
        sa.pending.remove(child)
        return True

    def _install(self, sa: _Sa, child: str) -> None:
        sa.children.append(ChildSa(child, next(self._ids), SaState.INSTALLED))

    def _drop(self, router_id: RouterId, config: str, code: str) -> None:
        daemon = self._daemons[router_id]
        for sa in list(self._sas_of(daemon, config)):
            del daemon.sas[sa.unique_id]
        self._fault(router_id, config, code)
        self._on_event(router_id)

    def _sas_of(self, daemon: _Daemon, config: str) -> Iterator[_Sa]:
        return (sa for sa in daemon.sas.values() if sa.config == config)

    def _fault(self, router_id: RouterId, config: str, code: str) -> None:
        now = self._clock()
        faults = self._faults.setdefault(router_id, {})
        known = faults.get(config)
        first = known.first if known is not None else now
        faults[config] = Fault(config, code, f"The peer: {code}.", "", first, now)
