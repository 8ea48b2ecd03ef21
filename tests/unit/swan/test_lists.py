"""What is listed again although no event spoke of it."""

import pytest

from swanherd.swan.lists import Lists
from tests.unit.steps import calls_of


class Commands:
    """A charon with these IKE SAs, of which the config `new` is loaded, with this child."""

    def __init__(self, version, *names, child="pair-new"):
        self.version = version
        self.child = child
        self.names = list(names)
        self.asked = []

    def stream(self, command, _event, message=None):
        only = (message or {}).get("ike")
        self.asked += [only] if command == "list-sas" else []
        if command == "list-conns":
            return [{"new": {"version": self.version, "children": {self.child: {}}}}]
        return [{n: self.sa()} for n in self.names if only in (None, n)]

    def request(self, _command):
        return {}

    def sa(self):
        child = {"name": b"pair-new", "uniqueid": b"8", "state": b"INSTALLED"}
        return {
            "uniqueid": b"7",
            "version": self.version.removeprefix(b"IKEv"),
            "state": b"ESTABLISHED",
            "established": b"1",
            "encr-alg": b"AES_CBC",
            "encr-keysize": b"256",
            "child-sas": {"a-8": {**child, "install-time": b"0"}},
        }


def asked_again(version, *names, **more):
    """Return which configs' IKE SAs are listed at the second look, nothing having been told."""
    commands = Commands(version, *names, **more)
    lists = Lists(commands, lambda: 100.0)
    lists.look()
    commands.asked.clear()
    lists.look()
    return commands.asked


@pytest.mark.parametrize("version", [b"IKEv1", b"IKEv2"])
def test_a_young_child_is_listed_anew_while_another_config_is_to_end(version):
    """By its age that one ends; no event tells of ages."""
    assert sorted(asked_again(version, "new", "old")) == ["new", "old"]
    assert asked_again(version, "new") == []


@pytest.mark.parametrize("version", [b"IKEv1", b"IKEv2"])
def test_one_with_a_child_of_another_pair_than_its_config_has_is_listed_anew(version):
    """A network that became smaller is another pair: the old one ends by the new one's age."""
    assert asked_again(version, "new", child="smaller-new") == ["new"]


class Many:
    """A charon with so many configs of an IKE SA each; remembers what it is asked."""

    def __init__(self, count):
        self.names = [f"c{n}" for n in range(count)]
        self.secrets = []
        self.asked = []

    def stream(self, command, _event, message=None):
        only = (message or {}).get("ike")
        self.asked.append((command, only))
        names = [name for name in self.names if only in (None, name)]
        if command == "list-conns":
            return [{name: {"version": b"IKEv2", "children": {f"{name}-x": {}}}} for name in names]
        return [{name: self.sa(name)} for name in names]

    def request(self, command):
        self.asked.append((command, None))
        return {"keys": [secret.encode() for secret in self.secrets]}

    def sa(self, name):
        child = {"name": f"{name}-x".encode(), "uniqueid": b"8", "state": b"INSTALLED"}
        return {
            "uniqueid": name.removeprefix("c").encode(),
            "version": b"2",
            "state": b"ESTABLISHED",
            "child-sas": {"x": child},
        }


def many(count):
    """Return a charon with so many configs, and lists that have listed it once."""
    commands = Many(count)
    lists = Lists(commands, lambda: 100.0)
    lists.look()
    commands.asked.clear()
    return commands, lists


def test_only_what_changed_is_asked_for():
    """After an event the SAs of its config; after a load also the config."""
    commands, lists = many(100)
    lists.changed("c7")
    lists.look()
    assert commands.asked == [("list-sas", "c7")]
    commands.asked.clear()
    lists.loaded("c8")
    lists.look()
    assert commands.asked == [("list-conns", "c8"), ("list-sas", "c8")]


def test_secrets_are_known_as_charon_confirms_them_and_asked_for_with_all_else():
    """A thousand names are as long as all else of a look."""
    commands, lists = many(3)
    commands.secrets = ["one", "two"]
    lists.took("new")
    assert lists.look().secrets == {"new"}
    lists.forget()
    assert lists.look().secrets == {"one", "two"}
    lists.dropped("two")
    assert lists.look().secrets == {"one"}
    lists.doubt_secrets()
    assert lists.look().secrets == {"one", "two"}


@pytest.mark.parametrize(("count", "down", "asked"), [(400, 100, 100), (100, 60, 3), (40, 40, 40)])
def test_what_is_under_way_is_asked_for_as_long_as_that_costs_less(count, down, asked):
    """With some peers dead each retransmission is a look: not at all others too."""
    commands = Many(count)
    busy = set(commands.names[:down])
    rests, commands.sa = (
        commands.sa,
        lambda name: {
            **rests(name),
            "state": b"CONNECTING" if name in busy else b"ESTABLISHED",
        },
    )
    lists = Lists(commands, lambda: 100.0)
    lists.look()
    commands.asked.clear()
    lists.changed("c0")
    lists.look()
    assert len(commands.asked) == asked


def test_who_has_children_of_no_config_is_odd():
    """Of all others nothing is outdated: none of a thousand is looked at for it."""
    commands, lists = many(100)
    assert lists.look().odd == ()
    commands.names.remove("c7")
    unloaded = [{"c7": commands.sa("c7")}]
    listed, commands.stream = (
        commands.stream,
        lambda command, event, message=None: (
            unloaded
            if (command, message) == ("list-sas", {"ike": "c7"})
            else listed(command, event, message)
        ),
    )
    lists.loaded("c7")
    assert [sa.config for sa in lists.look().odd] == ["c7"]
    changed = commands.sa("c8")
    changed["child-sas"]["x"]["name"] = b"another-x"
    commands.sa = lambda name: changed
    lists.loaded("c8")
    assert {sa.config for sa in lists.look().odd} == {"c7", "c8"}


def test_a_config_that_comes_or_goes_is_seen():
    """In the set of configs, in their facts, and among those of IKEv1."""
    commands, lists = many(3)
    before = lists.look()
    commands.names.append("c9")
    commands.names.remove("c0")
    lists.loaded("c9", "c0")
    after = lists.look()
    assert {c.name for c in after.configs} == {"c1", "c2", "c9"} == set(after.facts)
    assert {sa.config for sa in after.sas} == {"c1", "c2", "c9"}
    lists.loaded("c1")
    assert lists.look().configs is after.configs
    assert before.configs != after.configs


def test_a_look_after_an_event_takes_the_same_steps_for_any_number_of_connections():
    """What wasn't spoken of isn't gone through."""
    steps = []
    for count in (50, 500):
        _, lists = many(count)
        lists.changed("c7")
        lists.changed_id(9)
        steps.append(calls_of(lists.look))
    assert steps[0] == steps[1]
