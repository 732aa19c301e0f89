"""An application sees under Handclasp what it sees under Apache with mod_ssl: the same names, the same values.

Both run side by side with one CA and one server certificate, and the same client asks both, over TLS, with certificates
of tests/vectors/x509. mod_wsgi runs the same application with `SSLOptions +StdEnvVars +ExportCertData`. Where the two
differ, the table DIFFERENCES says how and why; what is not in it must be equal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from handclasp_server_tests import ROOT, Program, running

APACHE = shutil.which("apache2") or "/usr/sbin/apache2"
MODULES = Path("/usr/lib/apache2/modules")
NEEDED = ("mod_ssl.so", "mod_wsgi.so", "mod_socache_shmcb.so", "mod_mpm_prefork.so")
VECTORS = ROOT / "tests/vectors/x509"
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}

if missing := [name for name in NEEDED if not (MODULES / name).exists()]:
    pytest.skip(f"Apache 2.4 is not here, or without {', '.join(missing)}", allow_module_level=True)
if os.geteuid() != 0:
    pytest.skip("this Apache is started by root, to give its children another user", allow_module_level=True)

# Handclasp's mode, and the word for it in Apache.
MODES = {"request": "optional_no_ca", "optional": "optional", "required": "require"}

APP = """
import json

def app(environ, start_response):
    seen = {k: v for k, v in environ.items() if isinstance(v, str)}
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]

application = app
"""

CONFIG = """
ServerRoot {root}
PidFile {root}/pid
ErrorLog {root}/error.log
LogLevel warn
LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so
LoadModule wsgi_module {modules}/mod_wsgi.so
LoadModule ssl_module {modules}/mod_ssl.so
ServerName localhost
User nobody
Group nogroup
StartServers 1
MinSpareServers 1
MaxSpareServers 2
MaxRequestWorkers 4
SSLSessionCache shmcb:{root}/sessions(512000)
SSLSessionTickets off
SSLHonorCipherOrder on
SSLCipherSuite TLSv1.3 TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384
WSGIScriptAlias / {root}/app.py
<Directory {root}>
  Require all granted
