"""Clients of the clouds' APIs: the configuration file and the SDK."""

from __future__ import annotations

import os
import warnings
from typing import Any

import yaml

from lab.layout import ADMIN_PASSWORD, USER_PASSWORD, CloudPlan, Lab


def write_configuration(lab: Lab) -> None:
    """Write the clouds.yaml of both clouds: a, b (project demo), other-a, … and admin-a, …."""
    entries = {}
    for cloud in lab.clouds:
        entries[cloud.name] = _entry(cloud, "demo", USER_PASSWORD)
        entries[f"other-{cloud.name}"] = _entry(cloud, "other", USER_PASSWORD)
        entries[f"admin-{cloud.name}"] = _entry(cloud, "admin", ADMIN_PASSWORD)
    descriptor = os.open(lab.clouds_yaml, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump({"clouds": entries}, file)


def _entry(cloud: CloudPlan, user: str, password: str) -> dict[str, Any]:
    return {
        "auth": {
            "auth_url": f"http://{cloud.api_address}:5000/v3",
            "username": user,
            "password": password,
            "project_name": user,
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
        "region_name": "RegionOne",
    }


def connect(lab: Lab, entry: str) -> Any:
    """Return an SDK connection for an entry of clouds.yaml; call it in the user box's network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import openstack
        import openstack.config

    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
    files = [str(lab.clouds_yaml)]
    config = openstack.config.OpenStackConfig(config_files=files, load_envvars=False)
    return openstack.connection.Connection(config=config.get_one(entry))
