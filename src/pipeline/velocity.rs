//! Join velocity: how many people entered or left a group within a window, by event time.
//!
//! In memory, rebuilt from the store at a start. Adopted and reconciled members are never noted here.

use crate::{clock::Timestamp, ids::GroupId};
use std::{collections::HashMap, time::Duration};

/// How far back the counters reach. A script that asks for more gets what is kept.
pub(super) const REACH: Duration = Duration::from_secs(7 * 24 * 3600);

/// The counters of every group.
#[derive(Debug, Default)]
pub(super) struct Velocity {
    groups: HashMap<GroupId, Moves>,
}

#[derive(Debug, Default)]
struct Moves {
    joins: Vec<Timestamp>,
    leaves: Vec<Timestamp>,
}

/// Which way somebody moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// In.
    Join,
    /// Out.
    Leave,
}

impl Velocity {
    /// Notes one person's move. Late tellings find their place; what is out of reach is forgotten.
    pub(super) fn note(&mut self, group: &GroupId, at: Timestamp, way: Move) {
        let moves = self.groups.entry(group.clone()).or_default();
        let times = match way {
            Move::Join => &mut moves.joins,
            Move::Leave => &mut moves.leaves,
        };
        let place = times.partition_point(|other| *other <= at);
        times.insert(place, at);
        // Forgetting in bulk keeps the usual note an append.
        let stale = times.partition_point(|other| *other + REACH < at);
        if stale > 1024 {
            times.drain(..stale);
        }
    }

    /// How many moved within the window that ends at `now`, both ends included.
    pub(super) fn count(&self, group: &GroupId, way: Move, window: Duration, now: Timestamp) -> u64 {
        let Some(moves) = self.groups.get(group) else { return 0 };
        let times = match way {
            Move::Join => &moves.joins,
            Move::Leave => &moves.leaves,
        };
        let from = times.partition_point(|at| *at < now - window);
        let to = times.partition_point(|at| *at <= now);
        to.saturating_sub(from) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_window_up_to_now_counts_whatever_the_order_of_telling() {
        let group = GroupId::parse("120363000000000001@g.us").unwrap();
        let mut velocity = Velocity::default();
        for at in [70_000, 10_000, 65_000, 130_000] {
            velocity.note(&group, Timestamp(at), Move::Join);
        }
        let count = |now| velocity.count(&group, Move::Join, Duration::from_secs(60), Timestamp(now));
        assert_eq!((count(70_000), count(71_000), count(9_999)), (3, 2, 0));
        assert_eq!(velocity.count(&group, Move::Leave, REACH, Timestamp(200_000)), 0);
    }
}
