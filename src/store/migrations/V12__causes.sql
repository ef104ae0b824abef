-- Which entry of which list a decision's removal or tags rest on: when the entry is taken back, what it caused is lifted.
CREATE TABLE causes (
    decision_id INTEGER PRIMARY KEY,
    list        TEXT    NOT NULL,
    entry       TEXT    NOT NULL,
    lifted_at   INTEGER
) STRICT;
CREATE INDEX causes_standing ON causes (list) WHERE lifted_at IS NULL;
