"""The other side's configuration, exported by the client, is booted unedited as the other side."""

import pytest

from lab import peers
from lab.layout import VENV
from lab.sites import boot, make_site
from lab.user import user_box
from lab.vpn import connect, make_end, remove_end, wait_status

KEY = """the lab's "own" $key"""


class User:
    """Somebody with a shell and the client, who has an entry of clouds.yaml."""

    def __init__(self, lab, cloud):
        self.box = user_box(lab)
        path = f"{VENV}/bin:/usr/bin:/bin"
        self.env = {"OS_CLIENT_CONFIG_FILE": str(lab.clouds_yaml), "OS_CLOUD": cloud, "PATH": path}

    def run(self, *argv, text=None):
        return self.box.run(argv, env=self.env, timeout=200, input=text).stdout

    def export(self, connection, device):
        """Export with the key; return what is printed."""
        export = ("openstack", "vpn", "ipsec", "site", "connection", "export", connection)
        return self.run(*export, "--device", device, "--with-psk")


@pytest.fixture
def place(clouds, clients, number):
    """A site of a cloud with a workload, its network, and an end; what is made goes."""
    made = []

    def make(index):
        cidr = f"10.{number}.{index}.0/24"
        site = make_site(clouds[index], clients[index], f"e{number}-{index}", [cidr])
        workload = boot(clouds[index], clients[index], site, f"e{number}")
        made.append(make_end(clouds[index], clients[index], site))
        return made[-1], workload, cidr

    yield make
    for end in made:
        remove_end(end)


def test_strongswan_is_the_peer(lab, place, number):
    """swanctl.conf as it is exported: the tunnel comes up, and pings go both ways."""
    end, workload, cidr = place(0)
    public, network = f"192.0.{number}.2/24", f"10.{number}.200.0/24"
    peer = peers.add_peer(lab, f"exp{number}", public, network)
    connection = connect(end, public.split("/")[0], [cidr], [network], psk=KEY)
    peer.boot(User(lab, "a").export(connection, "strongswan"))
    wait_status(end, connection, "ACTIVE")
    workload.wait_for_ping(peer.address, 10)
    assert peer.pings(workload.ipv4)
    peer.stop()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_another_openstack_is_the_peer(lab, place):
    """The script, run by a user of the other cloud, makes the other end: pings go both ways."""
    here, workload, cidr = place(0)
    there, remote, remote_cidr = place(1)
    connection = connect(here, there.address(4), [cidr], [remote_cidr], psk=KEY)
    script = User(lab, "a").export(connection, "openstack")
    User(lab, "b").run("bash", "-s", there.site.name, text=script)
    network = there.client.network
    name = f"cloud-{connection[:8]}"
    (made,) = (c for c in network.vpn_ipsec_site_connections() if c.name == name)
    there.made += [("connection", made.id)]
    there.made += [("group", g.id) for g in network.vpn_endpoint_groups() if name in g.name]
    for end, row in ((here, connection), (there, made.id)):
        wait_status(end, row, "ACTIVE")
    workload.wait_for_ping(remote.ipv4, 10)
    assert remote.pings(workload.ipv4)