</Directory>
"""

HOST = """
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
SSLEngine on
SSLCertificateFile {vectors}/chains/server.pem
SSLCertificateKeyFile {vectors}/keys/server.key
SSLCACertificateFile {vectors}/chains/ca.pem
SSLVerifyDepth 10
SSLVerifyClient {mode}
SSLUserName SSL_CLIENT_S_DN_CN
SSLOptions +StdEnvVars +ExportCertData
</VirtualHost>
"""

Environ = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Difference:
    """A variable (a pattern) that differs: what each side says, None where it has no such variable."""

    name: str
    apache: str | None
    handclasp: str | None
    why: str
    only: frozenset[str] | None = None  # the certificates it is true of; None: may be of any

    def explains(self, label: str, name: str, apache: str | None, handclasp: str | None) -> bool:
        def fits(want: str | None, got: str | None) -> bool:
            return got is None if want is None else got is not None and re.fullmatch(want, got, re.S) is not None

        return (
            re.fullmatch(self.name, name) is not None
            and (self.only is None or label in self.only)
            and fits(self.apache, apache)
            and fits(self.handclasp, handclasp)
        )


ANY = "(?s:.*)"
NO_TEXT = frozenset({"cn-bit-string", "cn-sequence"})
EMPTY = frozenset({"empty-value", "empty-value-before-others"})
DIFFERENCES = [
    Difference("SSL_SESSION_ID", "[0-9a-f]{64}|", "[0-9a-f]{64}", "each server makes its own"),
    Difference(
        "SSL_VERSION_.*", ANY, None, "about the server's libraries: nobody's business, and SERVER_SOFTWARE exists"
    ),
    Difference("SSL_CIPHER_EXPORT", "false", None, "there are no export ciphers any more"),
    Difference("SSL_COMPRESS_METHOD", "NULL", None, "there is no TLS compression any more"),
    Difference("SSL_SECURE_RENEG", "true", None, "there is no renegotiation"),
    Difference("SSL_CLIENT_CERT", "", None, "there is none: no empty one either"),
    Difference("HTTPS", None, "on", "mod_wsgi takes it away again; a CGI under Apache has it"),
    Difference("AUTH_TYPE", "ClientCert", "CLIENT_CERT", "the word of Java's servlets, which frameworks compare with"),
    Difference("SSL_(CLIENT|SERVER)_SAN_(URI|IP)_[0-9]+", None, ANY, "mod_ssl has none of these two types"),
    Difference("SSL_CLIENT_S_DN_CN|REMOTE_USER", ".*alice", "#.*", "no text: not to pass for one", NO_TEXT),
    Difference("SSL_CLIENT_S_DN_OU(_2)?", None, "", "mod_wsgi drops what is empty; a CGI under Apache has it", EMPTY),
    Difference(
        "SSL_CLIENT_CERT_RFC4523_CEA",
        '.*rdnSequence:"',
        '.*rdnSequence:"" }',
        "mod_ssl leaves the end off where the issuer is empty",
        frozenset({"empty-issuer"}),
    ),
    Difference(
        "SSL_CLIENT_VERIFY",
        "FAILED:unable to verify the first certificate",
        "FAILED:unable to get local issuer certificate",
        "OpenSSL finds both in this order; the first is the cause, mod_ssl keeps the last",
    ),
]
# Of a resumed session.
DIFFERENCES_OF_RESUMED = [
    Difference(
        "SSL_CLIENT_CERT_CHAIN_[0-9]+", None, ANY, "Apache stores sessions without the chain that the client sent"
    ),
]
# Of a certificate that did not verify: it names nobody. With SSLUserName, Apache lets it, in optional_no_ca.
DIFFERENCES_OF_FAILED = [
    Difference("REMOTE_USER", ANY, None, "a certificate that did not verify names nobody"),
    Difference("AUTH_TYPE", "ClientCert", None, "the same"),
]
# Apache admits these; they may not enter here, in any mode that verifies.
STRICTER = {
    "key-agreement-only": "a client signs in a handshake, and this key is not meant for that",
    "nul-in-cn": "what comes after a NUL hides from half of all code",
    "serial-21-octets": "RFC 5280 section 4.1.2.2: at most 20",
}
# Malformed, as far as Handclasp is concerned: the handshake ends, in request mode too.
MALFORMED = {"nul-in-cn", "serial-21-octets", "critical-unknown"}
# optional_no_ca forgives nothing but an issuer that is not known; request hands on whatever can be read.
HANDED_ON = {
    *("any-purpose", "empty-eku", "key-encipherment-only", "server-only"),  # purpose
    *("expired", "ends-in-2026", "future", "sha1", "of-same-name-ca-without-aki", "tampered"),
}
# Alerts that are not the same: Apache's, ours.
ALERTS = {
    "critical-unknown": ("CERTIFICATE_UNKNOWN", "BAD_CERTIFICATE"),
    "future": ("BAD_CERTIFICATE", "CERTIFICATE_EXPIRED"),
    # Not of the CA whose name it bears.
    "of-same-name-ca-without-aki": ("DECRYPT_ERROR", "UNKNOWN_CA"),
    "tampered": ("DECRYPT_ERROR", "UNKNOWN_CA"),
}


class Site:
    """Where a server listens, by mode."""

    def __init__(self, name: str, ports: dict[str, int]) -> None:
        self.name = name
        self.ports = ports

    @contextlib.contextmanager
    def connected(
        self, mode: str, context: ssl.SSLContext, session: ssl.SSLSession | None = None, name: str | None = "localhost"
    ) -> Iterator[ssl.SSLSocket]:
        with socket.create_connection(("127.0.0.1", self.ports[mode]), 20) as plain:
            with context.wrap_socket(plain, server_hostname=name, session=session) as secure:
                yield secure

    def environ(self, mode: str, context: ssl.SSLContext, **options) -> Environ:
        with self.connected(mode, context, **options) as secure:
            return ask(secure)


def ask(secure: ssl.SSLSocket) -> Environ:
    secure.sendall(b"GET /environ?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n")
    response = http.client.HTTPResponse(secure)
    response.begin()
    body = response.read()
    assert response.status == 200, body
    return json.loads(body)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def apache() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder:
        # Not pytest's, which other users cannot enter: its children are one.
        Path(folder).chmod(0o755)
        with apache_in(Path(folder)) as site:
            yield site


@contextlib.contextmanager
def apache_in(root: Path) -> Iterator[Site]:
    (root / "app.py").write_text(APP)
    ports = {mode: free_port() for mode in MODES}
    hosts = [HOST.format(port=ports[mode], vectors=VECTORS, mode=word) for mode, word in MODES.items()]
    (root / "httpd.conf").write_text(CONFIG.format(root=root, modules=MODULES) + "".join(hosts))
    # In a session of its own: when it ends it signals its whole process group.
    process = subprocess.Popen(
        [APACHE, "-f", str(root / "httpd.conf"), "-DFOREGROUND"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until_open(process, ports.values(), root / "error.log")
        yield Site("Apache", ports)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def wait_until_open(process: subprocess.Popen[bytes], ports, log: Path) -> None:
    end = time.monotonic() + 20
    for port in ports:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text(errors="replace") if log.exists() else ""
                pytest.fail(f"Apache does not listen: {said}")
            time.sleep(0.02)


@pytest.fixture(scope="module")
def handclasp(program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with contextlib.ExitStack() as servers:
        ports = {}
        for mode in MODES:
            options = {
                "certfile": VECTORS / "chains/server.pem",
                "keyfile": VECTORS / "keys/server.key",
                "ca_certs": VECTORS / "chains/ca.pem",
                "client_cert": mode,
                "remote_user": "SSL_CLIENT_S_DN_CN",
                "front_threads": 1,
            }
            one = servers.enter_context(running(program, state, tmp_path_factory.mktemp(mode), APP, **options))
            ports[mode] = one.port
        yield Site("Handclasp", ports)


def key_of(path: Path) -> str | None:
    """The name of the private key of a client certificate; None for those of CAs and servers."""
    load = x509.load_der_x509_certificate if path.suffix == ".der" else x509.load_pem_x509_certificate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd serial numbers are what some of them are for
        wanted = spki_of(load(path.read_bytes()).public_key())
    return next((name for name, spki in CLIENT_KEYS.items() if spki == wanted), None)


def spki_of(key) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


CLIENT_KEYS = {
    name: spki_of(load_pem_private_key((VECTORS / f"keys/{name}.key").read_bytes(), None).public_key())
    for name in ("client", "rsa", "ed25519")
}
CERTIFICATES = {
    path.stem: path
    for path in [*sorted((VECTORS / "chains").glob("*.pem")), *sorted((VECTORS / "names").glob("*.der"))]
    if key_of(path)
}


def context_for(
    label: str | None, folder: Path, version: str = "TLSv1.3", also: tuple[str, ...] = ()
) -> ssl.SSLContext:
    """Sends a certificate of the vectors and those named `also`; else its issuer where the client trusts that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(VECTORS / "chains/ca.pem")
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:@SECLEVEL=0")
    context.check_hostname = False
    if label:
        path = CERTIFICATES[label]
        pem = ssl.DER_cert_to_PEM_cert(path.read_bytes()) if path.suffix == ".der" else path.read_text()
        file = folder / f"{label}.pem"
        file.write_text(pem + "".join((VECTORS / f"chains/{name}.pem").read_text() for name in also))
        context.load_cert_chain(file, VECTORS / f"keys/{key_of(path)}.key")
    return context


