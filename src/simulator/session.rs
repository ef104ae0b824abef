//! A connected number of the operator: what the gateway says of it, which events it hears of, and what becomes of those
//! that happen while it is away.
//!
//! Pure. Sending is the emitter's work; who hears of what inside a group is the announcer's.

use super::{
    change::Change,
    meter::{DAY, Offence},
    webhook::WebhookTarget,
    world::World,
};
use crate::{
    clock::Timestamp,
    ids::{Lid, Phone},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{fmt, time::Duration};

/// Whether a session is usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Connected. In any other state every call answers 422 and nothing but `session.status` is sent.
    Working,
    /// Switched off.
    Stopped,
    /// On its way.
    Starting,
    /// Not paired any more: somebody has to hold a phone before it.
    ScanQrCode,
    /// Given up.
    Failed,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Working => "WORKING",
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::ScanQrCode => "SCAN_QR_CODE",
            Self::Failed => "FAILED",
        }
    }
}

/// What becomes of events while a session is away or mute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backlog {
    /// Nobody ever hears of them; the engine has no catch-up.
    #[default]
    Lost,
    /// All are told at once on return, stamped with that moment, as GOWS does after a stream error.
    AtOnce,
}

/// `me.reachoutTimelock`: the account may not write to strangers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timelock {
    /// WhatsApp's word for why.
    #[serde(default = "restricted")]
    pub enforcement_type: String,
    /// Whether it is in force.
    pub is_active: bool,
    /// When it ends, in seconds since 1970.
    pub time_enforcement_ends: Option<i64>,
}

fn restricted() -> String {
    "RESTRICT_ALL_COMPANIONS".to_owned()
}

impl Timelock {
    /// In force until then.
    pub fn until(end: Timestamp) -> Self {
        Self {
            enforcement_type: restricted(),
            is_active: true,
            time_enforcement_ends: Some(end.as_millis() / 1000),
        }
    }
}

/// `me.messageCapping`: how many new chats the account may begin in a cycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capping {
    /// `NONE`, `FIRST_WARNING`, `SECOND_WARNING` or `CAPPED`.
    pub capping_status: String,
    /// New chats a cycle.
    pub total_quota: u32,
    /// Begun so far.
    pub used_quota: u32,
    /// The cycle's beginning, in seconds since 1970.
    pub cycle_start: i64,
    /// Its end.
    pub cycle_end: i64,
}

/// One policy of `GET /v2/session/rate-limit`, with the documented fields. What is `None` is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RatePolicy {
    /// Messages in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_message_per_minute: Option<u32>,
    /// Messages in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_message_daily_cap: Option<u32>,
    /// The pause between two messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_protection_seconds: Option<u32>,
    /// Calls at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_limit: Option<u32>,
    /// Group calls in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_req_per_minute: Option<u32>,
    /// Group calls in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_daily_cap: Option<u32>,
    /// Look-ups of numbers in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_req_per_minute: Option<u32>,
    /// Look-ups of numbers in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_daily_cap: Option<u32>,
}

/// How `GET /v2/session/rate-limit` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimits {
    /// 404: the gateway has no such route.
    #[default]
    Missing,
    /// 403 `subscription_required`.
    Forbidden,
    /// This policy is in force. It is told, not enforced: a 429 is a fault to add.
    Told(RatePolicy),
}

/// A connected WhatsApp number of the operator.
#[derive(Clone)]
pub struct Session {
    /// The gateway's name of it, in every event.
    pub name: String,
    /// The vendor's 12 characters.
    pub instance_id: String,
    /// The secret of the calls.
    pub token: String,
    /// Whose account it is.
    pub me: Lid,
    /// Connected or not. Changed here, nobody hears of it; see [`super::Simulator::set_status`].
    pub status: Status,
    /// The states it was in, oldest first, as `session.status` lists them.
    pub history: Vec<(Status, Timestamp)>,
    /// Claims to be `WORKING` and answers calls, but sends nothing.
    pub mute: bool,
    /// What becomes of events meanwhile.
    pub backlog: Backlog,
    /// The registered webhooks, as `POST /v2/session/webhook` took them. Events go nowhere while their target is not here.
    pub webhooks: Value,
    /// A free plan: the webhook routes answer 403 `subscription_required`.
    pub free_plan: bool,
    /// `me.reachoutTimelock`.
    pub timelock: Option<Timelock>,
    /// `me.messageCapping`.
    pub capping: Option<Capping>,
    /// The gateway's own limits.
    pub rate_limits: RateLimits,
    pub(super) held: Vec<Change>,
}

/// Without the token.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("name", &self.name)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// The events that an owner subscribes to, by name.
const SUBSCRIBED: &[&str] = &[
    "session.status",
    "message",
    "group.v2.join",
    "group.v2.leave",
    "group.v2.participants",
    "group.v2.update",
];

/// An address without its query, the session's name filled in.
fn bare(url: &str, session: &str) -> String {
    url.split('?').next().unwrap_or_default().replace("{session}", session)
}

