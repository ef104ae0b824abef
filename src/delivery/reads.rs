//! What a session reads from the gateway: who it is, rosters, groups. Every read is a call under the `read`
//! ceiling; what comes back enters by the journal, like everything else we are told.

use super::Courier;
use crate::{
    action::Class,
    clock::Timestamp,
    event::{Event, EventKind, GroupSnapshot},
    ids::GroupId,
    limits::Permit,
    store::{NewEntry, Source, StoreError},
    wawp::error::{CallError, Outcome},
};
use std::{collections::VecDeque, future::Future, time::Duration};

/// A roster that could not be read is asked for again after this long.
const AGAIN: Duration = Duration::from_secs(30);

/// What is read of a group: two calls, each with its own place under the ceiling.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// Who is in it.
    Roster,
    /// Its name and settings.
    Info,
}

/// Groups to be read about, each once.
#[derive(Default)]
pub(super) struct Wanted {
    groups: VecDeque<(GroupId, About, Timestamp)>,
}

impl Wanted {
    /// Asks for a group's roster and settings, not before `due`.
    pub(super) fn ask(&mut self, group: GroupId, due: Timestamp) {
        self.ask_about(group.clone(), About::Roster, due);
        self.ask_about(group, About::Info, due);
    }

    /// Asks for a group's roster alone.
    pub(super) fn ask_roster(&mut self, group: GroupId, due: Timestamp) {
        self.ask_about(group, About::Roster, due);
    }

    fn ask_about(&mut self, group: GroupId, about: About, due: Timestamp) {
        match self.groups.iter_mut().find(|(other, what, _)| *other == group && *what == about) {
            Some((_, _, planned)) => *planned = due.min(*planned),
            None => self.groups.push_back((group, about, due)),
        }
    }

    /// What is due: rosters before settings, because people are judged by them.
    fn due(&mut self, now: Timestamp) -> Option<(GroupId, About)> {
        let first =
            |wanted: About| self.groups.iter().position(|(_, about, due)| *about == wanted && *due <= now);
        let index = first(About::Roster).or_else(|| first(About::Info))?;
        self.groups.remove(index).map(|(group, about, _)| (group, about))
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.groups.iter().map(|(_, _, due)| *due).min()
    }
}

impl Courier {
    /// Makes one read if one is wanted and the ceiling permits. `Err` inside tells when to come again.
    pub(super) async fn read(&mut self, now: Timestamp) -> Result<Result<(), Option<Timestamp>>, StoreError> {
        self.collect_wanted(now);
        self.begin_rounds(now).await?;
        if self.groups_paused(now) {
            return Ok(Err(Some(self.health.groups_paused_until)));
        }
        let dues = [
            self.naming_due,
            self.quota.due,
            self.wanted.next_due(),
            self.listing_due,
            self.rounds.next_due(),
        ];
        let due = dues.into_iter().flatten().min();
        if due.is_none_or(|due| due > now) {
            // Nobody waits for the rest.
            let background = self.inquire(now).await?;
            return Ok(background.map_err(|at| [due, at].into_iter().flatten().min()));
        }
        let is_due = |asked: Option<Timestamp>| asked.is_some_and(|due| due <= now);
        let about_us = is_due(self.naming_due) || is_due(self.quota.due);
        match self.permit(if about_us { &[Class::Read] } else { Class::READ_OF_GROUP }, now) {
            Permit::Granted => {}
            Permit::NotBefore(at) => return Ok(Err(Some(at))),
            Permit::AfterCall | Permit::Never => return Ok(Err(None)),
        }
        if is_due(self.naming_due) {
            self.learn_who_we_are(now).await?;
        } else if about_us {
            self.ask_quota(now).await?;
        } else if self.listing_due.is_some_and(|due| due <= now) {
            // Before the rosters: a group that is both known and listed is read once.
            self.listing_due = Some(now + AGAIN);
            self.list_groups(now).await?;
        } else if let Some((group, about)) = self.wanted.due(now)
            && let Err(error) = self.read_group(group.clone(), about, now).await
        {
            // Asked for once: it must not be forgotten because the store could not write.
            self.wanted.ask_about(group, about, now + AGAIN);
            return Err(error);
        }
        Ok(Ok(()))
    }