COMPARED = (
    "SSL_.*|HTTPS|REMOTE_USER|REMOTE_ADDR|AUTH_TYPE|SERVER_NAME|SERVER_PROTOCOL|"
    "REQUEST_METHOD|REQUEST_URI|PATH_INFO|QUERY_STRING"
)


def differences(label: str, of_apache: Environ, of_handclasp: Environ) -> list[str]:
    """The differences that the table does not explain."""
    table = list(DIFFERENCES)
    if of_handclasp["SSL_CLIENT_VERIFY"].startswith("FAILED:"):
        table += DIFFERENCES_OF_FAILED
    if of_handclasp["SSL_SESSION_RESUMED"] == "Resumed":
        table += DIFFERENCES_OF_RESUMED
    out = []
    for name in sorted(of_apache.keys() | of_handclasp.keys()):
        a, h = of_apache.get(name), of_handclasp.get(name)
        if a != h and re.fullmatch(COMPARED, name) and not any(one.explains(label, name, a, h) for one in table):
            out.append(f"{name}: Apache {a!r}, Handclasp {h!r}")
    return out


def alert_of(site: Site, mode: str, context: ssl.SSLContext) -> str | None:
    """The name of the alert that ends the handshake; None where it does not end. Under TLS 1.3 it comes late."""
    try:
        site.environ(mode, context)
    except ssl.SSLError as error:
        found = re.fullmatch(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)", error.reason or "")
        assert found, error
        return found[1]
    return None


