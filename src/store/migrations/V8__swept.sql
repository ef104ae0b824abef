-- What the lists said, and which of their LIDs nobody could match, when everybody inside was looked at last: what has
-- changed while no daemon ran sweeps them at the next start.
CREATE TABLE swept (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    state TEXT    NOT NULL
) STRICT;
