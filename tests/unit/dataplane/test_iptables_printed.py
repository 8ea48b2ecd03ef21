import pytest

from swanherd.dataplane.privileged import iptables, xtables
from swanherd.dataplane.privileged.iptables import Printed


@pytest.fixture
def programs(monkeypatch):
    """The processes that were started, for the rules that `of` says there are now."""

    class Programs:
        of = ""
        started = 0

        def run(self, argv, text):
            self.started += 1
            return f"{argv} {self.of}"

    programs = Programs()
    monkeypatch.setattr(iptables, "_printed", Printed(1 << 20))
    monkeypatch.setattr(iptables, "_program", lambda version, verb: f"{verb}{version}")
    monkeypatch.setattr(iptables, "_run", programs.run)
    monkeypatch.setattr(xtables, "fingerprint", lambda names: programs.of)
    return programs


def test_a_look_at_the_guards_of_a_thousand_routers_starts_no_process(programs):
    """Each of them is looked at every 20 s, one after the other."""
    for _ in range(3):
        for number in range(1000):
            programs.of = f"router-{number}"
            assert programs.of in iptables.save()[4]
    assert programs.started == 2 * 1000


def test_rules_that_cannot_be_told_apart_are_printed_each_time(programs):
    """They may have changed."""
    iptables.save()
    iptables.save()
    assert programs.started == 4


def test_what_was_not_asked_for_lately_goes_first():
    """A router that changes for weeks takes no memory for each of its states."""
    printed = Printed(10)
    printed.keep("a", {4: "xxxxx"})
    printed.keep("b", {4: "xxxx"})
    assert printed.get("a") == {4: "xxxxx"}
    printed.keep("c", {4: "xx", 6: "x"})
    assert printed.get("b") is None
    assert printed.get("a") == {4: "xxxxx"}
    printed.keep("d", {4: "x" * 20})
    assert printed.get("d") == {4: "x" * 20}
    assert printed.get("a") is None
    assert printed.get("c") is None
