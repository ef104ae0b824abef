//! Adding, removing, promoting and demoting: WhatsApp's rules, one person at a time.

use super::{
    act::{Answer, Body, Stage, Twist, refused},
    refusal,
    route::Deed,
    shapes::{self, Outcome},
};
use crate::{
    ids::{GroupId, Jid, Lid, Person},
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
        let group = self.inside(id)?;
        let (id, addressing, may) = (group.id.clone(), group.addressing, group.is_admin(self.me));
        if !may {
            self.world.weigh(Offence::WithoutRight, self.at, self.now);
            return self.without_right(&asked, addressing, deed);
        }
        let asked = self.of_the_right_form(asked, addressing, deed)?;
        let mut changes = Vec::new();
        let mut outcomes = self.each(&id, asked, deed, &mut changes);
        let engine = self.world.gateway.engine;
        if engine == Engine::Webjs && deed != Deed::Add {
            // It looks each id up among the members first and passes over those it does not find.
            outcomes.retain(|one| one.code != 404);
            if outcomes.is_empty() {
                return Err(self.thrown(&refusal::nobody_left()));
            }
        }
        let body = shapes::outcomes(&outcomes, addressing, engine, deed == Deed::Add);
        Ok(Answer { effect: !changes.is_empty(), ..Answer::done(Body::Json(body), changes) })
    }

    /// We are no admin: each engine has its own way to say so.
    fn without_right(&self, asked: &[String], addressing: Addressing, deed: Deed) -> Result<Answer, Answer> {
        let Gateway { engine, documented_refusals, .. } = self.world.gateway;
        match engine {
            _ if documented_refusals => Err(self.no_admin()),
            Engine::Noweb => {
                let nobody = |jid: &String| Outcome::of(jid, Person::default(), Role::Participant, 403);
                let all: Vec<_> = asked.iter().map(nobody).collect();
                Ok(Answer::told(shapes::outcomes(&all, addressing, engine, deed == Deed::Add)))
            }
            Engine::Webjs if deed == Deed::Add => {
                Ok(Answer::told("AddParticipantsError: You have no admin rights to add a participant".into()))
            }
            Engine::Gows | Engine::Webjs => Err(self.no_admin()),
        }
    }

    /// Asks WhatsApp for one person after the other.
    pub(super) fn each(
        &mut self,
        id: &GroupId,
        asked: Vec<String>,
        deed: Deed,
        changes: &mut Vec<Change>,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(asked.len());
        for jid in asked {
            let lid = self.world.find(&jid);
            let person = lid.map(|lid| self.world.shown_in(Source::Roster, lid, self.me));
            let code = match (self.twist, lid) {
                (Some(Twist::PerPerson(code)), _) => code,
                (Some(Twist::Silent), _) => 200,
                (None, None) => 404,
                (None, Some(lid)) => self.member(id, lid, deed, changes),
            };
            let person = person.or_else(|| Jid::parse(&jid)?.person()).unwrap_or_default();
            let role = lid.and_then(|lid| self.world.group(id)?.members.get(&lid).copied());
            outcomes.push(Outcome::of(&jid, person, role.unwrap_or(Role::Participant), code));
        }
        outcomes
    }

    /// The ids that the group can be asked about. WEBJS passes over the others in silence and fails only if none is left; the
    /// other engines fail at the first. People who are to be added may be named by phone anywhere, and who hides the phone
    /// by LID: rosters and events name them so.
    fn of_the_right_form(
        &self,
        mut asked: Vec<String>,
        addressing: Addressing,
        deed: Deed,
    ) -> Result<Vec<String>, Answer> {
        let Gateway { engine, strict_ids, .. } = self.world.gateway;
        let wrong = |jid: &String| match (Jid::parse(jid), addressing) {
            (Some(Jid::Phone(_)), Addressing::Lid) => deed != Deed::Add,
            (Some(Jid::Lid(lid)), Addressing::Phone) => {
                self.world.profile(lid).is_none_or(|profile| !profile.hides_phone)
            }
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
                let there_before = there.walked_out.get(&lid).copied().unwrap_or(0);
                let stranger = self.world.is_cold(lid, self.now);
                let offence = if stranger { Offence::StrangerAdded } else { Offence::Add };
                self.world.weigh(offence, self.at, self.now);
                if self.world.meter.is_barred(self.at) {
                    return 463;
                }
                if full {
                    return 419;
                }
                if there_before >= 2 {
                    return 408;
                }
                if self.world.profile(lid).is_some_and(|profile| profile.refuses_adds) {
                    return self.invite_instead(lid);
                }
                let by = self.world.both_ids(me);
                self.world.join(group, &[lid], Via::AddedBy(by))
            }
            (Deed::Remove, None) => {
                self.world.weigh(Offence::Absent, self.at, self.now);
                return 404;
            }
            (_, None) => return 404,
            (Deed::Remove, Some(Role::Superadmin)) => return 405,
            (Deed::Demote, Some(Role::Superadmin)) => return 406,
            (Deed::Remove, Some(_)) => {
                self.world.weigh(Offence::Removal, self.at, self.now);
                self.world.leave(group, &[lid], Some(me))
            }
            (Deed::Promote, Some(_)) => self.world.set_role(group, lid, true, me),
            (Deed::Demote, Some(_)) => self.world.set_role(group, lid, false, me),
        };
        changes.extend(change);
        200
    }

    /// WEBJS writes to somebody who may only be invited by itself, whether asked to or not.
    fn invite_instead(&mut self, lid: Lid) -> u16 {
        if self.world.gateway.engine == Engine::Webjs && self.world.is_cold(lid, self.now) {
            self.world.weigh(Offence::ColdMessage, self.at, self.now);
        }
        403
    }
}
