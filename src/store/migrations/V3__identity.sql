-- Where and when a phone and a LID were learnt to be one person; null unless both are known.
ALTER TABLE people ADD COLUMN learnt_from TEXT;
ALTER TABLE people ADD COLUMN learnt_at INTEGER;

-- What the gateway said of numbers that lists name: `lid`, or that nobody has the number (`absent`), or nothing.
CREATE TABLE forward (
    phone    INTEGER PRIMARY KEY,
    lid      INTEGER,
    absent   INTEGER NOT NULL,
    asked_at INTEGER NOT NULL
) STRICT;
CREATE INDEX forward_lid ON forward (lid) WHERE lid IS NOT NULL;

-- The id form that calls about people of a group must use, where it is not the one that is told: 'phone' or 'lid'.
ALTER TABLE groups ADD COLUMN id_form TEXT;
