import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mesh_runtime.identity.authority import Authority, AuthorityError, spiffe_id
from mesh_runtime.identity.leaves import Leaves

CATALOG = spiffe_id("shop", "catalog")


class Now:
    def __init__(self):
        self.ms = 1_900_000_000_000

    def __call__(self):
        return self.ms


@pytest.fixture
def now():
    return Now()


@pytest.fixture
def authority(tmp_path, now):
    return Authority(tmp_path / "ca", now)


def certificates(leaf):
    return x509.load_pem_x509_certificates(leaf.chain_pem.encode())


def test_a_leaf_carries_exactly_its_spiffe_id_and_is_signed_by_the_root(authority):
    leaf, root = certificates(authority.issue(CATALOG))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert [name.value for name in names.value] == ["spiffe://cluster.local/ns/shop/sa/catalog"]
    leaf.verify_directly_issued_by(root)
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)


def test_a_leaf_lives_for_an_hour_and_is_due_half_way(authority, now):
    leaf = authority.issue(CATALOG)
    assert leaf.not_after_ms == now.ms + 3600_000
    assert leaf.half_life_ms == now.ms + 1800_000


def test_the_root_survives_a_restart_and_only_its_owner_may_read_it(tmp_path, now):
    first = Authority(tmp_path / "ca", now)
    again = Authority(tmp_path / "ca", now)
    assert again.root_pem == first.root_pem
    assert stat.S_IMODE((tmp_path / "ca/root.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "ca").iterdir()] == ["root.pem"]


def test_a_damaged_root_is_an_error_that_says_the_way_out(tmp_path, now):
    (tmp_path / "root.pem").write_text("rubbish")
    with pytest.raises(AuthorityError, match="move it away"):
        Authority(tmp_path, now)


def test_a_key_never_shows_in_a_repr(authority):
    assert "PRIVATE" not in repr(authority.issue(CATALOG))


def test_a_server_certificate_names_hosts_and_addresses(authority):
    leaf, _ = certificates(authority.issue_server(["localhost", "127.0.0.1"]))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_replicas_share_an_identity_but_not_a_key(authority):
    leaves = Leaves(authority)
    one, two = leaves.leaf("one", CATALOG), leaves.leaf("two", CATALOG)
    assert one.identity == two.identity
    assert one.key_pem != two.key_pem


def test_leaves_are_renewed_from_half_their_life_on(authority, now):
    leaves = Leaves(authority)
    first = leaves.leaf("one", CATALOG)
    now.ms = leaves.next_due_ms() - 1
    assert not leaves.renew_due(now.ms)
    now.ms += 1
    assert leaves.renew_due(now.ms)
    assert leaves.leaf("one", CATALOG).serial != first.serial


def test_a_proxy_that_changes_identity_gets_another_leaf_and_one_that_left_has_none(authority):
    leaves = Leaves(authority)
    leaves.leaf("one", CATALOG)
    assert leaves.leaf("one", spiffe_id("shop", "orders")).identity.endswith("/orders")
    leaves.keep_only([])
    assert not leaves.current
