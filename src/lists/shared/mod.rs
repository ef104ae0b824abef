//! Lists that communities share: signed documents of another community, followed, and documents of our own, made.
//!
//! # The document
//!
//! UTF-8 text, a line each, in this order: the first line, the header, an empty line, entries, retractions.
//!
//! ```text
//! perimeterd-list 1
//! name: scrapers-eu
//! publisher: Club Berlin
//! version: 7
//! issued: 2027-01-31T12:00:00.000Z
//! expires: 2027-05-01T12:00:00.000Z
//! kind: numbers
//! entries: 2
//! retractions: 1
//!
//! +4915100000001 added=2027-01-03 reason="sells pills"
//! 77001@lid added=2027-01-20 expires=2027-12-31 reason="scraper"
//! retract +4915100000009 on=2027-01-30 reason="somebody else's number"
//! ```
//!
//! An entry is `+` and digits, a LID, or in a document of `kind: hashes KEYID` their keyed hashes, `h:` for phones and `l:`
//! for LIDs, 128 bits in four groups of hex digits. No prefixes and no countries: a shared list names people. A day lasts
//! to its end in UTC. A later version names what it no longer holds as a retraction, so that subscribers can tell a
//! mistake that was mended from a file that lost its end.
//!
//! `NAME.list` is signed whole, detached, by minisign: `NAME.list.minisig`. Nothing of a document is looked at before the
//! signature was found good by the one key that the subscription names.
//!
//! # Keyed hashes
//!
//! There are some ten thousand million phone numbers: a plain SHA-256 of a number is found by trying all of them, which
//! takes minutes. Hence HMAC-SHA-256 of the digits (of a LID with its `@lid`), cut to 128 bits, under a key that the
//! subscribers share. It keeps the numbers from everybody without the key: from a web server, from who finds the file. It
//! does not keep them from a subscriber, who can try all numbers just as well; who leaves the circle keeps what he had.
//! The key's own id stands in the header, so that a wrong key is told from a list that names nobody.
//!
//! # Here
//!
//! [`document`] and [`mod@publish`] are pure, [`signature`] and [`key`] are the cryptography, [`follow`] has a
//! subscription's files and what is in force, [`mod@download`] brings them from a URL, [`memory`] what outlives a restart.

mod document;
mod download;
mod follow;
mod in_book;
mod key;
mod lookup;
mod memory;
mod publish;
mod signature;
#[cfg(test)]
mod tests;

pub use document::{Document, Gone, Header, Kind, Listed, Retraction, Whom};
pub(super) use follow::SharedList;
pub use follow::Standing;
pub(super) use in_book::open_shared;
pub use key::HashKey;
pub use lookup::Match;
pub(super) use memory::MOST;
pub use publish::{Draft, Either, Own, Published, own_entries, publish};
pub use signature::{Signer, Verifier};
