"""ForwardedClientCertificate: who is believed, and what the application sees, with real certificates."""

from __future__ import annotations

import contextlib
import datetime
import gc
import os
import socket
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

from handclasp import forwarded
from handclasp.flask import Handclasp, client_required, current_certificate
from handclasp.forwarded import ForwardedClientCertificate

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Ca:
    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self._sign(self.name, self.key, ca=True)

    def _sign(self, subject: x509.Name, key: Any, *, ca: bool = False, end: Any = DAY) -> x509.Certificate:
        usage = {
            name: False
            for name in (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            )
        }
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 3 * DAY)
            .not_valid_after(NOW + end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=ca, crl_sign=ca, **usage), critical=True)
        )
        if not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str, end: Any = DAY) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._sign(subject, ec.generate_private_key(ec.SECP256R1()), end=end)

    def crl(self, *revoked: x509.Certificate) -> bytes:
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(NOW - DAY)
        builder = builder.next_update(NOW + DAY)
        for cert in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(cert.serial_number).revocation_date(NOW - DAY).build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def escaped(cert: x509.Certificate) -> str:
    return quote(pem(cert), safe="")


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca("Shop CA")


@pytest.fixture
def ca_file(ca: Ca, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text(pem(ca.cert))
    return path


def ca_path(ca: Ca) -> str:
    path = Path(tempfile.mkdtemp(), "ca.pem")
    path.write_text(pem(ca.cert))
    return str(path)


@contextlib.contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    """The server's side of a connection from there."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as peer:
        peer.bind((address, 0))
        peer.connect(listener.getsockname())
        accepted = listener.accept()[0]
        with accepted:
            yield accepted


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)

    @app.get("/see")
    def see() -> dict[str, Any]:
        return {key: value for key, value in request.environ.items() if isinstance(value, (str, int))}

    @app.get("/guarded")
    @client_required
    def guarded() -> str:
        return current_certificate.serial_hex

    return app


@pytest.fixture
def behind(app: Flask, ca_file: Path) -> Iterator[Any]:
    inner = app.wsgi_app

    def wrap(**options: Any) -> Any:
        options = {"form": "nginx", "trusted": ["127.0.0.1"], "registry": "none", "ca_certs": ca_file, **options}
        app.wsgi_app = ForwardedClientCertificate(inner, **options)  # type: ignore[method-assign]
        return app.test_client()

    yield wrap
    app.wsgi_app = inner  # type: ignore[method-assign]


def test_a_trusted_peer_s_certificate_is_the_identity(behind: Any, ca: Ca) -> None:
    alice = ca.issue("alice")
    client = behind()
    headers = {"X-SSL-Client-Cert": escaped(alice)}
    assert client.get("/guarded", headers=headers).text == f"{alice.serial_number:x}"
    seen = client.get("/see", headers=headers).json
    assert seen["SSL_CLIENT_S_DN"] == "CN=alice"
    assert seen["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert seen["handclasp.verdict"] == "ok"
    assert "HTTP_X_SSL_CLIENT_CERT" not in seen


SPELLINGS = [
    "X-SSL-Client-Cert",
    "X_SSL_Client_Cert",
    "x-ssl-client-cert",
    "X-SSL-CERT",
    "Client-Cert",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-Amzn-Mtls-Clientcert",
    "X-ARR-ClientCert",
    "Cf-Client-Cert-Der-Base64",
    "SSL-Client-Verify",
    "X-SSL-Client-S-DN",
    "Handclasp-Client",
]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8"], ["unix:"]])
def test_from_anyone_else_every_spelling_is_removed(behind: Any, ca: Ca, name: str, trusted: list[str]) -> None:
    client = behind(trusted=trusted)
    response = client.get("/see", headers={name: escaped(ca.issue("alice"))})
    assert response.json["handclasp.verdict"] == "no-certificate"
    assert "BEGIN" not in response.text
    assert client.get("/guarded", headers={name: escaped(ca.issue("alice"))}).status_code == 403


@pytest.mark.parametrize("peer", ["unix", "ProxyFix", "IPv4 in IPv6"])
def test_a_peer_is_named_in_its_own_way(behind: Any, app: Flask, ca: Ca, peer: str) -> None:
    headers = {"X-SSL-Client-Cert": escaped(ca.issue("alice")), "X-Forwarded-For": "192.0.2.7"}
    client = behind(trusted=["unix:"] if peer == "unix" else ["127.0.0.1"])
    address = {"unix": "", "ProxyFix": "127.0.0.1", "IPv4 in IPv6": "::ffff:127.0.0.1"}[peer]
    if peer == "ProxyFix":
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)  # type: ignore[method-assign]
    base = {"REMOTE_ADDR": address}
    assert client.get("/guarded", headers=headers, environ_base=base).status_code == 200
    # A header's address is not the peer's.
    if peer == "ProxyFix":
        forged = {**headers, "X-Forwarded-For": "127.0.0.1"}
        assert client.get("/guarded", headers=forged, environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 403


def proxied(app: Flask, times: int) -> None:
    for _ in range(times):
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)  # type: ignore[method-assign]


@pytest.mark.parametrize("forged", ["127.0.0.1", '"127.0.0.1"', '"127.0.0\\.1"', "192.0.2.9, 127.0.0.1"])
def test_an_address_out_of_a_header_is_no_peer_s_however_often_it_was_fixed(
    behind: Any, app: Flask, ca: Ca, forged: str
) -> None:
    headers = {"X-SSL-Client-Cert": escaped(ca.issue("alice")), "X-Forwarded-For": forged}
    client = behind()
    proxied(app, 2)
    for address in ("192.0.2.7", ""):
        assert client.get("/guarded", headers=headers, environ_base={"REMOTE_ADDR": address}).status_code == 403


@pytest.mark.parametrize("times", [0, 1, 2])
@pytest.mark.parametrize("inside", [0, 1, 2])
def test_the_connection_itself_says_who_the_peer_is(behind: Any, app: Flask, ca: Ca, times: int, inside: int) -> None:
    headers = {"X-SSL-Client-Cert": escaped(ca.issue("alice")), "X-Forwarded-For": "127.0.0.1"}
    wrapped = app.wsgi_app
    proxied(app, inside)
    app.wsgi_app = ForwardedClientCertificate(  # type: ignore[method-assign]
        app.wsgi_app, form="nginx", trusted=["127.0.0.1"], registry="none", ca_certs=ca_path(ca)
    )
    proxied(app, times)
    client = app.test_client()
    with connected("127.0.0.1") as near, connected("127.0.0.2") as far:
        base = {"REMOTE_ADDR": "192.0.2.7", "gunicorn.socket": near}
        assert client.get("/guarded", headers=headers, environ_base=base).status_code == 200
        base = {"REMOTE_ADDR": "127.0.0.1", "gunicorn.socket": far}
        assert client.get("/guarded", headers=headers, environ_base=base).status_code == 403
    with connected("127.0.0.1") as gone:
        pass
    base = {"REMOTE_ADDR": "127.0.0.1", "werkzeug.socket": gone}
    assert client.get("/guarded", headers=headers, environ_base=base).status_code == 403
    app.wsgi_app = wrapped  # type: ignore[method-assign]


@pytest.mark.parametrize("name", ["Werkzeug-Proxy-Fix-Orig", "werkzeug.proxy_fix.orig", "gunicorn.socket"])
def test_what_says_who_the_peer_is_cannot_be_made_by_a_header(behind: Any, ca: Ca, name: str) -> None:
    headers = {"X-SSL-Client-Cert": escaped(ca.issue("alice")), name: "127.0.0.1"}
    assert behind().get("/guarded", headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 403


@pytest.mark.parametrize("outside", [True, False])
def test_a_verify_function_is_asked_where_the_certificate_is_known(ca: Ca, outside: bool) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: "in")
    handclasp, asked = Handclasp(), []
    handclasp.verify_client(lambda attempt: asked.append(attempt.verdict) is None)

    def wrap() -> None:
        app.wsgi_app = ForwardedClientCertificate(  # type: ignore[method-assign]
            app.wsgi_app, form="nginx", trusted=["127.0.0.1"], registry="none", ca_certs=ca_path(ca)
        )

    for step in (lambda: handclasp.init_app(app), wrap) if outside else (wrap, lambda: handclasp.init_app(app)):
        step()
    headers = {"X-SSL-Client-Cert": escaped(ca.issue("alice"))}
    answers = [app.test_client().get("/", headers=headers) for _ in range(2)]
    assert [one.status_code for one in answers] == [200 if outside else 403] * 2
    assert asked == (["ok"] * 2 if outside else [])
    if not outside:
        assert "ForwardedClientCertificate" in answers[0].text


def test_an_inner_one_decides_for_itself(behind: Any, app: Flask, ca: Ca) -> None:
    """Two of them: the inner one finds no header any more, and believes nothing that the outer one says."""
    behind()
    app.wsgi_app = ForwardedClientCertificate(  # type: ignore[method-assign]
        app.wsgi_app, form="nginx", trusted=["127.0.0.1"], registry="none", ca_certs=ca_path(ca)
    )
    headers = {"X-SSL-Client-Cert": escaped(ca.issue("alice"))}
    assert app.test_client().get("/guarded", headers=headers).status_code == 403


@pytest.mark.parametrize("server", ["mod_wsgi.version", "uwsgi.version"])
def test_where_the_address_is_the_client_s_only_variables_are_believed(behind: Any, ca: Ca, server: str) -> None:
    alice, mallory = ca.issue("alice"), ca.issue("mallory")
    client = behind(form="apache")
    header = {"X-SSL-Client-Cert": escaped(mallory)}
    base = {"REMOTE_ADDR": "127.0.0.1", server: (5, 0)}
    assert client.get("/guarded", headers=header, environ_base=base).status_code == 403
    variables = {**base, "SSL_CLIENT_CERT": pem(alice), "SSL_CLIENT_VERIFY": "SUCCESS"}
    seen = client.get("/see", headers=header, environ_base=variables).json
    assert seen["SSL_CLIENT_S_DN"] == "CN=alice"
    # Beside gunicorn a variable of this name is nobody's.
    gunicorn = {"REMOTE_ADDR": "192.0.2.1", "SSL_CLIENT_CERT": pem(alice)}
    assert client.get("/guarded", environ_base=gunicorn).status_code == 403


@pytest.mark.parametrize(
    ("whose", "verdict"), [("expired", "expired"), ("self-made", "untrusted-issuer"), ("junk", "no-certificate")]
)
def test_a_certificate_is_verified_here_again(behind: Any, ca: Ca, whose: str, verdict: str, caplog: Any) -> None:
    cert = ca.issue("alice", end=-DAY) if whose == "expired" else Ca("Shop CA").issue("alice")
    text = escaped(cert) if whose != "junk" else quote("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----")
    client = behind()
    headers = {"X-SSL-Client-Cert": text, "X-SSL-Client-Verify": "SUCCESS"}
    seen = client.get("/see", headers=headers).json
    assert seen["handclasp.verdict"] == verdict
    assert "REMOTE_USER" not in seen
    assert client.get("/guarded", headers=headers).status_code == 403
    if whose == "junk":
        assert "no certificate" in caplog.text
    else:
        assert f"verdict={verdict}" in caplog.text
        assert f"serial={cert.serial_number:x} serial_decimal={cert.serial_number}" in caplog.text


@pytest.mark.parametrize("mode", ["verify", "passthrough"])
def test_an_alb_hands_over_a_certificate_that_is_verified_here(behind: Any, app: Flask, ca: Ca, mode: str) -> None:
    """In passthrough the intermediate that the client sent is needed, and a self-made chain is worth nothing."""
    middle, impostor = Ca("Middle CA"), Ca("Middle CA")
    middle.cert = ca._sign(middle.name, middle.key, ca=True)
    client = behind(form="aws-alb", trusted=["10.0.0.0/16"])

    def ask(*chain: x509.Certificate, address: str = "10.0.3.4") -> Any:
        name = "X-Amzn-Mtls-Clientcert" + ("-Leaf" if mode == "verify" else "")
        headers = {
            name: quote("".join(map(pem, chain)), safe="+=/"),
            "X-Amzn-Mtls-Clientcert-Subject": "CN=root",
            "X-Amzn-Mtls-Clientcert-Serial-Number": "01",
        }
        return client.get("/see", headers=headers, environ_base={"REMOTE_ADDR": address})

    alice = middle.issue("alice")
    if mode == "passthrough":
        seen = ask(alice, middle.cert).json
        assert (seen["handclasp.verdict"], seen["SSL_CLIENT_S_DN"]) == ("ok", "CN=alice")
        assert "CN=root" not in seen.values()
        assert ask(impostor.issue("alice"), impostor.cert).json["handclasp.verdict"] == "untrusted-issuer"
        assert ask(impostor.issue("alice"), middle.cert).json["handclasp.verdict"] == "untrusted-issuer"
    bob = ca.issue("bob")
    assert ask(bob).json["SSL_CLIENT_S_DN"] == "CN=bob"
    assert ask(bob, address="10.1.0.1").json["handclasp.verdict"] == "no-certificate"
    assert ask(Ca("Shop CA").issue("bob")).json["handclasp.verdict"] == "untrusted-issuer"


def test_a_header_that_disagrees_with_a_variable_is_nobody(behind: Any, ca: Ca, caplog: Any) -> None:
    alice, mallory = ca.issue("alice"), ca.issue("mallory")
    client = behind(trusted=["tcp:127.0.0.1"])
    base = {"REMOTE_ADDR": "127.0.0.1", "uwsgi.version": b"2", "SSL_CLIENT_CERT": escaped(alice)}
    same, other = ({"X-SSL-Client-Cert": escaped(one)} for one in (alice, mallory))
    assert client.get("/guarded", headers=same, environ_base=base).status_code == 200
    assert client.get("/guarded", headers=other, environ_base=base).status_code == 403
    assert "another certificate than the server's variables" in caplog.text


def test_each_part_of_what_is_handed_over_decides(behind: Any, ca: Ca) -> None:
    """Once seen, a certificate is known by all that came with it, not by itself."""
    client, alice = behind(), escaped(ca.issue("alice"))
    good = {"X-SSL-Client-Cert": alice, "X-SSL-Client-Verify": "SUCCESS"}
    for _ in range(2):
        assert client.get("/guarded", headers=good).status_code == 200
        for verify in ("FAILED:revoked", "NONE", "GENEROUS"):
            assert client.get("/guarded", headers={**good, "X-SSL-Client-Verify": verify}).status_code == 403
        assert client.get("/guarded", headers={"X-SSL-Client-Verify": "SUCCESS"}).status_code == 403
        assert client.get("/guarded", headers=good, environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 403
        assert client.get("/guarded").status_code == 403


@pytest.mark.parametrize("who", ["alice", "nobody"])
def test_a_request_is_gone_when_it_is_over(ca: Ca, who: str) -> None:
    """Not kept by a cycle until the collector comes: an environ holds connections and files."""

    class Kept:
        pass

    kept = Kept()
    gone = weakref.ref(kept)
    options: Any = {"form": "nginx", "trusted": ["127.0.0.1"], "registry": "none", "ca_certs": ca_path(ca)}
    middleware = ForwardedClientCertificate(lambda environ, start_response: [b""], **options)
    environ = {"REMOTE_ADDR": "127.0.0.1", "test.kept": kept}
    if who == "alice":
        environ["HTTP_X_SSL_CLIENT_CERT"] = escaped(ca.issue("alice"))
    gc.disable()
    try:
        middleware(environ, lambda *_: None)  # type: ignore[arg-type, return-value]
        assert environ["handclasp.verdict"] == ("ok" if who == "alice" else "no-certificate")
        del environ, kept
        assert gone() is None
    finally:
        gc.enable()


def test_strangers_do_not_push_out_who_is_known(behind: Any, app: Flask, ca: Ca, monkeypatch: Any) -> None:
    monkeypatch.setattr(forwarded, "_STRANGERS_REMEMBERED", 3)
    client = behind()
    middleware: Any = app.wsgi_app
    alice, strangers = {"X-SSL-Client-Cert": escaped(ca.issue("alice"))}, Ca("Shop CA")
    assert client.get("/guarded", headers=alice).status_code == 200
    known = dict(middleware._known._seen)
    for _ in range(10):
        header = {"X-SSL-Client-Cert": escaped(strangers.issue("alice"))}
        for _ in range(2):
            assert client.get("/guarded", headers=header).status_code == 403
        assert len(middleware._strangers._seen) <= 3
    assert middleware._known._seen == known and len(known) == 1


def test_memory_for_what_was_handed_over_is_bounded(behind: Any, app: Flask, ca: Ca, monkeypatch: Any) -> None:
    monkeypatch.setattr(forwarded, "_REMEMBERED_CHARACTERS", 3000)
    client = behind()
    middleware: Any = app.wsgi_app
    for _ in range(10):
        header = {"X-SSL-Client-Cert": escaped(ca.issue("alice"))}
        assert client.get("/guarded", headers=header).status_code == 200
        assert sum(len(text) for key in middleware._known._seen for text in key if text) <= 3000


IDENTITIES = [
    *("SSL_CLIENT_CERT", "SSL_CLIENT_S_DN_CN", "SSL_CLIENT_SAN_DNS_0", "SSL_CLIENT_CERT_CHAIN_3", "X_SSL_CLIENT_CERT"),
    *("REMOTE_USER", "AUTH_TYPE", "REDIRECT_REMOTE_USER", "REDIRECT_SSL_CLIENT_S_DN", "HTTPS_DN", "CERT_SUBJECT"),
    *("handclasp.client", "handclasp.certificate", "handclasp.connection", "handclasp.verdict_detail"),
    *("HTTP_REMOTE_USER", "HTTP_SSL_CLIENT_VERIFY", "HTTP_X_SSL_CERT", "HTTP_X_CLIENT_DN", "HTTP_X_CLIENT_VERIFY"),
    *("HTTP_X.SSL.CLIENT.CERT", "HTTP_X SSL CLIENT CERT", "HTTP_x_ssl_client_cert", "http_x_ssl_client_cert"),
    *("HTTP_CLIENT_CERT_CHAIN", "HTTP_CLOUDFRONT_VIEWER_CERT_PEM", "HTTP_X_AMZN_MTLS_CLIENTCERT_SUBJECT"),
]


@pytest.mark.parametrize("form", ["nginx", "apache", "envoy"])
@pytest.mark.parametrize("name", IDENTITIES)
def test_nothing_that_looks_like_an_identity_is_left(behind: Any, form: str, name: str) -> None:
    for address in ("127.0.0.1", "192.0.2.1"):
        for _ in range(2):  # also once its name is known
            seen = behind(form=form).get("/see", environ_base={"REMOTE_ADDR": address, name: "CN=root"}).json
            assert "CN=root" not in seen.values()


def test_what_is_no_identity_stays(behind: Any) -> None:
    base = {"HTTPS": "on", "SSL_PROTOCOL": "TLSv1.3", "SSL_SERVER_S_DN": "CN=shop", "HTTP_X_CLIENT_ID": "7"}
    seen = behind().get("/see", environ_base=base, headers={"Authorization": "Basic x"}).json
    assert {**base, "HTTP_AUTHORIZATION": "Basic x"}.items() <= seen.items()


def test_a_header_beside_a_result_that_is_not_success_is_nobody(behind: Any, ca: Ca, caplog: Any) -> None:
    headers = {"X-SSL-Client-Cert": escaped(ca.issue("alice")), "X-SSL-Client-Verify": "FAILED:expired"}
    assert behind().get("/guarded", headers=headers).status_code == 403
    assert "X-SSL-Client-Verify says 'FAILED:expired'" in caplog.text


def test_a_server_s_own_idea_of_the_user_is_not_handed_on(behind: Any) -> None:
    base = {
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_USER": "root",
        "AUTH_TYPE": "Basic",
        "SSL_CLIENT_S_DN": "CN=root",
        "handclasp.verdict": "ok",
    }
    seen = behind().get("/see", environ_base=base).json
    assert "REMOTE_USER" not in seen and "AUTH_TYPE" not in seen and "SSL_CLIENT_S_DN" not in seen
    assert seen["handclasp.verdict"] == "no-certificate"


@pytest.mark.parametrize(
    ("mode", "absent", "bad"), [("request", 200, 200), ("optional", 200, 403), ("required", 403, 403)]
)
def test_modes_say_who_reaches_the_application(behind: Any, ca: Ca, mode: str, absent: int, bad: int) -> None:
    client = behind(client_cert=mode)
    assert client.get("/see").status_code == absent
    expired = {"X-SSL-Client-Cert": escaped(ca.issue("alice", end=-DAY))}
    response = client.get("/see", headers=expired)
    assert response.status_code == bad
    if bad == 403:
        assert response.json["verdict"] == "expired"
    assert client.get("/see", headers={"X-SSL-Client-Cert": escaped(ca.issue("alice"))}).status_code == 200


def test_a_revocation_list_is_obeyed_and_read_anew(behind: Any, app: Flask, ca: Ca, tmp_path: Path) -> None:
    alice, crl = ca.issue("alice"), tmp_path / "crl.pem"
    crl.write_bytes(ca.crl())
    client = behind(crl=crl)
    headers = {"X-SSL-Client-Cert": escaped(alice)}
    assert client.get("/guarded", headers=headers).status_code == 200
    crl.write_bytes(ca.crl(alice))
    app.wsgi_app._files.looked -= 10  # type: ignore[attr-defined]
    assert client.get("/guarded", headers=headers).status_code == 403
    crl.write_bytes(b"broken")
    app.wsgi_app._files.looked -= 10  # type: ignore[attr-defined]
    assert client.get("/guarded", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"form": "iis"},
        {"trusted": ["localhost"]},
        {"registry": None},
        {"registry": "redis:x"},
        {"ca_certs": None},
        {"unknown": "maybe"},
        {"client_cert": "none"},
        {"registry_max_age": -1},
        {"registry_max_age": 0.5},
        {"registry_max_age": float("nan")},
        {"registry_max_age": float("inf")},
        {"trusted": "127.0.0.1"},
        {"registry_max_age": "10"},
        {"trusted": None},
        {"trusted": [None]},
        {"trusted": ["10.0.0.1/8"]},
        {"state": "/nowhere", "registry": None},
        {"state": "/nowhere", "registry": ""},
        {"form": ["nginx"]},
        {"form": "haproxy", "trusted": ["variables:"]},
        {"header": 5},
        {"header": ""},
        {"header": "X SSL Client Cert"},
        {"header": "X-SSL-Client-Cert\n"},
        {"verify_header": "X-SSL-Client-Verify:"},
        {"header": "X-Client", "verify_header": "x_client"},
    ],
)
def test_a_wrong_argument_is_an_error_at_start(behind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as problem:
        behind(**wrong)
    name = max(wrong) if "state" not in wrong else "registry"  # the line says which
    assert name.removeprefix("verify_") in str(problem.value) and "\n" not in str(problem.value)


def test_a_file_without_a_ca_is_an_error_at_start(behind: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(ValueError, match="empty.pem"):
        behind(ca_certs=empty)
    with pytest.raises(FileNotFoundError):
        behind(ca_certs=tmp_path / "missing.pem")


def test_each_process_asks_for_itself_after_a_fork(behind: Any, ca: Ca) -> None:
    client = behind()
    headers = {"X-SSL-Client-Cert": escaped(ca.issue("alice"))}
    assert client.get("/guarded", headers=headers).status_code == 200
    child = os.fork()
    if child == 0:
        ok = client.get("/guarded", headers=headers).status_code == 200
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(("line", "name"), [("crl: crl.pem", "crl"), ("ca-certs:\n  - /etc/ca.pem", "ca_certs")])
def test_what_the_server_decides_by_is_not_left_out_in_silence(
    app: Flask, ca: Ca, tmp_path: Path, line: str, name: str
) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca/ca.pem").write_text(pem(ca.cert))
    (tmp_path / "crl.pem").write_bytes(ca.crl())
    (tmp_path / "handclasp.yaml").write_text(f"registry: none\n# crl: none\n{line}\n")

    def wrap(**given: Any) -> ForwardedClientCertificate:
        return ForwardedClientCertificate(app.wsgi_app, form="nginx", trusted=["127.0.0.1"], state=tmp_path, **given)

    for registry in (None, "none"):
        with pytest.raises(ValueError, match=f"handclasp.yaml has a line .*: name {name}="):
            wrap(registry=registry)
    wrap(**{name: tmp_path / ("crl.pem" if name == "crl" else "ca/ca.pem")})
    wrap(**{name: []})


def in_a_child_of_another_user(ask: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        ok = False
        with contextlib.suppress(BaseException):
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            ok = ask()
        os._exit(0 if ok else 1)
    return os.waitpid(child, 0)[1] == 0


def test_a_replaced_ca_is_found_by_who_may_not_list_its_folder(app: Flask, ca: Ca) -> None:
    """As the guide has it: 711 for the folders."""
    alice, inner = ca.issue("alice"), app.wsgi_app
    with tempfile.TemporaryDirectory() as name:
        state, cas = Path(name), Path(name, "ca")
        cas.mkdir()
        (cas / "ca.pem").write_text(pem(Ca("Next CA").cert))
        (cas / "old-1.pem").write_text(pem(ca.cert))
        (state / "handclasp.yaml").write_text("registry: none\n")
        state.chmod(0o711)
        cas.chmod(0o311)

        def ask() -> bool:
            app.wsgi_app = ForwardedClientCertificate(  # type: ignore[method-assign]
                inner, form="nginx", trusted=["127.0.0.1"], state=state
            )
            return app.test_client().get("/guarded", headers={"X-SSL-Client-Cert": escaped(alice)}).status_code == 200

        assert in_a_child_of_another_user(ask)
        cas.chmod(0o700)
