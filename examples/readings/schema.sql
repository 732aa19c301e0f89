CREATE TABLE IF NOT EXISTS reading (
    id INTEGER PRIMARY KEY,
    meter TEXT NOT NULL,
    at TEXT NOT NULL,             -- RFC 3339, UTC
    value REAL NOT NULL,
    unit TEXT NOT NULL,
    fingerprint TEXT NOT NULL,    -- SHA-256 of the certificate that sent it
    UNIQUE (meter, at)
) STRICT;
