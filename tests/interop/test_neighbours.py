"""One Flask application and one set of assertions behind every TLS terminator there is, ours among them.

The configurations are those of docs/guide/behind-*.md, as they stand there: only ports, paths and names of the machine
are put in. Whoever changes a guide changes what is tested.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from handclasp_server_tests import ROOT, Program, running

GUIDES = ROOT / "docs/guide"
STATE = "/var/lib/handclasp"
WITHIN_S = 20.0

APP = """
import os, sys
from flask import Flask, request
from handclasp.flask import client_required, current_certificate, current_client

app = application = Flask(__name__)
app.config["PROPAGATE_EXCEPTIONS"] = False

@app.get("/see")
def see():
    environ = request.environ
    return {
        "verdict": environ.get("handclasp.verdict"),
        "verify": environ.get("SSL_CLIENT_VERIFY"),
        "user": environ.get("REMOTE_USER"),
        "name": current_client.name if current_client else None,
        "roles": sorted(current_client.roles) if current_client else [],
        "serial": current_certificate.serial_hex if current_certificate else None,
        "m_serial": environ.get("SSL_CLIENT_M_SERIAL"),
        "s_dn": environ.get("SSL_CLIENT_S_DN"),
        "pem": environ.get("SSL_CLIENT_CERT"),
        "headers": [name for name, _ in request.headers],
        "pid": os.getpid(),
    }

@app.get("/meter")
@client_required(role="meter")
def meter():
    return f"hello {current_client.name}"