@pytest.mark.parametrize("label", CERTIFICATES)
def test_every_variable_of_a_certificate_is_apaches(apache: Site, handclasp: Site, tmp_path: Path, label: str) -> None:
    context = context_for(label, tmp_path)
    if label in MALFORMED:
        assert alert_of(handclasp, "request", context)
        return
    ours = handclasp.environ("request", context)
    if label in HANDED_ON:
        assert alert_of(apache, "request", context)
        assert ours["SSL_CLIENT_VERIFY"].startswith("FAILED:")
        assert "REMOTE_USER" not in ours
        return
    theirs = apache.environ("request", context)
    if label in STRICTER:
        assert (theirs.pop("SSL_CLIENT_VERIFY"), ours["SSL_CLIENT_VERIFY"][:7]) == ("SUCCESS", "FAILED:")
        theirs["SSL_CLIENT_VERIFY"] = ours["SSL_CLIENT_VERIFY"]
    assert differences(label, theirs, ours) == []


@pytest.mark.parametrize("label", CERTIFICATES)
def test_who_may_enter_is_as_under_apache_or_stricter(
    apache: Site, handclasp: Site, tmp_path: Path, label: str
) -> None:
    context = context_for(label, tmp_path)
    theirs, ours = alert_of(apache, "required", context), alert_of(handclasp, "required", context)
    if label in STRICTER:
        assert (theirs, bool(ours)) == (None, True)
    else:
        assert (theirs, ours) == ALERTS.get(label, (theirs, theirs))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("label", ["plain", "rsa", "ed25519", "sans-of-all-types", "serial-20-octets"])
def test_variables_are_apaches_in_every_mode_and_version(
    apache: Site, handclasp: Site, tmp_path: Path, mode: str, version: str, label: str
) -> None:
    context = context_for(label, tmp_path, version)
    ours = handclasp.environ(mode, context)
    assert differences(label, apache.environ(mode, context), ours) == []
    assert (ours["SSL_CLIENT_VERIFY"], ours["SSL_PROTOCOL"]) == ("SUCCESS", version)
    assert (ours["REMOTE_USER"], ours["AUTH_TYPE"]) == (ours["SSL_CLIENT_S_DN_CN"], "CLIENT_CERT")


