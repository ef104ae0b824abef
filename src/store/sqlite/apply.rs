//! Journal entries become directory changes and pending runs: each event by the rules of [`crate::directory`].
//!
//! Rosters have a room of their own ([`super::roster`]); what a decision brings is written in [`super::commit`].

use super::{
    account, confirm,
    groups::{self, Group},
    journal,
    members::{self, At, Entrance},
    outbox, people, timers,
    words::Word,
};
use crate::{
    clock::Timestamp,
    directory::{Joining, Leaving, Presence, SAME_JOIN, is_new_self_join},
    event::{Event, EventKind, GroupSnapshot, Hook, Participant, Role, Via},
    group_info::Manner,
    identity::{Learnt, LearntFrom},
    ids::{DecisionId, EntryId, GroupId, Person, PersonId, SessionName, SweepId},
    store::{Applied, EntryState, Reading, StoreError},
};
use rusqlite::{Connection, params};

/// Between two requests for the roster of a group that has none yet.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// Why a number is young again.
pub(super) const ANOTHER: &str = "it is another number now";

/// What an event came to: nothing worth a note, or why there was nothing to do.
pub(super) type Outcome = Result<Option<String>, StoreError>;

/// Applies readings in the order given.
pub(super) fn apply(
    db: &Connection,
    readings: &[(EntryId, Reading)],
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    for (id, reading) in readings {
        let Some(received_at) = new_entry(db, *id)? else { continue };
        match reading {
            Reading::Nothing(why) => journal::mark(db, *id, EntryState::Ignored, Some(why))?,
            Reading::Unreadable(why) => journal::mark(db, *id, EntryState::Unreadable, Some(why))?,
            Reading::Events(events) => {
                let mut step = Step { db, entry: *id, received_at, now, applied: &mut applied };
                let note = step.events(events)?;
                let state = if note.is_some() { EntryState::Ignored } else { EntryState::Applied };
                journal::mark(db, *id, state, note.as_deref())?;
            }
        }
    }
    Ok(applied)
}

fn new_entry(db: &Connection, id: EntryId) -> Result<Option<Timestamp>, StoreError> {
    use rusqlite::OptionalExtension;
    let sql = "SELECT received_at FROM entries WHERE id = ? AND state = 'new'";
    let found = db.prepare_cached(sql)?.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(found.map(Timestamp))
}

/// The group in which an event may change what we are.
fn of_our_rights(kind: &EventKind) -> Option<&GroupId> {
    match kind {
        EventKind::RolesChanged { group, .. } => Some(group),
        EventKind::Roster { group } | EventKind::SelfJoined { group } => Some(&group.id),
        _ => None,
    }
}

/// The applying of one entry.
pub(super) struct Step<'a> {
    pub(super) db: &'a Connection,
    pub(super) entry: EntryId,
    pub(super) received_at: Timestamp,
    pub(super) now: Timestamp,
    pub(super) applied: &'a mut Applied,
}

