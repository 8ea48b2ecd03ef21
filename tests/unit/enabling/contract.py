"""What every cluster does for the operator: that of unit tests, and Kubernetes' API."""

import uuid

from swanherd_operator.controller.cluster import Ref

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "r/n:1"'}}


def generated(wanted):
    """Return a job with the selector that Kubernetes gives each one; another object as it is."""
    if wanted["kind"] != "Job" or "selector" in wanted.get("spec", {}):
        return wanted
    labels = {"controller-uid": str(uuid.uuid4())}
    spec = {**wanted.get("spec", {}), "selector": {"matchLabels": labels}}
    return {**wanted, "spec": spec}


def document(kind, name, version="v1", labels=None, **more):
    meta = {"name": name, "namespace": "openstack", "labels": labels or {}}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **more}


def pod(name, labels):
    spec = {"containers": [{"name": "db-sync", "image": "r/n:1"}]}
    return document("Pod", name, labels=labels, spec=spec)


def job(name="tables"):
    template = {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "r/n:1"}]}
    return document("Job", name, "batch/v1", spec={"template": {"spec": template}})


def objects_are_found_as_they_were_applied(cluster):
    """By place and by label; a rehearsal makes nothing, and what isn't there can be removed."""
    wanted = document("ConfigMap", "one", labels={"a": "1", "b": "2"}, data={"k": "v"})
    place = Ref.of(wanted)
    cluster.apply(wanted, rehearse=True)
    assert cluster.get(place) is None
    made = cluster.apply(wanted)
    assert made["data"] == cluster.get(place)["data"] == wanted["data"]
    cluster.apply(document("ConfigMap", "two", labels={"a": "1"}, data={}))
    for label, names in (("a=1", {"one", "two"}), ("a=1,b=2", {"one"}), ("a=2", set())):
        found = cluster.labelled("v1", "ConfigMap", "openstack", label)
        # In a list Kubernetes' API leaves out what they are.
        assert {Ref.of(each) for each in found} == {
            Ref("v1", "ConfigMap", "openstack", name) for name in names
        }
    for name in ("one", "two", "two"):
        cluster.delete(Ref("v1", "ConfigMap", "openstack", name))
    assert cluster.labelled("v1", "ConfigMap", "openstack", "a=1") == []


def pods_of_a_job_tell_what_they_wait_for(cluster):
    """A job is given a selector, and its pods are found by it, with the states of containers."""
    selector = cluster.apply(job())["spec"]["selector"]["matchLabels"]
    assert cluster.get(Ref.of(job()))["spec"]["selector"]["matchLabels"] == selector
    cluster.apply(pod("tables-1", selector))
    cluster.apply(pod("other", {"x": "y"}))
    status = {
        "containerStatuses": [
            {
                "name": "db-sync",
                "image": "r/n:1",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": PULL,
            }
        ]
    }
    cluster.apply_status({**document("Pod", "tables-1", labels=selector), "status": status})
    label = ",".join(f"{key}={value}" for key, value in selector.items())
    (found,) = cluster.labelled("v1", "Pod", "openstack", label)
    assert found["metadata"]["name"] == "tables-1"
    (container,) = found["status"]["containerStatuses"]
    assert container["state"] == PULL
    for each in (job(), pod("tables-1", {}), pod("other", {})):
        cluster.delete(Ref.of(each))


LAWS = (objects_are_found_as_they_were_applied, pods_of_a_job_tell_what_they_wait_for)
