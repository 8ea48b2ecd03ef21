"""charon outlives the agent, is found again, is never two, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from swanherd.core.failures import Permanent, Temporary
from swanherd.core.ike import (
    DataPlane,
    IkeConfig,
    LoadConfig,
    ReloadCharon,
    StartCharon,
    StopCharon,
)
from swanherd.core.model import Secret
from swanherd.dataplane import daemons
from swanherd.descriptors import SELECTABLE
from swanherd.swan import sessions
from swanherd.swan.adapter import StrongSwan
from swanherd.swan.charon import Surroundings
from swanherd.testing import builders
from tests.functional.swan.stage import OPTIONS, PLANE, Stage, children_up, pair, run


def charons(stage: Stage) -> set[int]:
    """Return the charons in west's namespace."""
    pids = run("ip", "netns", "pids", stage.namespaces[stage.west]).split()
    commands = {int(p): Path(f"/proc/{p}/cmdline").read_bytes() for p in pids}
    return {pid for pid, command in commands.items() if b"charon" in command}


def bring_up(stage: Stage) -> IkeConfig:
    west, east = pair()
    here = stage.load(stage.west, west)
    stage.load(stage.east, east)
    stage.initiate(stage.west, here)
    stage.wait(stage.west, children_up(here))
    return here


def test_an_agent_restart_changes_nothing(started: Stage) -> None:
    """A new agent sees the same SAs, options and configs, and hears of what happens next."""
    here = bring_up(started)
    before = started.swan.observe(started.west)
    started.swan.close()
    started.swan = started.new_agent()
    assert {started.west, started.east} == started.swan.routers()
    after = started.swan.observe(started.west)
    assert [sa.initiator_spi for sa in before.ike_sas] == [
        sa.initiator_spi for sa in after.ike_sas
    ]
    assert (before.options, before.configs, before.secrets) == (
        after.options,
        after.configs,
        after.secrets,
    )
    started.swan.observe(started.east)
    started.swan.apply(started.east, StopCharon())
    started.fault(started.west, here, "peer_deleted")


def test_a_lost_record_is_no_lost_charon(started: Stage) -> None:
    """Without its record charon is found by its socket; only its options aren't known."""
    bring_up(started)
    (started.state / started.west / "charon.json").unlink()
    observed = started.new_agent().observe(started.west)
    assert observed.running
    assert observed.options is None
    assert len(observed.ike_sas) == 1


def test_kill_is_told(started: Stage) -> None:
    """The death of charon is an event, and then nothing runs."""
    started.swan.observe(started.west)
    os.kill(started.pid(started.west), signal.SIGKILL)
    assert not started.wait(started.west, lambda o: not o.running).running


@pytest.mark.skipif(PLANE is DataPlane.KERNEL, reason="the kernel needs no TUN device")
def test_what_takes_a_killed_charons_place_has_its_tun_device(started: Stage) -> None:
    """Started before the kernel has let go of the old one's, it would run without, for ever."""
    for _ in range(10):
        os.kill(started.pid(started.west), signal.SIGKILL)
        started.swan.apply(started.west, StartCharon(OPTIONS))
        name = started.namespaces[started.west]
        assert "ipsec0" in run("ip", "-n", name, "-o", "link")