"""


# ---- certificates and records


@dataclasses.dataclass(frozen=True)
class World:
    """A state folder, and clients that may or may not come in."""

    program: Program
    state: Path
    folder: Path

    def pair(self, name: str) -> tuple[Path, Path]:
        base = self.state / "clients" if name in ("alice", "bob", "carol", "dave") else self.folder
        return base / f"{name}.pem", base / f"{name}.key"

    def client(self, *args: str) -> None:
        done = self.program.run("client", *args, "--state", self.state)
        assert done.returncode == 0, done.stderr


def _sign(issuer: x509.Name, ca_key: ec.EllipticCurvePrivateKey, name: str, pem: Path, days: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.fixture(scope="module")
def world(program: Program, tmp_path_factory: pytest.TempPathFactory) -> World:
    """alice and carol are meters, bob is not, dave is suspended; `unknown` has our CA's signature and no record,
    `expired` likewise is too old, `stranger` was signed by somebody else under our CA's name, `foreign` under another
    name."""
    folder = tmp_path_factory.mktemp("neighbours")
    state = folder / "state"
    world = World(program, state, folder)
    done = program.run("init", "--state", state, "--host", "localhost")
    assert done.returncode == 0, done.stderr
    for name in ("alice", "carol"):
        world.client("issue", name, "--role", "meter")
    world.client("issue", "bob")
    world.client("issue", "dave", "--role", "meter")
    world.client("suspend", "dave")
    ca = x509.load_pem_x509_certificate((state / "ca/ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((state / "ca/ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    _sign(ca.subject, ca_key, "alice", folder / "unknown.pem", 10)
    _sign(ca.subject, ca_key, "alice", folder / "expired.pem", -1)
    _sign(ca.subject, ec.generate_private_key(ec.SECP256R1()), "alice", folder / "stranger.pem", 10)
    other = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Another CA")])
    _sign(other, ec.generate_private_key(ec.SECP256R1()), "alice", folder / "foreign.pem", 10)
    server = state / "server"
    (server / "haproxy.pem").write_bytes((server / "server.pem").read_bytes() + (server / "server.key").read_bytes())
    return world


# ---- a client


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int  # 0: no answer, the handshake or the connection ended
    body: str = ""

    @property
    def json(self) -> dict:
        return json.loads(self.body)


def ask(world: World, port: int, path: str, who: str | None = None, headers: dict[str, str] | None = None) -> Answer:
    context = ssl.create_default_context(cafile=str(world.state / "ca/ca.pem"))
    if who is not None:
        context.load_cert_chain(*world.pair(who))
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=WITHIN_S)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.read().decode())
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return Answer(0)
    finally:
        connection.close()


# ---- guides


def block(guide: str, info: str) -> str:
    found = re.findall(rf"^```{re.escape(info)}\n(.*?)^```$", (GUIDES / guide).read_text(), re.M | re.S)
    assert len(found) == 1, f"{guide} has {len(found)} blocks of {info}"
    return found[0]


def filled(text: str, put: dict[str, str]) -> str:
    for was, now in put.items():
        assert was in text, f"the guide does not say {was!r} any more"
        text = text.replace(was, now)
    return text


def write_app(world: World, folder: Path, guide: str, info: str, trusted: str | None = None) -> None:
    snippet = filled(block(guide, info), {STATE: str(world.state)})
    if trusted:
        snippet = re.sub(r"trusted=\[.*?\]", f"trusted=[{trusted!r}]", snippet)
    (folder / "shop.py").write_text(APP + "from handclasp.forwarded import ForwardedClientCertificate\n" + snippet)
    (folder / "shop.wsgi").write_text(
        f"import sys; sys.path[:0] = [{str(folder)!r}, *{paths_of(world)!r}]\nfrom shop import application\n"
    )


def paths_of(world: World) -> list[str]:
    """Where the package, Flask and the rest are: for a Python that is not ours."""
    done = subprocess.run(
        [str(world.program.python), "-c", "import sys, json; print(json.dumps([p for p in sys.path if p]))"],
        env=world.program.environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return [path for path in json.loads(done.stdout) if "site-packages" in path or "package" in path]


# ---- processes


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def process(folder: Path, name: str, args: list[str], ready: Callable[[], bool], **env: str) -> Iterator[None]:
    with (folder / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            args,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **env},
            start_new_session=True,
        )
        try:
            end = time.monotonic() + WITHIN_S
            while not ready():
                assert child.poll() is None and time.monotonic() < end, (folder / f"{name}.log").read_text()
                time.sleep(0.02)
            yield
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def listens(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    return ready


def needs(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path=str(ROOT / ".venv/bin"))
    if not found:
        pytest.skip(f"{program} is not here")
    return found


@contextlib.contextmanager
def gunicorn(world: World, folder: Path, bind: str) -> Iterator[None]:
    args = [
        str(world.program.python),
        "-m",
        "gunicorn",
        "--workers",
        "2",
        "--threads",
        "2",
        "--bind",
        bind,
        "--graceful-timeout",
        "1",
        "--error-logfile",
        "-",
        "--worker-tmp-dir",
        str(folder),
        # As older versions, uWSGI and cheroot do: X_SSL_Client_Cert comes as X-SSL-Client-Cert does.
        "--header-map",
        "dangerous",
        "shop:app",
    ]
    path = bind.removeprefix("unix:")
    ready = (lambda: Path(path).exists()) if path != bind else listens(int(bind.rpartition(":")[2]))
    env = world.program.environment()
    with process(folder, "gunicorn", args, ready, **({"PYTHONPATH": env["PYTHONPATH"]} if "PYTHONPATH" in env else {})):
        yield


# ---- neighbours: each gives the port of a terminator with the application behind it


@contextlib.contextmanager
def handclasp_itself(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    (folder / "shop.py").write_text(APP)
    with running(world.program, world.state, folder, "shop:app", client_cert="request", workers=2) as server:
        yield server.port, None


NGINX = """
{user} daemon off; pid {folder}/nginx.pid; error_log stderr info; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{server}
}}
"""


@contextlib.contextmanager
def nginx(world: World, folder: Path, info: str, put: dict[str, str]) -> Iterator[int]:
    port = free_port()
    server = filled(
        block("behind-nginx.md", info),
        {"listen 8443": f"listen 127.0.0.1:{port}", "shop.example": "localhost", STATE: str(world.state), **put},
    )
    user = "user root;" if os.geteuid() == 0 else ""  # pytest's folders are for this user alone
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, server=server, user=user))
    args = [needs("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with process(folder, "nginx", args, listens(port)):
        yield port


@contextlib.contextmanager
def nginx_gunicorn(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    backend = free_port()
    write_app(world, folder, "behind-nginx.md", "python")
    with (
        gunicorn(world, folder, f"127.0.0.1:{backend}"),
        nginx(world, folder, "nginx", {"127.0.0.1:8000": f"127.0.0.1:{backend}"}) as port,
    ):
        yield port, backend


@contextlib.contextmanager
def nginx_gunicorn_unix(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    write_app(world, folder, "behind-nginx.md", "python", trusted="unix:")
    path = folder / "gunicorn.sock"
    with (
        gunicorn(world, folder, f"unix:{path}"),
        nginx(world, folder, "nginx", {"http://127.0.0.1:8000": f"http://unix:{path}:"}) as port,
    ):
        yield port, None


@contextlib.contextmanager
def nginx_of_any_ca(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    """Certificates of every CA reach the application: it alone decides."""
    backend = free_port()
    write_app(world, folder, "behind-nginx.md", "python")
    put = {
        "127.0.0.1:8000": f"127.0.0.1:{backend}",
        "ssl_verify_client       optional;": "ssl_verify_client       optional_no_ca;",
        "X-SSL-Client-Verify $ssl_client_verify;": 'X-SSL-Client-Verify "";',
    }
    with gunicorn(world, folder, f"127.0.0.1:{backend}"), nginx(world, folder, "nginx", put) as port:
        yield port, backend


@contextlib.contextmanager
def nginx_uwsgi(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    backend = free_port()
    write_app(world, folder, "behind-nginx.md", "python-uwsgi")
    paths = [flag for path in reversed([str(folder), *paths_of(world)]) for flag in ("--pythonpath", path)]
    args = [
        needs("uwsgi"),
        "--need-plugin",
        "python3",
        "--socket",
        f"127.0.0.1:{backend}",
        "--master",
        "--processes",
        "2",
        "--enable-threads",
        "--die-on-term",
        "--buffer-size",
        "32768",
        *paths,
        "--module",
        "shop:app",
    ]
    with (
        process(folder, "uwsgi", args, listens(backend)),
        nginx(world, folder, "nginx-uwsgi", {"127.0.0.1:8000": f"127.0.0.1:{backend}"}) as port,
    ):
        yield port, None


APACHE = """
ServerRoot {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache-error.log
LogLevel warn
ServerName localhost
{user}
{modules}
StartServers 2
MinSpareServers 1
MaxSpareServers 2
MaxRequestWorkers 4
SSLSessionCache none
{host}
"""
MODULES = Path("/usr/lib/apache2/modules")


@contextlib.contextmanager
def apache(world: World, folder: Path, info: str, modules: list[str], put: dict[str, str]) -> Iterator[int]:
    port = free_port()
    names = ["mpm_prefork", "authz_core", "socache_shmcb", "ssl", *modules]
    if missing := [name for name in names if not (MODULES / f"mod_{name}.so").exists()]:
        pytest.skip(f"Apache is without {', '.join(missing)}")
    host = filled(
        block("behind-apache.md", info),
        {
            "Listen 8443": f"Listen 127.0.0.1:{port}",
            "*:8443": f"127.0.0.1:{port}",
            "shop.example": "localhost",
            STATE: str(world.state),
            **put,
        },
    )
    loads = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names)
    user = "User nobody\nGroup nogroup" if os.geteuid() == 0 else ""
    (folder / "apache.conf").write_text(APACHE.format(folder=folder, modules=loads, host=host, user=user))
    args = [needs("apache2"), "-X" if os.geteuid() != 0 else "-DFOREGROUND", "-f", str(folder / "apache.conf")]
    with process(folder, "apache", args, listens(port)):
        yield port


@contextlib.contextmanager
def readable_by_others(world: World, folder: Path) -> Iterator[None]:
    """As the guide has it for the application's user."""
    touched = [world.state, world.state / "ca", world.state / "registry.db", world.state / "registry.db-journal"]
    # Of the way there, and to the package, what pytest made for this user alone.
    places = [world.state, folder, *map(Path, paths_of(world))]
    touched += [path for place in places for path in (place, *place.parents) if path.is_relative_to("/tmp/")]
    touched = [path for path in dict.fromkeys(touched) if path != Path("/tmp")]
    before = [(path, path.stat().st_mode) for path in touched if path.exists()]
    for path, mode in before:
        path.chmod(mode | (0o755 if path.is_dir() else 0o644))
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.chmod(0o755)
    try:
        yield
    finally:
        for path, mode in before:
            path.chmod(mode)


@contextlib.contextmanager
def apache_mod_wsgi(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    write_app(world, folder, "behind-apache.md", "python-wsgi")
    put = {"/srv/shop/shop.wsgi": str(folder / "shop.wsgi"), "<Directory /srv/shop>": f"<Directory {folder}>"}
    with readable_by_others(world, folder), apache(world, folder, "apache-wsgi", ["wsgi"], put) as port:
        yield port, None


@contextlib.contextmanager
def apache_proxy(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    backend = free_port()
    write_app(world, folder, "behind-apache.md", "python-proxy")
    with (
        gunicorn(world, folder, f"127.0.0.1:{backend}"),
        apache(
            world,
            folder,
            "apache-proxy",
            ["headers", "setenvif", "proxy", "proxy_http"],
            {"127.0.0.1:8000": f"127.0.0.1:{backend}"},
        ) as port,
    ):
        yield port, backend


@contextlib.contextmanager
def haproxy(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    backend, port = free_port(), free_port()
    write_app(world, folder, "behind-haproxy.md", "python")
    config = filled(
        block("behind-haproxy.md", "haproxy"),
        {"bind :8443": f"bind 127.0.0.1:{port}", STATE: str(world.state), "127.0.0.1:8000": f"127.0.0.1:{backend}"},
    )
    head = "defaults\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\n"
    (folder / "haproxy.cfg").write_text(head + config)
    args = [needs("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]
    with gunicorn(world, folder, f"127.0.0.1:{backend}"), process(folder, "haproxy", args, listens(port)):
        yield port, backend


@contextlib.contextmanager
def caddy(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    backend, port = free_port(), free_port()
    write_app(world, folder, "behind-caddy.md", "python")
    config = filled(
        block("behind-caddy.md", "caddy"),
        {
            "https://shop.example:8443 {": f"https://localhost:{port} {{\n    bind 127.0.0.1",
            STATE: str(world.state),
            "127.0.0.1:8000": f"127.0.0.1:{backend}",
        },
    )
    (folder / "Caddyfile").write_text(config)
    args = [needs("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    with (
        gunicorn(world, folder, f"127.0.0.1:{backend}"),
        process(folder, "caddy", args, listens(port), XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder)),
    ):
        yield port, backend


@contextlib.contextmanager
def traefik(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    backend, port = free_port(), free_port()
    write_app(world, folder, "behind-traefik.md", "python")
    static = filled(
        block("behind-traefik.md", "traefik-static"),
        {":8443": f"127.0.0.1:{port}", "/etc/traefik/shop.yaml": str(folder / "shop.yaml")},
    )
    (folder / "traefik.yaml").write_text(static + "global: {checkNewVersion: false, sendAnonymousUsage: false}\n")
    (folder / "shop.yaml").write_text(
        filled(
            block("behind-traefik.md", "traefik"),
            {STATE: str(world.state), "http://127.0.0.1:8000": f"http://127.0.0.1:{backend}"},
        )
    )
    args = [needs("traefik"), f"--configfile={folder / 'traefik.yaml'}"]
    with gunicorn(world, folder, f"127.0.0.1:{backend}"), process(folder, "traefik", args, listens(port)):
        end = time.monotonic() + WITHIN_S
        while ask(world, port, "/see").status != 200:  # it listens before it knows its routes
            assert time.monotonic() < end, (folder / "traefik.log").read_text()
            time.sleep(0.05)
        yield port, backend


@contextlib.contextmanager
def envoy(world: World, folder: Path) -> Iterator[tuple[int, int | None]]:
    backend, port = free_port(), free_port()
    write_app(world, folder, "behind-envoy.md", "python")
    config = filled(
        block("behind-envoy.md", "envoy"),
        {
            "0.0.0.0, port_value: 8443": f"127.0.0.1, port_value: {port}",
            STATE: str(world.state),
            "port_value: 8000": f"port_value: {backend}",
        },
    )
    (folder / "envoy.yaml").write_text(config)
    args = [
        needs("envoy"),
        "-c",
        str(folder / "envoy.yaml"),
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "--log-level",
        "warning",
    ]
    with gunicorn(world, folder, f"127.0.0.1:{backend}"), process(folder, "envoy", args, listens(port)):
        yield port, backend


NEIGHBOURS = [
    handclasp_itself,
    nginx_gunicorn,
    nginx_gunicorn_unix,
    nginx_of_any_ca,
    nginx_uwsgi,
    apache_mod_wsgi,
    apache_proxy,
    haproxy,
    caddy,
    traefik,
    envoy,
]


VERIFY_NOTHING = ("handclasp_itself", "caddy", "traefik", "envoy")


@dataclasses.dataclass(frozen=True)
class Neighbour:
    world: World
    name: str
    port: int
    backend: int | None

    def ask(self, path: str, who: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        return ask(self.world, self.port, path, who, headers)


@pytest.fixture(scope="module", params=NEIGHBOURS, ids=lambda n: n.__name__)
def neighbour(
    request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Neighbour]:
    folder = tmp_path_factory.mktemp(request.param.__name__)
    with request.param(world, folder) as (port, backend):
        yield Neighbour(world, request.param.__name__, port, backend)


# ---- the one set of assertions


def serial_of(world: World, who: str) -> str:
    return f"{x509.load_pem_x509_certificate(world.pair(who)[0].read_bytes()).serial_number:x}"


def test_a_good_client_is_seen_with_its_record(neighbour: Neighbour) -> None:
    seen = neighbour.ask("/see", "alice").json
    serial = serial_of(neighbour.world, "alice")
    assert (seen["verdict"], seen["verify"], seen["name"], seen["user"]) == ("ok", "SUCCESS", "alice", "alice")
    assert (seen["serial"], seen["m_serial"].lower().lstrip("0")) == (serial, serial)
    assert (seen["roles"], seen["s_dn"]) == (["meter"], "CN=alice")
    pem = neighbour.world.pair("alice")[0].read_text()
    assert seen["pem"].split() == pem[: pem.index("-----END CERTIFICATE-----") + 25].split()
    assert neighbour.ask("/meter", "alice").body == "hello alice"


def test_a_client_without_the_role_is_refused_by_the_view(neighbour: Neighbour) -> None:
    assert neighbour.ask("/see", "bob").json["name"] == "bob"
    assert neighbour.ask("/meter", "bob").status == 403


def test_without_a_certificate_there_is_nobody(neighbour: Neighbour) -> None:
    seen = neighbour.ask("/see").json
    assert (seen["verdict"], seen["verify"], seen["name"], seen["user"]) == ("no-certificate", "NONE", None, None)
    assert neighbour.ask("/meter").status == 403


@pytest.mark.parametrize(
    ("who", "verdict"),
    [("expired", "expired"), ("stranger", "untrusted-issuer"), ("foreign", "untrusted-issuer")],
)
def test_a_certificate_that_does_not_verify_reaches_no_view(neighbour: Neighbour, who: str, verdict: str) -> None:
    answer = neighbour.ask("/meter", who)
    assert answer.status in (0, 400, 403, 495)
    seen = neighbour.ask("/see", who)
    if seen.status == 200:  # the terminator left the decision to us, or told us that it refused
        assert seen.json["verdict"] in (verdict, "no-certificate")
        assert seen.json["name"] is None and seen.json["user"] is None
    # nginx's optional_no_ca forgives an issuer that it does not know, and nothing else.
    if neighbour.name in VERIFY_NOTHING or (neighbour.name == "nginx_of_any_ca" and who == "foreign"):
        assert seen.json["verdict"] == verdict


@pytest.mark.parametrize(("who", "verdict"), [("unknown", "not-in-registry"), ("dave", "suspended")])
def test_the_record_is_looked_up_here_again(neighbour: Neighbour, who: str, verdict: str) -> None:
    seen = neighbour.ask("/see", who).json
    assert (seen["verdict"], seen["name"], seen["user"]) == (verdict, None, None)
    refused = neighbour.ask("/meter", who)
    assert refused.status == 403
    assert refused.json["verdict"] == verdict


FORGED = [
    "X-SSL-Client-Cert",
    "X-SSL-CERT",
    "Client-Cert",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-Amzn-Mtls-Clientcert-Leaf",
    "X-Amzn-Mtls-Clientcert",
    "X-ARR-ClientCert",
    "SSL-Client-Cert",
    "Handclasp-Client",
    "Remote-User",
    "X-SSL-Client-S-DN",
]
SPELT = [
    FORGED,
    ["x-ssl-client-cert", "client-cert"],
    ["X_SSL_Client_Cert", "SSL_CLIENT_CERT", "HTTP_X_SSL_CLIENT_CERT"],
    ["X-SSL_Client-Cert", "x_forwarded-client_cert", "X_Forwarded_Tls_Client_Cert"],
    ["x_ssl-client-cert", "X-Forwarded-Client_Cert", "X-Forwarded_Tls-Client-Cert"],
    ["X-SSL-Client_Cert", "X_Forwarded-Client-Cert", "X-Forwarded-Tls-Client_Cert"],
]


def spellings(pem: str) -> list[str]:
    base64 = "".join(pem.split("-----")[2].split())
    return [quote(pem, safe=""), base64, f":{base64}:", f'Cert="{quote(pem, safe="")}"', " ".join(pem.split("\n"))]


@pytest.mark.parametrize("who", [None, "bob"])
def test_a_forged_header_names_nobody(neighbour: Neighbour, who: str | None) -> None:
    pem = neighbour.world.pair("alice")[0].read_text()
    for text in spellings(pem[: pem.index("-----END CERTIFICATE-----") + 26]):
        for names in SPELT:
            answer = neighbour.ask("/see", who, {"X-SSL-Client-Verify": "SUCCESS"} | dict.fromkeys(names, text))
            if answer.status == 200:
                assert answer.json["name"] == who, f"{names}: {text[:40]}"
                assert answer.json["user"] == who
            else:
                assert answer.status in (0, 400, 403, 431), answer


def test_from_the_side_nobody_is_believed(neighbour: Neighbour) -> None:
    """Another peer than the terminator, at the application's own port."""
    if neighbour.backend is None:
        pytest.skip("there is no TCP port behind this one")
    pem = neighbour.world.pair("alice")[0].read_text()
    for text in spellings(pem[: pem.index("-----END CERTIFICATE-----") + 26]):
        headers = dict.fromkeys(FORGED, text)
        connection = http.client.HTTPConnection(
            "127.0.0.1", neighbour.backend, timeout=WITHIN_S, source_address=("127.0.0.2", 0)
        )
        connection.request("GET", "/see", headers=headers)
        seen = json.loads(connection.getresponse().read())
        connection.close()
        assert (seen["verdict"], seen["name"]) == ("no-certificate", None)


def test_a_revocation_is_in_force_in_every_worker_within_a_second(neighbour: Neighbour) -> None:
    world = neighbour.world
    pids: set[int] = set()
    end = time.monotonic() + 2
    while len(pids) < 2 and time.monotonic() < end:  # who keeps its connections may stay with one
        pids.add(neighbour.ask("/see", "carol").json["pid"])
    try:
        world.client("suspend", "carol")
        began = time.monotonic()
        # The bound that is promised, and no more: each worker is asked until it knows.
        while time.monotonic() - began < 1.0:
            time.sleep(0.05)
        for _ in range(12):
            assert neighbour.ask("/see", "carol").json["verdict"] == "suspended"
            assert neighbour.ask("/meter", "carol").status == 403
    finally:
        world.client("resume", "carol")
    end = time.monotonic() + WITHIN_S
    while neighbour.ask("/meter", "carol").status != 200:
        assert time.monotonic() < end
