//! The integration tests: one binary, a module for each promise or surface. Those in virtual time are in `tests/virtual`.

#![expect(clippy::unwrap_used, reason = "a failing test shows the line")]

mod alerts;
mod api_source;
mod architecture;
mod bodies;
mod brake;
mod ceilings;
mod databases;
mod demo;
mod discreet;
mod edges;
mod edits;
mod governance;
mod harness;
mod identity;
mod local_list;
mod outages;
mod outcomes;
mod pacing;
mod payments;
mod provisioning;
mod reconcile;
mod restart;
mod scripts;
mod shared_lists;
mod silence;
mod sources;
mod sql;
mod store_contract;
mod storm;
mod sweeps;
mod the_way;
mod url_lists;
