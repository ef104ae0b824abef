//! The tests in virtual time: the whole daemon, its store and the simulator on one thread, where a fortnight takes half a
//! second and equal seeds live equal lives.
//!
//! What needs real sockets, files that change under a process, signals and `kill -9` is in `tests/it`.

#![expect(clippy::unwrap_used, reason = "a failing test shows the line")]

mod ban_week;
mod event_table;
mod forms;
mod fortnight;
mod full_disk;
mod grace;
mod hidden;
mod lab;
mod outcome_table;
mod pauses;
mod quiet;
mod sweeps;
