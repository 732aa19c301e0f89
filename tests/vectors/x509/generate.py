#!/usr/bin/env python3
"""Writes the certificates of this folder (needs `cryptography` >= 43); keys that exist are kept.

    python3 generate.py             # keys/ names/ refused/ chains/ crls/
    python3 generate.py --apache    # besides, asks /usr/sbin/apache2 for apache.json
"""

from __future__ import annotations

import base64
import pathlib
import sys
import textwrap

from cryptography.hazmat.primitives import serialization

import chains
import der
import names

HERE = pathlib.Path(__file__).resolve().parent
KEYS = {"ca": "ec", "other": "ec", "old-ca": "ec", "intermediate": "ec", "sub": "ec",
        "client": "ec", "server": "ec", "rsa": "rsa2048", "rsa1024": "rsa1024",
        "ed25519": "ed25519"}


def pem(label: str, data: bytes) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(data).decode(), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"


def load_keys() -> dict:
    keys = {}
    for label, kind in KEYS.items():
        path = HERE / "keys" / f"{label}.key"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(der.new_key(kind).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()))
        keys[label] = serialization.load_pem_private_key(path.read_bytes(), None)
    return keys


def name_vector(keys: dict, vector: dict) -> bytes:
    arguments = {"issuer": chains.CA_NAME,
                 "extensions": [der.basic_constraints(False)], **vector}
    arguments["key"] = keys[vector.get("key", "client")]
    arguments["issuer_key"] = keys[vector.get("issuer_key", "ca")]
    arguments.setdefault("serial", 0x1234ABCD)
    return der.certificate(**arguments)


def write(folder: str, label: str, suffix: str, data: bytes) -> None:
    path = HERE / folder / f"{label}.{suffix}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def main() -> None:
    keys = load_keys()
    for label, vector in {**names.VECTORS, **names.NO_CHARACTER_STRING}.items():
        write("names", label, "der", name_vector(keys, vector))
    for label, (_, vector) in names.REFUSED.items():
        write("refused", label, "der", name_vector(keys, vector))
    (HERE / "refused" / "words.txt").write_text(
        "".join(f"{label}\t{word}\n" for label, (word, _) in names.REFUSED.items()))
    made = chains.make(keys)
    for label, data in made.certificates.items():
        write("chains", label, "pem", pem("CERTIFICATE", data).encode())
    for label, data in made.crls.items():
        write("crls", label, "pem", pem("X509 CRL", data).encode())
    server = der.certificate(
        subject=der.name(("C", der.printable("DE")), ("O", "Example"), ("OU", "a"), ("OU", "b\\"),
                         ("CN", "localhost")),
        issuer=chains.CA_NAME, key=keys["server"], issuer_key=keys["ca"], serial=0xABCDEF,
        extensions=[der.san(der.dns("localhost"), der.address(bytes([127, 0, 0, 1])),
                            der.email("root@localhost"),
                            der.other_name("1.3.6.1.5.5.7.8.7", der.ia5("_https.localhost")),
                            der.upn(der.utf8("server@corp.example")))])
    write("chains", "server", "pem", pem("CERTIFICATE", server).encode())
    if "--apache" in sys.argv:
        import apache
        apache.ask(HERE)


if __name__ == "__main__":
    main()
