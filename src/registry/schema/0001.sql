-- One record per client. An id is never used again: audit rows outlive what they tell of.
CREATE TABLE client (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    status INTEGER NOT NULL CHECK (status BETWEEN 1 AND 3), -- active, suspended, revoked
    status_s INTEGER NOT NULL,
    reason TEXT NOT NULL,
    roles TEXT NOT NULL, -- sorted, a space between two
    attributes TEXT NOT NULL, -- one JSON object, or empty
    created_s INTEGER NOT NULL
) STRICT;

-- What the index in memory is loaded from: kept narrow, so that a million rows load fast.
CREATE TABLE certificate (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id INTEGER NOT NULL REFERENCES client (id) ON DELETE CASCADE,
    issuer_sha256 BLOB NOT NULL CHECK (length(issuer_sha256) = 32),
    serial TEXT NOT NULL, -- lower-case hex without leading zeros, "-" before a negative one
    sha256 BLOB CHECK (length(sha256) = 32), -- NULL: came as a serial alone, not seen yet
    issuer_key_id BLOB NOT NULL,
    key_sha256 BLOB CHECK (length(key_sha256) = 32),
    status INTEGER NOT NULL CHECK (status BETWEEN 1 AND 2), -- active, revoked
    revoked_s INTEGER NOT NULL,
    reason INTEGER NOT NULL, -- CRLReason, -1: none
    origin INTEGER NOT NULL CHECK (origin BETWEEN 1 AND 5), -- issued, signed, enrolled, imported, serial
    replaces INTEGER NOT NULL, -- id, 0: none
    not_before_s INTEGER NOT NULL,
    not_after_s INTEGER NOT NULL,
    added_s INTEGER NOT NULL,
    first_seen_s INTEGER NOT NULL,
    last_seen_s INTEGER NOT NULL
) STRICT;
CREATE INDEX certificate_client ON certificate (client_id);
CREATE INDEX certificate_serial ON certificate (serial);
CREATE UNIQUE INDEX certificate_sha256 ON certificate (sha256) WHERE sha256 IS NOT NULL;
CREATE UNIQUE INDEX certificate_unseen ON certificate (serial, issuer_sha256, issuer_key_id) WHERE sha256 IS NULL;
CREATE INDEX certificate_key ON certificate (key_sha256) WHERE key_sha256 IS NOT NULL;

-- What people and exports want of a certificate.
CREATE TABLE certificate_detail (
    certificate_id INTEGER PRIMARY KEY REFERENCES certificate (id) ON DELETE CASCADE,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    sans TEXT NOT NULL, -- JSON array, or empty
    approved_by TEXT NOT NULL,
    der BLOB -- NULL: not kept
) STRICT;

-- Every change, and the feed that followers read. `mark` tells a feed from that of a backup put back.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    mark INTEGER NOT NULL DEFAULT (random()),
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    client_id INTEGER NOT NULL,
    client_name TEXT NOT NULL,
    certificate_id INTEGER NOT NULL,
    certificate TEXT NOT NULL,
    was TEXT NOT NULL,
    now TEXT NOT NULL
) STRICT;
CREATE INDEX audit_client ON audit (client_id);
CREATE INDEX audit_client_name ON audit (client_name);
CREATE INDEX audit_certificate ON audit (certificate_id) WHERE certificate_id <> 0;

CREATE TABLE registry (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL DEFAULT (random())
) STRICT;
INSERT INTO registry (id) VALUES (1);
