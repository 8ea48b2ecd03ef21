"""Where swanherd-enable reads from: a cluster, by its API; a cloud, by Neutron's."""

import contextlib
import http.server
import json
import socket
import threading

import pytest
import yaml

from swanherd_operator import cmd, sources
from tests.functional.enabling.api_server import kubeconfig, serving

DEPLOYMENT = {
    "metadata": {"name": "cloud", "namespace": "openstack"},
    "spec": {"openstack_version": "caracal", "features": {"neutron": {"backend": "ml2/ovn"}}},
}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """An API server with a deployment, and a kubeconfig that leads to it."""
    with serving() as (api, url):
        api.put("lcm.mirantis.com/v1alpha1", "openstackdeployments", DEPLOYMENT)
        (tmp_path / "kubeconfig").write_text(kubeconfig(url))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield api


def test_a_resource_is_read_from_the_cluster(cluster, capsys):
    """By name, in its namespace or the usual one; nothing is changed."""
    pytest.importorskip("kubernetes", reason="needs swanherd-operator[cluster]")
    for name in ("cloud", "openstack/cloud"):
        assert cmd.main(["enable", "--cluster", name]) == 0
        assert "enabled: true" in capsys.readouterr().out
    assert cmd.main(["enable", "--cluster", "other/cloud"]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "swanherd-enable: cluster: Not Found\n")
    assert not cluster.changes


@pytest.mark.parametrize(
    ("config", "told"),
    [(kubeconfig("http://127.0.0.1:9"), "Connection refused"), ("clusters: [", "isn't YAML")],
)
def test_a_cluster_that_does_not_answer_is_said_in_a_line(
    config, told, tmp_path, monkeypatch, capsys
):
    """Whether nobody listens there, or the kubeconfig is broken."""
    pytest.importorskip("kubernetes", reason="needs swanherd-operator[cluster]")
    (tmp_path / "kubeconfig").write_text(config)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    assert cmd.main(["enable", "--cluster", "cloud"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("swanherd-enable: cluster: ")
    assert told in said
    assert said.count("\n") == 1


def test_without_the_client_it_says_what_to_install(capsys):
    """One line."""
    with contextlib.suppress(ImportError):
        import kubernetes  # noqa: F401 - whether it is there

        pytest.skip("the client is there")
    assert cmd.main(["enable", "--cluster", "cloud"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "swanherd-enable: reading a cluster needs swanherd-operator[cluster]\n"


class Neutron(http.server.BaseHTTPRequestHandler):
    """Answers a list of VPN services in two pages, and nothing else."""

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if not path.endswith("/vpn/vpnservices"):
            self_ = {"rel": "self", "href": f"http://{self.headers['Host']}/v2.0/"}
            body = {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [self_]}]}
        elif "marker" in query:
            body = {"vpnservices": [{"id": "c"}]}
        else:
            more = {"rel": "next", "href": f"http://{self.headers['Host']}{path}?marker=b"}
            body = {"vpnservices": [{"id": "a"}, {"id": "b"}], "vpnservices_links": [more]}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def test_services_of_a_cloud_are_counted_by_its_sdk(tmp_path, monkeypatch):
    """All pages; a cloud that isn't reached or isn't known is told in a sentence."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Neutron)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    here = {
        "auth_type": "none",
        "network_endpoint_override": f"http://127.0.0.1:{server.server_port}/v2.0",
        "network_api_version": "2",
    }
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"here": here}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    try:
        assert sources.vpn_services("here") == 3
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    for cloud in ("here", "unknown"):
        with pytest.raises(sources.Unreadable, match=f"cloud {cloud}: ") as told:
            sources.vpn_services(cloud)
        # An operator tells a sentence that is new, so it has to be the same each time.
        assert " at 0x" not in str(told.value)


@pytest.mark.timeout(20)
def test_a_cloud_that_is_silent_is_given_up(tmp_path, monkeypatch):
    """An operator that waits for it would do nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v2.0"
        here = {"auth_type": "none", "network_endpoint_override": url}
        (tmp_path / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"here": here}}))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
        with pytest.raises(sources.Unreadable, match="cloud here: "):
            sources.vpn_services("here", patience=0.2)
