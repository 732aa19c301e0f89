"""Writes a registry as another process does: rows, and the audit row that tells a running server.

What the program's own commands do with records is tested in test_client_*.py; here it is quick, and can be wrong on
purpose.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding

APPLICATION_ID = 0x48434C52
ACTIVE, SUSPENDED, REVOKED = 1, 2, 3
CERTIFICATE_REVOKED = 2


def sha256(octets: bytes) -> bytes:
    digest = Hash(SHA256())
    digest.update(octets)
    return digest.finalize()


def load(certificate: x509.Certificate | Path | str) -> x509.Certificate:
    if isinstance(certificate, x509.Certificate):
        return certificate
    return x509.load_pem_x509_certificate(Path(certificate).read_bytes())


@dataclasses.dataclass(frozen=True)
class Registry:
    path: Path

    @classmethod
    def create(cls, path: Path) -> Registry:
        with contextlib.closing(sqlite3.connect(path)) as db:
            for migration in sorted((ROOT / "src/registry/schema").glob("*.sql")):
                db.executescript(migration.read_text())
                version = int(migration.stem)
            db.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};")
        return cls(path)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=20, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = TRUNCATE")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def rows(self, sql: str, *values: object) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=20)) as db:
            return db.execute(sql, values).fetchall()

    @staticmethod
    def _tell(db: sqlite3.Connection, action: str, client: int) -> None:
        db.execute(
            "INSERT INTO audit (at_ms, who, action, client_id, client_name, certificate_id, certificate, was, now)"
            " VALUES (?, 'test', ?, ?, '', 0, '', '', '')",
            (int(time.time() * 1000), action, client),
        )

    def add(
        self,
        name: str,
        *certificates: x509.Certificate | Path | str,
        roles: str = "",
        attributes: str = "",
        serial_alone: bool = False,
    ) -> int:
        now = int(time.time())
        with self.writing() as db:
            client = db.execute(
                "INSERT INTO client (name, status, status_s, reason, roles, attributes, created_s)"
                " VALUES (?, 1, ?, '', ?, ?, ?)",
                (name, now, roles, attributes, now),
            ).lastrowid
            for one in certificates:
                self._add_certificate(db, client, load(one), serial_alone)
            self._tell(db, "client.add", client)
        return client

    @staticmethod
    def _add_certificate(
        db: sqlite3.Connection, client: int, certificate: x509.Certificate, serial_alone: bool
    ) -> None:
        now = int(time.time())
        fingerprint = None if serial_alone else certificate.fingerprint(SHA256())
        row = db.execute(
            "INSERT INTO certificate (client_id, issuer_sha256, serial, sha256, issuer_key_id, key_sha256, status,"
            " revoked_s, reason, origin, replaces, not_before_s, not_after_s, added_s, first_seen_s, last_seen_s)"
            " VALUES (?, ?, ?, ?, x'', NULL, 1, 0, -1, ?, 0, ?, ?, ?, 0, 0)",
            (
                client,
                sha256(certificate.issuer.public_bytes()),
                f"{certificate.serial_number:x}",
                fingerprint,
                5 if serial_alone else 4,
                int(certificate.not_valid_before_utc.timestamp()),
                int(certificate.not_valid_after_utc.timestamp()),
                now,
            ),
        ).lastrowid
        db.execute(
            "INSERT INTO certificate_detail (certificate_id, issuer, subject, sans, approved_by, der)"
            " VALUES (?, ?, ?, '', '', NULL)",
            (row, certificate.issuer.rfc4514_string(), certificate.subject.rfc4514_string()),
        )

    def other_certificate(self, name: str, certificate: x509.Certificate | Path | str) -> None:
        """The row's issuer and serial stay, the SHA-256 becomes that of another certificate."""
        with self.writing() as db:
            client = self._client(db, name)
            db.execute(
                "UPDATE certificate SET sha256 = ? WHERE client_id = ?",
                (sha256(load(certificate).public_bytes(Encoding.DER) + b"x"), client),
            )
            self._tell(db, "certificate.add", client)

    @staticmethod
    def _client(db: sqlite3.Connection, name: str) -> int:
        ((client,),) = db.execute("SELECT id FROM client WHERE name = ?", (name,)).fetchall()
        return client

    def set_status(self, name: str, status: int, reason: str = "") -> None:
        with self.writing() as db:
            client = self._client(db, name)
            db.execute(
                "UPDATE client SET status = ?, status_s = ?, reason = ? WHERE id = ?",
                (status, int(time.time()), reason, client),
            )
            self._tell(db, "client.status", client)

    def set_roles(self, name: str, roles: str) -> None:
        with self.writing() as db:
            client = self._client(db, name)
            db.execute("UPDATE client SET roles = ? WHERE id = ?", (roles, client))
            self._tell(db, "client.roles", client)

    def revoke_certificates(self, name: str, reason: int = 1) -> None:
        with self.writing() as db:
            client = self._client(db, name)
            db.execute(
                "UPDATE certificate SET status = 2, revoked_s = ?, reason = ? WHERE client_id = ?",
                (int(time.time()), reason, client),
            )
            self._tell(db, "certificate.revoke", client)

    def remove(self, name: str) -> None:
        with self.writing() as db:
            client = self._client(db, name)
            db.execute("DELETE FROM client WHERE id = ?", (client,))
            self._tell(db, "client.remove", client)
