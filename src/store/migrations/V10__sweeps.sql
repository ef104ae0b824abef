-- A sweep: members inside are looked at again. `people` are to be looked at, `looked` have been; both in the commit of
-- the step. `steps` were put into the journal, `taken` of them were applied.
CREATE TABLE sweeps (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    cause        TEXT    NOT NULL,
    scope        TEXT    NOT NULL,
    jid          TEXT,
    asked_at     INTEGER NOT NULL,
    people       INTEGER NOT NULL DEFAULT 0,
    looked       INTEGER NOT NULL DEFAULT 0,
    decided      INTEGER NOT NULL DEFAULT 0,
    actions      INTEGER NOT NULL DEFAULT 0,
    steps        INTEGER NOT NULL DEFAULT 0,
    taken        INTEGER NOT NULL DEFAULT 0,
    finished_at  INTEGER,
    cancelled_at INTEGER,
    note         TEXT
) STRICT;
CREATE INDEX sweeps_running ON sweeps (id) WHERE finished_at IS NULL AND cancelled_at IS NULL;

-- The groups that a sweep has not done with, and how far it is there, by our number of the person: up to `after` they
-- have been looked at, `upto` is the last one (null: to the end), and then once more from the beginning up to `again`.
CREATE TABLE sweep_groups (
    sweep_id INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    session  TEXT    NOT NULL,
    after    INTEGER NOT NULL DEFAULT 0,
    upto     INTEGER,
    again    INTEGER,
    PRIMARY KEY (sweep_id, group_id)
) STRICT, WITHOUT ROWID;

-- Single people whom a sweep has still to look at.
CREATE TABLE sweep_phones (
    sweep_id INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    phone    INTEGER NOT NULL,
    session  TEXT    NOT NULL,
    PRIMARY KEY (sweep_id, group_id, phone)
) STRICT, WITHOUT ROWID;

-- Up to where the causes of sweeps have been followed: what changed after it while no daemon ran is swept at a start.
CREATE TABLE sweep_marks (
    name TEXT PRIMARY KEY,
    mark TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The sweep that a run belongs to.
ALTER TABLE decisions ADD COLUMN sweep_id INTEGER;
CREATE INDEX decisions_of_sweep ON decisions (sweep_id) WHERE state = 'pending' AND sweep_id IS NOT NULL;
