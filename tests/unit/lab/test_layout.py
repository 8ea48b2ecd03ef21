import dataclasses
import ipaddress
import json
import pathlib

import pytest

from lab import predecessor
from lab.database import cache_key
from lab.layout import Chassis, CloudPlan, Lab, LabError, Shape, gateway_of, interface_of

SHAPES = [
    Shape(),
    Shape(gateways=2),
    Shape(gateways=3, computes=4, backend_a="ovn-dvr", backend_b="ovs"),
    Shape(release_a=24, release_b=26),
    Shape(predecessor_b=29),
    Shape(predecessor_b=27),
]


def chassis_of(shape: Shape) -> list[tuple[CloudPlan, Chassis]]:
    return [(cloud, c) for name in "ab" for cloud in [shape.cloud(name)] for c in cloud.chassis]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_two_chassis_share_a_name_or_an_address(shape: Shape) -> None:
    """Whatever the shape, each chassis has its own name and addresses."""
    listed = chassis_of(shape)
    addresses = [f(cloud.number) for cloud, c in listed for f in (c.management, c.underlay)]
    assert len(listed) == len({c.name for _, c in listed})
    assert len(addresses) == len(set(addresses))
    assert all(ipaddress.ip_address(a) for a in addresses)


@pytest.mark.parametrize("shape", SHAPES)
def test_device_names_fit(shape: Shape) -> None:
    """A chassis' wires are named after it, and Linux takes at most 15 characters."""
    assert all(len(f"m-{name}") <= 15 for name in Lab("x", shape).box_names)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_central_chassis_is_a_gateway_on_the_public_wire(shape: Shape) -> None:
    """Gateways have a public wire; computes have one only where floating IPs may be on them."""
    for cloud, chassis in chassis_of(shape):
        assert chassis.public is (chassis.gateway or cloud.distributed)
    assert all(shape.cloud(n).central in shape.cloud(n).gateways for n in "ab")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_survives_its_file(shape: Shape) -> None:
    """What is written of a running lab is what another process reads."""
    assert shape == Shape(**json.loads(json.dumps(dataclasses.asdict(shape))))


@pytest.mark.parametrize(
    ("release", "end"), [(24, "neutron-24"), (26, "neutron-26"), (27, "neutron-27"), (29, ".venv")]
)
def test_a_cloud_runs_from_its_releases_environment(release: int, end: str) -> None:
    """Neutron of an older release is never run from the project's own environment."""
    assert Shape(release_a=release).cloud("a").venv.name == end
    assert Shape(release_a=release).cloud("b").venv.name == ".venv"


def test_schemas_of_another_release_are_not_taken_from_the_cache() -> None:
    """What the cache has of one release isn't served to a cloud of another."""
    shapes = [Shape(), Shape(release_a=24), Shape(release_a=26), Shape(release_b=26)]
    shapes += [Shape(release_b=27), Shape(predecessor_b=27), Shape(predecessor_b=29)]
    assert len({cache_key(Lab("x", shape)) for shape in shapes}) == len(shapes)


def test_a_release_that_is_not_supported_is_refused() -> None:
    """The sentence names those that are."""
    with pytest.raises(LabError, match="no Neutron 23; there are 24, 26, 27, 29"):
        Shape(release_a=23).cloud("a")


@pytest.mark.parametrize("name", ["", "a/b", "a b", "..", "x" * 21, "löss", "machine"])
def test_a_name_that_cannot_be_a_directory_is_refused(name: str) -> None:
    """SWANHERD_LAB is part of paths and socket names: only short plain names are taken."""
    with pytest.raises(LabError, match="SWANHERD_LAB"):
        Lab.named({"SWANHERD_LAB": name})


@pytest.mark.parametrize(
    ("cidr", "gateway", "interface"),
    [
        ("198.51.100.0/24", "198.51.100.1", "198.51.100.1/24"),
        ("2001:db8:a::/64", "2001:db8:a::1", "2001:db8:a::1/64"),
        ("10.0.0.128/25", "10.0.0.129", "10.0.0.129/25"),
    ],
)
def test_a_network_is_routed_by_its_first_address(cidr: str, gateway: str, interface: str) -> None:
    """The router of a prefix answers at its first host address."""
    assert gateway == gateway_of(cidr)
    assert interface == interface_of(cidr)


@pytest.mark.parametrize(
    ("theirs", "venv", "neutron"),
    [
        (27, "vpnaas-27-on-27", "neutron-27"),
        (28, "vpnaas-28", ".venv"),
        (29, "vpnaas-29", ".venv"),
    ],
)
def test_neutron_vpnaas_stands_on_its_own_neutron(theirs: int, venv: str, neutron: str) -> None:
    """Each release does, if the lab has that Neutron; Swanherd beside it stays on the newest."""
    shape = Shape(predecessor_b=theirs)
    plan = shape.cloud("b")
    assert (plan.venv.name, plan.neutron.name) == (venv, neutron)
    assert plan.program("neutron-db-manage") == (
        f"{plan.venv}/bin/python",
        f"{plan.neutron}/bin/neutron-db-manage",
    )
    assert shape.cloud("a").program("x") == (f"{shape.cloud('a').neutron}/bin/x",)
    assert shape.cloud("a").neutron.name == ".venv"


def test_only_the_rpc_server_of_27_is_another_program() -> None:
    """It has to be told of the agents; all other programs are as they were released."""
    server = predecessor.rpc_server(Shape(predecessor_b=27).cloud("b"))
    assert server is not None
    python, apart, program = server
    assert python.endswith("vpnaas-27-on-27/bin/python")
    # `neutron` must not be the lab's module of that name, which lies beside it.
    assert apart == "-P"
    assert pathlib.Path(program).exists()
    others = Shape(predecessor_b=29), Shape(), Shape(predecessor_b=27, backend_b="ovs")
    assert [predecessor.rpc_server(shape.cloud("b")) for shape in others] == [None] * 3


@pytest.mark.parametrize(("theirs", "release"), [(29, 26), (27, 26), (26, 26)])
def test_neutron_vpnaas_on_another_neutron_is_refused(theirs: int, release: int) -> None:
    """What the lab can't do it says."""
    with pytest.raises(LabError, match=f"no neutron-vpnaas {theirs} on Neutron {release}"):
        Shape(predecessor_a=theirs, release_a=release).cloud("a")
