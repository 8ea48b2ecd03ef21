from lab.replug import made_by_hand

LISTED = """\
default via 198.51.100.1 proto static dead linkdown
10.186.1.0/24 proto kernel scope link src 10.186.1.1
local 10.186.1.1 table local proto kernel scope host src 10.186.1.1
fd00:186:1::/64 proto ra metric 1024 expires 244sec pref medium
multicast ff00::/8 table local proto kernel metric 256 pref medium
"""


def test_what_a_standby_learnt_from_advertisements_is_not_set_by_hand() -> None:
    """`ip` doesn't take back the seconds that it prints of such a route."""
    assert made_by_hand(LISTED) == ["default via 198.51.100.1 proto static"]
