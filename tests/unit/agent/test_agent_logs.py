"""What agents log as JSON holds no secret, whatever happens."""

import json
import logging
import time

import pytest
from oslo_config import cfg
from oslo_log import formatters, log

from swanherd.core.failures import Permanent, Temporary
from swanherd.core.ike import LoadConfig, LoadSecret
from swanherd.core.model import DataPlane, Reason
from swanherd.core.peering import ike_config
from swanherd.core.tunnels import Timing
from swanherd.reconcile.loop import World
from swanherd.reconcile.wheel import Wheel
from swanherd.testing import builders as make
from swanherd.testing.charon import FakeCharon
from swanherd.testing.node import FakeNode

CONNECTION = make.connection()
ROUTER = make.desired(CONNECTION)
SECRETS = (CONNECTION.psk.value, ROUTER.naming_key.value)


class Server:
    def get_router(self, _router_id):
        return ROUTER

    def get_revisions(self):
        return {ROUTER.id: ROUTER.revision}

    def report(self, reports):
        raise Temporary(ROUTER.id, Reason("server_unreachable", "away"))


@pytest.fixture
def lines():
    """The lines that oslo.log's formatter makes of all that our loggers say."""
    found = []

    class Handler(logging.Handler):
        def emit(self, record):
            found.append(self.format(record))

    handler, logger = Handler(), logging.getLogger("swanherd")
    handler.setFormatter(formatters.JSONFormatter())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


def break_on(value):
    raise ValueError(value)


def test_a_turn_is_told_without_its_secrets(lines):
    """Each action with what it is of, each failure with its reason: in every field of the JSON."""
    for failing in (None, Temporary, Permanent):
        charon = FakeCharon()
        if failing is not None:
            charon.fail_at(4, failing)
        world = World(Server(), FakeNode(), charon, DataPlane.KERNEL)
        Wheel(world, Server(), Timing(0.0), time.monotonic, lambda: 0.0).turn(ROUTER.id)
    documents = [json.loads(line) for line in lines]
    said = " ".join(document["message"] for document in documents)
    assert "LoadSecret(" in said
    assert "failed" in said
    assert not [line for line in lines if any(secret in line for secret in SECRETS)]


def test_arguments_that_the_formatter_takes_apart_stay_closed(lines):
    """It also writes a record's arguments, and the exception, each in a way of its own."""
    config = ike_config(CONNECTION, ROUTER.naming_key)
    logger = logging.getLogger("swanherd.test")
    for value in (ROUTER, CONNECTION, CONNECTION.psk, LoadSecret(CONNECTION), LoadConfig(config)):
        logger.info("%s", value)
        logger.info("%(it)s", {"it": value})
        logger.info("%s", [value])
        try:
            break_on(value)
        except ValueError:
            logger.exception("It broke")
    assert len(lines) == 20
    assert not [line for line in lines if any(secret in line for secret in SECRETS)]


def test_the_option_that_is_documented_exists():
    """`[DEFAULT] use_json`."""
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    conf([])
    assert conf.use_json is False
