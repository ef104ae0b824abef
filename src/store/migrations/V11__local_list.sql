-- The daemon's own list: what operators and policies added to it, and whom they took out of any list. A row is ended, not
-- deleted: who took it back and why stays on record.
CREATE TABLE local_list (
    id          INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL,
    -- As the owner's files spell it: +49…, …@lid, +92*, @PK.
    entry       TEXT    NOT NULL,
    -- Whom it names in both forms, where it names one person.
    phone       INTEGER,
    lid         INTEGER,
    reason      TEXT,
    who         TEXT    NOT NULL,
    -- Of a policy's.
    decision_id INTEGER,
    added_at    INTEGER NOT NULL,
    expires_at  INTEGER,
    ended_at    INTEGER,
    ended_who   TEXT,
    ended_why   TEXT
) STRICT;
CREATE UNIQUE INDEX local_list_standing ON local_list (kind, entry) WHERE ended_at IS NULL;
CREATE INDEX local_list_phone ON local_list (phone) WHERE ended_at IS NULL AND phone IS NOT NULL;
CREATE INDEX local_list_lid ON local_list (lid) WHERE ended_at IS NULL AND lid IS NOT NULL;
CREATE INDEX local_list_expiry ON local_list (expires_at) WHERE ended_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX local_list_ended ON local_list (ended_at) WHERE ended_at IS NOT NULL;
