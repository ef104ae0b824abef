-- Times are milliseconds since 1970 UTC. Words are the fixed ones of the API. JSON is the serde form of the vocabulary.

-- The journal. `key` is session and event id: the gateway's ids follow time, so its index grows at the right edge.
CREATE TABLE entries (
    id          INTEGER PRIMARY KEY,
    session     TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    key         BLOB    NOT NULL UNIQUE,
    received_at INTEGER NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'new',
    note        TEXT,
    body        BLOB    NOT NULL
) STRICT;
CREATE INDEX entries_new ON entries (id) WHERE state = 'new';

CREATE TABLE people (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    phone          INTEGER UNIQUE,
    lid            INTEGER UNIQUE,
    is_own         INTEGER NOT NULL DEFAULT 0,
    removals       INTEGER NOT NULL DEFAULT 0,
    wrote_to_us_at INTEGER
) STRICT;

-- Rows that turned out to be somebody else's: numbers that are still under way find the row that stayed.
CREATE TABLE people_merged (
    id     INTEGER PRIMARY KEY,
    became INTEGER NOT NULL
) STRICT;
CREATE INDEX people_merged_became ON people_merged (became);

CREATE TABLE tags (
    person_id INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    until     INTEGER,
    PRIMARY KEY (person_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    name             TEXT PRIMARY KEY,
    person_id        INTEGER,
    first_started_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE groups (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    jid             TEXT    NOT NULL UNIQUE,
    subject         TEXT    NOT NULL DEFAULT '',
    description     TEXT    NOT NULL DEFAULT '',
    announce_only   INTEGER,
    info_locked     INTEGER,
    owner           TEXT,
    invite          TEXT,
    archived        INTEGER NOT NULL DEFAULT 0,
    created_by_us   INTEGER NOT NULL DEFAULT 0,
    adopted_at      INTEGER,
    roster_asked_at INTEGER,
    size            INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE group_sessions (
    group_id  INTEGER NOT NULL,
    session   TEXT    NOT NULL,
    inside    INTEGER NOT NULL,
    since     INTEGER NOT NULL,            -- the moment the last change of `inside` was told for
    announced INTEGER NOT NULL DEFAULT 0,  -- a self-join told it, not merely an event that only an insider hears
    PRIMARY KEY (group_id, session)
) STRICT, WITHOUT ROWID;

-- The shadow membership; `src/directory.rs` says what its moments mean.
CREATE TABLE members (
    group_id        INTEGER NOT NULL,
    person_id       INTEGER NOT NULL,
    jid             TEXT    NOT NULL,
    name            TEXT,
    role            TEXT    NOT NULL,
    role_at         INTEGER,                 -- the moment the role was told for; it may be told before the join
    present         INTEGER NOT NULL,
    via             TEXT    NOT NULL,
    added_by        TEXT,
    left_by         TEXT,
    joined_at       INTEGER,
    seen_at         INTEGER,
    left_at         INTEGER,
    told_at         INTEGER,
    removed_at      INTEGER,
    removal_open    INTEGER NOT NULL DEFAULT 0,
    adopted         INTEGER NOT NULL DEFAULT 0,
    joins           INTEGER NOT NULL DEFAULT 0,
    messages        INTEGER NOT NULL DEFAULT 0,
    last_message_at INTEGER,
    PRIMARY KEY (group_id, person_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_person ON members (person_id);

CREATE TABLE arrivals (
    group_id INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    joined   INTEGER NOT NULL
) STRICT;
CREATE INDEX arrivals_at ON arrivals (at);

CREATE TABLE decisions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    entry_id    INTEGER NOT NULL,
    hook        TEXT    NOT NULL,
    session     TEXT    NOT NULL,
    group_id    INTEGER NOT NULL,
    person_id   INTEGER,
    received_at INTEGER NOT NULL,
    round       INTEGER NOT NULL DEFAULT 0,
    twin_id     INTEGER,  -- the run of the same join, told in the other dialect, that stands for this one
    state       TEXT    NOT NULL DEFAULT 'pending',
    final       INTEGER NOT NULL DEFAULT 0,
    mode        TEXT,
    block       TEXT    NOT NULL DEFAULT '',
    decided_at  INTEGER,
    chain       TEXT,
    verdict     TEXT,
    failure     TEXT
) STRICT;
CREATE INDEX decisions_pending ON decisions (id) WHERE state = 'pending';
CREATE INDEX decisions_parked ON decisions (id) WHERE state = 'policy_error';
CREATE INDEX decisions_entry ON decisions (entry_id);
CREATE INDEX decisions_person ON decisions (person_id, group_id);

-- `gate` says why a waiting row may not be tried: 'open' it may, 'time' not before `not_before`, 'row' not before
-- `after_id` is done; null unless waiting. So the head of a lane is found without passing rows that cannot go.
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    decision_id INTEGER NOT NULL,
    session     TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    class       TEXT    NOT NULL,
    priority    INTEGER NOT NULL,
    group_id    INTEGER,
    person_id   INTEGER,
    state       TEXT    NOT NULL,
    gate        TEXT,
    attempts    INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    not_before  INTEGER NOT NULL,
    expires_at  INTEGER,
    unknown_at  INTEGER,
    settled_at  INTEGER,
    after_id    INTEGER,
    line        INTEGER NOT NULL,
    call        TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    policy      TEXT    NOT NULL,
    note        TEXT
) STRICT;
CREATE INDEX outbox_open ON outbox (session, class, priority, id) WHERE gate = 'open';
CREATE INDEX outbox_timed ON outbox (session, not_before) WHERE gate = 'time';
CREATE INDEX outbox_due ON outbox (not_before) WHERE state = 'waiting';
CREATE INDEX outbox_expiry ON outbox (session, expires_at) WHERE state = 'waiting' AND expires_at IS NOT NULL;
CREATE INDEX outbox_after ON outbox (after_id) WHERE state = 'waiting' AND after_id IS NOT NULL;
CREATE INDEX outbox_removal ON outbox (group_id, person_id)
    WHERE kind = 'remove' AND state IN ('waiting', 'held', 'sending', 'unknown');
CREATE INDEX outbox_welcome ON outbox (group_id, id) WHERE kind = 'welcome' AND state = 'waiting';
CREATE INDEX outbox_settings ON outbox (group_id, kind) WHERE class = 'settings' AND state IN ('waiting', 'sending', 'unknown');
CREATE INDEX outbox_unknown ON outbox (session, not_before) WHERE kind = 'remove' AND state = 'unknown';
CREATE INDEX outbox_settled ON outbox (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX outbox_sending ON outbox (id) WHERE state = 'sending';
CREATE INDEX outbox_decision ON outbox (decision_id);
CREATE INDEX outbox_person ON outbox (person_id) WHERE person_id IS NOT NULL;

-- Rows by state and call, kept by triggers: /metrics asks every few seconds and history is long.
CREATE TABLE outbox_counts (
    state TEXT    NOT NULL,
    kind  TEXT    NOT NULL,
    rows  INTEGER NOT NULL,
    PRIMARY KEY (state, kind)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER outbox_counted AFTER INSERT ON outbox BEGIN
    INSERT INTO outbox_counts VALUES (new.state, new.kind, 1) ON CONFLICT DO UPDATE SET rows = rows + 1;
END;
CREATE TRIGGER outbox_recounted AFTER UPDATE OF state ON outbox WHEN old.state <> new.state BEGIN
    UPDATE outbox_counts SET rows = rows - 1 WHERE state = old.state AND kind = old.kind;
    INSERT INTO outbox_counts VALUES (new.state, new.kind, 1) ON CONFLICT DO UPDATE SET rows = rows + 1;
END;
CREATE TRIGGER outbox_discounted AFTER DELETE ON outbox BEGIN
    UPDATE outbox_counts SET rows = rows - 1 WHERE state = old.state AND kind = old.kind;
END;

CREATE TABLE lockdowns (
    group_id    INTEGER PRIMARY KEY,
    until       INTEGER NOT NULL,
    session     TEXT    NOT NULL,
    observe     INTEGER NOT NULL,
    previous    INTEGER NOT NULL,
    decision_id INTEGER NOT NULL
) STRICT;

CREATE TABLE timers (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    due_at      INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    session     TEXT    NOT NULL,
    decision_id INTEGER,
    group_id    INTEGER,
    event       TEXT    NOT NULL
) STRICT;
CREATE INDEX timers_due ON timers (due_at);
CREATE INDEX timers_recheck ON timers (decision_id) WHERE kind = 'recheck';

-- The ledger of calls, one row for each class of a call, in ledger time.
CREATE TABLE ledger (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id    INTEGER NOT NULL,
    session    TEXT    NOT NULL,
    class      TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;
CREATE INDEX ledger_call ON ledger (call_id);
CREATE INDEX ledger_started ON ledger (started_at);
CREATE INDEX ledger_ended ON ledger (ended_at);

CREATE TABLE pushed (
    phone        INTEGER PRIMARY KEY,
    subscription TEXT    NOT NULL,
    at           INTEGER NOT NULL
) STRICT;

CREATE TABLE alerts (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    at    INTEGER NOT NULL,
    kind  TEXT    NOT NULL,
    key   TEXT    NOT NULL,
    text  TEXT    NOT NULL,
    count INTEGER NOT NULL
) STRICT;
CREATE INDEX alerts_key ON alerts (key, at);

-- One row, for ever rewritten: proves that something can be made durable.
CREATE TABLE probe (
    id    INTEGER PRIMARY KEY,
    times INTEGER NOT NULL
) STRICT;
