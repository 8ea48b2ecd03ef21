"""The command of the client, against a small Neutron."""

import argparse
import http.server
import json
import logging
import threading
import types
import urllib.parse

import pytest

from tests.unit.client import sample

openstack = pytest.importorskip("openstack")
CommandError = pytest.importorskip("osc_lib.exceptions").CommandError
from swanherd_client import osc  # noqa: E402 - needs osc_lib

KEY = "a key that nobody logs"
REFERS = {
    "vpnservice_id": "s",
    "ikepolicy_id": "i",
    "ipsecpolicy_id": "p",
    "peer_cidrs": ["10.92.0.0/24"],
}
CONNECTION = sample.connection(psk=KEY, **REFERS)
SERVICE = {"external_v4_ip": "192.0.2.1", "subnet_id": "n"}
ANSWERS = {
    f"vpn/ipsec-site-connections/{sample.ID}": CONNECTION,
    "vpn/vpnservices/s": SERVICE,
    "vpn/ikepolicies/i": sample.policy(),
    "vpn/ipsecpolicies/p": sample.policy(),
    "subnets/n": {"cidr": "10.91.0.0/24"},
}


class Neutron(http.server.BaseHTTPRequestHandler):
    """Has one connection, and two more of one name."""

    def do_GET(self):
        path, _, query = self.path.partition("?")
        path = path.partition("/v2.0/")[2]
        asked = dict(urllib.parse.parse_qsl(query))
        found = ANSWERS.get(path)
        if path == "vpn/ipsec-site-connections":
            there = [CONNECTION, *({"id": str(n), "name": "twin"} for n in range(2))]
            found = [row for row in there if asked.items() - {("fields", "id")} <= row.items()]
        if not path:  # discovery
            self_ = {"rel": "self", "href": f"http://{self.headers['Host']}/v2.0/"}
            found = {"id": "v2.0", "status": "CURRENT", "links": [self_]}
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"it" if path else "version": found}).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def export(capsys):
    """Return what runs the command and returns what it prints."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Neutron)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v2.0"
    cloud = openstack.connection.Connection(
        auth_type="none", auth={"endpoint": url}, network_endpoint_override=url
    )
    app = types.SimpleNamespace(client_manager=types.SimpleNamespace(network=cloud.network))

    def run(name, *options):
        command = osc.ExportConnection(app, argparse.Namespace())
        parser = command.get_parser("export")
        command.take_action(parser.parse_args(["--device", "strongswan", *options, name]))
        return capsys.readouterr().out

    yield run
    cloud.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("options", [(), ("--with-psk",)])
@pytest.mark.parametrize("name", ["office", sample.ID])
def test_the_key_is_in_no_log(export, caplog, name, options):
    """`openstack --debug` logs the bodies of answers; what people paste has no key then."""
    caplog.set_level(logging.DEBUG)
    assert (KEY in export(name, *options)) == bool(options)
    assert KEY not in caplog.text


@pytest.mark.parametrize("name", ["nobody", "twin"])
def test_a_connection_that_is_not_the_one_is_refused_by_name(export, name):
    """None, or several of a name."""
    with pytest.raises(CommandError, match=name):
        export(name)
