//! Adding, removing, promoting and demoting: WhatsApp's rules, one person at a time.

use super::{
    act::{Answer, Body, Stage, Twist, refused},
    refusal,
    route::Deed,
    shapes::{self, Outcome},
};
use crate::{
    ids::{GroupId, Jid, Lid},
    simulator::{
        gateway::{Engine, Gateway},
        meter::Offence,
        world::{Addressing, Change, Role, Source, Via},
    },
};
use axum::http::StatusCode;

impl Stage<'_> {
    pub(super) fn members(&mut self, id: &str, deed: Deed) -> Result<Answer, Answer> {
        let asked = self.ask.people();
        if asked.is_empty() {
            return Err(refused(StatusCode::BAD_REQUEST, "missing required parameter(s): participants"));
        }
        let group = self.administered(id)?;
        let (id, addressing) = (group.id.clone(), group.addressing);
        let asked = self.of_the_right_form(asked, addressing, deed)?;
        let mut changes = Vec::new();
        let mut outcomes = Vec::with_capacity(asked.len());
        for jid in asked {
            let lid = self.world.find(&jid);
            let person = lid.map(|lid| self.world.shown_in(Source::Roster, lid, self.me));
            let code = match (self.twist, lid) {
                (Some(Twist::PerPerson(code)), _) => code,
                (Some(Twist::Silent), _) => 200,
                (None, None) => 404,
                (None, Some(lid)) => self.member(&id, lid, deed, &mut changes),
            };
            let person = person.or_else(|| Jid::parse(&jid)?.person()).unwrap_or_default();
            let role = lid.and_then(|lid| self.world.group(&id)?.members.get(&lid).copied());
            outcomes.push(Outcome { jid, person, role: role.unwrap_or(Role::Participant), code });
        }
        let body = shapes::outcomes(&outcomes, addressing, self.world.gateway.engine, deed == Deed::Add);
        Ok(Answer { effect: !changes.is_empty(), ..Answer::done(Body::Json(body), changes) })
    }

    /// The ids that the group can be asked about. WEBJS passes over the others in silence and fails only if none is left; the
    /// other engines fail at the first. People who are to be added may be named by phone anywhere.
    fn of_the_right_form(
        &self,
        mut asked: Vec<String>,
        addressing: Addressing,
        deed: Deed,
    ) -> Result<Vec<String>, Answer> {
        let Gateway { engine, strict_ids, .. } = self.world.gateway;
        let wrong = |jid: &String| match (Jid::parse(jid), addressing) {
            (Some(Jid::Phone(_)), Addressing::Lid) => deed != Deed::Add,
            (Some(Jid::Lid(_)), Addressing::Phone) => true,
            _ => false,
        };
        if strict_ids && engine != Engine::Webjs && asked.iter().any(wrong) {
            return Err(self.refused_query(400));
        }
        asked.retain(|jid| !strict_ids || !wrong(jid));
        if asked.is_empty() { Err(self.thrown(&refusal::nobody_left())) } else { Ok(asked) }
    }

    /// WhatsApp's code for one person (`whatsapp-reality.md` §3.3).
    fn member(&mut self, group: &GroupId, lid: Lid, deed: Deed, changes: &mut Vec<Change>) -> u16 {
        let me = self.me;
        let Some(there) = self.world.group(group) else { return 404 };
        let role = there.members.get(&lid).copied();
        let change = match (deed, role) {
            (Deed::Add, Some(_)) => return 409,
            (Deed::Add, None) => {
                let full = there.members.len() >= there.capacity;
                self.world.meter.weigh(Offence::Add, self.at);
                if full {
                    return 419;
                }
                if self.world.profile(lid).is_some_and(|profile| profile.refuses_adds) {
                    return 403;
                }
                let by = self.world.both_ids(me);
                self.world.join(group, &[lid], Via::AddedBy(by))
            }
            (_, None) => return 404,
            (Deed::Remove | Deed::Demote, Some(Role::Superadmin)) => return 405,
            (Deed::Remove, Some(_)) => self.world.leave(group, &[lid], Some(me)),
            (Deed::Promote, Some(_)) => self.world.set_role(group, lid, true, me),
            (Deed::Demote, Some(_)) => self.world.set_role(group, lid, false, me),
        };
        changes.extend(change);
        200
    }
}
