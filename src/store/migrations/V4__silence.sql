-- Trouble that lasts: told when it begins and when it is over, once each, across restarts.
CREATE TABLE troubles (
    kind TEXT    NOT NULL,
    key  TEXT    NOT NULL,
    at   INTEGER NOT NULL,
    text TEXT    NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- What each session was last told to be; `at` is the moment that was told for.
CREATE TABLE session_states (
    session TEXT    PRIMARY KEY,
    state   TEXT    NOT NULL,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Events of our own that take the whole path, and how far each came. Its entry, its decision (of the group 0, which is none)
-- and its outbox row (of the kind 'canary', which is no call) stand where all others stand, and in no list.
CREATE TABLE canaries (
    nonce        TEXT    PRIMARY KEY,
    session      TEXT    NOT NULL,
    posted_at    INTEGER NOT NULL,
    entry_id     INTEGER,
    decision_id  INTEGER,
    applied_at   INTEGER,
    decided_at   INTEGER,
    delivered_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX canaries_session ON canaries (session, posted_at);
CREATE INDEX canaries_entry ON canaries (entry_id);
CREATE INDEX canaries_decision ON canaries (decision_id);
CREATE INDEX canaries_posted ON canaries (posted_at);
