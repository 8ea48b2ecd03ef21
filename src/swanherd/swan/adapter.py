"""StrongSwan: the port `Swan` of the wheel, out of charon's life, its sessions and its faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from swanherd.core.failures import Permanent, Temporary
from swanherd.core.ike import (
    CharonOptions,
    ChildSa,
    DeclareDead,
    IkeSa,
    Initiate,
    LoadConfig,
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
from swanherd.core.model import DataPlane, Reason, RouterId
from swanherd.core.tally import DEAD, Tally
from swanherd.swan import causes, codec, counting, since
from swanherd.swan.charon import CharonLife, Surroundings
from swanherd.swan.codec import Message, Unrenderable
from swanherd.swan.events import (
    ChildChange,
    ChildRekeyed,
    Event,
    IkeChange,
    IkeRekeyed,
)
from swanherd.swan.faults import FaultMemory
from swanherd.swan.lists import KEPT, WHOLE, Lists, list_sas
from swanherd.swan.sessions import DEAF, Commands, Listener
from swanherd.swan.settings import Retransmission
from swanherd.swan.silence import Silence

_GOING = frozenset({SaState.REKEYED, SaState.DELETING, SaState.DELETED})

# Events after which a config's IKE SAs aren't what they were.
_CHANGES = (IkeChange, ChildChange, IkeRekeyed, ChildRekeyed)


class _Router:
    """What the adapter keeps of one router: nothing that charon can't tell again but faults."""

    def __init__(self, commands: Commands, clock: Callable[[], float]) -> None:
        self.commands = commands
        self.lists = Lists(commands, clock)
        self.lock = threading.Lock()
        self.memory = FaultMemory()
        self.silence = Silence()
        self.tally = Tally()
        self.facts = causes.Facts()
        self.idle: Mapping[str, float] = {}
        self.lacking: Mapping[str, float] = {}
        self.loaded: Mapping[str, float] = {}
        self.outdated: Mapping[int, float] = {}
        self.ranks: Mapping[str, int] = {}
        self.since = clock()


