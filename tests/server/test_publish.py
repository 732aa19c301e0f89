"""Revocation lists of the server's own CAs: made by the authority's process, handed out by the front."""

from __future__ import annotations

import datetime
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from conftest import children, eventually
from cryptography import x509
from test_ca_commands import Authority, number_of

FOLDER = "/.well-known/handclasp/crl"

# Says which paths reached it.
PATHS = """
seen = []
def app(environ, start_response):
    seen.append(environ["PATH_INFO"])
    start_response("200 OK", [])
    return [repr(seen).encode()]
"""


@pytest.fixture
def authority(program, own_state) -> Authority:
    return Authority(program, own_state)


def path_of(authority: Authority, stem: str = "ca") -> str:
    found = authority.issuer(stem).extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return f"{FOLDER}/{found.value.digest.hex()}.crl"


def fetch(server, authority: Authority, stem: str = "ca", **options) -> x509.CertificateRevocationList:
    answer = server.request(path_of(authority, stem), **options)
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/pkix-crl"
    found = x509.load_der_x509_crl(answer.body)
    assert found.is_signature_valid(authority.issuer(stem).public_key())
    return found


def published(server, authority: Authority, stem: str = "ca", **options) -> set[int]:
    return {entry.serial_number for entry in fetch(server, authority, stem, **options)}


def is_there(server, authority: Authority, stem: str = "ca", **options) -> None:
    eventually(lambda: server.request(path_of(authority, stem), **options).status == 200, f"the list of {stem}")


def serial(authority: Authority, stem: str) -> int:
    return authority.certificate(stem).serial_number


def by_trust_of(authority: Authority, client: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.state / "ca/trust.pem")
    context.load_cert_chain(*(authority.state / f"clients/{client}.{kind}" for kind in ("pem", "key")))
    return context


def reload(server, authority: Authority) -> None:
    done = authority.run(command="reload")
    assert done.returncode == 0, done.stderr


def test_a_revocation_shows_in_the_published_list_within_seconds(server, authority):
    with server(state=authority.state) as running:
        is_there(running, authority)
        first = fetch(running, authority)
        assert list(first) == []
        authority.do("revoke", "bob", "--reason", "keyCompromise")
        eventually(lambda: published(running, authority) == {serial(authority, "bob")}, "the revocation", 5)
        second = fetch(running, authority)
        assert number_of(second) > number_of(first)
        entry = second.get_revoked_certificate_by_serial_number(serial(authority, "bob"))
        assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.key_compromise
        assert authority.audit("--action", "crl.make")[0]["who"] == "server"


def test_what_is_no_revocation_makes_no_list(server, authority):
    with server(state=authority.state) as running:
        is_there(running, authority)
        made = len(authority.audit("--action", "crl.make"))
        authority.do("suspend", "bob")
        authority.do("issue", "carol")
        authority.do("revoke", "carol")
        eventually(lambda: published(running, authority) == {serial(authority, "carol")}, "the revocation", 5)
        assert len(authority.audit("--action", "crl.make")) == made + 1


def test_the_path_never_reaches_the_application(server, authority):
    with server(PATHS, state=authority.state) as running:
        is_there(running, authority)
        for path in (FOLDER, FOLDER + "/", FOLDER + "/none.crl", path_of(authority) + "/x", FOLDER + "/../crl/x"):
            assert running.request(path).status == 404, path
        posted = running.request(path_of(authority), method="POST", body="x")
        assert (posted.status, posted.headers["Allow"]) == (405, "GET, HEAD")
        assert running.request(FOLDER, method="HEAD").body == b""
        assert not [line for line in running.log() if " ERROR " in line]
        assert running.request("/.well-known/handclasp/crlx").text == "['/.well-known/handclasp/crlx']"


def test_head_says_how_long_the_list_is(server, authority):
    with server(state=authority.state) as running:
        is_there(running, authority)
        whole = running.request(path_of(authority))
        head = running.request(path_of(authority), method="HEAD")
        assert head.status == 200
        assert head.body == b""
        assert head.headers["Content-Length"] == str(len(whole.body))
        kept = running.connection()
        for _ in range(3):
            assert running.request(path_of(authority), over=kept).body == whole.body
        kept.close()


