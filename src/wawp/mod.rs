//! The vendor, in one room: Wawp's webhooks and its HTTP API. Vendor JSON ends here.
//!
//! Wawp is a thin proxy over WAHA, whose engines (GOWS, NOWEB, WEBJS) shape both events and answers; the documentation
//! shows yet another shape. Everything here accepts all of them and never branches on the engine's name.
//!
//! What surprises most, each with its place:
//! - `group.v2.join` and `group.v2.leave` mean *somebody* in the documentation and *ourselves* on the wire
//!   (`translate/membership.rs`);
//! - people are named by a LID whose digits are no number (`wire.rs`);
//! - `membersCanSendMessages` comes inverted (`roster.rs`);
//! - a refused removal comes with HTTP 200, and WhatsApp's plain refusal with HTTP 500 (`answer.rs`);
//! - error bodies echo our token and the text of our message (`redact.rs`, `failure.rs`).
//!
//! | file | what it owns |
//! |---|---|
//! | `account` | restrictions of the account that ride on `me` |
//! | `wire` | readers for fields that come under many names and shapes |
//! | `roster` | participants and groups, of any engine |
//! | [`translate`] | webhook body → domain events |
//! | [`client`] [`session`] | the calls, one HTTP request each; no retry, no waiting |
//! | [`quota`] | what the gateway allows by its own policy |
//! | `answer` `failure` | status, headers and body → what it means, and the cause dug out of it |
//! | [`error`] | what a failed call means for the caller |
//! | `redact` | no token and no full number leaves in an error |

pub mod client;
pub mod error;
pub mod quota;
pub mod session;
pub mod translate;

mod account;
mod answer;
mod failure;
mod pruned;
mod redact;
mod roster;
mod wire;