    /// At a start: who we are, and the rosters of every group we guard.
    pub(super) async fn introduce(&mut self) -> Result<(), StoreError> {
        self.restore_breaker().await?;
        let now = self.steady.now();
        self.listing_due = Some(now);
        self.naming_due = Some(now);
        self.quota.begin(now);
        if self.permit(&[Class::Read], now) == Permit::Granted {
            self.learn_who_we_are(now).await?;
        }
        let now = self.steady.now();
        for row in self.store.unknown_removals(&self.session, Timestamp(i64::MAX)).await? {
            self.lanes.doubt(&row, now);
        }
        for group in self.store.groups().await? {
            if group.sessions.contains(&self.session) && self.config.group_for(group.id.as_str()).is_some() {
                self.wanted.ask(group.id, now);
            }
        }
        Ok(())
    }

    /// Who we are. A gateway that is away at the start is asked again: "never itself" (P7) needs the answer.
    async fn learn_who_we_are(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.naming_due = Some(now + AGAIN);
        let client = self.client.clone();
        match self.reading(&[Class::Read], async move { client.me().await }).await? {
            Ok(me) => {
                let own = self.store.session_started(&self.session, me.person, now).await?;
                self.ceilings().young_again(own.young_since());
                self.naming_due = None;
                if let Some(restriction) = &me.restriction {
                    self.heed_restriction(restriction).await;
                }
            }
            Err(error) if worth_asking_again(&error) => {}
            Err(error) => {
                tracing::warn!(session = %self.session, error = %error, "the gateway does not say who we are");
                self.naming_due = None;
            }
        }
        Ok(())
    }

    /// Asks which groups we are in and wants the rosters of the guarded ones: a group may have been guarded, or entered,
    /// while nobody listened. Where the gateway cannot list, groups named in full in the configuration are read all the
    /// same, and the others at first sight.
    async fn list_groups(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let client = self.client.clone();
        let listed = match self.reading(Class::READ_OF_GROUP, async move { client.groups().await }).await? {
            Ok(groups) => {
                self.settle_doubted(Some(&groups)).await?;
                self.listing_due = None;
                groups
            }
            Err(error) => {
                tracing::warn!(session = %self.session, error = %error, "the groups could not be listed");
                if !worth_asking_again(&error) {
                    if matches!(error, CallError::Unsupported { .. } | CallError::Refused { .. }) {
                        self.settle_doubted(None).await?;
                    }
                    self.listing_due = None;
                }
                let named = self.config.groups.iter().filter_map(|block| block.pattern.as_ref());
                named.filter_map(|pattern| GroupId::parse(pattern.glob().glob())).collect()
            }
        };
        for group in listed {
            if self.config.group_for(group.as_str()).is_some() && !self.rounds.knows(&group) {
                self.wanted.ask(group, now);
            }
        }
        Ok(())
    }

    /// A read, which shows whether the session works; it counts under `classes`.
    pub(super) async fn reading<T>(
        &mut self,
        classes: &[Class],
        call: impl Future<Output = Outcome<T>> + Send,
    ) -> Result<Outcome<T>, StoreError> {
        let outcome = self.counted(classes, call).await?;
        self.note_readiness(&outcome);
        Ok(outcome)
    }

