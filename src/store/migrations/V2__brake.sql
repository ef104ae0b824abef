-- The brake: which removals it counts, what it holds, whom a human has spared; and what the undo of a removal needs.

ALTER TABLE outbox ADD COLUMN established INTEGER NOT NULL DEFAULT 0;  -- a removal that the brake counts
ALTER TABLE outbox ADD COLUMN approved_at INTEGER;                     -- a human let it go: counted no more
ALTER TABLE outbox ADD COLUMN sent_at     INTEGER;                     -- when its last call began, in ledger time
ALTER TABLE outbox ADD COLUMN undo        TEXT;                        -- of a removal: what was known when it was decided
CREATE INDEX outbox_counted_by_brake ON outbox (group_id, state, sent_at) WHERE established = 1;
CREATE INDEX outbox_held ON outbox (group_id) WHERE state = 'held';

-- One row while a brake stands. `told` is how many held rows its alert speaks of.
CREATE TABLE brakes (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id    INTEGER NOT NULL UNIQUE,
    since       INTEGER NOT NULL,
    decision_id INTEGER NOT NULL,
    let_through INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    cause       TEXT    NOT NULL,
    told        INTEGER NOT NULL DEFAULT 0
) STRICT;
-- Whatever ends the last held row (a human, a leave) lifts the brake.
CREATE TRIGGER brake_lifts AFTER UPDATE OF state ON outbox WHEN old.state = 'held' AND new.state <> 'held' BEGIN
    DELETE FROM brakes WHERE group_id = new.group_id
        AND NOT EXISTS (SELECT 1 FROM outbox WHERE group_id = new.group_id AND state = 'held');
END;

-- Removals that an operator cancelled: the same policy asks in vain until the person enters the group again.
CREATE TABLE spared (
    group_id  INTEGER NOT NULL,
    person_id INTEGER NOT NULL,
    policy    TEXT    NOT NULL,
    row_id    INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (group_id, person_id, policy)
) STRICT, WITHOUT ROWID;

-- When a lockdown began: who came since then, or shortly before, came in the raid.
ALTER TABLE lockdowns ADD COLUMN since INTEGER;
