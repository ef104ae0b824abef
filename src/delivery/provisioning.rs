//! Groups that grow: who may be added (warm-up rule), what an invitation says, and what a made group leads to.
//!
//! Nothing makes WhatsApp lose patience with a number sooner than adding strangers, so only people who wrote to us within
//! a day are added. Everybody else gets the invite link where the decision asked for that, within the ceilings of private
//! messages.

use super::{Courier, PAUSE, clearance::Clearance, outcome::Meaning};
use crate::{
    action::{Call, Class, RowState},
    clock::Timestamp,
    ids::{OutboxId, Phone},
    limits::{CallId, Permit},
    store::{MadeGroup, Row, Settled, StoreError},
    wawp::{
        client::Created,
        error::{CallError, Outcome},
    },
};
use std::time::Duration;

/// Who wrote to us within this time may be added (the vendor's "social warm-up").
const WARM_UP: Duration = Duration::from_secs(24 * 3600);

/// A link that could not be read is asked for again after this long.
const LINK_AGAIN: Duration = Duration::from_secs(30);

/// Refusals of an addition that an invite link gets around: privacy, left lately, a community that only invites. Not
/// somebody who is not on WhatsApp: writing to such a number is held against us more than anything.
const INVITABLE: [u16; 3] = [403, 408, 417];

/// What was found out for a row that may go now.
pub(super) enum Prepared {
    /// The group's invite link.
    Link(String),
    /// Who is to be in a new group from the start, and how many are left out.
    Founders { warm: Vec<Phone>, left_out: usize },
}

/// How a call that is over is settled.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// Its rows, as told.
    Rows(Vec<(OutboxId, Settled)>),
    /// A refused addition: whoever was to be added may be invited.
    Invite(OutboxId, Settled),
    /// A group was made.
    Made(OutboxId, MadeGroup),
}

impl Courier {
    /// Only people who wrote to us lately are added; whoever is in the group already need not be.
    pub(super) async fn clear_add(
        &mut self,
        row: &Row,
        classes: Vec<Class>,
        now: Timestamp,
    ) -> Result<Clearance, StoreError> {
        if row.present == Some(true) {
            // Tried before with an unknown outcome: it took effect.
            let state = if row.attempts > 0 { RowState::Done } else { RowState::Cancelled };
            return self.end(row, state, "they are in the group".into(), now).await;
        }
        if is_warm(row.wrote_to_us_at, now) {
            return Ok(Clearance::Go { rows: vec![row.clone()], classes });
        }
        let note = "warm-up rule: they have not written to us within the last 24 hours";
        let settled =
            Settled { state: RowState::Refused, not_before: None, note: Some(note.into()), counts: true };
        tracing::info!(session = %self.session, row = %row.id, decision = %row.decision, "{note}");
        self.metrics.action(row.call.name(), RowState::Refused, 1);
        self.store.invite_instead(None, (row.id, settled), self.wall.now(), now).await?;
        Ok(Clearance::Settled)
    }

    /// An invitation needs the link, read as late as can be: links die.
    pub(super) async fn clear_invite(
        &mut self,
        row: &Row,
        classes: Vec<Class>,
        now: Timestamp,
    ) -> Result<Clearance, StoreError> {
        let go = |row: &Row| Clearance::Go { rows: vec![row.clone()], classes: classes.clone() };
        if row.present == Some(true) {
            return self.end(row, RowState::Cancelled, "they are in the group".into(), now).await;
        }
        let Some(group) = row.call.group().cloned() else { return Ok(go(row)) };
        if matches!(&self.prepared, Some((id, Prepared::Link(_))) if *id == row.id) {
            return Ok(go(row));
        }
        if self.groups_paused(now) {
            return self.put_off(row, self.health.groups_paused_until, row.note.clone(), now).await;
        }
        match self.permit(Class::READ_OF_GROUP, now) {
            Permit::Granted => {}
            Permit::NotBefore(at) => return Ok(Clearance::Wait(Some(at))),
            Permit::AfterCall => return Ok(Clearance::Wait(None)),
            Permit::Never => {
                let note = "the invite link cannot be read: [limits] read allows no call".into();
                return self.end(row, RowState::Refused, note, now).await;
            }
        }
        let client = self.client.clone();
        match self.reading(Class::READ_OF_GROUP, async move { client.invite_link(&group).await }).await? {
            Ok(link) => {
                self.prepared = Some((row.id, Prepared::Link(link)));
                Ok(go(row))
            }
            Err(error @ (CallError::Refused { .. } | CallError::Unsupported { .. })) => {
                let note = format!("the invite link cannot be read: {error}");
                self.end(row, RowState::Refused, note, now).await
            }
            Err(error) => {
                let note = format!("the invite link cannot be read now: {error}");
                self.put_off(row, now + LINK_AGAIN, Some(note), now).await
            }
        }
    }

    /// A group begins with those whom we may add.
    pub(super) async fn clear_create(
        &mut self,
        row: &Row,
        classes: Vec<Class>,
        now: Timestamp,
    ) -> Result<Clearance, StoreError> {
        let Call::CreateGroup { members, .. } = &row.call else {
            return Ok(Clearance::Go { rows: vec![row.clone()], classes });
        };
        let written = self.store.last_written(members.clone()).await?;
        let warm: Vec<Phone> = members
            .iter()
            .zip(written)
            .filter(|(_, at)| is_warm(*at, now))
            .map(|(phone, _)| *phone)
            .collect();
        if warm.is_empty() {
            let note = "warm-up rule: nobody of them has written to us within the last 24 hours".into();
            return self.end(row, RowState::Refused, note, now).await;
        }
        let left_out = members.len() - warm.len();
        self.prepared = Some((row.id, Prepared::Founders { warm, left_out }));
        Ok(Clearance::Go { rows: vec![row.clone()], classes })
    }

