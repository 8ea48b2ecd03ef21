import signal
import subprocess

from lab.openvswitch import again
from lab.processes import wait_for

# Ends itself twice, then stays.
PROGRAM = 'echo ran >>"$0"; [ "$(wc -l <"$0")" -gt 2 ] || kill -ABRT $$; exec sleep 60'


def test_who_ends_itself_is_started_again(tmp_path):
    """It is, as often as that happens; a command follows, which may fail at first."""
    runs, after = tmp_path / "runs", tmp_path / "after"
    then = f'echo tried >>{after}; [ "$(wc -l <{after})" -gt 2 ]'
    argv = again(("sh", "-c", PROGRAM, str(runs)), then)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as program:
        wait_for(lambda: after.exists() and runs.read_text().count("ran") == 3, 10, "three runs")
        wait_for(lambda: after.read_text().count("tried") > 2, 10, "what follows")
        program.terminate()
        said, _ = program.communicate(timeout=10)
    assert said.count("ended itself") == 2


def test_who_is_ended_stays_ended(tmp_path):
    """By a signal of others, or by an end of its own."""
    for end, code in (("kill -KILL $$", 128 + signal.SIGKILL), ("exit 3", 3)):
        runs = tmp_path / "runs"
        argv = again(("sh", "-c", f'echo ran >>"$0"; {end}', str(runs)), "false")
        assert subprocess.run(argv, capture_output=True, timeout=10).returncode == code
        assert runs.read_text() == "ran\n"
        runs.unlink()
