//! The integration tests: one binary, a module for each promise or surface.

mod store_contract;
