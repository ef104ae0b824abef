-- What a group says of itself, one row for each thing once it is known: the first sight of a value is no change, and what
-- is told of an earlier moment than `at` means nothing. `told`: by an event or by our own call, not merely read.
CREATE TABLE group_info (
    group_id INTEGER NOT NULL,
    what     TEXT    NOT NULL,
    value    TEXT    NOT NULL,             -- JSON: a text or a switch
    at       INTEGER NOT NULL,
    told     INTEGER NOT NULL,
    PRIMARY KEY (group_id, what)
) STRICT, WITHOUT ROWID;

-- The changes that runs are about. `answer` is the value that the run asked to set: what the group is meant to be from
-- then on, whatever is told meanwhile; and how many of them there are tells two guards that fight.
CREATE TABLE group_changes (
    decision_id INTEGER PRIMARY KEY,
    group_id    INTEGER NOT NULL,
    what        TEXT    NOT NULL,
    before      TEXT    NOT NULL,
    after       TEXT    NOT NULL,
    by_id       INTEGER,
    received_at INTEGER NOT NULL,
    answer      TEXT
) STRICT;
CREATE INDEX group_changes_of ON group_changes (group_id, what, decision_id);
CREATE INDEX outbox_add ON outbox (group_id, person_id)
    WHERE kind = 'add' AND state IN ('waiting', 'held', 'sending', 'unknown');
