-- The last start: in which boot of the machine, how long that had lasted, and what the time was for schedules.
CREATE TABLE anchor (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    boot   TEXT    NOT NULL,
    lasted INTEGER NOT NULL,
    at     INTEGER NOT NULL
) STRICT;
