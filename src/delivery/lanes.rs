//! Lanes: rows of one chat and kind go out in order, even while the first of them fails. Pure.
//!
//! A row whose call failed holds up the rows behind it in its lane until it is due again, because it is most likely the
//! gateway that is broken, not the row. After [`crate::retry::LANE_PATIENCE`] attempts it is the row, and the others go on.
//! A removal of which nobody knows whether it took effect may have to be made again, so it holds up its lane as well, until
//! a roster or a leave event tells, and not for ever.

use crate::{clock::Timestamp, ids::OutboxId, retry::LANE_PATIENCE, store::Row};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// A roster that was asked for has come by then; if it has not, the rows behind a doubtful one go on.
const DOUBT_PATIENCE: Duration = Duration::from_secs(60);

/// A chat and a kind of call.
type Lane = (String, &'static str);

/// Who holds up which lane, and until when. Once due, the holder is first by its number anyway.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    held: HashMap<Lane, (OutboxId, Timestamp)>,
    /// Removals of unknown outcome.
    doubted: HashMap<OutboxId, (Lane, Timestamp)>,
}

impl Lanes {
    /// Whether another row must go first.
    pub(super) fn holds_up(&self, row: &Row, now: Timestamp) -> bool {
        let lane = lane(row);
        let doubtful = |(holder, (held, until)): (&OutboxId, &(Lane, Timestamp))| {
            *held == lane && *holder < row.id && now < *until
        };
        self.held.get(&lane).is_some_and(|(holder, until)| *holder < row.id && now < *until)
            || self.doubted.iter().any(doubtful)
    }

    /// Notes a row that is to be tried again at `due`, after so many attempts.
    pub(super) fn failed(&mut self, row: &Row, attempts: u32, due: Timestamp) {
        if attempts < LANE_PATIENCE {
            self.hold(row, due);
        }
    }

    /// Holds the lane for a row that waits for something until then at the latest.
    pub(super) fn hold(&mut self, row: &Row, until: Timestamp) {
        let holder = self.held.entry(lane(row)).or_insert((row.id, until));
        if row.id <= holder.0 {
            *holder = (row.id, until);
        }
    }

    /// Holds the lane of a removal of unknown outcome until [`Lanes::keep_doubts`] hears that it is known.
    pub(super) fn doubt(&mut self, row: &Row, now: Timestamp) {
        self.doubted.insert(row.id, (lane(row), now + DOUBT_PATIENCE));
    }

    /// Whether any outcome is unknown.
    pub(super) fn has_doubts(&self) -> bool {
        !self.doubted.is_empty()
    }

    /// Of the removals of unknown outcome only these still are.
    pub(super) fn keep_doubts(&mut self, still: &HashSet<OutboxId>) {
        self.doubted.retain(|id, _| still.contains(id));
    }

    /// The gateway is back and all rows are due: every lane is free but those of unknown outcomes, and only now can
    /// these become known.
    pub(super) fn free_all(&mut self, now: Timestamp) {
        self.held.clear();
        self.doubted.values_mut().for_each(|(_, until)| *until = now + DOUBT_PATIENCE);
    }

    /// Forgets holds whose time is over.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        self.held.retain(|_, (_, until)| now < *until);
        self.doubted.retain(|_, (_, until)| now < *until);
    }
}

fn lane(row: &Row) -> Lane {
    let chat = row.call.group().map_or_else(|| row.jid.clone(), |group| group.as_str().to_string());
    (chat, row.call.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        action::{Call, RowState},
        ids::{DecisionId, GroupId, PersonId, SessionName},
    };

    const NOW: Timestamp = Timestamp(1_000_000);

    fn removal(id: i64, group: &str) -> Row {
        let group = GroupId::parse(group).unwrap();
        Row {
            id: OutboxId(id),
            decision: DecisionId(1),
            session: SessionName::new("main"),
            call: Call::Remove { group, member: PersonId(id) },
            state: RowState::Waiting,
            attempts: 0,
            created_at: NOW,
            not_before: NOW,
            expires_at: None,
            settled_at: None,
            reason: String::new(),
            policy: String::new(),
            line: 1,
            note: None,
            jid: String::new(),
            name: None,
            person: None,
            present: None,
            wrote_to_us_at: None,
            removal: None,
            silences: 0,
            authority: crate::store::Authority::Admin,
        }
    }

    fn rows() -> [Row; 4] {
        let (here, there) = ("120363000000000001@g.us", "120363000000000002@g.us");
        [removal(1, here), removal(2, here), removal(3, here), removal(4, there)]
    }

    #[test]
    fn a_failed_row_holds_up_those_behind_it_in_its_lane_only() {
        let [before, failed, behind, elsewhere] = rows();
        let mut lanes = Lanes::default();
        lanes.failed(&failed, 1, NOW + Duration::from_secs(5));
        let held =
            |lanes: &Lanes, now| [&before, &failed, &behind, &elsewhere].map(|row| lanes.holds_up(row, now));
        assert_eq!(held(&lanes, NOW), [false, false, true, false]);
        assert_eq!(held(&lanes, NOW + Duration::from_secs(5)), [false; 4], "it is due itself by then");
        lanes.free_all(NOW);
        assert_eq!(held(&lanes, NOW), [false; 4]);
        lanes.failed(&failed, LANE_PATIENCE, NOW + Duration::from_secs(5));
        assert_eq!(held(&lanes, NOW), [false; 4], "by now it is this row that is broken");
    }

    #[test]
    fn a_doubt_holds_its_lane_until_it_is_settled_but_not_for_ever() {
        let [_, doubtful, behind, elsewhere] = rows();
        let mut lanes = Lanes::default();
        lanes.doubt(&doubtful, NOW);
        assert!(lanes.holds_up(&behind, NOW) && !lanes.holds_up(&elsewhere, NOW));
        assert!(!lanes.holds_up(&doubtful, NOW), "made again, it goes first");
        let back = NOW + Duration::from_secs(3600);
        lanes.free_all(back);
        assert!(lanes.holds_up(&behind, back), "only now can it be settled");
        lanes.keep_doubts(&HashSet::from([doubtful.id]));
        assert!(lanes.holds_up(&behind, back));
        assert!(!lanes.holds_up(&behind, back + DOUBT_PATIENCE));
        lanes.keep_doubts(&HashSet::new());
        assert!(!lanes.holds_up(&behind, back) && !lanes.has_doubts());
    }
}
