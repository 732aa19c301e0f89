"""Asks a throw-away Apache on loopback what mod_ssl says of the certificates in names/; writes apache.json."""

from __future__ import annotations

import http.client
import json
import pathlib
import socket
import ssl
import subprocess
import tempfile
import time

MODULES = "/usr/lib/apache2/modules"
# Of the connection or of today, not of the certificate.
LEFT_OUT = {"SSL_CLIENT_VERIFY", "SSL_SERVER_V_REMAIN"}
CONFIG = """
ServerRoot {state}
PidFile {state}/pid
ErrorLog {state}/error.log
LogLevel warn
LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so
LoadModule cgi_module {modules}/mod_cgi.so
LoadModule ssl_module {modules}/mod_ssl.so
ServerName localhost
User nobody
Group nogroup
Listen 127.0.0.1:{port}
DocumentRoot {state}/www
LimitRequestFieldSize 65536
<Directory {state}/www>
  Options +ExecCGI
  SetHandler cgi-script
  SSLOptions +StdEnvVars +ExportCertData
  Require all granted
</Directory>
SSLEngine on
SSLCertificateFile {here}/chains/server.pem
SSLCertificateKeyFile {here}/keys/server.key
SSLCACertificateFile {here}/chains/ca.pem
SSLVerifyClient optional_no_ca
SSLVerifyDepth 10
SSLSessionCache none
SSLSessionTickets off
"""
CGI = """#!/usr/bin/python3
import json, os, sys
print("Content-Type: application/json\\n")
json.dump({k.decode(): v.decode("latin-1") for k, v in os.environb.items() if k.startswith(b"SSL_")},
          sys.stdout)
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def key_for(label: str) -> str:
    return label.removeprefix("key-") if label.startswith("key-") else "client"


def get(here: pathlib.Path, port: int, der_path: pathlib.Path) -> dict[str, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(here / "chains/ca.pem")
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(ssl.DER_cert_to_PEM_cert(der_path.read_bytes()))
        file.flush()
        context.load_cert_chain(file.name, here / "keys" / f"{key_for(der_path.stem)}.key")
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    connection.request("GET", "/env")
    response = connection.getresponse()
    body = response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"{der_path.stem}: {response.status} {body[:200]!r}")
    # Latin-1 on the wire of this script, UTF-8 in what mod_ssl meant.
    return {key: value.encode("latin-1").decode("utf-8", "surrogateescape")
            for key, value in json.loads(body).items()}


def wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError("Apache ended")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("Apache does not listen")


def collect(here: pathlib.Path, port: int) -> dict:
    result: dict = {"client": {}, "server": {}}
    for path in sorted((here / "names").glob("*.der")):
        variables = get(here, port, path)
        remain = int(variables.pop("SSL_CLIENT_V_REMAIN"))
        result["client"][path.stem] = {
            "captured_at": int(time.time()), "remain": remain,
            "variables": {k: v for k, v in sorted(variables.items())
                          if k.startswith("SSL_CLIENT_") and k not in LEFT_OUT
                          and not k.startswith("SSL_CLIENT_CERT_CHAIN_")}}
        # Python's client sends the CA along, as the one certificate besides its own.
        result["chain"] = {k: v for k, v in variables.items()
                           if k.startswith("SSL_CLIENT_CERT_CHAIN_")}
        result["server"] = {k: v for k, v in sorted(variables.items())
                            if k.startswith("SSL_SERVER_") and k not in LEFT_OUT}
    return result


def ask(here: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = pathlib.Path(folder)
        state.chmod(0o755)
        (state / "www").mkdir()
        (state / "www/env").write_text(CGI)
        (state / "www/env").chmod(0o755)
        port = free_port()
        (state / "httpd.conf").write_text(
            CONFIG.format(state=state, modules=MODULES, port=port, here=here))
        process = subprocess.Popen(
            ["/usr/sbin/apache2", "-f", str(state / "httpd.conf"), "-DFOREGROUND"],
            start_new_session=True)  # it signals its whole process group when it ends
        try:
            wait_for(port, process)
            result = collect(here, port)
        except Exception:
            print((state / "error.log").read_text(errors="replace")[-3000:])
            raise
        finally:
            process.terminate()
            process.wait()
    (here / "apache.json").write_text(json.dumps(result, indent=1, ensure_ascii=True) + "\n")