def test_by_default_the_mode_decides_who_fetches_it(server, authority):
    with server(state=authority.state) as running:
        is_there(running, authority)
        with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
            running.request(path_of(authority), client=None)
    with server(state=authority.state, client_cert="optional") as running:
        is_there(running, authority, client=None)


@pytest.mark.parametrize("mode", ["required", "optional", "request", "none"])
def test_where_it_is_published_to_anyone_no_certificate_is_needed_for_exactly_this_path(server, authority, mode):
    with server(PATHS, state=authority.state, client_cert=mode, publish_crl="anyone") as running:
        is_there(running, authority, client=None)
        others = running.request("/", client=None)
        beside = running.request("/.well-known/handclasp", client=None)
        expected = 403 if mode == "required" else 200
        assert (others.status, beside.status) == (expected, expected)
        if mode == "required":
            assert "no-certificate" in others.text
            ambiguous = running.request(path_of(authority).replace("handclasp/", "handclasp%2f"), client=None)
            assert ambiguous.status == 400
            with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
                stranger = running.ssl_context(None)
                stranger.load_cert_chain(*self_signed(authority.state))
                running.request("/", context=stranger)


# What others take for the published path, or for a way out of it.
SPELLINGS = [
    "{}%00", "{}/../../../../admin", "{}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/admin", "{}/..%2f..%2f..%2f..%2fadmin", "/{}",
    "/x/..{}", "/admin?{}", "//localhost{}", "/.WELL-KNOWN/handclasp/crl/x.crl", FOLDER + ";/../../admin",
    FOLDER + "\\..\\admin", FOLDER + "x",
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_no_spelling_of_the_path_lets_anyone_reach_the_application(server, authority, method):
    with server(PATHS, state=authority.state, publish_crl="anyone") as running:
        is_there(running, authority, client=None)
        for spelling in SPELLINGS:
            path = spelling.format(path_of(authority))
            assert running.request(path, method=method, client=None).status in (400, 403), path
        kept = running.connection(client=None)
        assert running.request(path_of(authority), over=kept).status == 200
        assert running.request("/admin", over=kept).status == 403
        kept.close()
        assert running.request("/last").text == "['/last']"


def test_without_a_registry_nothing_is_published_and_the_handshake_stays_as_it_is(server, authority):
    with server(PATHS, state=authority.state, registry="none", publish_crl="anyone") as running:
        assert running.request(path_of(authority)).status == 404
        with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
            running.request("/", client=None)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate of nobody's."""
    pair = folder / "stranger.pem", folder / "stranger.key"
    line = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=x".split()
    subprocess.run([*line, "-out", pair[0], "-keyout", pair[1]], check=True, capture_output=True)
    return pair


def test_switched_off_there_is_none_and_no_key_leaves_the_disk(server, authority):
    made = len(authority.audit("--action", "crl.make"))
    with server(PATHS, state=authority.state, publish_crl="off") as running:
        assert running.request("/").status == 200
        assert running.request(path_of(authority)).status == 404
        authority.do("revoke", "bob")
        assert running.request(path_of(authority)).status == 404
        assert len(authority.audit("--action", "crl.make")) == made


def test_after_a_rotation_and_a_reload_both_cas_have_lists_and_clients(server, authority):
    with server(state=authority.state) as running:
        is_there(running, authority)
        authority.ca("rotate")
        authority.do("issue", "carol")
        reload(running, authority)
        # The server's own certificate is the old CA's still: clients check it by what has both.
        carol, alice = (by_trust_of(authority, who) for who in ("carol", "alice"))
        is_there(running, authority, context=carol)
        assert running.request("/", context=alice).status == 200
        is_there(running, authority, "old-1", context=alice)
        authority.do("revoke", "bob")
        authority.do("issue", "dave")
        authority.do("revoke", "dave")
        eventually(
            lambda: published(running, authority, "old-1", context=carol) == {serial(authority, "bob")}, "bob", 5
        )
        eventually(lambda: published(running, authority, context=carol) == {serial(authority, "dave")}, "dave", 5)
        authority.do("revoke", "alice")
        authority.ca("retire", "old-1")
        reload(running, authority)
        with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
            running.request("/", context=alice)
        assert running.request("/", context=carol).status == 200


def test_where_the_key_is_kept_elsewhere_the_operators_list_is_published_as_it_is(server, authority, tmp_path):
    away = tmp_path / "with-the-key"
    with server(state=authority.state) as running:
        pass
    shutil.copytree(authority.state, away)
    (authority.state / "ca/ca.key").unlink()
    made = len(authority.audit("--action", "crl.make"))
    with server(state=authority.state) as running:
        assert running.request(path_of(authority)).status == 404
        authority.do("revoke", "bob")
        shutil.copy(authority.state / "registry.db", away / "registry.db")
        Authority(authority.program, away).ca("crl")
        (ready,) = (away / "crl").iterdir()
        (authority.state / "crl").mkdir()
        shutil.copy(ready, authority.state / "crl/new")
        (authority.state / "crl/new").rename(authority.state / "crl" / ready.name)
        is_there(running, authority)
        assert running.request(path_of(authority)).body == ready.read_bytes()
        assert published(running, authority) == {serial(authority, "bob")}
        assert len(authority.audit("--action", "crl.make")) == made


def test_a_list_that_the_ca_did_not_sign_is_not_published(server, authority, other_state, tmp_path):
    other = Authority(authority.program, tmp_path / "other")
    shutil.copytree(other_state, other.state)
    other.ca("crl", "--out", tmp_path / "other.crl")
    (authority.state / "ca/ca.key").unlink()
    (authority.state / "crl").mkdir()
    name = Path(path_of(authority)).name
    shutil.copy(tmp_path / "other.crl", authority.state / "crl" / name)
    with server(state=authority.state) as running:
        running.wait_for("is not published: it is not a list")
        assert running.request(path_of(authority)).status == 404


def test_an_encrypted_key_is_opened_with_its_passphrase(server, authority, tmp_path):
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    authority.ca("encrypt", "--new-passphrase-file", passphrase)
    with server(state=authority.state, ca_passphrase_file=passphrase) as running:
        is_there(running, authority)
    shutil.copy(passphrase, tmp_path / "handclasp-ca-passphrase")
    with server(state=authority.state, env={"CREDENTIALS_DIRECTORY": str(tmp_path)}) as running:
        is_there(running, authority)
    with server(state=authority.state) as running:
        running.wait_for("ca/ca.key cannot be used, so lists are published from crl/ alone")
        assert running.request("/").status == 200
        assert running.request(path_of(authority)).status == 404


def test_a_list_is_as_long_good_as_was_asked(server, authority):
    with server(state=authority.state) as running:
        is_there(running, authority)
        first = fetch(running, authority)
    assert first.next_update_utc - first.last_update_utc == datetime.timedelta(days=7)
    with server(state=authority.state, crl_days=1) as running:
        is_there(running, authority)
        second = fetch(running, authority)
        assert second.next_update_utc - second.last_update_utc == datetime.timedelta(days=1)
        assert number_of(second) > number_of(first)


def test_the_number_does_not_go_back_with_a_backup_that_is_put_back(server, authority, tmp_path):
    with server(state=authority.state) as running:
        is_there(running, authority)
        (tmp_path / "backup").mkdir()
        shutil.copy(authority.state / "registry.db", tmp_path / "backup")
        shutil.copytree(authority.state / "ca", tmp_path / "backup/ca")
        authority.do("revoke", "bob")
        eventually(lambda: published(running, authority) == {serial(authority, "bob")}, "the revocation", 5)
        last = number_of(fetch(running, authority))
    for name in ("registry.db", "ca"):
        kept = authority.state / name
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
        copied = tmp_path / "backup" / name
        (shutil.copytree if copied.is_dir() else shutil.copy)(copied, kept)
    with server(state=authority.state) as running:
        is_there(running, authority)
        assert number_of(fetch(running, authority)) > last
        assert running.request("/", client="alice").status == 200


def test_a_killed_authority_publishes_again(server, authority):
    with server(state=authority.state) as running:
        is_there(running, authority)
        before = number_of(fetch(running, authority))
        (pid,) = [p for p, line in children(running.pid) if line[1:2] == ["authority"]]
        os.kill(pid, 9)
        authority.do("revoke", "bob")
        eventually(lambda: published(running, authority) == {serial(authority, "bob")}, "the revocation", 10)
        assert number_of(fetch(running, authority)) > before
