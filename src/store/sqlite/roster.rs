//! Rosters: the first one of a group is adopted silently, later ones correct the directory.
//!
//! A roster says what was true at some moment after its request was sent; whatever was told for a later moment stands.

use super::{
    apply::{Outcome, Step},
    confirm, groups,
    members::{self, At, Entrance},
    outbox, people,
};
use crate::{
    directory::{Listed, Presence},
    event::{Event, GroupSnapshot, Hook, Participant, Via},
    group_info::Manner,
    identity::LearntFrom,
    ids::PersonId,
    store::StoreError,
};
use std::collections::HashSet;

impl Step<'_> {
    /// Takes a roster. One without people is none: we are in it ourselves.
    pub(super) fn roster(&mut self, event: &Event, told: &GroupSnapshot) -> Outcome {
        let group = groups::resolve(self.db, &told.id)?;
        self.info(event, group.id, told, (Manner::Read, None))?;
        self.harvest(told.owner, LearntFrom::Roster)?;
        let known = groups::presence(self.db, group.id, &event.session)?;
        if known.is_none_or(|known| !known.inside && event.at > known.since) {
            let inside = Presence { inside: true, since: event.at, announced: false };
            groups::set_presence(self.db, group.id, &event.session, inside)?;
        }
        let Some(people) = told.participants.as_ref().filter(|people| !people.is_empty()) else {
            return Ok(Some("the group's settings, without a roster".into()));
        };
        let mut listed = HashSet::with_capacity(people.len());
        for who in people {
            let Some(known) = people::resolve(self.db, who.person, self.learnt(LearntFrom::Roster))? else {
                continue;
            };
            let at = At { group: group.id, person: known.id };
            if listed.insert(known.id) {
                self.listed(event, at, who, (group.adopted, known.is_own))?;
            }
        }
        self.missing(event, group.id, &listed)?;
        confirm::confirmed(self.db, group.id, &listed, event.at)?;
        if !group.adopted {
            groups::adopted(self.db, group.id, event.at)?;
        }
        Ok(None)
    }

    fn listed(
        &mut self,
        event: &Event,
        at: At,
        who: &Participant,
        (adopted, is_own): (bool, bool),
    ) -> Result<(), StoreError> {
        match confirm::listed(self.db, at, who, event.at)? {
            confirm::Listed::Unrelated => {}
            confirm::Listed::TooEarly => return Ok(()),
            confirm::Listed::Undone => {
                self.applied.outbox_changed = true;
                return groups::resize(self.db, at.group, 1);
            }
        }
        match members::load(self.db, at)?.listed(event.at) {
            Listed::Outdated => return Ok(()),
            Listed::Known => members::confirm(self.db, at, who, event.at)?,
            Listed::Found => {
                let via = if adopted { Via::Reconciled } else { Via::Unknown };
                let entrance =
                    Entrance { who, via, by: None, moment: event.at, adopted: !adopted, received: None };
                members::enter(self.db, at, entrance)?;
                groups::resize(self.db, at.group, 1)?;
                // Whom we tried to remove and do not know whether we did is no newcomer: the removal is tried again.
                let retried = outbox::still_there(self.db, at, event.at)?;
                self.applied.outbox_changed |= retried;
                if adopted && !is_own && !retried {
                    self.run(event, Hook::OnJoin, at.group, Some(at.person), 0)?;
                }
                return Ok(());
            }
        }
        self.applied.outbox_changed |= outbox::still_there(self.db, at, event.at)?;
        Ok(())
    }

    /// Who is in by the directory and not on the list has left.
    fn missing(&mut self, event: &Event, group: i64, listed: &HashSet<PersonId>) -> Result<(), StoreError> {
        for (id, is_own, known) in members::present(self.db, group)? {
            let at = At { group, person: id };
            // Absence is all that a removal of unknown outcome waits for, whatever the roster's age.
            let left = known.missing_means_left(event.at) || outbox::is_doubted(self.db, at, event.at)?;
            if listed.contains(&id) || !left {
                continue;
            }
            let nobody = Participant::new(crate::ids::Person::default());
            members::leave(self.db, at, &nobody, None, (event.at, event.at))?;
            groups::resize(self.db, group, -1)?;
            let absence = outbox::absent(self.db, at, self.now)?;
            self.applied.outbox_changed |= absence.changed;
            if !absence.ours && !is_own {
                self.run(event, Hook::OnLeave, group, Some(id), 0)?;
            }
        }
        Ok(())
    }
}