def test_there_is_never_a_second_charon(stage: Stage) -> None:
    """Two agents that start the same router's charon at once end up with one."""
    agents = [stage.new_agent() for _ in range(4)]
    threads = [
        threading.Thread(target=agent.apply, args=(stage.west, StartCharon(OPTIONS)))
        for agent in agents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {stage.pid(stage.west)} == charons(stage)
    assert all(agent.observe(stage.west).running for agent in agents)
    for agent in agents:
        agent.close()


def test_a_charon_without_its_socket_is_replaced(started: Stage) -> None:
    """A charon that nobody can talk to doesn't count as running, and a start replaces it."""
    old = started.pid(started.west)
    started.swan.observe(started.west)
    (started.state / started.west / "charon.vici").unlink()
    agent = started.new_agent()
    assert not agent.observe(started.west).running
    agent.apply(started.west, StartCharon(OPTIONS))
    assert charons(started) == {started.pid(started.west)}
    assert started.pid(started.west) != old
    agent.close()


def test_a_charon_of_another_namespace_is_not_ours(started: Stage) -> None:
    """If the namespace was made anew, the old charon doesn't count, and a start ends it."""
    old = started.pid(started.west)
    name = started.namespaces[started.west]
    run("ip", "netns", "del", name)
    assert not started.swan.observe(started.west).running
    run("ip", "netns", "add", name)
    assert not started.swan.observe(started.west).running
    started.swan.apply(started.west, StartCharon(OPTIONS))
    assert started.swan.observe(started.west).running
    assert not Path(f"/proc/{old}").exists()


def test_another_process_of_the_recorded_id_is_left_alone(started: Stage) -> None:
    """A record whose process id means another process now leads to no signal."""
    started.swan.apply(started.west, StopCharon())
    with subprocess.Popen(("sleep", "60")) as stranger:
        directory = started.state / started.west
        directory.mkdir(mode=0o700)
        (directory / "charon.json").write_text(json.dumps({"pid": stranger.pid, "started": 1}))
        assert not started.swan.observe(started.west).running
        started.swan.apply(started.west, StopCharon())
        assert stranger.poll() is None
        stranger.kill()
    assert not directory.exists()


def test_a_hung_charon_is_a_temporary_failure(
    started: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A charon that is stopped in the middle of things holds nobody up for ever."""
    monkeypatch.setattr(sessions, "_LIMIT", 0.3)
    pid = started.pid(started.west)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Temporary) as caught:
            started.swan.observe(started.west)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert caught.value.reason.code == "charon_silent"
    assert started.swan.observe(started.west).running


def test_stop_ends_even_what_ignores_it(started: Stage) -> None:
    """A charon that can't react to SIGTERM is killed, and its files go."""
    pid = started.pid(started.west)
    os.kill(pid, signal.SIGSTOP)
    started.swan.apply(started.west, StopCharon())
    assert charons(started) == set()
    assert not (started.state / started.west).exists()


def test_what_charon_refuses_is_permanent(started: Stage) -> None:
    """What can't be rendered or is refused is told with charon's own words."""
    connection = builders.connection("nowhere", local_address=None)
    config = IkeConfig("nowhere", connection, (("c", connection.selectors[0]),))
    with pytest.raises(Permanent) as caught:
        started.swan.apply(started.west, LoadConfig(config))
    assert caught.value.reason.code == "unrenderable"
    west, _ = pair(psk=Secret(""))
    with pytest.raises(Permanent, match="shared key data missing"):
        started.load(started.west, west)


def test_a_start_that_fails_says_why(stage: Stage) -> None:
    """If charon can't run, that is a failure with the last thing that it said."""
    (stage.state / stage.west).mkdir(mode=0o700)
    broken = stage.state / stage.west / "charon.log"
    broken.mkdir()
    stage.swan.apply(stage.west, StartCharon(OPTIONS))
    missing = dict(stage.namespaces)
    stage.namespaces[stage.west] = "no-such-namespace"
    stage.swan.apply(stage.west, StopCharon())
    with pytest.raises(Temporary) as caught:
        stage.swan.apply(stage.west, StartCharon(OPTIONS))
    stage.namespaces.update(missing)
    assert caught.value.reason.code == "charon_start_failed"
    assert "no-such-namespace" in caught.value.reason.text


def test_a_long_log_is_put_aside(started: Stage) -> None:
    """The log is bounded: what is long is kept once, and charon goes on in a new one."""
    log = started.state / started.west / "charon.log"
    with log.open("a") as file:
        file.write("x" * (1 << 20) + "\n")
    started.swan.observe(started.west)
    bring_up(started)
    assert (started.state / started.west / "charon.log.1").stat().st_size > 1 << 20
    assert 0 < log.stat().st_size < 1 << 20


ANOTHER = 42424


def test_a_daemon_of_another_user_is_spared_what_it_cant_read(stage: Stage) -> None:
    """It serves; its log is cut where it is, and it ends for new options: it can't read files."""
    stage.state.chmod(0o711)

    def spawn(router, argv, env, output):
        directory = Path(output).parent
        for path in (directory, *directory.iterdir()):
            os.chown(path, ANOTHER, ANOTHER)
        kept = "+net_admin,+net_bind_service"
        user = (f"--reuid={ANOTHER}", f"--regid={ANOTHER}", "--clear-groups")
        become = ("setpriv", *user, f"--inh-caps={kept}", f"--ambient-caps={kept}", "--")
        return stage.spawn(router, (*become, *argv), env, output)

    around = Surroundings(stage.state, spawn, stage.namespace_inode, daemons, time.monotonic)
    before = StrongSwan(around, stage.looks)
    before.apply(stage.west, StartCharon(OPTIONS))
    before.close()
    daemons.take(stage.state, (stage.west,))
    pid, directory = stage.pid(stage.west), stage.state / stage.west
    with (directory / "charon.log").open("a") as log:
        log.write("x" * ((1 << 19) + 1))
    stage.swan.apply(stage.east, StartCharon(OPTIONS))
    bring_up(stage)
    assert stage.swan.observe(stage.west).options == OPTIONS
    assert (directory / "charon.log").stat().st_size < 1 << 19
    assert (directory / "charon.log.1").stat().st_size > 1 << 19
    changed = dataclasses.replace(OPTIONS, aggressive_psk=not OPTIONS.aggressive_psk)
    stage.swan.apply(stage.west, ReloadCharon(changed))
    assert stage.swan.observe(stage.west).options == changed
    assert charons(stage) == {stage.pid(stage.west)} != {pid}


def test_what_is_open_to_a_charon_has_no_low_number(started: Stage) -> None:
    """libnftables and select(2) have these; the agent of many routers would end without."""

    def low() -> set[int]:
        return {n for n in map(int, os.listdir("/proc/self/fd")) if n < SELECTABLE}

    started.swan.close()
    before = low()
    started.swan = started.new_agent()
    started.swan.observe(started.west)
    few = low()
    started.swan.observe(started.east)
    assert len(low()) == len(few)
    # The listener's own: epoll, and two to wake it.
    assert len(few) <= len(before) + 3


def test_looks_at_a_daemon_cost_it_no_memory(started: Stage) -> None:
    """An agent looks some thousand times a day at each of its daemons."""

    def own() -> int:
        status = Path(f"/proc/{started.pid(started.west)}/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0])  # kB

    def look(times: int) -> None:
        for _ in range(times):
            started.swan.observe(started.west)
            started.swan._routers[started.west].lists.forget()

    bring_up(started)
    look(100)
    before = own()
    look(300)
    assert own() - before < 60
