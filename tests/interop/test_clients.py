"""Clients of others get in with their certificate, are known by their name, and understand a refusal without one.

Four implementations of TLS (OpenSSL, GnuTLS, Go's, Java's) and seven of HTTP. Each makes two requests on two
connections in one process, so that those that keep sessions can resume. What is not installed is skipped.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from handclasp_server_tests import Program, Server, running

APP = """
def app(environ, start_response):
    size = len(environ["wsgi.input"].read())
    names = ("SSL_CLIENT_S_DN_CN", "REQUEST_METHOD", "SERVER_PROTOCOL", "SSL_PROTOCOL", "SSL_SESSION_RESUMED")
    body = " ".join([*(environ.get(name, "-") for name in names), str(size), "end"]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


@dataclasses.dataclass(frozen=True)
class Site:
    """What a client is told."""

    url: str
    ca: Path
    certificate: Path | None
    key: Path | None
    folder: Path  # to write in


@dataclasses.dataclass(frozen=True)
class Client:
    name: str
    command: Callable[[Site], list[str]]
    needs: str | None = None  # a program, or "python:MODULE"
    protocol: str = "HTTP/1.1"
    version: str = "TLSv1.3"
    resumes: bool = False
    method: str = "GET"
    size: int = 0
    reads_403: bool = True  # prints what a refusal says
    # Of an alert that says that a certificate is wanted; TLS 1.2 has no alert of its own for that.
    alert: str = r"certificate[ _](is[ _])?required"

    def run(self, site: Site) -> str:
        """All that it said, on both streams."""
        done = subprocess.run(
            self.command(site), cwd=site.folder, capture_output=True, text=True, timeout=120, env=environment(site)
        )
        return done.stdout + done.stderr

    def missing(self) -> str | None:
        if self.needs and self.needs.startswith("python:"):
            module = self.needs.removeprefix("python:")
            return None if importlib.util.find_spec(module) else f"the package {module} is not here"
        program = self.needs or self.name
        return None if shutil.which(program) else f"{program} is not here"


def environment(site: Site) -> dict[str, str]:
    own = {"URL": site.url, "CA": str(site.ca), "GO111MODULE": "off", "GOTOOLCHAIN": "local", "GOTELEMETRY": "off"}
    if site.certificate and site.key:
        own |= {"CERT": str(site.certificate), "KEY": str(site.key)}
    # No proxy stands between a test and a server on loopback.
    return {k: v for k, v in os.environ.items() if "proxy" not in k.lower()} | own


def curl(*options: str) -> Callable[[Site], list[str]]:
    def command(site: Site) -> list[str]:
        own = ["--cert", str(site.certificate), "--key", str(site.key)] if site.certificate else []
        # Closed after each request, so that the second needs a connection of its own.
        common = [
            "curl",
            "-sS",
            "--max-time",
            "30",
            "--cacert",
            str(site.ca),
            "-H",
            "Connection: close",
            *own,
            *options,
        ]
        return [*common, "-w", "\\n%{http_code}\\n", site.url, site.url]

    return command


def wget(site: Site) -> list[str]:
    own = [f"--certificate={site.certificate}", f"--private-key={site.key}"] if site.certificate else []
    common = ["wget", "-nv", "-S", "-O", "-", "--tries=1", "--timeout=30", "--no-hsts", "--content-on-error"]
    return [*common, "--no-http-keep-alive", f"--ca-certificate={site.ca}", *own, site.url, site.url + "?2"]


def python(text: str) -> Callable[[Site], list[str]]:
    prelude = "import os\nurl, ca = os.environ['URL'], os.environ['CA']\n"
    prelude += "cert = (os.environ['CERT'], os.environ['KEY']) if 'CERT' in os.environ else None\n"
    return lambda site: [sys.executable, "-c", prelude + text]


def written(name: str, text: str, *command: str) -> Callable[[Site], list[str]]:
    def make(site: Site) -> list[str]:
        (site.folder / name).write_text(text)
        return [*command, name]

    return make


REQUESTS = """
import requests
for _ in range(2):
    r = requests.post(url, data=b"x" * 100_000, cert=cert, verify=ca, timeout=30)
    print(r.status_code, r.text)
"""

HTTPX = """
import ssl, httpx
context = ssl.create_default_context(cafile=ca)
if cert:
    context.load_cert_chain(*cert)
def pieces():
    for _ in range(10):
        yield b"x" * 10_000
for _ in range(2):
    with httpx.Client(verify=context, timeout=30) as client:
        r = client.put(url, content=pieces())
        print(r.status_code, r.text)
"""

URLLIB3 = """
import urllib3
files = {"cert_file": cert[0], "key_file": cert[1]} if cert else {}
for _ in range(2):
    with urllib3.PoolManager(ca_certs=ca, retries=False, timeout=30, **files) as pool:
        r = pool.request("GET", url)
        print(r.status, r.data.decode())
"""

NODE = """
const fs = require('fs'), https = require('https');
const agent = new https.Agent({ keepAlive: false, ca: fs.readFileSync(process.env.CA),
  ...(process.env.CERT && { cert: fs.readFileSync(process.env.CERT), key: fs.readFileSync(process.env.KEY) }) });
function once(then) {
  const request = https.request(process.env.URL, { agent, method: 'POST' }, response => {
    let text = '';
    response.on('data', piece => { text += piece; });
    response.on('end', () => { console.log(response.statusCode, text); then(); });
  });
  request.on('error', error => console.log(error.code, error.message));
  request.write('x'.repeat(50000));  // chunked: no length is known yet
  request.end('x'.repeat(50000));
}
once(() => once(() => {}));
"""

GO = """
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	ca, err := os.ReadFile(os.Getenv("CA"))
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: pool, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	if os.Getenv("CERT") != "" {
		pair, err := tls.LoadX509KeyPair(os.Getenv("CERT"), os.Getenv("KEY"))
		if err != nil {
			panic(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true,
		ForceAttemptHTTP2: true}}
	for i := 0; i < 2; i++ {
		// Of a body that it still writes, Go may report its own end of the connection in place of the alert.
		method, body := "GET", []byte(nil)
		if os.Getenv("CERT") != "" {
			method, body = "POST", make([]byte, 100000)
		}
		request, err := http.NewRequest(method, os.Getenv("URL"), bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		response, err := client.Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := io.ReadAll(response.Body)
		fmt.Println(response.StatusCode, string(text))
	}
}
"""

JAVA = """
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
  public static void main(String[] arguments) throws Exception {
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509")
        .generateCertificate(new FileInputStream(System.getenv("CA"))));
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(trusted);
    KeyManagerFactory keys = null;
    if (System.getenv("CERT") != null) {
      KeyStore own = KeyStore.getInstance("PKCS12");
      own.load(new FileInputStream("client.p12"), "secret".toCharArray());
      keys = KeyManagerFactory.getInstance("PKIX");
      keys.init(own, "secret".toCharArray());
    }
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys == null ? null : keys.getKeyManagers(), trust.getTrustManagers(), null);
    for (int i = 0; i < 2; i++) {
      HttpClient client = HttpClient.newBuilder().sslContext(context).build();
      HttpRequest request = HttpRequest.newBuilder(URI.create(System.getenv("URL")))
          .POST(HttpRequest.BodyPublishers.ofByteArray(new byte[100000])).build();
      try {
        HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(response.statusCode() + " " + response.body());
      } catch (java.io.IOException failure) {
        System.out.println(failure);
        return;
      }
    }
  }
}
"""


def java(site: Site) -> list[str]:
    if site.certificate and site.key:
        key = serialization.load_pem_private_key(site.key.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(site.certificate.read_bytes())
        lock = serialization.BestAvailableEncryption(b"secret")
        bundle = serialize_key_and_certificates(b"alice", key, certificate, None, lock)
        (site.folder / "client.p12").write_bytes(bundle)
    return written("Client.java", JAVA, "java", "-XX:TieredStopAtLevel=1")(site)


BODY = {"method": "POST", "size": 100_000}
CLIENTS = [
    Client("curl", curl("--http1.1"), resumes=True),
    Client("curl --http1.0", curl("--http1.0"), "curl", protocol="HTTP/1.0", resumes=True),
    Client(
        "curl --tls-max 1.2",
        curl("--tls-max", "1.2"),
        "curl",
        version="TLSv1.2",
        resumes=True,
        alert="handshake failure",
    ),
    Client("curl, asking for HTTP/2", curl("--http2"), "curl", resumes=True),
    Client(
        "curl, waiting for 100",
        curl("--expect100-timeout", "30", "-T", "large", "-T", "large"),
        "curl",
        method="PUT",
        size=3 << 20,
    ),
    Client("wget", wget, alert=""),  # fails without a word about an alert that comes after the handshake
    Client("requests", python(REQUESTS), "python:requests", **BODY),
    Client("httpx", python(HTTPX), "python:httpx", method="PUT", size=100_000),
    Client("urllib3", python(URLLIB3), "python:urllib3"),
    Client("node", written("client.js", NODE, "node"), resumes=True, **BODY),
    Client("go", written("client.go", GO, "go", "run"), resumes=True, **BODY),
    Client("java", java, resumes=True, **BODY),
]


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    if missing := request.param.missing():
        pytest.skip(missing)
    return request.param


def module_server(**options: object):
    @pytest.fixture(scope="module")
    def one(program: Program, state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        with running(program, state, tmp_path_factory.mktemp("served"), APP, **options) as server:
            yield server

    return one


by_alert = module_server()
readable = module_server(refuse_with="http")


def site_of(server: Server, folder: Path, name: str | None) -> Site:
    clients = server.state / "clients"
    own = (clients / f"{name}.pem", clients / f"{name}.key") if name else (None, None)
    (folder / "large").write_bytes(b"x" * (3 << 20))
    return Site(server.url + "/", server.state / "ca/ca.pem", *own, folder)


def test_who_shows_a_certificate_is_known_by_name(client: Client, by_alert: Server, tmp_path: Path) -> None:
    said = client.run(site_of(by_alert, tmp_path, "alice"))
    seen = re.findall(r"alice (\w+) (\S+) (\S+) (\w+) (\d+) end", said)
    wanted = (client.method, client.protocol, client.version)
    assert [one[:3] for one in seen] == [wanted] * 2, said
    assert [int(one[4]) for one in seen] == [client.size] * 2, said
    assert seen[1][3] == "Resumed" or not client.resumes, said
    assert "200" in said


def test_who_shows_none_hears_of_it_by_an_alert(client: Client, by_alert: Server, tmp_path: Path) -> None:
    before = len(refusals(by_alert))
    said = client.run(site_of(by_alert, tmp_path, None))
    assert re.search(client.alert, said, re.I), said
    assert "200" not in said and " end" not in said, said
    by_alert.wait_for("verdict=no-certificate", count=before + 1)


def test_who_shows_none_can_read_why(client: Client, readable: Server, tmp_path: Path) -> None:
    said = client.run(site_of(readable, tmp_path, None))
    assert "403" in said and "no-certificate" in said, said
    assert " end" not in said, said


def refusals(server: Server) -> list[str]:
    return [line for line in server.log() if "verdict=no-certificate" in line]
