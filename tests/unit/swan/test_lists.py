"""What is listed again although no event spoke of it."""

from swanherd.swan.lists import Lists


class Commands:
    """A charon with these IKE SAs, of which the config `new` is loaded."""

    def __init__(self, version, *names):
        self.version = version
        self.names = list(names)
        self.asked = []

    def stream(self, command, _event, message=None):
        only = (message or {}).get("ike")
        self.asked += [only] if command == "list-sas" else []
        if command == "list-conns":
            return [{"new": {"version": self.version, "children": {"a": {}}}}]
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


def asked_again(version, *names):
    """Return which configs' IKE SAs are listed at the second look, nothing having been told."""
    commands = Commands(version, *names)
    lists = Lists(commands, lambda: 100.0)
    lists.look()
    commands.asked.clear()
    lists.look()
    return commands.asked


def test_a_young_child_of_ikev1_is_listed_anew_while_another_config_is_to_end():
    """By its age that one ends; no event tells of ages."""
    assert sorted(asked_again(b"IKEv1", "new", "old")) == ["new", "old"]
    assert asked_again(b"IKEv1", "new") == []
    assert asked_again(b"IKEv2", "new", "old") == []
