"""Which addresses a URL given by a user may lead to: public unicast ones, and nothing else.

A table of IANA's special-purpose blocks instead of `ipaddress.is_global`, whose answer depends on the Python version
and counts several blocks that carry an embedded IPv4 address as public. Names are not judged here, only what they
resolve to; `dial` does both at the moment of connecting.

Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 6890.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import psutil

from laterna.config import IPNetwork
from laterna.errors import AddressRefused

IPAddress = IPv4Address | IPv6Address
IP = (socket.AF_INET, socket.AF_INET6)

REFUSED_V4: tuple[IPNetwork, ...] = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",  # this network, unspecified
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT, Alibaba's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host agent, the one metadata service on a public address
        "169.254.0.0/16",  # link-local, metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocols, Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # multicast tunnels
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Whatever lies outside is refused: loopback, IPv4-mapped, NAT64, unique local (AWS's metadata), link-local, multicast.
GLOBAL_V6 = ip_network("2000::/3")
REFUSED_V6: tuple[IPNetwork, ...] = tuple(
    ip_network(block)
    for block in (
        "2001::/23",  # IETF protocols: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: an interface id of these 32 bits ends in an IPv4 address


def is_public(address: IPAddress) -> bool:
    """True when the address is public unicast and embeds no IPv4 address that a relay would unwrap."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in REFUSED_V4)
    if address.scope_id is not None or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return False
    return address in GLOBAL_V6 and not any(address in block for block in REFUSED_V6)


def check(address: IPAddress, *, allow: tuple[IPNetwork, ...], own: Collection[IPAddress], host: str) -> None:
    """Raise AddressRefused unless the address may be reached.

    Args:
        allow: networks that the operator trusts; they win over every refusal.
        own: this machine's addresses. A service that a firewall hides from outside answers on them from inside.
        host: what the user wrote; the message names it and not the address, which would tell them about inner networks.
    """
    if any(address in network for network in allow):
        return
    if not is_public(address) or address in own:
        raise AddressRefused(
            f"{host!r} leads to an address that URLs may not reach (private, local or reserved); use a public URL, "
            "a data: URI or an uploaded file, or let the operator trust its network by fetch_allow"
        )


def own_addresses() -> frozenset[IPAddress]:
    """Every address of this machine's interfaces, as they are now."""
    found = [item.address for items in psutil.net_if_addrs().values() for item in items if item.family in IP]
    return frozenset(ip_address(text.split("%")[0]) for text in found)
