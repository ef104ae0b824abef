//! The people of the world and who may learn which of their ids.
//!
//! Everybody has a phone and a LID here. How much of that a session is shown is decided by [`World::shown_in`]: by what the
//! account is entitled to, and by the places in which this pair appears at all. A test opens a place when it pleases.

use super::world::{Addressing, Group, Role, World};
use crate::ids::{Jid, Lid, Person, Phone};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A place where a session can learn that a phone and a LID are one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A membership event: `pn`, and who did it in `_data`.
    Event,
    /// A message: `_data.Info.SenderAlt`.
    Message,
    /// A roster, and the answers of member calls.
    Roster,
    /// `GET /v2/lids/{lid}`.
    Lid,
    /// `GET /v2/lids`.
    List,
    /// `GET /v2/lids/pn/{number}`.
    Number,
}

impl Source {
    /// Every place.
    pub fn all() -> BTreeSet<Self> {
        [Self::Event, Self::Message, Self::Roster, Self::Lid, Self::List, Self::Number].into()
    }
}

/// A human of this world.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Their number.
    pub phone: Phone,
    /// Their hidden id; the key everywhere in this world.
    pub lid: Lid,
    /// The name they gave themselves.
    pub name: String,
    /// The number is shown to nobody (a username account, an anonymous group). Who has the number already can still ask for
    /// the LID.
    pub hides_phone: bool,
    /// May be invited but not added (per-person 403).
    pub refuses_adds: bool,
    /// Where the pair of ids appears, for sessions that may see it. At first everywhere.
    pub shown_in: BTreeSet<Source>,
}

impl World {
    /// Makes sure that somebody exists and answers their hidden id. A known phone or LID finds the same person again;
    /// what is missing is made up: a LID from nothing, a phone in a range that is nobody's.
    pub fn person(&mut self, person: Person) -> Lid {
        let known = person.lid.filter(|lid| self.people.contains_key(lid));
        if let Some(lid) = known.or_else(|| person.phone.and_then(|phone| self.by_phone.get(&phone).copied()))
        {
            return lid;
        }
        let lid = person.lid.unwrap_or_else(|| {
            loop {
                let lid = Lid::from_u64(self.rng.u64(10_000_000_000_000..300_000_000_000_000));
                if !self.people.contains_key(&lid) {
                    break lid;
                }
            }
        });
        let phone = person.phone.unwrap_or_else(|| {
            loop {
                let made_up = self.rng.u64(999_000_000_000..999_999_999_999);
                if let Some(phone) =
                    Phone::from_u64(made_up).filter(|phone| !self.by_phone.contains_key(phone))
                {
                    break phone;
                }
            }
        });
        let name = format!("Person {}", self.people.len() + 1);
        self.by_phone.insert(phone, lid);
        self.people.insert(
            lid,
            Profile { phone, lid, name, hides_phone: false, refuses_adds: false, shown_in: Source::all() },
        );
        lid
    }

    /// The same with a name.
    pub fn named(&mut self, person: Person, name: &str) -> Lid {
        let lid = self.person(person);
        if let Some(profile) = self.people.get_mut(&lid) {
            name.clone_into(&mut profile.name);
        }
        lid
    }

    /// Somebody's profile.
    pub fn profile(&self, lid: Lid) -> Option<&Profile> {
        self.people.get(&lid)
    }

    /// Somebody's profile, to change a privacy setting.
    pub fn profile_mut(&mut self, lid: Lid) -> Option<&mut Profile> {
        self.people.get_mut(&lid)
    }

    /// Both ids of somebody, whoever may see them.
    pub fn both_ids(&self, lid: Lid) -> Person {
        Person { phone: self.people.get(&lid).map(|profile| profile.phone), lid: Some(lid) }
    }

    /// What a session is entitled to see of somebody: the phone only of contacts, of people in a group that it administers or
    /// that names its members by phone, and of itself.
    pub fn shown(&self, lid: Lid, to: Lid) -> Person {
        let hidden = self.people.get(&lid).is_none_or(|profile| profile.hides_phone);
        let shows = |group: &Group| group.shows_phones(to) && group.members.contains_key(&lid);
        let entitled = lid == to || self.contacts.contains(&lid) || self.groups.values().any(shows);
        if entitled && !hidden { self.both_ids(lid) } else { Person::of_lid(lid) }
    }

    /// What of it a place tells.
    pub fn shown_in(&self, place: Source, lid: Lid, to: Lid) -> Person {
        if self.appears(lid, place) { self.shown(lid, to) } else { Person::of_lid(lid) }
    }

    /// What everybody who is told of somebody learns there: the server sends both ids, privacy hides the phone.
    pub(super) fn told_in(&self, place: Source, lid: Lid, addressing: Addressing) -> Person {
        match self.people.get(&lid) {
            Some(profile) if profile.hides_phone => Person::of_lid(lid),
            Some(_) if self.appears(lid, place) => self.both_ids(lid),
            Some(profile) if addressing == Addressing::Phone => Person::of_phone(profile.phone),
            _ => Person::of_lid(lid),
        }
    }

    /// Whether the pair of somebody's ids appears in a place.
    pub(super) fn appears(&self, lid: Lid, place: Source) -> bool {
        self.people.get(&lid).is_some_and(|profile| profile.shown_in.contains(&place))
    }

    /// What a roster tells somebody of all members of a group.
    pub fn shown_members(&self, group: &Group, to: Lid) -> Vec<(Person, Role)> {
        let open = group.shows_phones(to);
        let one = |lid: Lid| match self.people.get(&lid) {
            Some(profile) if open && !profile.hides_phone => {
                self.told_in(Source::Roster, lid, group.addressing)
            }
            _ => self.shown_in(Source::Roster, lid, to),
        };
        group.members.iter().map(|(lid, role)| (one(*lid), *role)).collect()
    }

    /// Puts somebody into the address book: their pair of ids is known to every session.
    pub fn befriend(&mut self, lid: Lid) {
        self.contacts.insert(lid);
    }

    /// The pairs of phone and LID that `GET /v2/lids` lists, by LID.
    pub fn pairs(&self, to: Lid) -> Vec<(Lid, Phone)> {
        let mut pairs: Vec<_> = self
            .people
            .keys()
            .filter_map(|lid| self.shown_in(Source::List, *lid, to).phone.map(|phone| (*lid, phone)))
            .collect();
        pairs.sort_unstable();
        pairs
    }

    /// Whom an id names: `…@c.us`, `…@s.whatsapp.net` or `…@lid`. `None` for nobody of this world.
    pub fn find(&self, jid: &str) -> Option<Lid> {
        match Jid::parse(jid)? {
            Jid::Phone(phone) => self.by_phone.get(&phone).copied(),
            Jid::Lid(lid) => self.people.contains_key(&lid).then_some(lid),
            Jid::Group(_) | Jid::Other => None,
        }
    }

    /// Somebody's LID, without inventing them.
    pub fn known(&self, person: Person) -> Option<Lid> {
        person
            .lid
            .filter(|lid| self.people.contains_key(lid))
            .or_else(|| person.phone.and_then(|phone| self.by_phone.get(&phone).copied()))
    }
}
