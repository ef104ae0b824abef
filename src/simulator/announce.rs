//! From a change of the world to the events that its sessions are told.
//!
//! Owns who hears of what (only connected sessions that are inside, or were until now) and which event tells it.
//! Also the ids: lower-case ULIDs that never go backwards.

use super::{
    event_body::{Dialect, Envelope, Quirks, Scene},
    people::Source,
    session::Backlog,
    world::{Addressing, Change, Group, Session, Via, World},
};
use crate::{
    clock::Timestamp,
    ids::{GroupId, Lid, Person},
};
use serde_json::Value;

/// Makes event ids: time in the first ten characters, chance in the other sixteen, each greater than the last.
#[derive(Debug)]
pub struct EventIds {
    last: u128,
    rng: fastrand::Rng,
}

impl EventIds {
    /// Equal seeds and times give equal ids.
    pub fn new(seed: u64) -> Self {
        Self { last: 0, rng: fastrand::Rng::with_seed(seed) }
    }

    /// The next id, `evt_` and 26 characters of lower-case Crockford base 32.
    pub fn next(&mut self, now: Timestamp) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let millis = u128::from(u64::try_from(now.as_millis()).unwrap_or(0)) & ((1 << 48) - 1);
        let fresh = (millis << 80) | (self.rng.u128(..) >> 48);
        // Within one millisecond, or after the clock stepped back, it counts on from the last one.
        self.last = if fresh > self.last && fresh >> 80 > self.last >> 80 { fresh } else { self.last + 1 };
        let digits =
            (0..26).rev().map(|n| char::from(ALPHABET[usize::from((self.last >> (n * 5)) as u8 & 31)]));
        "evt_".chars().chain(digits).collect()
    }
}

/// An event for one session.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) session: String,
    pub(super) body: Value,
}

/// How events are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) dialect: Dialect,
    pub(super) quirks: Quirks,
}

impl Event {
    /// Whether its session has a webhook for it there.
    pub(super) fn is_sent(&self, world: &World, url: &str) -> bool {
        let session = world.sessions().iter().find(|session| session.name == self.session);
        session.is_some_and(|session| session.sends(self.body["event"].as_str().unwrap_or_default(), url))
    }
}

/// The events that tell a change, in order. A session that is away keeps it, or never hears of it.
pub(super) fn events(
    world: &mut World,
    change: &Change,
    style: Style,
    ids: &mut EventIds,
    now: Timestamp,
) -> Vec<Event> {
    let mut told = Vec::new();
    for index in 0..world.sessions().len() {
        let own_state = matches!(change, Change::Status { session, .. } if *session == index);
        let Some(session) = world.session_mut(index) else { continue };
        if session.hears() || own_state {
            told.extend(tell(world, index, change, style, ids, now));
        } else if session.backlog == Backlog::AtOnce && !matches!(change, Change::Status { .. }) {
            session.held.push(change.clone());
        }
    }
    told
}

/// What was kept for sessions that hear again.
pub(super) fn backlog(world: &mut World, style: Style, ids: &mut EventIds, now: Timestamp) -> Vec<Event> {
    let mut told = Vec::new();
    for index in 0..world.sessions().len() {
        let returned = world.session_mut(index).filter(|session| session.hears());
        let held = returned.map(|session| std::mem::take(&mut session.held)).unwrap_or_default();
        for change in held {
            told.extend(tell(world, index, &change, style, ids, now));
        }
    }
    told
}

fn tell(
    world: &World,
    index: usize,
    change: &Change,
    style: Style,
    ids: &mut EventIds,
    now: Timestamp,
) -> Vec<Event> {
    let Some(session) = world.sessions().get(index) else { return Vec::new() };
    let mut teller = Teller { world, session, index, style, ids, now, told: Vec::new() };
    teller.tell(change);
    teller.told.into_iter().map(|body| Event { session: session.name.clone(), body }).collect()
}

struct Teller<'a> {
    world: &'a World,
    session: &'a Session,
    index: usize,
    style: Style,
    ids: &'a mut EventIds,
    now: Timestamp,
    told: Vec<Value>,
}

