-- What operators were told of the alerts, and what a number's ceilings depend on beside its age.

-- Equal alerts are one row for as long as they go on; `told_count` of its `count` have been told.
ALTER TABLE alerts ADD COLUMN last_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN told_at INTEGER;
ALTER TABLE alerts ADD COLUMN told_count INTEGER NOT NULL DEFAULT 0;
-- What is on record from before was never meant to be sent.
UPDATE alerts SET last_at = at, told_at = at, told_count = count;
CREATE INDEX alerts_news ON alerts (last_at) WHERE told_count < count;
CREATE INDEX alerts_last ON alerts (last_at);

-- A message to the operators: all that was raised of one kind within the window. `post` says how its webhook stands:
-- 'waiting' until `post_at`, 'done', 'given_up'; null without one.
CREATE TABLE incidents (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      TEXT    NOT NULL,
    follow_up INTEGER NOT NULL,
    first_at  INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    lines     TEXT    NOT NULL,
    told_at   INTEGER NOT NULL,
    post      TEXT,
    attempts  INTEGER NOT NULL DEFAULT 0,
    post_at   INTEGER
) STRICT;
CREATE INDEX incidents_told ON incidents (told_at);
CREATE INDEX incidents_post ON incidents (post_at) WHERE post = 'waiting';

-- A number that is paired anew is young again. `scanning`: it shows a QR code, so its next WORKING is a pairing.
ALTER TABLE sessions ADD COLUMN repaired_at INTEGER;
ALTER TABLE sessions ADD COLUMN scanning INTEGER NOT NULL DEFAULT 0;
-- What WhatsApp said last about restrictions of the account, as JSON.
ALTER TABLE sessions ADD COLUMN account TEXT;