@pytest.mark.parametrize("mode", ["request", "optional"])
@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_certificate_the_variables_are_apaches(
    apache: Site, handclasp: Site, tmp_path: Path, mode: str, version: str
) -> None:
    context = context_for(None, tmp_path, version)
    ours = handclasp.environ(mode, context)
    assert differences("", apache.environ(mode, context), ours) == []
    assert ours["SSL_CLIENT_VERIFY"] == "NONE"
    assert not [name for name in ours if name.startswith("SSL_CLIENT_") and name != "SSL_CLIENT_VERIFY"]
    assert not {"REMOTE_USER", "AUTH_TYPE"} & ours.keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_certificate_where_one_is_required_the_alert_is_apaches(
    apache: Site, handclasp: Site, tmp_path: Path, version: str
) -> None:
    context = context_for(None, tmp_path, version)
    ours = alert_of(handclasp, "required", context)
    assert ours and ours == alert_of(apache, "required", context)


@pytest.mark.parametrize("also", [("intermediate",), ("intermediate", "ca"), ("intermediate", "other-ca")])
def test_the_chain_that_the_client_sent_is_apaches(
    apache: Site, handclasp: Site, tmp_path: Path, also: tuple[str, ...]
) -> None:
    context = context_for("via-intermediate", tmp_path, also=also)
    ours = handclasp.environ("required", context)
    assert differences("via-intermediate", apache.environ("required", context), ours) == []
    for number, name in enumerate(also):
        assert ours[f"SSL_CLIENT_CERT_CHAIN_{number}"] == (VECTORS / f"chains/{name}.pem").read_text()
    assert f"SSL_CLIENT_CERT_CHAIN_{len(also)}" not in ours


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resumed_session_shows_what_it_shows_under_apache(
    apache: Site, handclasp: Site, tmp_path: Path, version: str
) -> None:
    seen = []
    for site in (apache, handclasp):
        context = context_for("plain", tmp_path, version)
        with site.connected("required", context) as first:
            assert ask(first)["SSL_SESSION_RESUMED"] == "Initial"
            session = first.session
        seen.append(site.environ("required", context, session=session))
        assert seen[-1]["SSL_SESSION_RESUMED"] == "Resumed"
    assert differences("plain", *seen) == []


@pytest.mark.parametrize(
    ("name", "said"), [("localhost", "localhost"), ("other.example", "other.example"), (None, None)]
)
def test_the_name_that_the_client_asked_for_is_apaches(
    apache: Site, handclasp: Site, tmp_path: Path, name: str | None, said: str | None
) -> None:
    context = context_for("plain", tmp_path)
    seen = [site.environ("required", context, name=name) for site in (apache, handclasp)]
    assert differences("plain", *seen) == []
    assert seen[1].get("SSL_TLS_SNI") == said


@pytest.mark.parametrize(("version", "said"), [("TLSv1.2", "localhost"), ("TLSv1.3", "other.example")])
def test_a_session_resumed_under_another_name_shows_the_name_apache_shows(
    apache: Site, handclasp: Site, tmp_path: Path, version: str, said: str
) -> None:
    seen = []
    for site in (apache, handclasp):
        context = context_for("plain", tmp_path, version)
        with site.connected("required", context) as first:
            ask(first)
            session = first.session
        seen.append(site.environ("required", context, session=session, name="other.example"))
    assert [(one["SSL_SESSION_RESUMED"], one["SSL_TLS_SNI"]) for one in seen] == [("Resumed", said)] * 2


def test_the_table_says_nothing_that_is_not_so() -> None:
    """A CGI under Apache, which tests/vectors/x509/apache.json is from, does have what mod_wsgi drops."""
    client = json.loads((VECTORS / "apache.json").read_text())["client"]
    assert client["empty-value"]["variables"]["SSL_CLIENT_S_DN_OU"] == ""
    assert {*STRICTER, *MALFORMED, *HANDED_ON, *ALERTS, *NO_TEXT, *EMPTY} <= CERTIFICATES.keys()
