//! The integration tests: one binary, a module for each promise or surface. Those in virtual time are in `tests/virtual`.

#![expect(clippy::unwrap_used, reason = "a failing test shows the line")]

mod alerts;
mod api_source;
mod architecture;
mod bad_answers;
mod bodies;
mod brake;
mod ceilings;
mod database_tls;
mod databases;
mod demo;
mod discreet;
mod edges;
mod edits;
mod governance;
mod half_lists;
mod harness;
mod identity;
mod local_list;
mod odd_rows;
mod outages;
mod outcomes;
mod pacing;
mod payments;
mod provisioning;
mod raw_server;
mod reconcile;
mod restart;
mod scripts;
mod shared_lists;
mod shared_urls;
mod silence;
mod sources;
mod sql;
mod store_contract;
mod storm;
mod sweeps;
mod sweeps_meanwhile;
mod the_way;
mod url_lists;
