//! A small stateful WhatsApp behind Wawp's API, for tests, the demo, and `perimeterd simulate`.
//!
//! It is the other side: it shares only the ids and the clock with the daemon, and writes its own JSON. It is not a model
//! of WhatsApp's internals: messages always arrive, media do not exist, and the ban meter is a guess ([`meter`] says by what).
//!
//! # Control API
//!
//! [`Simulator::serve`] answers the gateway's routes under `/v2` and these under `/sim` (JSON in and out, no credentials;
//! listen on loopback only):
//!
//! | call | body | does |
//! |---|---|---|
//! | `POST /sim/groups` | `{"id":"1203…@g.us","subject":"Club","addressing":"lid","we_are":"admin"}` | makes a group |
//! | `GET /sim/groups/{id}` | | its settings and members with both ids |
//! | `POST /sim/people` | `{"phone":"4477…","name":"Ann","hides_phone":false,"refuses_adds":false,"shown_in":["roster","lid"]}` | makes or changes somebody; `shown_in`: where the pair of ids can be learned (`event`, `message`, `roster`, `lid`, `list`, `number`) |
//! | `POST /sim/groups/{id}/join` | `{"phone":"4477…","name":"Ann","via":"link"}` or `"via":"added","by":"4477…"` | somebody comes in |
//! | `POST /sim/groups/{id}/leave` | `{"phone":"4477…","by":"4477…"}` | goes, or is put out |
//! | `POST /sim/groups/{id}/role` | `{"phone":"4477…","admin":true}` | promoted or demoted |
//! | `POST /sim/groups/{id}/settings` | any of `{"subject":"…","description":"…","announce_only":true,"info_locked":true}`, `"by":"4477…"` | somebody (else we) changes the group |
//! | `POST /sim/messages` | `{"phone":"4477…","group":"1203…@g.us","text":"hello"}` | somebody writes (no group: to us) |
//! | `POST /sim/session` | any of `{"status":"STOPPED","mute":true,"backlog":"at_once","free_plan":true,"timelock":{…},"capping":{…},"rate_limits":{"told":{…}}}` | the first session drops, is back, falls silent, is restricted |
//! | `GET`, `POST /sim/gateway` | any of `{"engine":"gows","strict_ids":true,"roster_v2":true,"documented_refusals":false,"lock":"thrown","tells_lock":true}` | how the gateway answers |
//! | `GET`, `POST /sim/meter` | any of `{"on":true,"threshold":100,"grave":200,"pardon":true}` | the ban meter |
//! | `POST /sim/webhook` | `{"url":"http://…/webhooks/{session}","secret":"…","hmac":{"key":"…"}}` | where events go |
//! | `GET`, `POST`, `DELETE /sim/faults` | a [`faults::Fault`] | lists, adds one, clears all |
//! | `GET /sim/calls` | | every call that reached the gateway |
//! | `GET /sim/sent` | | every message that reached a chat |

pub mod announce;
pub mod calls;
pub mod change;
mod control;
pub mod event_body;
pub mod faults;
pub mod gateway;
pub mod group;
mod handle;
pub mod meter;
pub mod people;
pub mod scenario;
mod server;
pub mod session;
pub mod settings;
mod switches;
#[cfg(test)]
mod tests;
pub mod webhook;
pub mod world;
#[cfg(test)]
mod world_tests;

pub use calls::{CallRecord, most_in_window};
pub use event_body::{Dialect, Envelope, Quirks};
pub use faults::{Fault, Kind, Target};
pub use gateway::{Engine, Gateway, LockWords};
pub use handle::{Options, SessionOptions, Simulator};
pub use people::Source;
pub use webhook::{Algorithm, Delivery, Signing, WebhookTarget};
pub use world::{Addressing, Role, Via, World};
