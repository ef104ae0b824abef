//! The integration tests: one binary, a module for each promise or surface.

#![expect(clippy::unwrap_used, reason = "a failing test shows the line")]

mod alerts;
mod architecture;
mod ban_week;
mod bodies;
mod brake;
mod ceilings;
mod demo;
mod discreet;
mod edges;
mod edits;
mod event_table;
mod forms;
mod fortnight;
mod governance;
mod harness;
mod identity;
mod lab;
mod outages;
mod outcome_table;
mod outcomes;
mod pacing;
mod provisioning;
mod quiet;
mod reconcile;
mod restart;
mod scripts;
mod silence;
mod sources;
mod store_contract;
mod storm;
mod the_way;
