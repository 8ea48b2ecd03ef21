"""A cluster without machines: etcd, kube-apiserver, kube-controller-manager, no kubelet.

All real but for a stand-in for kubelets: TLS, RBAC, schemas, garbage collection, the own
controllers of DaemonSets, Jobs and budgets (`lab/kube.py` builds them). The audit log tells who
asked for what, and the answers.
"""

import base64
import contextlib
import json
import pathlib
import secrets
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

from lab import kube
from tests.kube.certificates import Authority
from tests.oracles.environments import environment

PATIENCE = 60
PORT = 443  # of the name by which pods find it
NAMES = ("kubernetes.default.svc", "kubernetes.default", "kubernetes", "localhost")
CONTROLLERS = (
    *("garbagecollector", "namespace", "serviceaccount", "serviceaccount-token"),
    *("daemonset", "job", "deployment", "replicaset", "disruption", "root-ca-cert-publisher"),
)
CLUSTER_WIDE = ("CustomResourceDefinition", "Namespace", "Node", "ClusterRole")


def until(true, seconds=PATIENCE, told=lambda: ""):
    """Wait until the predicate holds; AssertionError with what is told where it doesn't."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"it didn't become true in time. {told()}"
        time.sleep(0.1)


class Refused(AssertionError):
    """The API's own word, with its number."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class Cluster:
    """Its address, certificates and logs; `ask` is the administrator's way in."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        # Any address of the loopback network: several such clusters don't meet.
        self.address = "127." + ".".join(str(1 + secrets.randbelow(250)) for _ in range(3))
        self.url = f"https://{self.address}:{PORT}"
        self.authority = Authority(directory)
        self.audit = directory / "audit.log"
        self._context = None

    @contextlib.contextmanager
    def running(self):
        """Run it as long as the block lasts."""
        serving = self.authority.issue("apiserver", names=NAMES, addresses=(self.address,))
        admin = self.authority.issue("admin", organization="system:masters")
        self._context = ssl.create_default_context(cafile=self.authority.path)
        self._context.load_cert_chain(admin.certificate, admin.key)
        (self.directory / "kubeconfig").write_text(self.kubeconfig(admin=admin))
        with contextlib.ExitStack() as stack:
            store = self._etcd(stack)
            api = stack.enter_context(contextlib.ExitStack())
            self._api = api, store, serving
            self._api_server(api, store, serving)
            until(self._answers)
            self._controllers(stack)
            until(lambda: self.exists("/api/v1/namespaces/default/serviceaccounts/default"))
            yield self

    @contextlib.contextmanager
    def api_away(self):
        """Let the API be away as long as the block lasts."""
        api, store, serving = self._api
        api.close()
        try:
            yield
        finally:
            self._api_server(api, store, serving)
            until(self._answers)

    def _etcd(self, stack):
        client, peer = (f"http://{self.address}:{port}" for port in (2379, 2380))
        self._start(
            stack,
            environment("kube") / "bin" / "etcd",
            *("--data-dir", self.directory / "etcd", "--unsafe-no-fsync"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        )
        return client

    def _api_server(self, stack, store, serving):
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy"}
        policy["rules"] = [{"level": "Metadata", "omitStages": ["RequestReceived"]}]
        (self.directory / "audit.json").write_text(json.dumps(policy))
        accounts = self.authority.key
        self._start(
            stack,
            kube.FOLDER / "kube-apiserver",
            *(f"--etcd-servers={store}", f"--bind-address={self.address}"),
            *(f"--secure-port={PORT}", "--insecure-port=0", "--endpoint-reconciler-type=none"),
            *(f"--tls-cert-file={serving.certificate}", f"--tls-private-key-file={serving.key}"),
            *(f"--client-ca-file={self.authority.path}", "--authorization-mode=RBAC"),
            *("--anonymous-auth=false", "--allow-privileged=true"),
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={accounts}",
            f"--service-account-key-file={accounts}",
            "--service-cluster-ip-range=10.97.0.0/24",
            f"--audit-policy-file={self.directory / 'audit.json'}",
            f"--audit-log-path={self.audit}",
        )

    def _controllers(self, stack):
        self._start(
            stack,
            kube.FOLDER / "kube-controller-manager",
            f"--kubeconfig={self.directory / 'kubeconfig'}",
            *("--leader-elect=false", "--port=0", "--secure-port=0"),
            f"--controllers={','.join(CONTROLLERS)}",
            f"--service-account-private-key-file={self.authority.key}",
            f"--root-ca-file={self.authority.path}",
        )

    def _start(self, stack, program, *options):
        log = stack.enter_context((self.directory / f"{pathlib.Path(program).name}.log").open("a"))
        process = subprocess.Popen([program, *map(str, options)], stdout=log, stderr=log)
        stack.callback(process.wait, PATIENCE)
        stack.callback(process.kill)  # the API would wait for its watchers, a minute

    def _answers(self):
        # The priorities and roles that every cluster has are made a moment after it answers.
        with contextlib.suppress(OSError, Refused):
            return self.ask("GET", "/readyz", raw=True) == b"ok"
        return False

    def ask(self, method, path, body=None, content="application/json", *, raw=False):
        """Return the answer, or raise Refused."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            headers={"Content-Type": content},
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._context) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")) from None
        return text if raw else json.loads(text)

    def find(self, path):
        """Return what is there, None if nothing is."""
        try:
            return self.ask("GET", path)
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def exists(self, path):
        """Tell whether something is there."""
        return self.find(path) is not None

    def merge(self, path, change):
        """Change some fields, as `kubectl patch --type merge` does."""
        return self.ask("PATCH", path, change, "application/merge-patch+json")

    def token(self, namespace, account, bound=None):
        """Return a token of a service account; one that is bound ends with that object."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        if bound:
            meta = bound["metadata"]
            named = {"name": meta["name"], "uid": meta["uid"]}
            body["spec"]["boundObjectRef"] = {"apiVersion": "v1", "kind": "Secret", **named}
        return self.ask("POST", path, body)["status"]["token"]

    def kubeconfig(self, *, admin=None, token=None):
        """Return a configuration file for a client with a certificate or a token."""
        encoded = base64.b64encode(self.authority.path.read_bytes()).decode()
        user = {"token": token}
        if admin:
            user = {"client-certificate": str(admin.certificate), "client-key": str(admin.key)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": self.url, "certificate-authority-data": encoded},
                }
            ],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        return json.dumps(config)

    def asked_by(self, user, since=0):
        """Return what a user has asked for, from that line of the audit log on."""
        lines = self.audit.read_text().splitlines()[since:]
        found = (json.loads(line) for line in lines)
        return [each for each in found if each["user"].get("username") == user]

    def asked(self):
        """Return how many lines the audit log has."""
        return self.audit.read_text().count("\n")


class Kubelets:
    """What kubelets and the scheduler would do for the nodes: pods are bound, run, end, and go."""

    def __init__(self, cluster, nodes):
        self._cluster = cluster
        self._nodes = nodes
        self._end = threading.Event()
        self.ready = threading.Event()  # whether what runs gets ready
        self.ready.set()
        self.failures = []

    @contextlib.contextmanager
    def working(self):
        """Work as long as the block lasts."""
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join()
        assert not self.failures

    def _work(self):
        while not self._end.wait(0.2):
            for pod in self._pods():
                try:
                    self._attend(pod)
                except OSError:
                    break
                except Refused as refused:
                    if refused.code not in (404, 409):  # it went, or has changed, meanwhile
                        self.failures.append(str(refused))

    def _pods(self):
        try:
            return self._cluster.ask("GET", "/api/v1/pods")["items"]
        except (OSError, Refused):  # the API is away; a kubelet waits
            return ()

    def _attend(self, pod):
        meta, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if "deletionTimestamp" in meta:
            now = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
            self._cluster.ask("DELETE", path, now)
        elif "nodeName" not in spec:
            target = {"kind": "Node", "name": self._node(spec)}
            name = {"metadata": {"name": meta["name"]}, "target": target}
            self._cluster.ask("POST", f"{path}/binding", {"kind": "Binding", **name})
        elif status.get("phase") == "Pending":
            owner = meta["ownerReferences"][0]["kind"]
            phase = "Succeeded" if owner == "Job" else "Running"
            waiting = {"phase": phase, "conditions": [{"type": "Ready", "status": "False"}]}
            self._cluster.merge(f"{path}/status", {"status": waiting})
        elif status.get("phase") == "Running" and self.ready.is_set():
            ready = [{"type": "Ready", "status": "True"}]
            self._cluster.merge(f"{path}/status", {"status": {"conditions": ready}})

    def _node(self, spec):
        """Return where the DaemonSet's controller wants the pod, else any node."""
        affinity = spec.get("affinity", {}).get("nodeAffinity", {})
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
        for term in required.get("nodeSelectorTerms", ()):
            for field in term.get("matchFields", ()):
                return field["values"][0]
        return self._nodes[0]


