"""What the guard of a network namespace lets through, as rules."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_guard.rules import LINK_LOCAL, Outbound, outbound, ports_of, rules

networks = st.lists(st.ip_addresses(v=4).map(str), max_size=4)


def verdict(text: str, address: str, port: int) -> str:
    """What becomes of a TCP connection that leaves, by these rules."""
    default = "ACCEPT"
    for line in text.splitlines():
        if line.startswith(":OUTPUT"):
            default = line.split()[1]
        if not line.startswith("-A OUTPUT") or "-o lo" in line:
            continue
        words = line.split()
        if "-d" in words:
            network = ipaddress.ip_network(words[words.index("-d") + 1])
            if ipaddress.ip_address(address) not in network:
                continue
        if "--dports" in words and str(port) not in words[words.index("--dports") + 1].split(","):
            continue
        return words[words.index("-j") + 1]
    return default


@given(networks, st.ip_addresses(v=4).map(str), st.integers(1, 65535))
def test_of_the_machine_only_nats_is_open_whatever_is_listed(
    listed: list[str], machine: str, port: int
) -> None:
    only = Outbound(cidrs=(*listed, machine, "0.0.0.0/0"))
    for text in (rules([machine], [4222]), rules([machine], [4222], only, ["10.0.0.9"])):
        assert verdict(text, machine, port) == ("ACCEPT" if port == 4222 else "REJECT")


@given(networks, st.ip_addresses(v=4), st.integers(1, 65535))
def test_with_a_list_nothing_else_is_open_but_nats(
    listed: list[str], target: ipaddress.IPv4Address, port: int
) -> None:
    text = rules(["10.0.0.1"], [4222], Outbound(cidrs=tuple(listed)), ["10.0.0.9"])
    link_local = target in ipaddress.ip_network(LINK_LOCAL)
    nats = str(target) in ("10.0.0.1", "10.0.0.9") and port == 4222
    fine = str(target) in listed and not link_local and str(target) != "10.0.0.1"
    assert (verdict(text, str(target), port) == "ACCEPT") == (nats or fine)


@pytest.mark.parametrize(
    "wrong", ["::1/128", "example.org", "10.0.0.1/8", "10.0.0.0/33", "-j ACCEPT"]
)
def test_what_is_no_network_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="outbound_cidr_allowlist"):
        outbound(["10.0.0.0/8", wrong])


def test_no_list_is_not_an_empty_list() -> None:
    assert outbound(None) is None
    assert outbound([]) == Outbound(cidrs=())


def test_ports_are_those_of_all_servers() -> None:
    assert ports_of(["nats://a:4333", "b", "wss://c", "http://d:3128"]) == (443, 3128, 4222, 4333)
