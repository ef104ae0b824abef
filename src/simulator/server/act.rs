//! What each operation does to the world and answers. Pure: a world in, an answer and the changes out.

use super::{
    ask::Ask,
    envelope, refusal,
    route::{Route, Switch},
    shapes,
};
use crate::{
    clock::Timestamp,
    ids::{GroupId, Jid, Lid, Phone},
    simulator::{
        gateway::{Engine, LockWords},
        meter::Offence,
        settings::Setting,
        world::{Change, Group, Sent, Source, World},
    },
};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

/// The vendor's bound on a text message.
const MAX_TEXT: usize = 4096;

/// A body in one of its kinds.
pub(super) enum Body {
    Json(Value),
    Text(String),
    Empty,
}

/// An answer and what changed.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Body,
    pub(super) retry_after: Option<u64>,
    pub(super) effect: bool,
    pub(super) changes: Vec<Change>,
}

impl Answer {
    pub(super) fn refusal(status: StatusCode, body: Body) -> Self {
        Self { status, body, retry_after: None, effect: false, changes: Vec::new() }
    }

    pub(super) fn told(body: Value) -> Self {
        Self::refusal(StatusCode::OK, Body::Json(body))
    }

    pub(super) fn done(body: Body, changes: impl IntoIterator<Item = Change>) -> Self {
        Self { effect: true, changes: changes.into_iter().collect(), ..Self::refusal(StatusCode::OK, body) }
    }
}

/// A refusal in the vendor's envelope.
pub(super) fn refused(status: StatusCode, message: &str) -> Answer {
    Answer::refusal(status, Body::Json(envelope(status, message)))
}

/// 429.
pub(super) fn rate_limited(retry_after: Option<u64>) -> Answer {
    Answer { retry_after, ..refused(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded") }
}

/// How a fault bends an operation from inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twist {
    /// Says done, does nothing.
    Silent,
    /// That code for everybody in a member call, which does nothing; other calls are not met.
    PerPerson(u16),
}

/// Everything an operation needs.
pub(super) struct Stage<'a> {
    pub(super) world: &'a mut World,
    pub(super) session: usize,
    pub(super) me: Lid,
    pub(super) ask: &'a Ask,
    pub(super) twist: Option<Twist>,
    pub(super) now: Timestamp,
    pub(super) at: Duration,
}

