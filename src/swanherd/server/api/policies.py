"""Who may do what: the rule names of neutron-vpnaas, Neutron's own defaults for project members.

Reading takes a member too: a connection's psk is in what is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neutron_lib import policy as base
from oslo_policy import policy

from swanherd.server.compat import rules as lib_rules

# resource → its collection in the URL
_RESOURCES = {
    "vpnservice": "vpnservices",
    "ikepolicy": "ikepolicies",
    "ipsecpolicy": "ipsecpolicies",
    "ipsec_site_connection": "ipsec-site-connections",
    "endpoint_group": "endpoint-groups",
}

_SCHEDULING = (
    ("get_vpn-routers", "GET", "/agents/{agent_id}/vpn-routers"),
    ("create_vpn-router", "POST", "/agents/{agent_id}/vpn-routers"),
    ("delete_vpn-router", "DELETE", "/agents/{agent_id}/vpn-routers/{router_id}"),
    ("get_vpn-agents", "GET", "/routers/{router_id}/vpn-agents"),
)


class OwnersFirst(policy.OrCheck):
    """`administrator or member of the project`, which asks the member first.

    Neutron asks for each row of a list, and oslo.policy looks at the signature of each of a
    rule's eight checks again: that took longer than to read the row. A target without a project
    (a body) is asked about in the order of the text, since for it Neutron's check may raise.
    """

    def __call__(
        self, target: Any, creds: Any, enforcer: Any, current_rule: str | None = None
    ) -> bool:
        """Tell whether one of them holds."""
        if "project_id" in target:
            checks = self.rules[-1].rules
            if all(check(target, creds, enforcer) for check in checks):
                return True
        return bool(super().__call__(target, creds, enforcer, current_rule))


class _MemberRule(policy.DocumentedRuleDefault):
    """A rule with neutron-lib's default text, whose answer comes sooner."""

    @property
    def check(self) -> Any:
        """Return what decides; as it was parsed if neutron-lib's text has another form."""
        parsed = super().check
        match parsed:
            case policy.OrCheck(rules=[policy.RuleCheck(), policy.AndCheck()] as rules):
                return OwnersFirst(rules)
        return parsed


def _rule(action: str, resource: str, before: str, operations: list[tuple[str, str]]) -> object:
    name = f"{action}_{resource}"
    return _MemberRule(
        name=name,
        check_str=lib_rules.ADMIN_OR_PROJECT_MEMBER,
        description=f"{action.capitalize()} a VPN {resource}",
        operations=[{"method": method, "path": path} for method, path in operations],
        scope_types=["project"],
        deprecated_rule=policy.DeprecatedRule(
            name=name,
            check_str=before,
            deprecated_reason="The VPN API supports the default roles",
            deprecated_since="2025.2",
        ),
    )


def _psk_rule() -> object:
    return _MemberRule(
        name="get_ipsec_site_connection:psk",
        check_str=lib_rules.ADMIN_OR_PROJECT_MEMBER,
        description="See the pre-shared key of a VPN ipsec_site_connection",
        operations=[{"method": "GET", "path": "/vpn/ipsec-site-connections/{id}"}],
        scope_types=["project"],
    )


def list_rules() -> Iterator[object]:
    """Return the rules of the five resources and of the scheduler."""
    for resource, collection in _RESOURCES.items():
        path = f"/vpn/{collection}"
        one = f"{path}/{{id}}"
        yield _rule("create", resource, base.RULE_ANY, [("POST", path)])
        yield _rule("update", resource, base.RULE_ADMIN_OR_OWNER, [("PUT", one)])
        yield _rule("delete", resource, base.RULE_ADMIN_OR_OWNER, [("DELETE", one)])
        yield _rule("get", resource, base.RULE_ADMIN_OR_OWNER, [("GET", path), ("GET", one)])
    yield _psk_rule()
    for name, method, path in _SCHEDULING:
        yield policy.DocumentedRuleDefault(
            name=name,
            check_str=lib_rules.ADMIN,
            description="See or change which VPN agent serves a router",
            operations=[{"method": method, "path": path}],
            scope_types=["project"],
        )
