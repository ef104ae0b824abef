//! Reconciliation: when rosters are read again, and groups that we are no longer in (P10).
//!
//! Events are a hint, the roster is the truth. This file only decides *when* to look: by the clock, when a session that was
//! not ready is back, when the gateway says that a group is not ours. What a roster means is the directory's business.

use super::Courier;
use crate::{
    clock::Timestamp,
    event::EventKind,
    ids::{GroupId, SessionName},
    silence::Sign,
    store::StoreError,
    wawp::error::{CallError, Outcome},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// When each group's roster is due by the clock, and which groups may not be ours any more.
pub(super) struct Rounds {
    every: Duration,
    due: BTreeMap<GroupId, Timestamp>,
    /// Groups whose roster was refused: the list of our groups decides.
    doubted: BTreeSet<GroupId>,
}

impl Rounds {
    /// Each group's roster every so often; zero: never by the clock.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, due: BTreeMap::new(), doubted: BTreeSet::new() }
    }

    /// Its roster is being read: the next look is a round later, give or take a quarter, so that the groups spread out.
    pub(super) fn plan(&mut self, group: GroupId, now: Timestamp, chance: f64) {
        let next = if self.every.is_zero() {
            Timestamp(i64::MAX)
        } else {
            now + self.every.mul_f64(0.75 + chance / 2.0)
        };
        self.due.insert(group, next);
    }

    /// Whether its roster was read since the start.
    pub(super) fn knows(&self, group: &GroupId) -> bool {
        self.due.contains_key(group)
    }

    /// When the next roster is due by the clock.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.values().copied().min().filter(|due| *due < Timestamp(i64::MAX))
    }

    fn first_due(&self, now: Timestamp) -> Option<GroupId> {
        self.due.iter().find(|(_, due)| **due <= now).map(|(group, _)| group.clone())
    }
}

impl Courier {
    /// Wants the rosters that are due by the clock. Where several of our sessions are in a group the first configured one
    /// that works reads it; a group that we have left is not read any more.
    pub(super) async fn begin_rounds(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.rounds.first_due(now).is_none() {
            return Ok(());
        }
        let groups = self.store.groups().await?;
        let states = self.store.session_states().await?;
        let away =
            |name: &SessionName| states.iter().any(|told| told.session == *name && told.state != "WORKING");
        while let Some(id) = self.rounds.first_due(now) {
            let sessions = groups.iter().find(|group| group.id == id).map(|group| &group.sessions);
            let Some(inside) = sessions.filter(|inside| inside.contains(&self.session)) else {
                self.rounds.due.remove(&id);
                continue;
            };
            self.rounds.plan(id.clone(), now, fastrand::f64());
            let names = self.config.sessions.iter().map(|session| &session.name);
            let first = names.filter(|name| inside.contains(name)).find(|name| !away(name));
            if first.is_none_or(|first| *first == self.session) {
                self.wanted.ask_roster(id, now);
            }
        }
        Ok(())
    }

    /// What an outcome says of the session: one that works after it did not has missed events.
    pub(super) fn note_readiness<T>(&mut self, outcome: &Outcome<T>) {
        match outcome {
            Err(CallError::NotReady { why }) if self.health.ready != Some(false) => {
                self.health.ready = Some(false);
                let _ = self.signs.send(Sign::NotReady { session: self.session.clone(), why: why.clone() });
            }
            Ok(_) if self.health.ready != Some(true) => {
                if self.health.ready == Some(false) {
                    tracing::info!(session = %self.session, "the session works again: rosters are read");
                    self.look_everywhere();
                }
                self.health.ready = Some(true);
                let _ = self.signs.send(Sign::Ready { session: self.session.clone() });
            }
            _ => {}
        }
    }

    /// Wants the list of our groups and every roster: something may have happened that nobody told.
    pub(super) fn look_everywhere(&mut self) {
        let now = self.steady.now();
        self.listing_due = Some(now);
        for group in self.rounds.due.keys() {
            self.wanted.ask_roster(group.clone(), now);
        }
    }

    /// A roster that the gateway refuses: we may be no longer in that group. The list of our groups decides.
    pub(super) fn doubt_group(&mut self, group: GroupId, now: Timestamp) {
        self.rounds.doubted.insert(group);
        self.listing_due = Some(self.listing_due.unwrap_or(now).min(now));
    }

    /// What the list of our groups says of those whose roster was refused. `None`: this gateway cannot list, so the refusal
    /// stands. A group that is listed all the same is looked at again in the next round.
    pub(super) async fn settle_doubted(&mut self, listed: Option<&[GroupId]>) -> Result<(), StoreError> {
        let at = self.wall.now();
        while let Some(group) = self.rounds.doubted.first().cloned() {
            if listed.is_none_or(|listed| !listed.contains(&group)) && self.thinks_it_is_in(&group).await? {
                self.append(EventKind::SelfLeft { group: group.clone() }, &group, at).await?;
                self.rounds.due.remove(&group);
            }
            self.rounds.doubted.remove(&group);
        }
        Ok(())
    }

    async fn thinks_it_is_in(&self, group: &GroupId) -> Result<bool, StoreError> {
        let groups = self.store.groups().await?;
        Ok(groups.iter().any(|known| known.id == *group && known.sessions.contains(&self.session)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(n: u32) -> GroupId {
        GroupId::parse(&format!("12036300000000000{n}@g.us")).unwrap()
    }

    #[test]
    fn rounds_spread_out_around_their_length() {
        let mut rounds = Rounds::new(Duration::from_secs(100));
        rounds.plan(group(1), Timestamp(0), 0.0);
        rounds.plan(group(2), Timestamp(0), 1.0);
        assert_eq!(rounds.due[&group(1)], Timestamp(75_000));
        assert_eq!(rounds.due[&group(2)], Timestamp(125_000));
        assert_eq!(rounds.first_due(Timestamp(74_999)), None);
        assert_eq!(rounds.first_due(Timestamp(75_000)), Some(group(1)));
    }

    #[test]
    fn without_a_length_nothing_is_due_by_the_clock() {
        let mut rounds = Rounds::new(Duration::ZERO);
        rounds.plan(group(1), Timestamp(0), 0.5);
        assert!(rounds.knows(&group(1)));
        assert_eq!((rounds.next_due(), rounds.first_due(Timestamp(i64::MAX - 1))), (None, None));
    }
}
