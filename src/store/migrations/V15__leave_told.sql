-- When we heard that somebody is out. Leaves are told in the gateway's time and rosters are read in ours; where the two
-- clocks differ, only this says that a roster was read before the leave.
ALTER TABLE members ADD COLUMN leave_told_at INTEGER;
