"""Where a document comes from, and whether a cloud has VPN services. All I/O is here."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from swanherd_operator.document import API_GROUP

# More than any cluster takes: etcd's limit is 1.5 MiB. What is larger would be read for minutes.
SIZE = 2 * 1024 * 1024
LINE = b"\n"
_PATIENCE = 30.0
# How Python shows what has no words of its own: with an address that is another one each time.
_OBJECT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>:? ?")


class Unreadable(Exception):
    """A source that can't be read; the sentence says why."""


def read(path: str) -> str:
    """Return the text of a file, or of standard input for `-`."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read(SIZE + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(SIZE + 1)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from None
    if len(data) > SIZE:
        raise Unreadable(f"{path}: larger than {SIZE // 2**20} MiB: that is no deployment")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        place = f"line {data.count(LINE, 0, error.start) + 1}"
        raise Unreadable(f"{path}: {place}: this isn't text in UTF-8") from None


def from_cluster(namespace: str, name: str) -> str:
    """Return the resource as the cluster of the current kubeconfig has it, as JSON."""
    try:
        from kubernetes import client, config
        from urllib3.exceptions import HTTPError
    except ImportError:
        raise Unreadable("reading a cluster needs swanherd-operator[cluster]") from None
    try:
        config.load_kube_config()
        found: Any = client.CustomObjectsApi().get_namespaced_custom_object(
            API_GROUP, "v1alpha1", namespace, "openstackdeployments", name
        )
    except (config.ConfigException, client.ApiException, HTTPError, OSError) as error:
        raise Unreadable(f"cluster: {_sentence(error)}") from None
    except yaml.YAMLError:
        raise Unreadable("cluster: the kubeconfig isn't YAML") from None
    return json.dumps(found)


def vpn_services(cloud: str, patience: float = _PATIENCE) -> int:
    """Return how many VPN services all projects of a cloud have (an entry of clouds.yaml).

    A request that isn't answered for `patience` seconds fails.
    """
    try:
        import openstack
        from keystoneauth1.exceptions import ClientException
    except ImportError:
        raise Unreadable("asking a cloud needs swanherd-operator[cloud]") from None
    try:
        connection = openstack.connect(cloud=cloud, api_timeout=patience)
        return sum(1 for _ in connection.network.vpn_services())
    except (openstack.exceptions.SDKException, ClientException, OSError) as error:
        raise Unreadable(f"cloud {cloud}: {_sentence(error)}") from None


def _sentence(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return _OBJECT.sub("", str(reason or error)).strip().partition("\n")[0]
