"""The keys that encrypt PSKs: from the options, or from a key manager through castellan."""

from __future__ import annotations

import base64
from typing import Any

from neutron_lib import context as n_context
from oslo_log import log as logging

from swanherd.server.db.vault import Keyring

LOG = logging.getLogger(__name__)


def keyring(conf: Any) -> Keyring:
    """Return what the options say; warn if that is nothing."""
    options = conf.swanherd
    keys = [*options.psk_keys, *_managed(conf, options.psk_key_ids)]
    if not keys:
        LOG.warning(
            "Pre-shared keys are stored in clear, as neutron-vpnaas does: set [swanherd] psk_keys "
            "and run `swanherdctl secrets rotate`."
        )
    return Keyring(keys)


def _managed(conf: Any, key_ids: list[str]) -> list[str]:
    if not key_ids:
        return []
    # The extra `castellan` brings it.
    from castellan import key_manager
    from castellan.common import utils

    manager, who = key_manager.API(conf), n_context.get_admin_context()
    conf.register_opts(utils.credential_opts, group=utils.OPT_GROUP)
    if conf.key_manager.auth_type:  # else it is one that asks nobody who he is, as Vault's
        who = utils.credential_factory(conf, who)
    found = (manager.get(who, key_id).get_encoded() for key_id in key_ids)
    return [base64.urlsafe_b64encode(key).decode() for key in found]
