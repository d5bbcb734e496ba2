import pytest
from yarl import URL

from console.webhooks.targets import TargetRefusedError, Targets


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.1.1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ],
)
def test_metadata_and_link_local_are_refused_whatever_is_listed(address):
    everything = Targets(("0.0.0.0/0", "::/0", "metadata.internal"))
    with pytest.raises(TargetRefusedError, match="never"):
        everything.judge("metadata.internal", address, encrypted=True)


PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fc00::1",
    "::ffff:10.0.0.1",
    "240.0.0.1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused_unless_listed(address):
    with pytest.raises(TargetRefusedError, match="allow_private"):
        Targets().judge("inside.example", address, encrypted=True)
    Targets(("inside.example",)).judge("Inside.Example.", address, encrypted=False)


def test_a_listed_network_opens_its_addresses_only():
    targets = Targets(("10.0.0.0/8",))
    targets.judge("a.example", "10.1.2.3", encrypted=False)
    with pytest.raises(TargetRefusedError):
        targets.judge("a.example", "192.168.0.1", encrypted=True)


def test_public_targets_get_it_encrypted_only():
    Targets().judge("hooks.example", "93.184.216.34", encrypted=True)
    with pytest.raises(TargetRefusedError, match="https"):
        Targets().judge("hooks.example", "93.184.216.34", encrypted=False)


@pytest.mark.parametrize(
    "url", ["ftp://example.com", "https://user:secret@example.com/", "https://[::1]/", "http://127.0.0.1/"]
)
def test_urls_are_judged_before_anything_is_resolved(url):
    with pytest.raises(TargetRefusedError) as caught:
        Targets().judge_url(URL(url))
    assert "secret" not in str(caught.value)