impl Stage<'_> {
    pub(super) fn act(&mut self, route: &Route) -> Answer {
        self.act_on_group(route).unwrap_or_else(|answer| answer)
    }

    fn act_on_group(&mut self, route: &Route) -> Result<Answer, Answer> {
        let engine = self.world.gateway.engine;
        Ok(match route {
            Route::Group(id) => {
                Answer::told(shapes::group(self.world, self.inside(id)?, self.me, engine, true))
            }
            Route::Roster(id) => Answer::told(shapes::roster(self.world, self.inside(id)?, self.me, engine)),
            Route::RosterV2(id) if self.world.gateway.roster_v2 => {
                Answer::told(shapes::roster_v2(self.world, self.inside(id)?, self.me))
            }
            Route::RosterV2(_) => refused(StatusCode::NOT_FOUND, "no route was found"),
            Route::Members(id, deed) => self.members(id, *deed)?,
            Route::ReadSwitch(id, switch) => {
                let group = self.inside(id)?;
                let on = if *switch == Switch::Messages { group.announce_only } else { group.info_locked };
                Answer::told(json!({"adminsOnly": on}))
            }
            Route::WriteSwitch(id, switch) => self.write_switch(id, *switch)?,
            Route::InviteCode(id) => Answer::told(json!(self.administered(id)?.invite_code)),
            Route::RevokeInvite(id) => self.revoke(id)?,
            Route::Subject(id) => self.describe(id, "subject", Setting::Subject)?,
            Route::Description(id) => self.describe(id, "description", Setting::Description)?,
            Route::Leave(id) => {
                let id = self.inside(id)?.id.clone();
                let me = self.me;
                let change = if self.silent() { None } else { self.world.leave(&id, &[me], None) };
                Answer { effect: change.is_some(), ..Answer::done(Body::Empty, change) }
            }
            other => self.act_elsewhere(other),
        })
    }

    fn act_elsewhere(&mut self, route: &Route) -> Answer {
        match route {
            Route::Groups => self.list_groups(),
            Route::CreateGroup => self.create().unwrap_or_else(|answer| answer),
            Route::Archive => Answer::told(json!({"success": true})),
            Route::CountGroups => Answer::told(json!({"count": self.mine().count()})),
            Route::Refresh => Answer::told(json!(true)),
            Route::SendText => self.send(),
            Route::Lids => self.lids(),
            Route::CountLids => Answer::told(json!({"count": self.world.pairs(self.me).len()})),
            Route::Lid(lid) => self.lid(lid),
            Route::LidOf(number) => {
                let number = number.trim_end_matches("@c.us");
                let lid = Phone::parse(number).and_then(|phone| self.world.find(&phone.jid()));
                let lid = lid.filter(|lid| self.world.appears(*lid, Source::Number));
                let pn = Phone::parse(number).map(Phone::jid);
                Answer::told(json!({"lid": lid.map(Lid::jid), "pn": pn}))
            }
            Route::CheckExists => {
                let phone = self.ask.text("phone").and_then(|text| Phone::parse(&text));
                let Some(phone) = phone else {
                    return refused(StatusCode::BAD_REQUEST, "missing required parameter(s): phone");
                };
                let exists = self.world.find(&phone.jid()).is_some();
                Answer::told(json!({"numberExists": exists, "chatId": exists.then(|| phone.jid())}))
            }
            _ => self.about_session(route),
        }
    }

    /// WhatsApp refused the query, in the engine's words.
    pub(super) fn refused_query(&self, code: u16) -> Answer {
        self.thrown(&refusal::query(code, self.world.gateway.engine))
    }

    /// WhatsApp refused the message, in the engine's words.
    fn refused_message(&self, code: u16) -> Answer {
        self.thrown(&refusal::message(code, self.world.gateway.engine))
    }

    pub(super) fn thrown(&self, exception: &Value) -> Answer {
        refusal::thrown(exception, self.world.gateway.engine, self.ask, self.now)
    }

    pub(super) fn silent(&self) -> bool {
        self.twist == Some(Twist::Silent)
    }

    pub(super) fn mine(&self) -> impl Iterator<Item = &Group> {
        self.world.groups().filter(|group| group.members.contains_key(&self.me))
    }

    /// A group that we are in.
    pub(super) fn inside(&self, id: &str) -> Result<&Group, Answer> {
        let group = GroupId::parse(id).and_then(|id| self.world.group(&id));
        let group = group.ok_or_else(|| self.refused_query(404))?;
        if group.members.contains_key(&self.me) { Ok(group) } else { Err(self.refused_query(403)) }
    }

    /// What the gateway says to somebody who is no admin.
    pub(super) fn no_admin(&self) -> Answer {
        if self.world.gateway.documented_refusals {
            refused(StatusCode::FORBIDDEN, "the instance is not an admin of this group")
        } else {
            self.refused_query(401)
        }
    }

    /// A group that we may change.
    pub(super) fn administered(&mut self, id: &str) -> Result<&mut Group, Answer> {
        let group = self.inside(id)?;
        let id = group.id.clone();
        if !group.is_admin(self.me) {
            self.world.weigh(Offence::WithoutRight, self.at, self.now);
            return Err(self.no_admin());
        }
        self.world.group_mut(&id).ok_or_else(|| refused(StatusCode::NOT_FOUND, "no such group"))
    }

    fn send(&mut self) -> Answer {
        let (Some(chat), Some(text)) = (self.ask.text("chatId"), self.ask.message()) else {
            return refused(StatusCode::BAD_REQUEST, "missing required parameter(s): chatId, message");
        };
        if text.is_empty() || text.chars().count() > MAX_TEXT {
            return refused(StatusCode::BAD_REQUEST, "message must have 1 to 4096 characters");
        }
        let (to, cold) = match Jid::parse(&chat) {
            Some(Jid::Group(id)) => match self.inside(id.as_str()) {
                Ok(group) if group.announce_only && !group.is_admin(self.me) => {
                    return self.refused_message(420);
                }
                Ok(_) => (None, false),
                Err(answer) => return answer,
            },
            Some(Jid::Phone(_) | Jid::Lid(_)) => match self.world.find(&chat) {
                Some(_) if self.misses_lid(&chat) => return self.thrown(&refusal::no_lid()),
                Some(lid) => (Some(lid), self.world.is_cold(lid, self.now)),
                None => {
                    self.world.weigh(Offence::ColdMessage, self.at, self.now);
                    return self.refused_message(404);
                }
            },
            Some(Jid::Other) | None => return refused(StatusCode::BAD_REQUEST, "chatId is not a chat"),
        };
        if cold {
            self.world.weigh(Offence::ColdMessage, self.at, self.now);
            if let Some(answer) = self.locked() {
                return answer;
            }
        }
        let id: String = (0..20).map(|_| self.world.rng.digit(16).to_ascii_uppercase()).collect();
        let shape = json!({
            "id": format!("true_{chat}_{id}"), "_data": {"Info": {"ID": id, "IsFromMe": true, "Chat": chat}},
        });
        if self.silent() {
            return Answer::told(shape);
        }
        if cold && let Some(session) = self.world.session_mut(self.session) {
            session.begin_chat();
        }
        let to = to.map(|lid| self.world.both_ids(lid));
        self.world.deliver(Sent { chat, to, text, at: self.now, cold });
        Answer::done(Body::Json(shape), None)
    }

    /// 463: this account may not begin a chat.
    fn locked(&self) -> Option<Answer> {
        let session = self.world.sessions().get(self.session)?;
        if !self.world.meter.is_locked(self.at) && !session.is_capped() {
            return None;
        }
        Some(match self.world.gateway.lock {
            LockWords::Thrown => self.refused_message(463),
            LockWords::Inside => Answer::told(json!({"error": {"code": 463, "message": "reach-out lock"}})),
            LockWords::Status => {
                let status = StatusCode::from_u16(463).unwrap_or(StatusCode::FORBIDDEN);
                Answer::refusal(status, Body::Empty)
            }
        })
    }

    /// WEBJS may know no chat under a phone.
    fn misses_lid(&self, chat: &str) -> bool {
        let gateway = self.world.gateway;
        gateway.strict_ids
            && gateway.engine == Engine::Webjs
            && matches!(Jid::parse(chat), Some(Jid::Phone(_)))
    }

    fn lids(&mut self) -> Answer {
        let (limit, offset) =
            (self.ask.number("limit").unwrap_or(100), self.ask.number("offset").unwrap_or(0));
        let pairs = self.world.pairs(self.me).into_iter().skip(offset).take(limit);
        Answer::told(pairs.map(|(lid, phone)| json!({"lid": lid.jid(), "pn": phone.jid()})).collect())
    }

    fn lid(&mut self, text: &str) -> Answer {
        let asked = Lid::parse(text).or_else(|| Lid::parse(&format!("{text}@lid")));
        let Some(lid) = asked else {
            return refused(StatusCode::BAD_REQUEST, "not a LID");
        };
        let pn = self.world.shown_in(Source::Lid, lid, self.me).phone;
        Answer::told(json!({"lid": lid.jid(), "pn": pn.map(Phone::jid)}))
    }
}