impl Session {
    /// A session that works and has no webhook.
    pub fn working(name: &str, instance_id: &str, token: &str, me: Lid) -> Self {
        Self {
            name: name.to_owned(),
            instance_id: instance_id.to_owned(),
            token: token.to_owned(),
            me,
            status: Status::Working,
            history: Vec::new(),
            mute: false,
            backlog: Backlog::Lost,
            webhooks: json!([]),
            free_plan: false,
            timelock: None,
            capping: None,
            rate_limits: RateLimits::Missing,
            held: Vec::new(),
        }
    }

    /// Registers a webhook for everything an owner subscribes to, in place of all others.
    pub fn register(&mut self, target: &WebhookTarget) {
        let url = target.url.replace("{session}", &self.name);
        self.webhooks = json!([{"url": url, "events": SUBSCRIBED, "is_active": 1}]);
    }

    /// Whether an event of that name is sent to that address.
    pub fn sends(&self, event: &str, url: &str) -> bool {
        let wanted = bare(url, &self.name);
        self.webhooks.as_array().is_some_and(|list| {
            list.iter().any(|entry| {
                let there = entry["url"].as_str().is_some_and(|url| bare(url, &self.name) == wanted);
                let off = matches!(&entry["is_active"], Value::Bool(false)) || entry["is_active"] == 0;
                let named = entry["events"].as_array().is_none_or(|events| {
                    events.is_empty() || events.iter().any(|one| *one == "*" || *one == event)
                });
                there && !off && named
            })
        })
    }

    /// Whether its quota of new chats is used up.
    pub(super) fn is_capped(&self) -> bool {
        self.capping.as_ref().is_some_and(|capping| capping.used_quota >= capping.total_quota)
    }

    /// Counts a new chat.
    pub(super) fn begin_chat(&mut self) {
        if let Some(capping) = &mut self.capping {
            capping.used_quota += 1;
            if capping.used_quota >= capping.total_quota {
                "CAPPED".clone_into(&mut capping.capping_status);
            }
        }
    }

    /// Whether it tells of what happens now.
    pub(super) fn hears(&self) -> bool {
        self.status == Status::Working && !self.mute
    }

    /// `me` of its webhooks and of `session/info`; null while it is not connected.
    pub(super) fn account(&self, world: &World) -> Value {
        if self.status != Status::Working {
            return Value::Null;
        }
        let me = world.both_ids(self.me);
        let name = world.profile(self.me).map(|profile| profile.name.as_str());
        let mut account = Map::from_iter([
            ("id".to_owned(), json!(me.phone.map(Phone::jid))),
            ("lid".to_owned(), json!(me.lid.map(Lid::jid))),
            ("pushName".to_owned(), json!(name)),
        ]);
        account.extend(self.timelock.as_ref().map(|lock| ("reachoutTimelock".to_owned(), json!(lock))));
        account.extend(self.capping.as_ref().map(|capping| ("messageCapping".to_owned(), json!(capping))));
        Value::Object(account)
    }

    /// The payload of `session.status`, as the engine writes it.
    pub(super) fn status_payload(&self, status: Status) -> Value {
        let statuses: Vec<_> = self
            .history
            .iter()
            .map(|(status, at)| json!({"status": status, "timestamp": at.as_millis()}))
            .collect();
        json!({"name": self.name, "status": status, "statuses": statuses, "data": null})
    }
}

impl World {
    /// Holds something against the number. A lock shows in `me` of every session, where the gateway tells of it.
    pub(super) fn weigh(&mut self, offence: Offence, at: Duration, now: Timestamp) {
        let before = self.meter.is_locked(at);
        self.meter.weigh(offence, at);
        if self.gateway.tells_lock && !before && self.meter.is_locked(at) {
            for index in 0..self.sessions().len() {
                if let Some(session) = self.session_mut(index) {
                    session.timelock = Some(Timelock::until(now + DAY));
                }
            }
        }
    }

    /// A session comes into a state, and says so.
    pub fn set_status(&mut self, index: usize, status: Status, at: Timestamp) -> Option<Change> {
        let session = self.session_mut(index)?;
        session.status = status;
        // A restart is what cures a session that fell silent.
        session.mute &= status == Status::Working;
        session.history.push((status, at));
        Some(Change::Status { session: index, status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_where_they_are_registered_and_asked_for() {
        let mut session = Session::working("main", "A", "t", Lid::from_u64(1));
        let url = "http://127.0.0.1:1/webhooks/{session}?secret=s";
        assert!(!session.sends("message", url));
        session.register(&WebhookTarget::plain(url));
        assert!(session.sends("message", url));
        assert!(!session.sends("presence.update", url));
        let own = |entry: Value| Session { webhooks: json!([entry]), ..session.clone() };
        let here = "http://127.0.0.1:1/webhooks/main";
        assert!(own(json!({"url": here})).sends("message", url));
        assert!(own(json!({"url": here, "events": ["*"]})).sends("message", url));
        assert!(!own(json!({"url": here, "events": ["message"]})).sends("group.v2.join", url));
        assert!(!own(json!({"url": here, "is_active": 0})).sends("message", url));
        assert!(!own(json!({"url": "http://elsewhere/"})).sends("message", url));
    }
}
