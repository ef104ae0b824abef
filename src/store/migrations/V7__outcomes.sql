-- Locked cold messages by session, in schedule time: the breaker must not forget over a restart.
CREATE TABLE cold_locks (
    session TEXT    PRIMARY KEY,
    since   INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    wait    INTEGER NOT NULL,
    why     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- A removal that was answered as done and whose leave nobody has told: from `confirm_at` on a roster tells whether it
-- took effect; `not_before` says when that is to be looked at. `silences`: how often a roster told that it had not.
ALTER TABLE outbox ADD COLUMN confirm_at INTEGER;
ALTER TABLE outbox ADD COLUMN silences INTEGER NOT NULL DEFAULT 0;
CREATE INDEX outbox_unconfirmed ON outbox (session, not_before) WHERE confirm_at IS NOT NULL;
CREATE INDEX outbox_unconfirmed_there ON outbox (group_id, person_id) WHERE confirm_at IS NOT NULL;
