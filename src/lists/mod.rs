//! Blacklists and the allowlist: what their text means, who is named by them, and what is in force.
//!
//! `parse` and `set` are pure; `book` follows the owner's files through `kept`. A person matches by phone or by LID,
//! and the digits of a LID never match a number, a prefix or a country.

mod book;
mod keys;
mod lines;
mod listing;
mod local;
mod notes;
mod parse;
mod ranges;
mod reading;
mod resolved;
mod set;
pub mod shared;
mod swept;
mod url;

#[cfg(test)]
mod tests;

pub use book::{ListBook, Summary};
pub use listing::Listing;
pub use local::{Line, Spelled};
pub use parse::ParseContext;
pub use reading::read_list;
pub use set::ListSet;
pub use swept::{Named, Swept};
pub use url::{Download, Freshness, Looked};
