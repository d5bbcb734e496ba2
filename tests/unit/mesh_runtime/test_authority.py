import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mesh_runtime.identity.authority import ROOT_TTL_S, Authority, AuthorityError, Stage, spiffe_id
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


def test_leaves_that_are_not_valid_yet_since_the_clock_was_set_back_are_renewed_under_a_root_that_is(authority, now):
    leaves = Leaves(authority)
    leaves.leaf("one", CATALOG)
    now.ms -= 3600_000
    assert leaves.renew_due(now.ms)
    assert not leaves.renew_due(now.ms)
    begins = (
        one.not_valid_before_utc
        for one in x509.load_pem_x509_certificates(leaves.leaf("one", CATALOG).chain_pem.encode())
    )
    assert all(1000 * one.timestamp() <= now.ms for one in begins)


def test_a_proxy_that_changes_identity_gets_another_leaf_and_one_that_left_has_none(authority):
    leaves = Leaves(authority)
    leaves.leaf("one", CATALOG)
    assert leaves.leaf("one", spiffe_id("shop", "orders")).identity.endswith("/orders")
    leaves.keep_only([])
    assert not leaves.current


def issuers(authority):
    """Who signs, and how many are trusted."""
    return authority.fingerprint, len(x509.load_pem_x509_certificates(authority.bundle_pem.encode()))


def test_a_new_root_is_trusted_before_it_signs_and_the_old_one_after_it_does(authority):
    old, _ = issuers(authority)
    authority.prepare()
    assert issuers(authority) == (old, 2)
    assert authority.issue(CATALOG).root == old
    authority.switch()
    new, trusted = issuers(authority)
    assert (new != old, trusted) == (True, 2)
    leaf, root = certificates(authority.issue(CATALOG))
    leaf.verify_directly_issued_by(root)
    assert leaf.issuer != x509.load_pem_x509_certificates(authority.bundle_pem.encode())[1].subject
    authority.retire()
    assert issuers(authority) == (new, 1)


@pytest.mark.parametrize("steps", [("prepare",), ("prepare", "switch"), ("prepare", "switch", "retire")])
def test_each_step_of_a_new_root_survives_a_crash_and_whatever_it_left(tmp_path, now, steps):
    first = Authority(tmp_path, now)
    for step in steps:
        getattr(first, step)()
    (tmp_path / "root.tmp").write_text("half a fi")
    again = Authority(tmp_path, now)
    assert (again.stage, again.bundle_pem) == (first.stage, first.bundle_pem)
    assert issuers(again) == issuers(first)
    assert stat.S_IMODE((tmp_path / "root.pem").stat().st_mode) == 0o600
    for step in ("prepare", "switch", "retire"):
        getattr(again, step)()
    assert Authority(tmp_path, now).stage is Stage.ONE_ROOT


def test_steps_out_of_turn_change_nothing(authority):
    before = authority.bundle_pem
    authority.switch()
    authority.retire()
    assert authority.bundle_pem == before
    authority.prepare()
    both = authority.bundle_pem
    authority.prepare()
    assert authority.bundle_pem == both


def test_the_old_roots_key_is_forgotten_when_the_new_one_signs(tmp_path, authority):
    authority.prepare()
    assert (tmp_path / "ca/root.pem").read_text().count("PRIVATE KEY-----\n") == 4
    authority.switch()
    assert (tmp_path / "ca/root.pem").read_text().count("PRIVATE KEY-----\n") == 2


def test_a_root_is_due_a_month_before_it_ends(authority, now):
    now.ms += (ROOT_TTL_S - 31 * 24 * 3600) * 1000
    assert not authority.root_is_due
    now.ms += 2 * 24 * 3600 * 1000
    assert authority.root_is_due