class StrongSwan:
    """The strongSwan daemons of this node; `life` starts, finds and ends them.

    `on_event` is called from a thread of ours when it is time to look at the router again.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        on_event: Callable[[RouterId], None],
        retransmission: Retransmission = Retransmission(),  # noqa: B008 (frozen)
    ) -> None:
        self.life = CharonLife(surroundings, retransmission)
        self._on_event = on_event
        self._clock = surroundings.clock
        self._lock = threading.Lock()
        self._routers: dict[RouterId, _Router] = {}
        self._listener = Listener(self._on_events)

    def routers(self) -> frozenset[RouterId]:
        """Return every router that has a charon or files of one on this node."""
        return self.life.routers()

    def end_orphans(self) -> None:
        """End charons of ours that nothing tells of any more: their files were removed."""
        self.life.end_orphans()

    def observe(
        self, router_id: RouterId, spis: frozenset[int] = frozenset(), *, recent: bool = False
    ) -> ObservedCharon:
        """Return what the router's charon is and has, at least as new as the SAs of `spis`.

        `recent`: what no event spoke of may be as it was listed a while ago.
        """
        if not self.life.is_running(router_id):
            return self._observe_lost(router_id)
        router = self._router(router_id)
        try:
            if self._listener.attach(router_id, self.life.paths(router_id)):
                router.lists.forget()  # events may have been missed
            return self._ask(router_id, router, spis, KEPT if recent else WHOLE)
        except Temporary as failure:
            if failure.reason.code != DEAF:
                raise
            # It lives, but its socket is gone: only a new one can be talked to.
            return self._observe_lost(router_id)

    def apply(self, router_id: RouterId, action: SwanAction) -> None:
        """Do one action; idempotent."""
        router = self._router(router_id)
        try:
            self._do(router_id, router, action)
        except BaseException:
            if isinstance(action, LoadSecret | UnloadSecret):
                router.lists.doubt_secrets()
            raise
        finally:
            # It may have had its effect also where it failed.
            _note(router.lists, action)

    def _do(  # noqa: C901 - one flat match, a line for each action
        self, router_id: RouterId, router: _Router, action: SwanAction
    ) -> None:
        match action:
            case StartCharon(options):
                self._start(router_id, router, options)
            case ReloadCharon(options) if self.life.is_strangers(router_id):
                self._start(router_id, router, options)
            case ReloadCharon(options):
                reload = partial(router.commands.request, "reload-settings")
                self.life.reload(router_id, options, reload)
            case StopCharon():
                self._listener.detach(router_id)
                with self._lock:
                    self._routers.pop(router_id, None)
                router.commands.end()
                self.life.stop(router_id)
            case LoadConfig():
                self._load(router_id, router, action)
            case LoadSecret(connection):
                secret = _rendered(router_id, lambda: codec.render_secret(connection))
                router.commands.request("load-shared", secret)
                router.lists.took(connection.id)
            case UnloadSecret(connection_id):
                router.commands.request("unload-shared", {"id": connection_id})
                router.lists.dropped(connection_id)
            case UnloadConfig(name):
                self._unload(router, name)
            case Initiate(config, child):
                # Without a limit of time it returns at once, and no thread of charon's waits.
                message = {"ike": config, "child": child, "timeout": -1}
                router.commands.request("initiate", message)
            case DeclareDead(config_name, unique_id):
                self._declare_dead(router, config_name, unique_id)
            case TerminateIke(unique_id, force):
                self._terminate(router, "ike-id", unique_id, force=force)
            case TerminateChild(unique_id):
                self._terminate(router, "child-id", unique_id)
            case RekeyChild(unique_id):
                self._of_sa(router, "rekey", "child-id", unique_id, {})

    def tally(self, router_id: RouterId) -> Tally:
        """Return what the router's tunnels have done, as far as it was seen; asks nobody."""
        router = self._routers.get(router_id)
        if router is None:
            return Tally()
        with router.lock:
            return router.tally

    def memory(self, router_id: RouterId) -> int | None:
        """Return the bytes of memory that the router's charon holds; it isn't asked."""
        return self.life.memory(router_id)

    def close(self) -> None:
        """Let go of all daemons; they and their tunnels go on."""
        self._listener.close()
        with self._lock:
            routers = list(self._routers.values())
        for router in routers:
            router.commands.end()

    def _router(self, router_id: RouterId) -> _Router:
        with self._lock:
            router = self._routers.get(router_id)
            if router is None:
                path = self.life.paths(router_id).vici
                router = self._routers[router_id] = _Router(Commands(router_id, path), self._clock)
            return router

    # Observing

    def _ask(
        self, router_id: RouterId, router: _Router, spis: frozenset[int], within: float
    ) -> ObservedCharon:
        if self.life.rotate_log(router_id):
            router.commands.request("reload-settings")
        asked, before = self._clock(), router.memory.faults
        listed = router.lists.look(spis, within)
        with router.lock:
            router.facts = listed.facts
            failing = router.memory.known | {fault.config for fault in before}
            up = since.lacking_nothing(listed, failing) if failing else frozenset()
            memory = router.memory.seen(listed.established).keep_only(router.facts)
            memory = memory.filled(sa.config for sa in listed.sas if sa.children)
            router.memory = memory = memory.outlived(up, asked)
            router.tally = counting.counted(router.tally, listed)
            asked_in = (sa.unique_id for sa in listed.sas)
            # Each SA was listed within that time.
            router.silence = silence = router.silence.keep_only(asked_in, asked - KEPT)
            router.idle = idle = since.idle(listed, router.idle, asked)
            router.lacking = lacking = since.lacking(listed, router.lacking, asked)
            router.outdated = outdated(listed.configs, listed.odd, router.outdated, asked)
        return ObservedCharon(
            running=True,
            options=self.life.options(router_id),
            configs=listed.configs,
            secrets=listed.secrets,
            ike_sas=silence.noted_in(listed.sas),
            faults=memory.as_listed(before, router.facts.keys() - up),
            idle=idle,
            lacking=lacking,
            loaded=router.loaded,
            outdated=router.outdated,
            ranks=router.ranks,
            refusals=memory.refusals,
            since=router.since,
        )

    def _observe_lost(self, router_id: RouterId) -> ObservedCharon:
        """Return what is left of a daemon; of a router that never had one nothing is kept."""
        if router := self._routers.get(router_id):
            self._lost(router_id, router)
        return ObservedCharon(running=False, faults=router.memory.faults if router else ())

    def _lost(self, router_id: RouterId, router: _Router) -> None:
        """Forget what died with the daemon; why it failed before is still true."""
        self._listener.detach(router_id)
        router.commands.close()
        router.lists.forget()
        with router.lock:
            router.memory = router.memory.seen({})
            router.idle = router.lacking = router.loaded = {}
            router.outdated, router.ranks = {}, {}
            router.tally = router.tally.gone()

    def _on_events(self, router_id: RouterId, events: tuple[Event, ...] | None) -> None:
        with self._lock:
            router = self._routers.get(router_id)
        if router is None:
            return
        if events is None:
            router.lists.forget()
            with router.lock:
                router.memory = router.memory.missed()
            self._on_event(router_id)
            return
        router.lists.changed(*filter(None, map(_changed, events)))
        now = self._clock()
        with router.lock:
            before = router.memory.faults
            for event in events:
                router.memory = router.memory.feed(event, router.facts, now)
                ids = router.memory.established.get(getattr(event, "config", ""), ())
                router.silence = router.silence.feed(event, ids, now)
                router.tally = counting.told(router.tally, event)
            after = router.memory.faults
            new, changed = counting.new_faults(before, after), after != before
            router.tally = counting.failures(router.tally, new, now)
        if any(fault.code == DEAD for fault in new):
            router.lists.forget()  # what else goes to that peer is judged by its age
        if changed or any(map(_matters, events)):
            self._on_event(router_id)

    # Acting

    def _start(self, router_id: RouterId, router: _Router, options: CharonOptions) -> None:
        paths = self.life.paths(router_id)

        def check() -> None:
            router.commands.close()
            router.commands.request("version")
            self._listener.attach(router_id, paths)

        if not self.life.is_running(router_id):
            self._lost(router_id, router)
        self.life.start(router_id, options, check)

    def _load(self, router_id: RouterId, router: _Router, load: LoadConfig) -> None:
        config, options = load.config, self.life.options(router_id)
        plane = options.data_plane if options is not None else DataPlane.USERSPACE
        how = partial(codec.render, config, plane, quiet=load.quiet, rank=load.rank)
        message = _rendered(router_id, how)
        with router.lock:
            # Before charon has it, so that no event about it comes too early.
            router.facts = causes.Facts(router.facts | {config.name: codec.facts_of(config)})
        router.commands.request("load-conn", message)
        with router.lock:
            router.loaded = since.loaded(router.loaded, config.name, self._clock(), router.facts)
            router.ranks = since.ranked(router.ranks, config.name, load.rank)

    def _unload(self, router: _Router, name: str) -> None:
        try:
            router.commands.request("unload-conn", {"name": name})
        except Permanent:
            listed = router.commands.stream("list-conns", "list-conn")
            configs = (codec.parse_config(message)[0] for message in listed)
            if any(config.name == name for config in configs):
                raise
        with router.lock:
            router.facts = causes.Facts({n: f for n, f in router.facts.items() if n != name})
            router.memory = router.memory.forget(name)
            router.ranks = since.ranked(router.ranks, name, 0)

    def _declare_dead(self, router: _Router, config: str, unique_id: int) -> None:
        now = self._clock()
        with router.lock:
            router.memory = router.memory.recorded(config, DEAD, now)
            router.tally = router.tally.failed(config, DEAD, now)
        self._terminate(router, "ike-id", unique_id, force=True)

    def _terminate(
        self, router: _Router, kind: str, unique_id: int, *, force: bool = False
    ) -> None:
        if force:
            with router.lock:
                router.memory = router.memory.ending(unique_id, self._clock())
        how = {"force": "yes" if force else "no", "timeout": -1}
        self._of_sa(router, "terminate", kind, unique_id, how)

    def _of_sa(
        self, router: _Router, command: str, kind: str, unique_id: int, how: Message
    ) -> None:
        """Command something of an SA by its id; one that is gone or just going is fine."""
        try:
            router.commands.request(command, {kind: unique_id, **how})
        except Permanent:
            sas = list_sas(router.commands)
            found: Iterable[IkeSa | ChildSa] = sas
            if kind == "child-id":
                found = (child for sa in sas for child in sa.children)
            if any(sa.unique_id == unique_id and sa.state not in _GOING for sa in found):
                raise


