-- How far changes of lists were followed stands beside the other marks, so that it moves in the commit that begins the
-- sweep: a stop between the two had looked at some members twice.
INSERT OR IGNORE INTO sweep_marks (name, mark) SELECT 'lists', state FROM swept;
DROP TABLE swept;
