//! Vendor JSON → domain [`Event`]s. Pure: bytes and what we know of ourselves in, values out.
//!
//! The group events exist in two dialects under the same names (`wawp-api.md` §3.3): the documented one, where
//! `group.v2.join` means *somebody* came, and the engine's, where it means *we* came. They are told apart by shape, never
//! by the `engine` label, which the documentation gets wrong. What we cannot understand is [`Unreadable`] and stays in the
//! journal; what we understand and need not act on is [`EventKind::Ignored`].

mod membership;
mod message;
mod origin;
mod pairs;

#[cfg(test)]
mod tests;

use super::{account, redact, wire};
use crate::{
    clock::Timestamp,
    event::{Event, EventKind},
    ids::{Person, SessionName},
};
use serde_json::Value;
use std::borrow::Cow;

/// Longest name of an event or a state that is kept.
const LONGEST_WORD: usize = 64;

/// The name of the event that we send ourselves.
pub const CANARY: &str = "perimeterd.canary";

/// What a translation needs to know besides the body.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The session whose webhook it was.
    pub session: &'a SessionName,
    /// When the body was received; no event is later than that.
    pub received_at: Timestamp,
    /// Every own session's identity known so far; what completes [`Context::me`] (a phone there, a LID here).
    pub own: &'a [Person],
    /// Who this session is, as far as known before this body; may be nobody.
    pub me: Person,
}

/// A body that could not be understood, with one sentence why. It names positions and fields, never a number or a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// Reads one webhook element, an envelope of either dialect. One element may be several events: we and others in one batch.
///
/// # Errors
/// [`Unreadable`] if the body is no JSON object, names no event, or is a group event whose group or people cannot be read.
pub fn translate(body: &[u8], context: &Context<'_>) -> Result<Vec<Event>, Unreadable> {
    let envelope: Value = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    if !envelope.is_object() {
        return Err(Unreadable("the body is not a JSON object".into()));
    }
    let null = Value::Null;
    let telling = Telling {
        payload: wire::first(&envelope, &["payload"]).unwrap_or(&null),
        me: me(&envelope, context),
    };
    let kinds = match name(&envelope)? {
        // Not the vendor's: posted by ourselves, to prove the whole path.
        Some(CANARY) => vec![canary(&envelope)?],
        Some(name) => telling.kinds(name)?,
        // The older API tells a session's state in a flat body without an event name.
        None => vec![telling.status(&envelope)?],
    };
    let restriction = envelope.get("me").and_then(account::restriction);
    let restriction = restriction.or_else(|| account::restriction(telling.payload));
    let told = restriction.map(|restriction| EventKind::Restricted { restriction });
    let kinds = kinds.into_iter().chain(told);
    let at = moment(telling.payload, &envelope, context.received_at);
    Ok(kinds.map(|kind| Event { session: context.session.clone(), at, me: telling.me, kind }).collect())
}

/// The envelope's `id`, if the element is one whole JSON object with a text id: what repeated deliveries share.
pub fn event_id(element: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Peek<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    // A derived struct would take an array for its fields.
    let object = element.trim_start().strip_prefix('{').map(|_| element)?;
    let peek: Peek<'_> = serde_json::from_str(object).ok()?;
    (!peek.id.is_empty()).then(|| peek.id.into_owned())
}

/// One envelope, opened.
struct Telling<'a> {
    payload: &'a Value,
    me: Person,
}

impl Telling<'_> {
    fn kinds(&self, name: &str) -> Result<Vec<EventKind>, Unreadable> {
        match name {
            "group.v2.join"
            | "group.v2.leave"
            | "group.v2.participants"
            | "group.participants.update"
            | "group.join"
            | "group.leave" => self.membership(name),
            "group.v2.update" => self.group_changed().map(|kind| vec![kind]),
            "message" | "message.any" => self.message(name).map(|kind| vec![kind]),
            "session.status" => self.status(self.payload).map(|kind| vec![kind]),
            _ => Ok(vec![self.by_the_way(name)]),
        }
    }

    fn status(&self, body: &Value) -> Result<EventKind, Unreadable> {
        let status = wire::text(body, &["status"])
            .ok_or_else(|| Unreadable("the event tells a session's state without a `status`".into()))?;
        Ok(EventKind::SessionStatus { status: shown(&status).to_ascii_uppercase() })
    }

    /// Whether the person is this session, by phone or by LID, or by an identity of ours that joins the two.
    fn is_me(&self, person: Person) -> bool {
        self.me.same_as(person)
    }
}

/// A word of the vendor's that will be shown: cut, as anybody who may post may post anything, and without full numbers.
fn shown(word: &str) -> String {
    redact::shorten_numbers(&word.chars().take(LONGEST_WORD).collect::<String>())
}

fn canary(envelope: &Value) -> Result<EventKind, Unreadable> {
    let nonce = wire::text(envelope, &["id"]).ok_or_else(|| Unreadable("a canary without an id".into()))?;
    Ok(EventKind::Canary { nonce })
}

/// The event's name. `None` for the flat body of the older API.
fn name(envelope: &Value) -> Result<Option<&str>, Unreadable> {
    match envelope.get("event") {
        Some(Value::String(name)) if !name.is_empty() => Ok(Some(name)),
        None if envelope.get("instance_id").is_some() && envelope.get("status").is_some() => Ok(None),
        Some(_) => Err(Unreadable("the field `event` is not a name".into())),
        None => Err(Unreadable("the body names no `event`".into())),
    }
}

/// Who we are: what the envelope tells, completed by what was known. A session that was paired with another number
/// believes the envelope.
fn me(envelope: &Value, context: &Context<'_>) -> Person {
    let told = envelope.get("me").map(identity).unwrap_or_default();
    let known = std::iter::once(&context.me).chain(context.own);
    let start = if told.is_nobody() { context.me } else { told };
    known.filter(|own| own.same_as(start)).fold(start, |me, own| me.merged(*own))
}

/// An identity object: `{id, lid, jid, pushName}`, `id` possibly with a device part.
pub(crate) fn identity(value: &Value) -> Person {
    ["id", "jid", "lid"]
        .iter()
        .filter_map(|key| wire::person(value.get(key)?))
        .fold(wire::person(value).unwrap_or_default(), |told, more| wire::believed(told.merged(more)))
}

/// The payload's time, else the envelope's, else that of receipt; never later than the receipt, whatever clock the
/// teller has, nor than WhatsApp's own time where the raw data has it: two engines of three write down when they told it,
/// so a replay of something old would look new (`whatsapp-reality.md` §1.3).
fn moment(payload: &Value, envelope: &Value, received_at: Timestamp) -> Timestamp {
    [payload.get("timestamp"), envelope.get("timestamp"), envelope.get("ts")]
        .into_iter()
        .flatten()
        .filter_map(wire::integer)
        .find(|number| *number > 0)
        .map_or(received_at, Timestamp::from_wire)
        .min(received_at)
        .min(true_moment(payload).unwrap_or(received_at))
}

/// WhatsApp's own time of a change, as whatsmeow keeps it. Its zero time, of the year 1, is none.
fn true_moment(payload: &Value) -> Option<Timestamp> {
    let text = payload.get("_data")?.get("Timestamp")?.as_str()?;
    let moment = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    (moment > 0).then_some(Timestamp(moment))
}

fn not_json(error: &serde_json::Error) -> Unreadable {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "ends too early to be JSON",
        _ if error.to_string().contains("recursion limit") => "is nested too deeply",
        _ => "is not JSON",
    };
    Unreadable(format!("the body {what} (line {}, column {})", error.line(), error.column()))
}