def _matters(event: Event) -> bool:
    """Tell whether it is time to look: an SA came or went, or a peer is slow to answer."""
    return isinstance(event, (IkeChange, ChildChange)) or causes.is_sign(event)


def _changed(event: Event) -> str:
    """Return the config whose IKE SAs aren't what they were, if the event tells of one.

    Of the renewal that charon begins in IKEv1, retransmission is the first sign if there is no
    answer; and which IKE SA refuses a child is judged by its age.
    """
    if isinstance(event, _CHANGES) or causes.is_sign(event):
        return event.config
    return ""


def _note(lists: Lists, action: SwanAction) -> None:
    """Let the next look ask for what the action concerns."""
    match action:
        case LoadConfig(config):
            lists.loaded(config.name)
        case UnloadConfig(name):
            lists.loaded(name)
        case LoadSecret() | UnloadSecret():
            pass  # charon has confirmed it
        case Initiate(config_name):
            lists.changed(config_name)
        case TerminateIke(unique_id) | TerminateChild(unique_id) | RekeyChild(unique_id):
            lists.changed_id(unique_id)
        case _:
            lists.forget()


def _rendered(router_id: RouterId, render: Callable[[], Message]) -> Message:
    try:
        return render()
    except Unrenderable as error:
        raise Permanent(router_id, Reason("unrenderable", str(error))) from error
