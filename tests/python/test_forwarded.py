"""ForwardedClientCertificate: who is believed, and what the application sees, with real certificates."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
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

from handclasp.flask import client_required, current_certificate
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
        {"state": "/nowhere", "registry": None},
    ],
)
def test_a_wrong_argument_is_an_error_at_start(behind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        behind(**wrong)


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
