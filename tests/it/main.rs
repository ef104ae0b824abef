//! The integration tests: one binary, a module for each promise or surface.

#![expect(clippy::unwrap_used, reason = "a failing test shows the line")]

mod bodies;
mod demo;
mod discreet;
mod edits;
mod harness;
mod identity;
mod outages;
mod restart;
mod scripts;
mod sources;
mod store_contract;
mod storm;
mod the_way;
