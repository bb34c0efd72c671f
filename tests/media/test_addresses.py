from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laterna.errors import AddressRefused
from laterna.media.addresses import IPAddress, check, is_public, own_addresses

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0"]
PUBLIC += ["2606:4700:4700::1111", "2a00:1450:4001:812::200e", "2001:4860:4860::8888"]

REFUSED = ["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"]
REFUSED += ["168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192"]
REFUSED += ["192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.9"]
REFUSED += ["224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"]
REFUSED += ["::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::7f00:1"]
REFUSED += ["64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:808:808::1", "2001:2::1", "2001:10::1"]
REFUSED += ["2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "4000::1", "fc00::1"]
REFUSED += ["fd00:ec2::254", "fe80::1", "fe80::1%lo", "2606:4700::1%1", "fec0::1", "ff02::1", "5f00::1"]


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_pass(text: str) -> None:
    check(ip_address(text), allow=(), own=(), host=text)


@pytest.mark.parametrize("text", REFUSED)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(AddressRefused, match="may not reach"):
        check(ip_address(text), allow=(), own=(), host=text)


@given(st.ip_addresses())
def test_nothing_passes_that_python_calls_local(address: IPAddress) -> None:
    local = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    assert not (is_public(address) and (local or address.is_reserved or address.is_unspecified))


def test_own_addresses_are_refused_even_if_public() -> None:
    with pytest.raises(AddressRefused):
        check(ip_address("8.8.8.8"), allow=(), own={ip_address("8.8.8.8")}, host="me")
    assert ip_address("127.0.0.1") in own_addresses()


def test_trusted_networks_pass_and_only_they() -> None:
    allow = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    check(ip_address("10.1.2.3"), allow=allow, own={ip_address("10.1.2.3")}, host="x")
    check(ip_address("fd00::1"), allow=allow, own=(), host="x")
    with pytest.raises(AddressRefused):
        check(ip_address("10.2.0.1"), allow=allow, own=(), host="x")


def test_the_message_hides_what_a_name_resolves_to() -> None:
    with pytest.raises(AddressRefused) as caught:
        check(ip_address("10.20.30.40"), allow=(), own=(), host="intranet.example")
    assert "10.20.30.40" not in caught.value.message
    assert "intranet.example" in caught.value.message
