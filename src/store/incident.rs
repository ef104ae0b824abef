//! What the store keeps of telling the operators: alerts that are news, messages made of them, posts under way.

use crate::{
    clock::Timestamp,
    ids::{GroupId, Phone, SessionName},
};

/// An alert of which operators do not know everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertNews {
    /// Its number.
    pub id: i64,
    /// What kind; alerts of one kind are told together.
    pub kind: String,
    /// What people read.
    pub text: String,
    /// When it was raised first.
    pub first_at: Timestamp,
    /// And last.
    pub last_at: Timestamp,
    /// How often.
    pub count: u32,
    /// When operators were told last; `None`: never.
    pub told_at: Option<Timestamp>,
    /// How many of `count` they were told of.
    pub told_count: u32,
}

/// What there is to tell, and what was told.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Alerts with something new, oldest first.
    pub alerts: Vec<AlertNews>,
    /// Messages of late: the kind and when.
    pub told: Vec<(String, Timestamp)>,
}

/// Where operators read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chat {
    /// A group of theirs.
    Group(GroupId),
    /// One of them.
    Person(Phone),
}

/// A message in WhatsApp: it becomes an outbox row of the daemon itself.
#[derive(Clone, Debug)]
pub struct ChatMessage {
    /// The number that writes.
    pub session: SessionName,
    /// Where to.
    pub chat: Chat,
    /// What it says.
    pub text: String,
    /// Unsent by then: expired.
    pub expires_at: Timestamp,
}

/// A message to the operators, to be kept with everything that sends it.
#[derive(Clone, Debug)]
pub struct Telling {
    /// The kind.
    pub kind: String,
    /// Of alerts that were told before, with what happened since.
    pub follow_up: bool,
    /// The alerts, each with the count that is told.
    pub alerts: Vec<(i64, u32)>,
    /// The first of them.
    pub first_at: Timestamp,
    /// The last of them.
    pub last_at: Timestamp,
    /// How often anything of it was raised and not told yet.
    pub count: u32,
    /// A line for each, bounded and fit to be shown.
    pub lines: Vec<String>,
    /// The message in WhatsApp, if one is to be sent.
    pub message: Option<ChatMessage>,
    /// Whether it is posted to the webhook.
    pub post: bool,
}

/// A post under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The incident's number: the receiver's key against repeats.
    pub id: i64,
    /// The kind.
    pub kind: String,
    /// See [`Telling::follow_up`].
    pub follow_up: bool,
    /// See [`Telling::first_at`].
    pub first_at: Timestamp,
    /// See [`Telling::last_at`].
    pub last_at: Timestamp,
    /// See [`Telling::count`].
    pub count: u32,
    /// See [`Telling::lines`].
    pub lines: Vec<String>,
    /// When it was decided.
    pub told_at: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
}

/// What an attempt to post came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostOutcome {
    /// The receiver has it.
    Done,
    /// Not yet; again then.
    Again(Timestamp),
    /// It is not tried any more.
    GivenUp,
}
