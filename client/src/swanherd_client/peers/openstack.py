"""Another OpenStack cloud: a script of `openstack` commands for a user there."""

from __future__ import annotations

import shlex

from swanherd_client.peers.words import File, need_address, remark
from swanherd_client.tunnel import Policy, Tunnel

DEVICE = "OpenStack"
_HEAD = """\
#!/usr/bin/env bash
# {name}: the other side of connection {id}
# Run it with the credentials of the other cloud's project:  bash {label}.sh ROUTER
set -euo pipefail
router=${{1:?usage: bash {label}.sh ROUTER (the name or id of the router in this cloud)}}
{psk}
# The subnet of that range which is on the router.
subnet() {{
  local id
  for id in $(openstack subnet list --subnet-range "$1" -f value -c ID); do
    if [ -n "$(openstack port list --router "$router" --fixed-ip "subnet=$id" -f value -c ID)" ]
    then echo "$id"; return; fi
  done
  echo "no subnet $1 on router $router" >&2
  return 1
}}
router_id=$(openstack router show "$router" -f value -c id)
"""
_SERVICE = """\
# One service of the router is enough: take what is there.
service=
while read -r id owner subnet; do
  if [ "$owner" = "$router_id" ] && [ "$subnet" = None ]; then service=$id; fi
done < <(openstack vpn service list --long -f value -c ID -c Router -c Subnet)
if [ -z "$service" ]; then
  service=$(openstack vpn service create --router "$router_id" -f value -c ID {label})
fi
address=$(openstack vpn service show "$service" -f value -c 'Ext v{family} IP')
if [ "$address" != {expected} ]; then
  echo "This cloud's VPN has the address $address. Set it as peer_address (and as peer_id, if" >&2
  echo "that is an address too) of connection {id} in the first cloud." >&2
fi
"""


def files(tunnel: Tunnel) -> tuple[File, ...]:
    """Return the script."""
    address = need_address(DEVICE, tunnel)
    name, q = tunnel.label, shlex.quote
    psk = ': "${PSK:?give the pre-shared key in the environment: PSK=...}"'
    if tunnel.psk is not None:
        psk = f"PSK={q(tunnel.psk)}"
    head = _HEAD.format(name=remark(tunnel.name), id=tunnel.id, label=name, psk=psk)
    service = _SERVICE.format(
        label=name, family=tunnel.outer_version, expected=q(address), id=tunnel.id
    )
    body = [head, *_policies(tunnel), *_groups(tunnel), service, _connection(tunnel, address)]
    return (File(f"{name}.sh", "\n".join(body) + "\n"),)


def _policies(tunnel: Tunnel) -> list[str]:
    mode = "aggressive" if tunnel.aggressive else "main"
    name = tunnel.label
    return [
        "# The client can't send lifetimes and dpd; each side may have its own.",
        f"ike=$(openstack vpn ike policy create --ike-version v{tunnel.version} "
        f"--phase1-negotiation-mode {mode} {_algorithms(tunnel.ike)} -f value -c ID {name})",
        f"ipsec=$(openstack vpn ipsec policy create --transform-protocol {tunnel.protocol} "
        f"--encapsulation-mode {'transport' if tunnel.transport else 'tunnel'} "
        f"{_algorithms(tunnel.ipsec)} -f value -c ID {name})",
    ]


def _algorithms(policy: Policy) -> str:
    return (
        f"--encryption-algorithm {shlex.quote(policy.encryption)} "
        f"--auth-algorithm {shlex.quote(policy.integrity)} --pfs group{policy.group}"
    )


def _groups(tunnel: Tunnel) -> list[str]:
    create, name = "openstack vpn endpoint group create", tunnel.label
    lines = ["values=()"]
    subnets = (shlex.quote(cidr) for cidr in tunnel.peer_networks)
    lines += [f'id=$(subnet {cidr}); values+=(--value "$id")' for cidr in subnets]
    lines.append(f'here=$({create} --type subnet "${{values[@]}}" -f value -c ID {name}-here)')
    remote = " ".join(f"--value {shlex.quote(cidr)}" for cidr in tunnel.cloud_networks)
    lines.append(f"there=$({create} --type cidr {remote} -f value -c ID {name}-there)")
    return lines


def _connection(tunnel: Tunnel, address: str) -> str:
    own = tunnel.peer_id_text
    # The other cloud names itself by its address unless it is told another name.
    local = "" if own == address else f"--local-id={shlex.quote(own)} "
    return (
        'openstack vpn ipsec site connection create --vpnservice "$service" --ikepolicy "$ike" '
        '--ipsecpolicy "$ipsec" --local-endpoint-group "$here" --peer-endpoint-group "$there" '
        f"--peer-address {shlex.quote(tunnel.cloud_address)} "
        f"--peer-id={shlex.quote(tunnel.cloud_id_text)} {local}"
        f'--psk="$PSK" {tunnel.label}'
    )
