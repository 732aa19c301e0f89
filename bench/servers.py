"""The servers that are compared: how each is started with two-way TLS, and its processes.

Each gets what its documentation recommends for two cores: two processes that run Python where it can have them, its
access log off, kept connections and sessions kept where it can. Tried and left out, because they cost these servers
more: session tickets for nginx (a third more CPU for each resumed TLS 1.3 handshake).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

APPS = Path(__file__).resolve().parent / "apps"


@dataclass
class Setup:
    """What all servers share."""

    python: Path  # of the environment that has Flask and the servers of PyPI
    state: Path  # of `handclasp init`: the certificates
    work: Path  # a folder for sockets, logs, configurations
    large: Path  # the file that is sent

    @property
    def ca(self) -> str:
        return str(self.state / "ca/ca.pem")

    @property
    def cert(self) -> str:
        return str(self.state / "server/server.pem")

    @property
    def key(self) -> str:
        return str(self.state / "server/server.key")

    @property
    def client(self) -> tuple[str, str]:
        return str(self.state / "clients/alice.pem"), str(self.state / "clients/alice.key")

    def program(self, name: str) -> str:
        return str(self.python.parent / name)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def parents() -> dict[int, int]:
    """Of every process, its parent."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            found[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    return found


@dataclass
class Server:
    name: str
    label: str
    commands: Callable[[Server, Setup], list[list[str]]]
    needs: Callable[[Setup], str | None]  # why it cannot run here, if so
    port: int = 0
    folder: Path = Path()
    processes: list[subprocess.Popen] = field(default_factory=list)
    subject: str = ""  # how the application sees the client

    def tree(self) -> list[int]:
        """Its processes: those started here, and theirs."""
        roots = {p.pid for p in self.processes}
        parent = parents()
        found = []
        for pid in parent:
            at = pid
            while at in parent and at not in roots:
                at = parent[at]
            if at in roots:
                found.append(pid)
        return found

    def start(self, setup: Setup) -> None:
        self.port = free_port()
        self.folder = setup.work / self.name
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o777)  # Apache's and nginx's workers are another user's
        environ = os.environ | {
            "BENCH_LARGE": str(setup.large),
            "PYTHONPATH": str(APPS),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with open(self.folder / "log", "wb") as log:
            for command in self.commands(self, setup):
                self.processes.append(
                    subprocess.Popen(
                        command,
                        cwd=self.folder,
                        env=environ,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        self.await_ready(setup)

    def log_end(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no log"

    def await_ready(self, setup: Setup) -> None:
        end = time.monotonic() + 20
        while True:
            try:
                if self.get(setup, "/") == b"hello\n":
                    break
            except (OSError, IndexError) as error:
                problem = str(error)
            if any(p.poll() is not None for p in self.processes):
                raise RuntimeError(f"it ended: {self.log_end()}")
            if time.monotonic() > end:
                raise RuntimeError(f"it does not answer: {problem}; {self.log_end()}")
            time.sleep(0.1)
        if self.lets_anybody_in(setup):
            raise RuntimeError("it answers a client without a certificate")
        answer = self.get(setup, "/who").decode().strip()
        self.subject = answer.partition("=")[0] if "alice" in answer else ""

    def get(self, setup: Setup, path: str, certificate: bool = True) -> bytes:
        context = ssl.create_default_context(cafile=setup.ca)
        if certificate:
            context.load_cert_chain(*setup.client)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = b""
                while part := s.recv(65536):
                    answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        return body if head.split()[1] == b"200" else b""

    def lets_anybody_in(self, setup: Setup) -> bool:
        try:
            return self.get(setup, "/", certificate=False) == b"hello\n"
        except (OSError, IndexError):
            return False

    def stop(self) -> None:
        pids = self.tree()
        for p in self.processes:
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        for pid in pids:  # what a server left behind; they are ours by descent
            try:
                if str(self.folder) == os.readlink(f"/proc/{pid}/cwd") or os.getpgid(pid) in {
                    p.pid for p in self.processes
                }:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.processes.clear()


# ---- what each needs


def programs(*names: str, package: str) -> Callable[[Setup], str | None]:
    def missing(_: Setup) -> str | None:
        absent = [n for n in names if not (Path(n).exists() if "/" in n else shutil.which(n, path=SEARCH))]
        return f"apt-get install {package}" if absent else None

    return missing


def debian(*names: str, package: str) -> Callable[[Setup], str | None]:
    """Also needs Debian's Python, which these packages are built for."""

    def missing(setup: Setup) -> str | None:
        if not os.path.realpath(setup.python).startswith("/usr/bin/"):
            return "its Python is /usr/bin/python3, which is not the one that the others run here"
        return programs(*names, package=package)(setup)

    return missing


def module(name: str) -> Callable[[Setup], str | None]:
    def missing(setup: Setup) -> str | None:
        found = subprocess.run([setup.python, "-c", f"import {name}"], capture_output=True).returncode == 0
        return None if found else f"pip install {name} did not work"

    return missing


SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

# ---- how each is started


def handclasp(s: Server, setup: Setup) -> list[list[str]]:
    return [
        [setup.program("handclasp"), "serve", "hello:app", "--state", str(setup.state), "--bind", f"127.0.0.1:{s.port}"]
        + ["--workers", "2", "--threads", "4", "--python", str(setup.python), "--worker-connections", "20000"]
        + ["--control-socket", str(s.folder / "control.sock")]
    ]


def uwsgi_backend(setup: Setup, plugins: str, *more: str) -> list[str]:
    return (
        [shutil.which("uwsgi", path=SEARCH) or "uwsgi", "--plugins", plugins, "--master", "--processes", "2"]
        + ["--module", "hello:app", "--virtualenv", str(setup.python.parent.parent), "--pythonpath", str(APPS)]
        + ["--need-app", "--disable-logging", "--die-on-term", "--buffer-size", "32768", *more]
    )


def nginx_uwsgi(s: Server, setup: Setup) -> list[list[str]]:
    socket_path = s.folder / "uwsgi.sock"
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"{kind}_temp_path {s.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (s.folder / "nginx.conf").write_text(f"""
        {user} worker_processes 2; daemon off; pid {s.folder}/pid; error_log {s.folder}/log warn;
        events {{ worker_connections 16384; }}
        http {{
          access_log off; {temporary}
          keepalive_timeout 75; keepalive_requests 1000000000; client_max_body_size 16m;
          ssl_certificate {setup.cert}; ssl_certificate_key {setup.key};
          ssl_client_certificate {setup.ca}; ssl_verify_client on; ssl_protocols TLSv1.2 TLSv1.3;
          ssl_session_cache shared:sessions:10m; ssl_session_tickets off;
          server {{
            listen 127.0.0.1:{s.port} ssl backlog=2048 reuseport; server_name localhost;
            location / {{
              include /etc/nginx/uwsgi_params;
              uwsgi_param SSL_CLIENT_VERIFY $ssl_client_verify;
              uwsgi_param SSL_CLIENT_S_DN $ssl_client_s_dn;
              uwsgi_param SSL_CLIENT_I_DN $ssl_client_i_dn;
              uwsgi_param SSL_CLIENT_M_SERIAL $ssl_client_serial;
              uwsgi_param SSL_CLIENT_CERT $ssl_client_escaped_cert;
              uwsgi_pass unix:{socket_path};
            }}
          }}
        }}""")
    return [
        uwsgi_backend(setup, "python3", "--socket", str(socket_path), "--chmod-socket=666"),
        [shutil.which("nginx", path=SEARCH) or "nginx", "-p", str(s.folder), "-c", str(s.folder / "nginx.conf")],
    ]


def uwsgi(s: Server, setup: Setup) -> list[list[str]]:
    address = f"127.0.0.1:{s.port},{setup.cert},{setup.key},HIGH,!{setup.ca}"
    return [
        uwsgi_backend(setup, "http,python3", "--https", address, "--https-export-cert", "--http-keepalive=75")
        + ["--socket", str(s.folder / "uwsgi.sock"), "--http-to", str(s.folder / "uwsgi.sock"), "--http-processes", "2"]
    ]


def gunicorn(s: Server, setup: Setup) -> list[list[str]]:
    return [
        [setup.program("gunicorn"), "hello:app", "--bind", f"127.0.0.1:{s.port}", "--workers", "2", "--threads", "4"]
        + ["--worker-class", "gthread", "--keep-alive", "75", "--worker-connections", "10000"]
        + ["--certfile", setup.cert, "--keyfile", setup.key, "--ca-certs", setup.ca, "--cert-reqs", "2"]
    ]


def apache(s: Server, setup: Setup) -> list[list[str]]:
    modules = "/usr/lib/apache2/modules"
    loads = {"mpm_event": "mpm_event", "authz_core": "authz_core", "ssl": "ssl"}
    loads |= {"socache_shmcb": "socache_shmcb", "wsgi": "wsgi"}
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    (s.folder / "app.wsgi").write_text("from hello import app as application\n")
    (s.folder / "apache.conf").write_text(
        "\n".join(f"LoadModule {name}_module {modules}/mod_{file}.so" for name, file in loads.items())
        + f"""
ServerRoot {s.folder}
ServerName localhost
Listen 127.0.0.1:{s.port}
PidFile {s.folder}/pid
ErrorLog {s.folder}/log
{user}
StartServers 2
ServerLimit 2
ThreadsPerChild 64
MaxRequestWorkers 128
AsyncRequestWorkerFactor 64
KeepAlive On
KeepAliveTimeout 75
MaxKeepAliveRequests 0
SSLSessionCache shmcb:{s.folder}/sessions(5120000)
SSLSessionTickets off
SSLEngine on
SSLCertificateFile {setup.cert}
SSLCertificateKeyFile {setup.key}
SSLCACertificateFile {setup.ca}
SSLVerifyClient require
SSLOptions +StdEnvVars +ExportCertData
WSGISocketPrefix {s.folder}/wsgi
WSGIDaemonProcess bench processes=2 threads=4 python-home={setup.python.parent.parent} python-path={APPS}
WSGIProcessGroup bench
WSGIApplicationGroup %{{GLOBAL}}
WSGIScriptAlias / {s.folder}/app.wsgi
<Location />
  Require all granted
</Location>
"""
    )
    return [[shutil.which("apache2", path=SEARCH) or "apache2", "-f", str(s.folder / "apache.conf"), "-DFOREGROUND"]]


def cheroot(s: Server, setup: Setup) -> list[list[str]]:
    command = [str(setup.python), str(APPS / "serve_cheroot.py"), str(s.port), setup.cert, setup.key, setup.ca]
    return [command, command]


def granian(s: Server, setup: Setup) -> list[list[str]]:
    return [
        [setup.program("granian"), "hello:app", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(s.port)]
        + ["--workers", "2", "--http", "1", "--no-ws", "--log-level", "warning", "--ssl-protocol-min", "tls1.2"]
        + ["--ssl-certificate", setup.cert, "--ssl-keyfile", setup.key, "--ssl-ca", setup.ca, "--ssl-client-verify"]
    ]


def werkzeug(s: Server, setup: Setup) -> list[list[str]]:
    return [[str(setup.python), str(APPS / "serve_werkzeug.py"), str(s.port), setup.cert, setup.key, setup.ca]]


def all_servers() -> list[Server]:
    wsgi = "/usr/lib/apache2/modules/mod_wsgi.so"
    uwsgi_python = "/usr/lib/uwsgi/plugins/python3_plugin.so"
    uwsgi_http = "/usr/lib/uwsgi/plugins/http_plugin.so"
    uwsgi_packages = "uwsgi-core uwsgi-plugin-python3"
    return [
        Server("handclasp", "Handclasp", handclasp, lambda setup: None),
        Server(
            "nginx+uwsgi",
            "nginx + uWSGI",
            nginx_uwsgi,
            debian("nginx", "uwsgi", uwsgi_python, package=f"nginx-light {uwsgi_packages}"),
        ),
        Server("uwsgi", "uWSGI", uwsgi, debian("uwsgi", uwsgi_python, uwsgi_http, package=uwsgi_packages)),
        Server("granian", "granian", granian, module("granian")),
        Server("gunicorn", "gunicorn gthread", gunicorn, module("gunicorn")),
        Server(
            "apache", "Apache + mod_wsgi", apache, debian("apache2", wsgi, package="apache2 libapache2-mod-wsgi-py3")
        ),
        Server("cheroot", "cheroot", cheroot, module("cheroot")),
        Server("werkzeug", "Werkzeug", werkzeug, module("werkzeug")),
    ]
