//! One call, from its durable start to its durable end: begin, call, settle, and what the outcome means for the session.

use super::{
    Courier, PAUSE, Step,
    outcome::{self, Consequence},
    provisioning::Ending,
};
use crate::{
    action::{Call, Class, RowState},
    clock::Timestamp,
    ids::OutboxId,
    limits::CallId,
    store::{Row, Settled, StoreError},
    wawp::{
        client::Created,
        error::{CallError, Outcome},
    },
    welcome::{self, Newcomer},
};
use std::collections::HashSet;

impl Courier {
    /// Begins, calls, settles.
    pub(super) async fn go(
        &mut self,
        row: Row,
        rows: Vec<Row>,
        classes: Vec<Class>,
        now: Timestamp,
    ) -> Result<Step, StoreError> {
        if let Err(at) = self.pacing.take(now) {
            return Ok(Step::At(Some(at)));
        }
        let ids = rows.iter().map(|row| row.id).collect();
        let begun = self.store.begin(&self.session, ids, classes.clone(), self.steady.now()).await?;
        // Somebody cancelled it between the look and the start: nothing happened.
        let Some(id) = begun else { return Ok(Step::Again) };
        self.ledger().begin(id, &classes);
        let started = self.steady.elapsed();
        let outcome = self.call(&row, &rows).await;
        self.pacing.ended(self.steady.now());
        let seconds = self.steady.elapsed().saturating_sub(started).as_secs_f64();
        self.metrics.gateway_call(classes[0], outcome::word(&outcome), seconds);
        self.note_readiness(&outcome);
        self.settle(id, &row, rows, classes, outcome).await?;
        Ok(Step::Again)
    }

    async fn settle(
        &mut self,
        id: CallId,
        row: &Row,
        rows: Vec<Row>,
        classes: Vec<Class>,
        answer: Outcome<Option<Created>>,
    ) -> Result<(), StoreError> {
        let outcome = &answer.as_ref().map(|_| ()).map_err(Clone::clone);
        let now = self.steady.now();
        let attempts = row.attempts + 1;
        let next_form = self.next_form(row, now);
        let made = outcome::Made {
            attempts,
            now,
            chance: fastrand::f64(),
            next_form,
            confirm_after: self.config.wawp.confirm_after,
        };
        let meaning = outcome::meaning(row, outcome, made);
        let ending = self.ending(row, &rows, &answer, &meaning);
        self.heed_lock(row, &classes, outcome, now).await;
        self.end_as(id, ending).await?;
        if outcome.is_ok() {
            self.remember_form(row).await?;
        }
        self.metrics.action(row.call.name(), meaning.settled.state, rows.len());
        self.tell(row, &meaning, rows.len());
        match (meaning.settled.state, meaning.settled.not_before) {
            (RowState::Unknown, Some(_)) => self.lanes.doubt(row, now),
            (RowState::Waiting, Some(due)) => self.lanes.failed(row, attempts, due),
            _ => {}
        }
        if meaning.alert {
            let text = format!(
                "{} {} ({}): {}",
                row.call.name(),
                meaning.settled.state,
                row.id,
                meaning.settled.note.as_deref().unwrap_or_default()
            );
            self.alert("delivery", &format!("{} {}", self.session, row.call.name()), &text).await?;
        }
        if let (Err(CallError::Refused { code: Some(404), .. }), Call::Remove { group, .. }) =
            (outcome, &row.call)
        {
            // The gateway says they are not in it: a roster that is no longer from a cache will tell.
            self.wanted.ask_roster(group.clone(), now + crate::directory::ROSTER_LAG + PAUSE);
        }
        if let (Err(CallError::Unknown { .. }), Some(_), Some(group)) =
            (outcome, row.call.sets(), row.call.group())
        {
            // If the group shows it, it need not be made again.
            self.wanted.ask(group.clone(), now);
        }
        if let (Err(CallError::Unknown { .. }), Call::Add { group, .. }) = (outcome, &row.call) {
            // It is made again only while nobody shows them inside.
            self.wanted.ask_roster(group.clone(), now);
        }
        self.follow(meaning.session, row);
        self.heed_denial(row, outcome, now).await
    }

    /// Ends a call with its rows, see [`Courier::end_as`].
    pub(super) async fn end_call(
        &mut self,
        id: CallId,
        rows: Vec<(OutboxId, Settled)>,
    ) -> Result<(), StoreError> {
        self.end_as(id, Ending::Rows(rows)).await
    }

    /// What an outcome means for the session.
    fn follow(&mut self, consequence: Consequence, row: &Row) {
        match consequence {
            Consequence::Healthy => {
                // That this row went through says nothing of one that failed alone: that one keeps its back-off.
                self.forms.forget(row.id);
            }
            Consequence::Suspect => self.health.suspect = true,
            Consequence::Paused(until) => self.health.paused_until = until,
            Consequence::GroupsPaused(until) => self.health.groups_paused_until = until,
            Consequence::OtherForm => self.forms.turn(row.id),
            Consequence::AskRoster => {
                if let Some(group) = row.call.group() {
                    self.wanted.ask_roster(group.clone(), self.steady.now());
                    self.forms.await_roster(row.id, group.clone());
                }
            }
        }
    }

    fn tell(&self, row: &Row, meaning: &outcome::Meaning, count: usize) {
        let member = row.person.unwrap_or_default();
        let group = row.call.group().map(ToString::to_string).unwrap_or_default();
        let note = meaning.settled.note.as_deref().unwrap_or_default();
        tracing::info!(
            session = %self.session, row = %row.id, decision = %row.decision, group, member = %member, count,
            state = %meaning.settled.state, note, "{}", row.call.name()
        );
    }

    /// Makes the call of a row; `rows` are all that go out with it.
    async fn call(&self, row: &Row, rows: &[Row]) -> Outcome<Option<Created>> {
        let client = &self.client;
        let outcome = match &row.call {
            Call::CreateGroup { subject, .. } => return self.create(row, subject).await.map(Some),
            Call::Remove { group, .. } => client.remove(group, &self.jid(row)).await,
            Call::Dm { text, .. } => client.send_text(&self.jid(row), text, &[]).await,
            Call::Say { group, text, mentions } => client.send_text(group.as_str(), text, mentions).await,
            Call::AnnounceOnly { group, on } => client.announce_only(group, *on).await,
            Call::RevokeInvite { group } => client.revoke_invite(group).await.map(|_| ()),
            Call::SetSubject { group, text } => client.set_subject(group, text).await,
            Call::SetDescription { group, text } => client.set_description(group, text).await,
            Call::LockInfo { group, on } => client.lock_info(group, *on).await,
            Call::Add { group, .. } => client.add(group, &self.jid(row)).await,
            Call::Promote { group, .. } => client.promote(group, &self.jid(row)).await,
            Call::Invite { .. } => self.invite(row, &self.jid(row)).await,
            Call::Welcome { group, text, .. } => {
                // Who left and came back within the window has two rows and is one person.
                let mut named = HashSet::new();
                let newcomers: Vec<Newcomer> = rows
                    .iter()
                    .filter(|row| named.insert(row.call.member()))
                    .map(|row| Newcomer { name: row.name.clone(), jid: row.jid.clone() })
                    .collect();
                let message = welcome::message(text.as_deref(), &newcomers);
                client.send_text(group.as_str(), &message.text, &message.mentions).await
            }
        };
        outcome.map(|()| None)
    }
}
