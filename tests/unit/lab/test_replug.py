from lab.replug import given_up, made_by_hand

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


def test_keepalived_has_given_up_when_only_its_own_device_has_an_address_of_the_cloud() -> None:
    """A split made by hand would be the lab's."""
    own = {"ifname": "ha-1", "addr_info": [{"scope": "global", "local": "169.254.193.7"}]}
    learnt = {"scope": "global", "local": "fd00::2", "dynamic": True}
    link_local = {"ifname": "qr-1", "addr_info": [{"scope": "link", "local": "fe80::1"}, learnt]}
    served = {"ifname": "qg-1", "addr_info": [{"scope": "global", "local": "198.51.100.9"}]}
    assert given_up([own, link_local])
    assert not given_up([own, link_local, served])