def create(cluster, document, namespace="openstack"):
    """Create an object, as `kubectl create` does; a definition is waited for until it serves."""
    path = collection(document, namespace)
    found = cluster.ask("POST", path, document)
    if document["kind"] == "CustomResourceDefinition":
        spec = document["spec"]
        group = f"/apis/{spec['group']}/{spec['versions'][0]['name']}"
        until(lambda: cluster.exists(f"{group}/{spec['names']['plural']}"))
    return found


def join(cluster, name, labels):
    """Let a node join, as its kubelet and the controller of nodes would."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    path = path_of(create(cluster, node))
    ready = [{"type": "Ready", "status": "True", "reason": "Kubelet"}]
    cluster.merge(f"{path}/status", {"status": {"conditions": ready}})
    # The API gives each new one this taint, until somebody has seen it ready.
    cluster.merge(path, {"spec": {"taints": None}})


def collection(document, namespace="openstack"):
    """Return the path of all of an object's kind."""
    version, kind = document["apiVersion"], document["kind"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = kind.lower() + ("es" if kind.endswith("s") else "s")
    if kind not in CLUSTER_WIDE:
        root += f"/namespaces/{document['metadata'].get('namespace', namespace)}"
    return f"{root}/{plural}"


def path_of(document, namespace="openstack"):
    """Return the path of an object."""
    return f"{collection(document, namespace)}/{document['metadata']['name']}"


def dropped(wanted, stored, path=""):
    """Yield the place of each field that was sent and isn't what is stored."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            yield from dropped(value, (stored or {}).get(key), f"{path}.{key}")
    elif isinstance(wanted, list) and len(wanted) == len(stored or ()):
        for number, value in enumerate(wanted):
            yield from dropped(value, stored[number], f"{path}.{number}")
    elif wanted != stored and not (wanted in ({}, "") and stored is None):
        yield f"{path}: {wanted} is {stored}"
