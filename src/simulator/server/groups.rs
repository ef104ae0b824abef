//! Listing and making groups, their settings and their invite.

use super::{
    act::{Answer, Body, Stage, refused},
    route::{Deed, Switch},
    shapes,
};
use crate::{
    ids::{GroupId, Jid},
    simulator::{
        gateway::Engine,
        meter::Offence,
        settings::Setting,
        world::{Addressing, Change, Role, Via},
    },
};
use axum::http::StatusCode;
use serde_json::{Value, json};

/// WhatsApp's bound on a group's name.
const MAX_NAME: usize = 100;

impl Stage<'_> {
    pub(super) fn write_switch(&mut self, id: &str, switch: Switch) -> Result<Answer, Answer> {
        let Some(on) = self.ask.flag("adminsOnly") else {
            return Err(refused(StatusCode::BAD_REQUEST, "missing required parameter(s): adminsOnly"));
        };
        let setting = match switch {
            Switch::Messages => Setting::AnnounceOnly(on),
            Switch::Info => Setting::InfoLocked(on),
        };
        self.set(id, &setting)
    }

    pub(super) fn describe(
        &mut self,
        id: &str,
        key: &str,
        setting: fn(String) -> Setting,
    ) -> Result<Answer, Answer> {
        let text = self.ask.text(key).filter(|text| !text.trim().is_empty());
        let Some(text) = text else {
            return Err(refused(StatusCode::BAD_REQUEST, "the text must not be empty"));
        };
        self.set(id, &setting(text))
    }

    /// WEBJS says `false` where the others fail.
    fn set(&mut self, id: &str, setting: &Setting) -> Result<Answer, Answer> {
        let id = self.inside(id)?.id.clone();
        if !self.world.may_set(&id, setting, self.me) {
            self.world.weigh(Offence::WithoutRight, self.at, self.now);
            let gateway = self.world.gateway;
            let says_no = gateway.engine == Engine::Webjs && !gateway.documented_refusals;
            return if says_no { Ok(Answer::told(json!(false))) } else { Err(self.no_admin()) };
        }
        if self.silent() {
            return Ok(Answer::told(json!(true)));
        }
        let change = self.world.set(&id, setting, self.me);
        Ok(Answer::done(Body::Json(json!(true)), change))
    }

    pub(super) fn revoke(&mut self, id: &str) -> Result<Answer, Answer> {
        let group = self.administered(id)?;
        let (id, old) = (group.id.clone(), group.invite_code.clone());
        if self.silent() {
            return Ok(Answer::told(json!(old)));
        }
        let (code, change) = self.world.revoke_invite(&id, Some(self.me)).unzip();
        Ok(Answer::done(Body::Json(json!(code)), change))
    }

    pub(super) fn list_groups(&mut self) -> Answer {
        let (limit, offset) = (self.ask.number("limit"), self.ask.number("offset").unwrap_or(0));
        let members = self.ask.text("exclude").as_deref() != Some("participants");
        let engine = self.world.gateway.engine;
        let page = self.mine().skip(offset).take(limit.unwrap_or(usize::MAX));
        let shaped = page.map(|group| {
            (group.id.as_str().to_owned(), shapes::group(self.world, group, self.me, engine, members))
        });
        Answer::told(match engine {
            Engine::Noweb => Value::Object(shaped.collect()),
            Engine::Gows | Engine::Webjs => shaped.map(|(_, group)| group).collect(),
        })
    }

    /// A group of ours with whoever can be added; what became of each person stands in the answer.
    pub(super) fn create(&mut self) -> Result<Answer, Answer> {
        let Some(name) = self.ask.text("name").filter(|name| !name.trim().is_empty()) else {
            return Err(refused(StatusCode::BAD_REQUEST, "missing required parameter(s): name"));
        };
        self.world.weigh(Offence::Creation, self.at, self.now);
        if self.world.meter.is_barred(self.at) {
            return Err(self.refused_query(429));
        }
        if name.chars().count() > MAX_NAME {
            return Err(self.refused_query(406));
        }
        let number = self.world.rng.u64(120_363_000_000_000_000..120_364_000_000_000_000);
        let Some(id) = GroupId::parse(&format!("{number}@g.us")) else {
            return Err(refused(StatusCode::INTERNAL_SERVER_ERROR, "no id left"));
        };
        let me = self.me;
        self.world.add_group(id.clone(), &name, Addressing::Lid).owner = Some(me);
        let mut changes: Vec<Change> = self.world.join(&id, &[me], Via::Unknown).into_iter().collect();
        if let Some(group) = self.world.group_mut(&id) {
            group.members.insert(me, Role::Superadmin);
        }
        let asked = self.ask.people().into_iter().filter(|jid| Jid::parse(jid).is_some()).collect();
        let outcomes = self.each(&id, asked, Deed::Add, &mut changes);
        let group = self.inside(id.as_str())?;
        let body = shapes::created(self.world, group, me, self.world.gateway.engine, &outcomes);
        if self.silent() {
            self.world.groups.remove(&id);
            return Ok(Answer::told(body));
        }
        Ok(Answer::done(Body::Json(body), changes))
    }
}