impl Teller<'_> {
    fn say(&mut self, make: impl FnOnce(Dialect, &Envelope<'_>) -> Option<Value>) {
        let id = self.ids.next(self.now);
        let around = Envelope {
            id: &id,
            at: self.now,
            session: &self.session.name,
            me: self.world.both_ids(self.session.me),
            quirks: self.style.quirks,
        };
        let mut body = make(self.style.dialect, &around);
        if let Some(body) = &mut body {
            body["me"] = self.session.account(self.world);
        }
        self.told.extend(body);
    }

    fn seen(&self, who: &[Lid], addressing: Addressing) -> Vec<Person> {
        who.iter().map(|lid| self.world.told_in(Source::Event, *lid, addressing)).collect()
    }

    fn inside(&self, group: &GroupId) -> Option<Addressing> {
        let group = self.world.group(group)?;
        group.members.contains_key(&self.session.me).then_some(group.addressing)
    }

    fn tell(&mut self, change: &Change) {
        match change {
            Change::Joined { group, who, via } => self.tell_join(group, who, *via),
            Change::Left { group, who, by } => self.tell_leave(group, who, *by),
            Change::Role { group, who, up, by } => {
                if let Some(addressing) = self.inside(group) {
                    let by = self.world.told_in(Source::Event, *by, addressing);
                    let who = self.seen(who, addressing);
                    self.say(|d, around| Some(d.role_body(around, group, addressing, &who, (*up, by))));
                }
            }
            Change::Updated { group, by, what } => {
                if let Some(addressing) = self.inside(group) {
                    let by = by.map(|by| self.world.told_in(Source::Event, by, addressing));
                    self.say(|d, around| d.update_body(around, group, addressing, what, by));
                }
            }
            Change::Written { group, to, from, text } => self.tell_message(group.as_ref(), *to, *from, text),
            Change::Status { session, status } if *session == self.index => {
                let payload = self.session.status_payload(*status);
                self.say(|dialect, around| Some(dialect.status_body(around, payload)));
            }
            Change::Status { .. } => {}
        }
    }

    fn tell_join(&mut self, group: &GroupId, who: &[Lid], via: Via) {
        let Some(there) = self.world.group(group) else { return };
        let me = self.session.me;
        if who.contains(&me) {
            let scene = scene(self.world, there, me);
            self.say(|dialect, around| Some(dialect.self_join_body(around, &scene, via)));
        }
        let others: Vec<_> = who.iter().copied().filter(|lid| *lid != me).collect();
        if let (Some(addressing), false) = (self.inside(group), others.is_empty()) {
            let others = self.seen(&others, addressing);
            self.say(|dialect, around| Some(dialect.join_body(around, group, addressing, &others, via)));
        }
    }

    fn tell_leave(&mut self, group: &GroupId, who: &[Lid], by: Option<Lid>) {
        let Some(addressing) = self.world.group(group).map(|there| there.addressing) else { return };
        let me = self.session.me;
        let concerned = who.contains(&me);
        // The engine compares the phone only, so it misses our own leaving of a group that names us by LID.
        if concerned && (addressing == Addressing::Phone || self.style.dialect == Dialect::Docs) {
            self.say(|dialect, around| Some(dialect.self_leave_body(around, group)));
        }
        let told_already = concerned && self.style.dialect == Dialect::Docs && who.len() == 1;
        if (concerned || self.inside(group).is_some()) && !told_already {
            let by = by.map(|by| self.world.told_in(Source::Event, by, addressing));
            let who = self.seen(who, addressing);
            self.say(|dialect, around| Some(dialect.leave_body(around, group, addressing, &who, by)));
        }
    }

    fn tell_message(&mut self, group: Option<&GroupId>, to: Option<Lid>, from: Lid, text: &str) {
        let me = self.session.me;
        match group {
            Some(group) => {
                if let (Some(addressing), true) = (self.inside(group), from != me) {
                    let sender = self.world.told_in(Source::Message, from, addressing);
                    self.say(|d, around| {
                        Some(d.message_body(around, Some((group, addressing)), sender, text))
                    });
                }
            }
            None if to.is_none_or(|to| to == me) => {
                let sender = self.world.told_in(Source::Message, from, Addressing::Lid);
                self.say(|dialect, around| Some(dialect.message_body(around, None, sender, text)));
            }
            None => {}
        }
    }
}

/// A group as somebody sees it.
pub(super) fn scene<'a>(world: &World, group: &'a Group, me: Lid) -> Scene<'a> {
    Scene {
        id: &group.id,
        addressing: group.addressing,
        subject: &group.subject,
        description: &group.description,
        announce_only: group.announce_only,
        members: world.shown_members(group, me),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_grow_even_when_the_clock_steps_back() {
        let mut ids = EventIds::new(3);
        let times = [1_771_000_000_000, 1_771_000_000_000, 1_771_000_000_005, 1_770_000_000_000];
        let made: Vec<_> = times.iter().map(|at| ids.next(Timestamp(*at))).collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert!(made.iter().all(|id| id.len() == 30 && id.starts_with("evt_01k")), "{made:?}");
    }
}
