"""What the operator asks of Kubernetes' API, in requests."""

import http.server
import json
import threading

import pytest

from swanherd_operator.controller.cluster import Access, ApiCluster


@pytest.fixture
def api():
    """Return a cluster, and the bodies that it was sent."""
    sent = []

    class Handler(http.server.BaseHTTPRequestHandler):
        """Takes everything."""

        def do_POST(self):
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    access = Access(f"http://127.0.0.1:{server.server_port}")
    yield ApiCluster(lambda: access), sent
    server.shutdown()
    server.server_close()


def test_an_event_has_a_name_that_kubernetes_takes(api):
    """At most 253 letters. The status is written after it, and would never be."""
    cluster, sent = api
    meta = {"name": "c" * 199 + "." + "d" * 53, "namespace": "openstack", "uid": "u"}
    about = {"apiVersion": "v1", "kind": "OpenStackDeployment", "metadata": meta}
    cluster.tell(about, "VpnRefused", "its name is too long")
    (event,) = sent
    assert len(event["metadata"]["name"]) <= 253
    assert ".." not in event["metadata"]["name"]
    assert event["involvedObject"]["name"] == meta["name"]