    /// A call of class `read`, in the ledger under `classes` from its start to its end.
    pub(super) async fn counted<T>(
        &mut self,
        classes: &[Class],
        call: impl Future<Output = Outcome<T>> + Send,
    ) -> Result<Outcome<T>, StoreError> {
        let begun = self.store.begin(&self.session, Vec::new(), classes.to_vec(), self.steady.now()).await?;
        let Some(id) = begun else {
            return Ok(Err(CallError::Transient {
                retry_after: None,
                why: "the call could not begin".into(),
            }));
        };
        self.ledger().begin(id, classes);
        let started = self.steady.elapsed();
        let outcome = call.await;
        let seconds = self.steady.elapsed().saturating_sub(started).as_secs_f64();
        self.metrics.gateway_call(Class::Read, super::outcome::word(&outcome), seconds);
        if let Some(pause) = super::outcome::asked_pause(&outcome) {
            self.health.groups_paused_until = self.steady.now() + pause;
        }
        self.end_call(id, Vec::new()).await?;
        Ok(outcome)
    }

    fn collect_wanted(&mut self, now: Timestamp) {
        while let Ok(group) = self.rosters.try_recv() {
            self.wanted.ask(group, now);
        }
    }

    async fn read_group(&mut self, group: GroupId, about: About, now: Timestamp) -> Result<(), StoreError> {
        // Taken before the request: whoever enters while it is under way is not missing from it.
        let at = self.wall.now();
        let (client, id) = (self.client.clone(), group.clone());
        let read = match about {
            About::Roster => {
                self.rounds.plan(group.clone(), now, fastrand::f64());
                let roster =
                    self.reading(Class::READ_OF_GROUP, async move { client.roster(&id).await }).await?;
                roster.map(|people| GroupSnapshot {
                    participants: Some(people),
                    ..GroupSnapshot::new(group.clone())
                })
            }
            About::Info => {
                let info = self.reading(Class::READ_OF_GROUP, async move { client.group(&id).await }).await?;
                info.map(|info| GroupSnapshot { participants: None, ..info })
            }
        };
        match read {
            Ok(snapshot) => {
                self.append(EventKind::Roster { group: snapshot }, &group, at).await?;
                if about == About::Roster {
                    self.forms.roster_read(&group, self.steady.now());
                }
                Ok(())
            }
            Err(error) => {
                self.read_failed(group, about, &error, now);
                Ok(())
            }
        }
    }

    fn read_failed(&mut self, group: GroupId, about: About, error: &CallError, now: Timestamp) {
        // The client has learnt that this gateway has only the plain route: the next call takes it, under the ceiling.
        if matches!(error, CallError::Transient { retry_after: Some(Duration::ZERO), .. }) {
            return self.wanted.ask_about(group, about, now);
        }
        tracing::warn!(session = %self.session, group = %group, error = %error, "a group could not be read");
        if worth_asking_again(error) {
            self.wanted.ask_about(group, about, now + AGAIN);
        } else if about == About::Roster {
            self.doubt_group(group, now);
        }
    }

    pub(super) async fn append(
        &mut self,
        kind: EventKind,
        group: &GroupId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let event = Event { session: self.session.clone(), at, me: crate::ids::Person::default(), kind };
        let body = serde_json::to_vec(&event).map_err(|e| StoreError::Broken(e.to_string()))?;
        let key =
            format!("{}\0read {} {} {}", self.session, group.as_str(), at.as_millis(), fastrand::u32(..));
        let entry = NewEntry {
            session: self.session.clone(),
            source: Source::Roster,
            key: key.into_bytes(),
            body: body.into(),
            received_at: at,
        };
        self.store.append(vec![entry]).await?;
        self.journal_bell.notify_one();
        Ok(())
    }
}

fn worth_asking_again(error: &CallError) -> bool {
    match error {
        CallError::NotReady { .. }
        | CallError::SlowDown { .. }
        | CallError::Transient { .. }
        | CallError::Unknown { .. } => true,
        CallError::Refused { .. }
        | CallError::Locked { .. }
        | CallError::WrongIdentity { .. }
        | CallError::Unsupported { .. }
        | CallError::Fatal { .. } => false,
    }
}
