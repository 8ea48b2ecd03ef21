"""A deployment in a cluster, the operator for it, and what both have made."""

import json
import pathlib

import yaml

from swanherd_operator.controller.cluster import kinds
from swanherd_operator.controller.plan import LABEL
from tests.kube.cluster import PATIENCE, collection, create, until
from tests.kube.pod import OperatorPod

ROOT = pathlib.Path(__file__).parents[2]
CRD = ROOT / "operator" / "crds" / "enablement.yaml"
ON, OFF = ({"extensions": {"vpnaas": {"enabled": flag}}} for flag in (True, False))
VERSION = (1, 20)
DEPLOYMENTS = "/apis/lcm.mirantis.com/v1alpha1/namespaces/openstack/openstackdeployments"
ENABLEMENTS = "/apis/swanherd.io/v1alpha1/namespaces/openstack/enablements"


def forbidden(request):
    """Tell whether it was by RBAC, or nobody was known by the token; a quota says 403 too."""
    decision = request.get("annotations", {}).get("authorization.k8s.io/decision")
    return decision == "forbid" or request["responseStatus"]["code"] == 401


def written(request):
    return request["verb"] not in ("get", "list", "watch")


class Stage:
    def __init__(self, cluster, directory):
        self.cluster = cluster
        self.since = cluster.asked()
        self.pod = OperatorPod(cluster, directory)

    def put(self, name="cloud", **neutron):
        document = yaml.safe_load((ROOT / "docs" / "examples" / "osdpl.yaml").read_text())
        document["metadata"]["name"] = name
        document["spec"]["features"]["neutron"].update(neutron)
        return create(self.cluster, document)

    def change(self, neutron, **meta):
        body = {"metadata": meta, "spec": {"features": {"neutron": neutron}}}
        return self.cluster.merge(f"{DEPLOYMENTS}/cloud", body)

    def deployment(self):
        return self.cluster.find(f"{DEPLOYMENTS}/cloud")

    def enablements(self):
        return self.cluster.ask("GET", ENABLEMENTS)["items"]

    def conditions(self, name="cloud"):
        found = self.cluster.find(f"{ENABLEMENTS}/{name}") or {}
        return {each["type"]: each for each in found.get("status", {}).get("conditions", ())}

    def state(self, kind, name="cloud"):
        return self.conditions(name).get(kind, {}).get("status")

    def ours(self, name="cloud"):
        """Return what the operator has made, by kind and name."""
        found = {}
        for version, kind in kinds(VERSION):
            place = collection({"apiVersion": version, "kind": kind, "metadata": {}})
            listed = self.cluster.ask("GET", f"{place}?labelSelector={LABEL}%3D{name}")["items"]
            # In a list they don't say what they are.
            named = ({**each, "apiVersion": version, "kind": kind} for each in listed)
            found |= {(kind, each["metadata"]["name"]): each for each in named}
        return found

    def events(self):
        listed = self.cluster.ask("GET", "/api/v1/namespaces/openstack/events")["items"]
        of_deployments = [
            e for e in listed if e["involvedObject"]["kind"] == "OpenStackDeployment"
        ]
        return {each["metadata"]["uid"]: each["message"] for each in of_deployments}

    def log(self):
        told = self.pod.log.read_text()[-3000:] if self.pod.log.exists() else ""
        return f"{json.dumps(self.conditions(), indent=1)}\n{sorted(self.ours())}\n{told}"

    def until(self, met, seconds=PATIENCE):
        until(met, seconds, self.log)

    def forget_requests(self):
        """Forget what was: an API that starts knows no roles for a moment, and says 403."""
        self.since = self.cluster.asked()
