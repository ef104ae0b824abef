//! perimeterd, the guard of WhatsApp communities.
//!
//! # The straight way
//!
//! ```text
//!  Wawp ──POST──▶ ingress ──▶ journal ──▶ pipeline ──▶ outbox ──▶ delivery ──▶ wawp client ──▶ Wawp
//!                 authenticate  raw bytes   translate,    actions     lanes,       typed calls,
//!                 bound, store  durable     directory,    durable     ceilings,    typed outcomes
//!                                           facts, policy             evidence
//! ```
//!
//! # Layout
//!
//! | room | what is there |
//! |---|---|
//! | [`ids`] [`identity`] [`clock`] [`event`] [`action`] [`facts`] [`takeup`] [`excerpt`] | the vocabulary: no I/O, depends on nothing of ours |
//! | [`directory`] [`group_info`] [`policy`] [`limits`] [`brake`] [`retry`] [`welcome`] [`lists`] | the pure brains: inputs and `now` in, values out |
//! | [`numbering`] [`kept`] [`fetch`] | countries of numbers; owners' files with their last good copies; files on the web |
//! | [`transport`] [`aside`] | what carries requests out: the network, or a test's own world; work that blocks a thread |
//! | [`wawp`] | the vendor: wire, translation, client; vendor JSON ends here |
//! | [`ingress`] | the way in: authenticate, bound, store |
//! | [`store`] | what is durable: journal, directory, decisions, outbox, ledger |
//! | [`subscriptions`] | who pays: file, HTTP, pushed; cached |
//! | [`payments`] | what payment providers push: signatures, their events |
//! | [`pipeline`] | entries become decisions |
//! | [`delivery`] | decisions become calls |
//! | [`herald`] | alerts become messages to the operators |
//! | [`silence`] | sessions that fall silent, canaries, lost rights: noticed and told |
//! | [`api`] [`cli`] [`simulator`] [`demo`] [`telemetry`] [`lifecycle`] | surfaces |
//! | [`app`] | the composition root |
//!
//! `tests/it/architecture.rs` checks who may import whom.

pub mod action;
pub mod api;
pub mod app;
pub mod aside;
pub mod brake;
pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod directory;
pub mod event;
pub mod excerpt;
pub mod facts;
pub mod fetch;
pub mod group_info;
pub mod herald;
pub mod identity;
pub mod ids;
pub mod ingress;
pub mod kept;
pub mod lifecycle;
pub mod limits;
pub mod lists;
pub mod numbering;
pub mod payments;
pub mod pipeline;
pub mod policy;
pub mod retry;
pub mod silence;
pub mod simulator;
pub mod store;
pub mod subscriptions;
pub mod takeup;
pub mod telemetry;
pub mod transport;
pub mod wawp;
pub mod welcome;
