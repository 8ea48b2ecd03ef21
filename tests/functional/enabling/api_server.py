"""A small API server of Kubernetes: objects in memory, lists, watches, server-side apply.

No schema, no controller: what is applied is there. It remembers every request that changes.
"""

import contextlib
import itertools
import json
import queue
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.unit.enabling.contract import generated

# Group and version: plural, kind.
RESOURCES = {
    "v1": {
        "configmaps": "ConfigMap",
        "services": "Service",
        "serviceaccounts": "ServiceAccount",
        "events": "Event",
        "namespaces": "Namespace",
        "pods": "Pod",
    },
    "apps/v1": {"daemonsets": "DaemonSet"},
    "batch/v1": {"jobs": "Job"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "apiextensions.k8s.io/v1": {"customresourcedefinitions": "CustomResourceDefinition"},
    "lcm.mirantis.com/v1alpha1": {"openstackdeployments": "OpenStackDeployment"},
    "swanherd.io/v1alpha1": {"enablements": "Enablement"},
}
CLUSTER_WIDE = ("namespaces", "customresourcedefinitions")


class ApiServer:
    """The objects by (version, plural, namespace, name), and who watches."""

    def __init__(self):
        self.objects = {}
        self.changes = []
        self.broken = False
        self._watchers = []
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    def put(self, version, plural, found):
        """Make or change an object as somebody else would."""
        meta = found["metadata"]
        key = (version, plural, meta.get("namespace", ""), meta["name"])
        with self._lock:
            old = self.objects.get(key)
            merged = merge(old or {}, found)
            merged["apiVersion"], merged["kind"] = version, RESOURCES[version][plural]
            if old is None:
                merged = generated(merged)
            merged["metadata"].setdefault("uid", f"uid-{next(self._numbers)}")
            if old is None or old.get("spec") != merged.get("spec"):
                merged["metadata"]["generation"] = (old or {}).get("metadata", {}).get(
                    "generation", 0
                ) + 1
            if merged == old:
                return old  # as the real one: nothing is told, where nothing changes
            merged["metadata"]["resourceVersion"] = str(next(self._numbers))
            self.objects[key] = merged
            self._emit(version, plural, "MODIFIED" if old else "ADDED", merged)
            return merged

    def remove(self, version, plural, namespace, name):
        """Remove an object; None if there is none."""
        with self._lock:
            found = self.objects.pop((version, plural, namespace, name), None)
            if found:
                self._emit(version, plural, "DELETED", found)
            return found

    def listed(self, version, plural, namespace, selector=""):
        """Return the objects; a selector is of `name=value` and names, by commas."""
        with self._lock:
            return [
                found
                for (v, p, n, _), found in sorted(self.objects.items())
                if (v, p) == (version, plural) and namespace in ("", n) and fits(found, selector)
            ]

    def watch(self, version, plural, namespace, selector):
        """Return a queue of what changes from now on."""
        events = queue.Queue()

        def wanted(found):
            here = namespace in ("", found["metadata"].get("namespace", ""))
            return here and fits(found, selector)

        with self._lock:
            self._watchers.append((version, plural, wanted, events))
        return events

    def _emit(self, version, plural, kind, found):
        for v, p, wanted, events in self._watchers:
            if (v, p) == (version, plural) and wanted(found):
                events.put({"type": kind, "object": found})


def fits(found, selector):
    labels = found["metadata"].get("labels", {})
    parts = [each.partition("=") for each in selector.split(",") if each]
    return all(name in labels and value in ("", labels[name]) for name, _, value in parts)


def merge(old, new):
    """Return the old object with the new one's fields."""
    result = dict(old)
    for key, value in new.items():
        result[key] = merge(old.get(key) or {}, value) if isinstance(value, dict) else value
    return result


def place(path):
    """Return version, plural, namespace, name and subresource of a path."""
    parts = path.strip("/").split("/")
    version, rest = (
        (parts[1], parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
    )
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    plural, name, below = [*rest, "", "", ""][:3]
    return version, plural, namespace, name, below


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, code, body):
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def missing(self):
        self.answer(404, {"kind": "Status", "status": "Failure", "code": 404})

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        api = self.server.api
        if (found := discovery(url.path)) is not None:
            return self.answer(200, found)
        version, plural, namespace, name, _ = place(url.path)
        if plural not in RESOURCES.get(version, {}):
            return self.missing()
        if name:
            found = api.objects.get((version, plural, namespace, name))
            return self.answer(200, found) if found else self.missing()
        selector = query.get("labelSelector", "")
        if query.get("watch") in ("true", "1"):
            return self.stream(api.watch(version, plural, namespace, selector))
        listed = api.listed(version, plural, namespace, selector)
        bare = ("apiVersion", "kind")  # which the real one leaves out too
        items = [{k: v for k, v in each.items() if k not in bare} for each in listed]
        kind = RESOURCES[version][plural]
        return self.answer(
            200,
            {
                "apiVersion": version,
                "kind": f"{kind}List",
                "metadata": {"resourceVersion": "1"},
                "items": items,
            },
        )

    def stream(self, events):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                with contextlib.suppress(queue.Empty):
                    self.wfile.write(json.dumps(events.get(timeout=1)).encode() + b"\n")
                    self.wfile.flush()
                if self.server.ending:
                    return

    def change(self):
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"null")
        path = urllib.parse.urlsplit(self.path).path
        if self.server.api.broken:
            return None, None, self.answer(503, {"kind": "Status", "code": 503})
        where = place(path)
        if "dryRun=All" not in self.path:
            self.server.api.changes.append((self.command, *where))
        return where, body, None

    def do_PATCH(self):
        where, body, _ = self.change()
        if where:
            version, plural, namespace, name, sub = where
            if "dryRun=All" in self.path:
                return self.answer(200, body)
            if (
                sub == "status"
                and (version, plural, namespace, name) not in self.server.api.objects
            ):
                return self.missing()
            self.answer(200, self.server.api.put(version, plural, body))
        return None

    def do_POST(self):
        where, body, _ = self.change()
        if where:
            meta = body["metadata"]
            meta.setdefault(
                "name", meta.get("generateName", "") + str(len(self.server.api.changes))
            )
            meta.setdefault("namespace", where[2])
            key = (where[0], where[1], meta["namespace"], meta["name"])
            if key in self.server.api.objects:
                return self.answer(409, {"kind": "Status", "code": 409})
            self.answer(201, self.server.api.put(where[0], where[1], body))
        return None

    def do_DELETE(self):
        where, _, _ = self.change()
        if where:
            found = self.server.api.remove(*where[:4])
            self.answer(200, found) if found else self.missing()


def discovery(path):
    """Return what kubectl and kopf ask first."""
    if path == "/version":
        return {"major": "1", "minor": "35"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [version.partition("/") for version in RESOURCES if "/" in version]
        return {
            "kind": "APIGroupList",
            "groups": [
                {
                    "name": group,
                    "versions": [{"groupVersion": f"{group}/{v}", "version": v}],
                    "preferredVersion": {"groupVersion": f"{group}/{v}", "version": v},
                }
                for group, _, v in groups
            ],
        }
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version not in RESOURCES:
        return None
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    resources = [
        {
            "name": plural,
            "singularName": kind.lower(),
            "kind": kind,
            "namespaced": plural not in CLUSTER_WIDE,
            "verbs": verbs,
        }
        for plural, kind in RESOURCES[version].items()
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


@contextlib.contextmanager
def serving():
    """Give the server's state and its URL as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.api, server.ending = ApiServer(), False
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield server.api, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.ending = True
        server.shutdown()
        server.server_close()
        thread.join()


def kubeconfig(url: str) -> str:
    """Return the configuration file of a client of that server; kubectl's own format."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": "t"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    return json.dumps(config)  # which is YAML too
