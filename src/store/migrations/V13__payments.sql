-- What payment providers told: which events are known, whose customers have which phone, how each subscription stands.
CREATE TABLE payment_events (
    source      TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (source, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX payment_events_received ON payment_events (received_at);

CREATE TABLE payers (
    source   TEXT    NOT NULL,
    customer TEXT    NOT NULL,
    phone    INTEGER NOT NULL,
    told_at  INTEGER NOT NULL,
    PRIMARY KEY (source, customer)
) STRICT, WITHOUT ROWID;
CREATE INDEX payers_phone ON payers (phone);

-- A subscription at its provider. A phone of its own comes before its customer's.
CREATE TABLE contracts (
    source    TEXT    NOT NULL,
    contract  TEXT    NOT NULL,
    customer  TEXT,
    phone     INTEGER,
    standing  TEXT    NOT NULL,
    told_at   INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    billed_at INTEGER NOT NULL,
    PRIMARY KEY (source, contract)
) STRICT, WITHOUT ROWID;
CREATE INDEX contracts_customer ON contracts (source, customer);
CREATE INDEX contracts_phone ON contracts (phone);