    /// Sends the invite link.
    pub(super) async fn invite(&self, row: &Row, jid: &str) -> Outcome<()> {
        let Some((_, Prepared::Link(link))) = self.prepared.as_ref().filter(|(id, _)| *id == row.id) else {
            return Err(CallError::Transient { retry_after: None, why: "the link is not at hand".into() });
        };
        self.client.send_text(jid, &format!("You are invited to our group: {link}"), &[]).await
    }

    /// Makes a group.
    pub(super) async fn create(&self, row: &Row, subject: &str) -> Outcome<Created> {
        let Some((_, Prepared::Founders { warm, .. })) =
            self.prepared.as_ref().filter(|(id, _)| *id == row.id)
        else {
            return Err(CallError::Transient { retry_after: None, why: "nobody is chosen yet".into() });
        };
        let jids: Vec<String> = warm.iter().map(|phone| phone.jid()).collect();
        self.client.create_group(subject, &jids).await
    }

    /// How the call of a row is settled, after an outcome that means `meaning`.
    pub(super) fn ending(
        &mut self,
        row: &Row,
        rows: &[Row],
        outcome: &Outcome<Option<Created>>,
        meaning: &Meaning,
    ) -> Ending {
        let prepared = self.prepared.take().filter(|(id, _)| *id == row.id).map(|(_, prepared)| prepared);
        match (&row.call, outcome, prepared) {
            (Call::Add { .. }, Err(CallError::Refused { code: Some(code), .. }), _)
                if INVITABLE.contains(code) =>
            {
                Ending::Invite(row.id, meaning.settled.clone())
            }
            (Call::CreateGroup { .. }, Ok(Some(created)), Some(Prepared::Founders { warm, left_out })) => {
                Ending::Made(row.id, made(&row.call, created, &warm, left_out))
            }
            _ => Ending::Rows(rows.iter().map(|row| (row.id, meaning.settled.clone())).collect()),
        }
    }

    /// Notes the end of a call and settles its rows, however long the store needs: a call that is over must not keep its
    /// place, nor its rows stay `sending`, because the disk was full for a moment.
    pub(super) async fn end_as(&mut self, id: CallId, ending: Ending) -> Result<(), StoreError> {
        loop {
            let (wall, now) = (self.wall.now(), self.steady.now());
            let settled = match ending.clone() {
                Ending::Rows(rows) => self.store.settle(Some(id), rows, wall, now).await,
                Ending::Invite(row, settled) => {
                    self.store.invite_instead(Some(id), (row, settled), wall, now).await
                }
                Ending::Made(row, made) => self.store.group_made(id, row, made, wall, now).await,
            };
            match settled {
                Err(StoreError::Unavailable(why)) if !self.stop.is_cancelled() => {
                    tracing::error!(session = %self.session, why, "the end of a call cannot be kept now");
                    let _ = self.stop.clone().run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                }
                result => {
                    let longest = self.ceilings().longest();
                    self.ledger().end(id, now, longest);
                    return result;
                }
            }
        }
    }
}

fn is_warm(wrote: Option<Timestamp>, now: Timestamp) -> bool {
    wrote.is_some_and(|at| at + WARM_UP > now)
}

/// What a made group leads to: its description, its admins, and a word on those who are not in it.
fn made(call: &Call, created: &Created, warm: &[Phone], left_out: usize) -> MadeGroup {
    let mut made =
        MadeGroup { group: created.group.clone(), subject: String::new(), note: None, then: Vec::new() };
    let Call::CreateGroup { subject, admins, description, .. } = call else { return made };
    let group = || created.group.clone();
    made.subject.clone_from(subject);
    if let Some(text) = description.clone() {
        made.then.push(Call::SetDescription { group: group(), text });
    }
    let is_in = |phone: &Phone| {
        let refused = created.refused.iter().any(|(person, _)| person.phone == Some(*phone));
        warm.contains(phone) && !refused
    };
    made.then.extend(
        admins
            .iter()
            .filter(|phone| is_in(phone))
            .map(|phone| Call::Promote { group: group(), phone: *phone }),
    );
    let mut notes = Vec::new();
    if left_out > 0 {
        notes.push(format!("left out: {left_out} who did not write to us within 24 hours"));
    }
    if !created.refused.is_empty() {
        let codes: Vec<String> = created.refused.iter().map(|(_, code)| code.to_string()).collect();
        notes.push(format!("refused: {} ({})", created.refused.len(), codes.join(", ")));
    }
    made.note = (!notes.is_empty()).then(|| notes.join("; "));
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{GroupId, Person};

    fn phone(number: u64) -> Phone {
        Phone::from_u64(number).unwrap()
    }

    #[test]
    fn a_made_group_gets_its_description_and_the_admins_who_are_in_it() {
        let [ann, ben, cyd] = [4915100000001, 4915100000002, 4915100000003].map(phone);
        let group = GroupId::parse("120363000000000009@g.us").unwrap();
        let call = Call::CreateGroup {
            subject: "Guild".into(),
            members: vec![ann, ben, cyd],
            admins: vec![ann, ben, cyd],
            description: Some("For us".into()),
        };
        let created = Created { group: group.clone(), refused: vec![(Person::of_phone(ben), 403)] };
        let made = made(&call, &created, &[ann, ben], 1);
        let expected = [
            Call::SetDescription { group: group.clone(), text: "For us".into() },
            Call::Promote { group, phone: ann },
        ];
        assert_eq!(made.then, expected);
        let note = "left out: 1 who did not write to us within 24 hours; refused: 1 (403)";
        assert_eq!((made.subject.as_str(), made.note.as_deref()), ("Guild", Some(note)));
    }
}