impl Step<'_> {
    /// The note of the entry, if none of its events led to anything.
    fn events(&mut self, events: &[Event]) -> Outcome {
        let mut notes = Vec::new();
        for event in events {
            notes.extend(self.event(event)?);
        }
        let idle = notes.len() == events.len();
        Ok(idle.then(|| notes.into_iter().next().unwrap_or_else(|| "no event in it".into())))
    }

    /// Told by this entry.
    pub(super) fn learnt(&self, from: LearntFrom) -> Learnt {
        Learnt::new(from, self.received_at)
    }

    /// Keeps what was told by the way of people whom we know already: who acted, who made a group.
    pub(super) fn harvest(&self, told: Option<Person>, from: LearntFrom) -> Result<(), StoreError> {
        if let Some(Person { phone: Some(phone), lid: Some(lid) }) = told {
            people::learn(self.db, &[(phone, lid)], self.learnt(from))?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Outcome {
        if !event.me.is_nobody() {
            let learnt = self.learnt(LearntFrom::Event);
            if groups::is_another(self.db, &event.session, event.me)? {
                let raised = account::paired(self.db, &event.session, ANOTHER, self.received_at)?;
                self.applied.raised.push(raised);
                self.applied.outbox_changed = true;
            }
            groups::note_me(self.db, &event.session, event.me, learnt)?;
        }
        let Some(group) = of_our_rights(&event.kind) else { return self.act(event) };
        let before = self.our_rights(group)?;
        let note = self.act(event)?;
        self.note_rights(group, before)?;
        Ok(note)
    }

    fn act(&mut self, event: &Event) -> Outcome {
        match &event.kind {
            EventKind::Joined { group, people, via, by } => self.joined(event, group, people, (*via, *by)),
            EventKind::Left { group, people, by } => self.left(event, group, people, *by),
            EventKind::RolesChanged { group, people } => self.roles(event, group, people),
            EventKind::SelfJoined { group } => self.self_joined(event, group),
            EventKind::SelfLeft { group } => self.self_left(event, group),
            EventKind::GroupChanged { group, by, doubtful } => {
                self.group_changed(event, group, *by, *doubtful)
            }
            EventKind::MembershipUnclear { group } => {
                self.group(event, group)?;
                self.want_roster(&event.session, group);
                Ok(None)
            }
            EventKind::DirectMessage { from } => self.wrote(event, *from),
            EventKind::GroupMessage { group, from } => self.said(event, group, *from),
            EventKind::Roster { group } => self.roster(event, group),
            EventKind::Recheck { decision, round } => timers::recheck(self, event, *decision, *round),
            EventKind::LockdownDue { group } => timers::release(self, event, group),
            EventKind::Sweep { group, sweep } => self.sweep(event, group, *sweep),
            EventKind::SessionStatus { status } => {
                self.watch_pairing(&event.session, status)?;
                self.session_state(event, status)
            }
            EventKind::Restricted { restriction } => self.restricted(event, restriction),
            EventKind::Canary { nonce } => self.canary(event, nonce),
            EventKind::Met { name, people } => {
                people.iter().try_for_each(|who| self.harvest(Some(*who), LearntFrom::Message))?;
                Ok(Some(format!("{name} needs no action")))
            }
            EventKind::Ignored { name } => Ok(Some(format!("{name} needs no action"))),
        }
    }

    /// The group of an event that only somebody inside can hear. At its first sight its roster is wanted.
    pub(super) fn group(&mut self, event: &Event, jid: &GroupId) -> Result<Group, StoreError> {
        let group = groups::resolve(self.db, jid)?;
        let known = groups::presence(self.db, group.id, &event.session)?;
        let hears = known.is_none_or(|known| !known.inside && event.at > known.since + SAME_JOIN);
        if hears {
            let told = Presence { inside: true, since: event.at, announced: false };
            groups::set_presence(self.db, group.id, &event.session, told)?;
        }
        let asked_lately = group.roster_asked_at.is_some_and(|asked| self.now.since(asked) < ASK_AGAIN);
        if !group.adopted && !asked_lately {
            self.want_roster(&event.session, jid);
            groups::roster_asked(self.db, group.id, self.now)?;
        }
        Ok(group)
    }

    pub(super) fn want_roster(&mut self, session: &SessionName, group: &GroupId) {
        let wanted = (session.clone(), group.clone());
        if !self.applied.rosters_wanted.contains(&wanted) {
            self.applied.rosters_wanted.push(wanted);
        }
    }

    fn joined(
        &mut self,
        event: &Event,
        jid: &GroupId,
        people: &[Participant],
        (via, by): (Via, Option<Person>),
    ) -> Outcome {
        let group = self.group(event, jid)?;
        self.harvest(by, LearntFrom::Event)?;
        let mut counted = false;
        for who in people {
            let Some(known) = people::resolve(self.db, who.person, self.learnt(LearntFrom::Event))? else {
                continue;
            };
            let at = At { group: group.id, person: known.id };
            let received = Some(self.received_at);
            let ruling = members::load(self.db, at)?.told_join(event.at, self.received_at);
            let kept = match ruling {
                Joining::Again if !known.is_own => self.kept_rights(event, jid, at, who)?,
                _ => None,
            };
            let who = kept.as_ref().unwrap_or(who);
            let entrance = Entrance { who, via, by: by.as_ref(), moment: event.at, adopted: false, received };
            match ruling {
                Joining::Stale => continue,
                Joining::Repeat => {
                    members::fill(self.db, at, entrance)?;
                    continue;
                }
                Joining::New => groups::resize(self.db, group.id, 1)?,
                Joining::Again => {}
            }
            members::enter(self.db, at, entrance)?;
            confirm::close(self.db, at)?;
            counted = true;
            if !known.is_own {
                self.arrival(group.id, jid, event.at, true)?;
                self.run(event, Hook::OnJoin, group.id, Some(known.id), 0)?;
            }
        }
        Ok((!counted).then(|| "nobody new: a repeat, or older than what is known".into()))
    }

    /// An admin whose leave nobody told and who joins all the same: engines replay old joins as new ones. They stay
    /// what they are until a roster, wanted now, tells what is true.
    fn kept_rights(
        &mut self,
        event: &Event,
        jid: &GroupId,
        at: At,
        who: &Participant,
    ) -> Result<Option<Participant>, StoreError> {
        if !matches!(who.role, Role::Member | Role::Unknown) {
            return Ok(None);
        }
        let Some(role) = members::rights(self.db, at)? else { return Ok(None) };
        self.want_roster(&event.session, jid);
        Ok(Some(Participant { role, ..who.clone() }))
    }

    fn left(&mut self, event: &Event, jid: &GroupId, people: &[Participant], by: Option<Person>) -> Outcome {
        let group = self.group(event, jid)?;
        self.harvest(by, LearntFrom::Event)?;
        let mut counted = false;
        for who in people {
            let Some(known) = people::resolve(self.db, who.person, self.learnt(LearntFrom::Event))? else {
                continue;
            };
            let at = At { group: group.id, person: known.id };
            let ruling = members::load(self.db, at)?.told_leave(event.at);
            if ruling == Leaving::Stale {
                continue;
            }
            members::leave(self.db, at, who, by.as_ref(), (event.at, self.received_at))?;
            counted |= ruling != Leaving::Repeat;
            if ruling == Leaving::Left {
                groups::resize(self.db, group.id, -1)?;
            }
            let absence = outbox::absent(self.db, at, self.now)?;
            self.applied.outbox_changed |= absence.changed;
            if ruling == Leaving::Left && !absence.ours && !known.is_own {
                self.arrival(group.id, jid, event.at, false)?;
                self.run(event, Hook::OnLeave, group.id, Some(known.id), 0)?;
            }
        }
        Ok((!counted).then(|| "nobody left: a repeat, or older than what is known".into()))
    }

    fn roles(&mut self, event: &Event, jid: &GroupId, people: &[Participant]) -> Outcome {
        let group = self.group(event, jid)?;
        for who in people {
            let Some(known) = people::resolve(self.db, who.person, self.learnt(LearntFrom::Event))? else {
                continue;
            };
            let at = At { group: group.id, person: known.id };
            if !members::set_role(self.db, at, who, event.at)? {
                // Somebody is in whom nobody told of.
                self.want_roster(&event.session, jid);
            }
        }
        Ok(None)
    }

    fn self_joined(&mut self, event: &Event, told: &GroupSnapshot) -> Outcome {
        let group = groups::resolve(self.db, &told.id)?;
        let known = groups::presence(self.db, group.id, &event.session)?;
        self.info(event, group.id, told, (Manner::Entered, None))?;
        self.harvest(told.owner, LearntFrom::Event)?;
        if known.is_some_and(|known| !known.inside) && !is_new_self_join(known, event.at) {
            return Ok(Some("older than our leaving".into()));
        }
        let presence = Presence { inside: true, since: event.at, announced: true };
        let first = is_new_self_join(known, event.at);
        if first || known.is_some_and(|known| !known.announced) {
            groups::set_presence(self.db, group.id, &event.session, presence)?;
        }
        self.enter_ourselves(event, group.id)?;
        if told.participants.as_ref().is_some_and(|people| !people.is_empty()) {
            self.roster(event, told)?;
        } else {
            self.want_roster(&event.session, &told.id);
            groups::roster_asked(self.db, group.id, self.now)?;
        }
        if first {
            self.run(event, Hook::OnGroupJoined, group.id, None, 0)?;
        }
        Ok((!first).then(|| "a repeat: we are in this group".into()))
    }

    fn enter_ourselves(&mut self, event: &Event, group: i64) -> Result<(), StoreError> {
        let Some(me) =
            groups::note_me(self.db, &event.session, Person::default(), self.learnt(LearntFrom::Event))?
        else {
            return Ok(());
        };
        let at = At { group, person: me };
        let who = Participant::new(event.me);
        let received = Some(self.received_at);
        let entrance =
            Entrance { who: &who, via: Via::Unknown, by: None, moment: event.at, adopted: false, received };
        match members::load(self.db, at)?.told_join(event.at, self.received_at) {
            Joining::New => {
                members::enter(self.db, at, entrance)?;
                groups::resize(self.db, group, 1)
            }
            Joining::Again => members::enter(self.db, at, entrance),
            Joining::Repeat | Joining::Stale => Ok(()),
        }
    }

    fn self_left(&mut self, event: &Event, jid: &GroupId) -> Outcome {
        let group = groups::resolve(self.db, jid)?;
        let known = groups::presence(self.db, group.id, &event.session)?;
        if known.is_some_and(|known| known.inside && known.since > event.at + SAME_JOIN) {
            return Ok(Some("older than our joining".into()));
        }
        let told = Presence { inside: false, since: event.at, announced: false };
        groups::set_presence(self.db, group.id, &event.session, told)?;
        if known.is_some_and(|known| known.inside) {
            self.note_left(&event.session, jid)?;
        }
        if let Some(me) =
            groups::note_me(self.db, &event.session, Person::default(), self.learnt(LearntFrom::Event))?
        {
            let at = At { group: group.id, person: me };
            if members::load(self.db, at)?.told_leave(event.at) == Leaving::Left {
                members::leave(self.db, at, &Participant::new(event.me), None, (event.at, self.received_at))?;
                groups::resize(self.db, group.id, -1)?;
            }
        }
        Ok(None)
    }

    fn wrote(&mut self, event: &Event, from: Person) -> Outcome {
        match people::resolve(self.db, from, self.learnt(LearntFrom::Message))? {
            Some(known) => people::wrote(self.db, known.id, event.at).map(|()| None),
            None => Ok(Some("nobody wrote it".into())),
        }
    }

    fn said(&mut self, event: &Event, jid: &GroupId, from: Person) -> Outcome {
        let group = self.group(event, jid)?;
        if let Some(known) = people::resolve(self.db, from, self.learnt(LearntFrom::Message))? {
            members::count_message(self.db, At { group: group.id, person: known.id }, event.at)?;
        }
        Ok(None)
    }

    /// Remembers an arrival or departure for the velocity counters.
    fn arrival(&mut self, group: i64, jid: &GroupId, at: Timestamp, joined: bool) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO arrivals (group_id, at, joined) VALUES (?, ?, ?)")?
            .execute(params![group, at.0, joined])?;
        let list = if joined { &mut self.applied.joins } else { &mut self.applied.leaves };
        list.push((jid.clone(), at));
        Ok(())
    }

    /// Makes a pending run.
    pub(super) fn run(
        &mut self,
        event: &Event,
        hook: Hook,
        group: i64,
        person: Option<PersonId>,
        round: u32,
    ) -> Result<(), StoreError> {
        self.run_of(event, hook, group, person, round, None)
    }

    /// Makes a pending run, of a sweep or of its own.
    pub(super) fn run_of(
        &mut self,
        event: &Event,
        hook: Hook,
        group: i64,
        person: Option<PersonId>,
        round: u32,
        sweep: Option<SweepId>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO decisions (entry_id, hook, session, group_id, person_id, received_at, round, sweep_id)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        self.db.prepare_cached(sql)?.execute(params![
            self.entry.0,
            hook.word(),
            event.session.as_str(),
            group,
            person.map(|id| id.0),
            self.received_at.0,
            round,
            sweep.map(|id| id.0)
        ])?;
        let run = DecisionId(self.db.last_insert_rowid());
        if sweep.is_some() {
            self.applied.looks.push(run)
        } else {
            self.applied.runs.push(run)
        }
        Ok(())
    }
}
