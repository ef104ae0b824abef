//! The state of the small WhatsApp: people, groups, sessions, messages, and the log of calls.
//!
//! Owns the rules of groups (who may join by link, who may remove whom) and answers every change with a [`Change`]
//! for the announcer. Pure: no I/O, no clock, no JSON of the gateway. Who the people are, and who sees which of their ids, stands in
//! [`super::people`].

use super::{
    calls::{CallLog, CallRecord},
    gateway::Gateway,
    meter::Meter,
};
pub use super::{
    change::Change,
    group::{Addressing, Group, Role, Via},
    people::{Profile, Source},
    session::{Session, Status},
};
use crate::{
    action::Class,
    clock::Timestamp,
    ids::{GroupId, Lid, Person, Phone},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

/// Who has not written to us for this long is a stranger again (the daemon's `cold_dm` uses the same number).
const WARM_FOR: Duration = Duration::from_secs(28 * 24 * 3600);

/// A message that arrived in a chat.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// `…@g.us` or the person's id as the caller wrote it.
    pub chat: String,
    /// The receiver, if it is one person.
    pub to: Option<Person>,
    /// The text.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// To somebody who had not written to us within 28 days.
    pub cold: bool,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    pub(super) people: HashMap<Lid, Profile>,
    pub(super) by_phone: HashMap<Phone, Lid>,
    pub(super) contacts: HashSet<Lid>,
    pub(super) groups: BTreeMap<GroupId, Group>,
    sessions: Vec<Session>,
    sent: Vec<Sent>,
    wrote: HashMap<Lid, Timestamp>,
    pub(super) log: CallLog,
    /// How the gateway answers; may be changed at any time.
    pub gateway: Gateway,
    pub(super) meter: Meter,
    pub(super) rng: fastrand::Rng,
}

impl World {
    /// An empty world; equal seeds give equal LIDs and invite codes.
    pub fn new(seed: u64, meter: Meter) -> Self {
        Self {
            people: HashMap::new(),
            by_phone: HashMap::new(),
            contacts: HashSet::new(),
            groups: BTreeMap::new(),
            sessions: Vec::new(),
            sent: Vec::new(),
            wrote: HashMap::new(),
            log: CallLog::default(),
            gateway: Gateway::default(),
            meter,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Connects a number. The first session is the one that events without another owner go to.
    pub fn add_session(&mut self, session: Session) {
        self.sessions.push(session);
    }

    /// The sessions.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// A session by its place, to stop or start it.
    pub fn session_mut(&mut self, index: usize) -> Option<&mut Session> {
        self.sessions.get_mut(index)
    }

    /// Makes a group owned by nobody and without members. Announces nothing.
    pub fn add_group(&mut self, id: GroupId, subject: &str, addressing: Addressing) -> &mut Group {
        let invite_code = self.new_code();
        self.groups.entry(id.clone()).or_insert_with(|| Group::empty(id, subject, addressing, invite_code))
    }

    /// A group.
    pub fn group(&self, id: &GroupId) -> Option<&Group> {
        self.groups.get(id)
    }

    /// A group, to arrange a scene silently.
    pub fn group_mut(&mut self, id: &GroupId) -> Option<&mut Group> {
        self.groups.get_mut(id)
    }

    /// All groups, by id.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// Whether somebody is inside.
    pub fn is_member(&self, group: &GroupId, person: Person) -> bool {
        self.known(person)
            .is_some_and(|lid| self.groups.get(group).is_some_and(|g| g.members.contains_key(&lid)))
    }

    /// Lets people in. Members already inside, people whom an admin removed (by link), and whoever is too many, stay
    /// where they are; `None` if that leaves nobody.
    pub fn join(&mut self, group: &GroupId, people: &[Lid], via: Via) -> Option<Change> {
        let there = self.groups.get_mut(group)?;
        let mut who = Vec::with_capacity(people.len());
        for lid in people {
            let banned = via == Via::Link && there.link_banned.contains(lid);
            if banned || there.members.len() >= there.capacity || there.members.contains_key(lid) {
                continue;
            }
            there.members.insert(*lid, Role::Participant);
            if via != Via::Link {
                there.link_banned.remove(lid);
            }
            who.push(*lid);
        }
        (!who.is_empty()).then(|| Change::Joined { group: group.clone(), who, via })
    }

    /// Takes people out; with `by`, the link is dead for them from now on. `None` if nobody of them was inside.
    pub fn leave(&mut self, group: &GroupId, people: &[Lid], by: Option<Lid>) -> Option<Change> {
        let there = self.groups.get_mut(group)?;
        let mut who = Vec::new();
        for lid in people {
            if there.members.remove(lid).is_some() {
                if by.is_some() {
                    there.link_banned.insert(*lid);
                } else {
                    *there.walked_out.entry(*lid).or_default() += 1;
                }
                who.push(*lid);
            }
        }
        (!who.is_empty()).then(|| Change::Left { group: group.clone(), who, by })
    }

    /// Makes somebody an admin or a plain member. `None` if they are not inside, are the owner, or it changes nothing.
    pub fn set_role(&mut self, group: &GroupId, lid: Lid, up: bool, by: Lid) -> Option<Change> {
        let role = self.groups.get_mut(group)?.members.get_mut(&lid)?;
        let wanted = if up { Role::Admin } else { Role::Participant };
        if *role == Role::Superadmin || *role == wanted {
            return None;
        }
        *role = wanted;
        Some(Change::Role { group: group.clone(), who: vec![lid], up, by })
    }

    pub(super) fn new_code(&mut self) -> String {
        (0..22).map(|_| self.rng.alphanumeric()).collect()
    }

    /// Somebody writes: into a group, or to a session's account (from then on they are no stranger). `None` if the group
    /// does not let them.
    pub fn write(
        &mut self,
        group: Option<&GroupId>,
        to: Option<Lid>,
        from: Lid,
        text: &str,
        at: Timestamp,
    ) -> Option<Change> {
        match group {
            Some(group) => self.groups.get(group).filter(|group| group.may_write(from)).map(drop)?,
            None => drop(self.wrote.insert(from, at)),
        }
        Some(Change::Written { group: group.cloned(), to, from, text: text.to_owned() })
    }

    /// Whether a private message to them is one to a stranger.
    pub fn is_cold(&self, to: Lid, now: Timestamp) -> bool {
        self.wrote.get(&to).is_none_or(|wrote| now.since(*wrote) > WARM_FOR)
    }

    /// Notes a message of ours.
    pub(super) fn deliver(&mut self, message: Sent) {
        self.sent.push(message);
    }

    /// The messages that reached a chat, oldest first.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Every call that reached the gateway, in order of arrival.
    pub fn calls(&self) -> &[CallRecord] {
        self.log.records()
    }

    /// The most calls of a class that arrived in any window of that length; see [`super::calls::most_in_window`].
    pub fn most_in_any_window(&self, class: Class, window: Duration) -> usize {
        self.log.most_in_any_window(class, window)
    }

    /// The ban meter, to switch it.
    pub fn meter_mut(&mut self) -> &mut Meter {
        &mut self.meter
    }

    /// The ban meter.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }
}
