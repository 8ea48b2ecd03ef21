import pytest
from oslo_config import cfg

from swanherd.rpc import transport


@pytest.mark.parametrize(
    ("configured", "expected"),
    [("", transport.LONGEST_PAUSE), ("[oslo_messaging_rabbit]\nrabbit_interval_max = 9\n", 9)],
)
def test_a_bus_that_is_back_is_found_soon_unless_it_is_configured_otherwise(
    tmp_path, configured, expected
):
    """oslo.messaging, which registers its options when a transport is made, takes ours as well."""
    file = tmp_path / "swanherd.conf"
    file.write_text(f"[DEFAULT]\ntransport_url = rabbit://\n{configured}")
    conf = cfg.ConfigOpts()
    transport.find_bus_soon(conf)
    conf([], default_config_files=[str(file)])
    opened = transport.open_transport(conf)
    try:
        assert expected == conf.oslo_messaging_rabbit.rabbit_interval_max
    finally:
        opened.cleanup()
