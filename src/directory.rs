//! The rules of the shadow membership: what is a new join, what a repeat, what is too old to count (P2).
//!
//! Pure: a [`Membership`] and what was told of it go in, a ruling comes out. The store applies rulings and keeps counts;
//! who is behind an id, which groups are guarded and what a policy makes of a join are decided elsewhere.
//!
//! Two moments carry the rules: the latest one at which the person is known to have been in (`seen_at`) and the latest one
//! at which they are known to have been out (`left_at`). What is told of an earlier moment than the opposite one changes
//! nothing, so the order of telling does not matter.

use crate::clock::Timestamp;
use std::time::Duration;

/// Two joins of a person within this time, no leave told between, are one. Our own removal closes a membership for as
/// long against joins that were already under way.
pub const SAME_JOIN: Duration = Duration::from_secs(60);

/// What the rules know of a person in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// In the group now.
    pub present: bool,
    /// When they entered last; first seen, if no join was told.
    pub joined_at: Option<Timestamp>,
    /// The latest moment at which they are known to have been in.
    pub seen_at: Option<Timestamp>,
    /// The latest moment at which they are known to have been out.
    pub left_at: Option<Timestamp>,
    /// When we removed them last.
    pub removed_at: Option<Timestamp>,
    /// When their last join was received, if one was told.
    pub told_at: Option<Timestamp>,
    /// When we last heard that they are out.
    pub leave_told_at: Option<Timestamp>,
    /// We removed them and no leave has been told since.
    pub removal_open: bool,
    /// Taken in with the first roster; no join was told.
    pub adopted: bool,
}

/// Gateways keep rosters in caches: so long after a join was received, a roster without the person proves nothing.
pub const ROSTER_LAG: Duration = Duration::from_secs(120);

/// What a told join is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// They were out and are in.
    New,
    /// They were in: a leave was lost, or the first roster was quicker than the event. A join, but nobody more.
    Again,
    /// The same join told once more; fills in what was missing.
    Repeat,
    /// Older than what is known; means nothing.
    Stale,
}

/// What a told leave is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// They were in and are out.
    Left,
    /// The leave that our own removal led to; they are out already.
    Closes,
    /// They are out already, or were never known.
    Repeat,
    /// Older than their join; means nothing.
    Stale,
}

/// What a roster that lists somebody means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// As known.
    Known,
    /// They are in and nobody told.
    Found,
    /// They left, or were removed by us, since the roster was read.
    Outdated,
}

/// Whether `a` is surely before `b`. Moments told in whole seconds are compared as seconds.
pub(crate) fn before(a: Timestamp, b: Timestamp) -> bool {
    let whole = a.0.rem_euclid(1000) == 0 || b.0.rem_euclid(1000) == 0;
    if whole { a.0.div_euclid(1000) < b.0.div_euclid(1000) } else { a < b }
}

impl Membership {
    /// What a join told for the moment `at`, received at `received`, is.
    ///
    /// After our own removal, as long as no leave was told, a join counts only if *both* moments are more than
    /// [`SAME_JOIN`] behind the removal: the event time alone would trust a gateway clock that runs ahead, the receipt alone
    /// would take a late repeat of the old join for a new one, and either would remove somebody twice.
    pub fn told_join(&self, at: Timestamp, received: Timestamp) -> Joining {
        if self.left_at.is_some_and(|left| before(at, left)) {
            return Joining::Stale;
        }
        let same = self.joined_at.is_some_and(|joined| at <= joined + SAME_JOIN);
        if self.present {
            return match self.joined_at {
                // Nobody told their join yet. Up to a minute before the roster it is the one the roster overtook.
                Some(seen) if self.adopted && at + SAME_JOIN >= seen => Joining::Again,
                Some(joined) if at + SAME_JOIN < joined => Joining::Stale,
                _ if same => Joining::Repeat,
                _ => Joining::Again,
            };
        }
        if self.removal_open {
            let closed_until = self.removed_at.unwrap_or(at) + SAME_JOIN;
            return if same || at <= closed_until || received <= closed_until {
                Joining::Repeat
            } else {
                Joining::New
            };
        }
        Joining::New
    }

    /// What a leave told for the moment `at` is.
    pub fn told_leave(&self, at: Timestamp) -> Leaving {
        // A leave that our removal led to counts even where a roster, timed by our clock, seems to have seen them later.
        let since = if self.removal_open { self.joined_at } else { self.seen_at.or(self.joined_at) };
        if since.is_some_and(|seen| before(at, seen)) {
            Leaving::Stale
        } else if self.present {
            Leaving::Left
        } else if self.removal_open {
            Leaving::Closes
        } else {
            Leaving::Repeat
        }
    }

    /// What it means that a roster read from `at` on lists them.
    pub fn listed(&self, at: Timestamp) -> Listed {
        if self.present {
            Listed::Known
        } else if self.left_at.is_some_and(|left| !before(left, at))
            // The gateway's clock may be behind ours.
            || self.leave_told_at.is_some_and(|told| at <= told)
            || self.removed_at.is_some_and(|removed| at <= removed + SAME_JOIN)
        {
            Listed::Outdated
        } else {
            Listed::Found
        }
    }

    /// Whether a roster read from `at` on that does not list them shows that they left. A join received within
    /// [`ROSTER_LAG`] before it stands: the roster may be an old one, and a scraper must not be lost to a cache.
    pub fn missing_means_left(&self, at: Timestamp) -> bool {
        self.present
            && self.seen_at.or(self.joined_at).is_none_or(|seen| before(seen, at))
            && self.told_at.is_none_or(|told| told + ROSTER_LAG < at)
    }
}

/// What two rows of a person in a group come to, once they are known to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The membership of the one person.
    pub membership: Membership,
    /// Both rows told the same join.
    pub same_join: bool,
}

/// The later of two moments.
fn later(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.max(b)
}

impl Membership {
    /// What this and `other` are, being the same person told once by phone and once by LID. The order does not matter.
    ///
    /// Each row is what would have come of its own events alone; the rules for told joins and leaves say what the events of
    /// the one mean to the other, as if all had been told of one person.
    pub fn merged(&self, other: &Self) -> Merged {
        let same_join = self.same_join(other);
        let present = match (self.present, other.present) {
            (true, false) => other.is_entered_by(self),
            (false, true) => self.is_entered_by(other),
            (both, _) => both,
        };
        let removal_open = !present
            && match (self.removal_open, other.removal_open) {
                (true, false) => !self.is_closed_by(other),
                (false, true) => !other.is_closed_by(self),
                (both, _) => both,
            };
        let joined_at = match (self.joined_at, other.joined_at) {
            (Some(one), Some(two)) if same_join => Some(one.min(two)),
            (one, two) => later(one, two),
        };
        let membership = Self {
            present,
            joined_at,
            seen_at: later(self.seen_at, other.seen_at),
            left_at: later(self.left_at, other.left_at),
            removed_at: later(self.removed_at, other.removed_at),
            told_at: later(self.told_at, other.told_at),
            leave_told_at: later(self.leave_told_at, other.leave_told_at),
            removal_open,
            // A told join ends what the first roster began.
            adopted: present && [self, other].iter().all(|row| !row.present || row.adopted),
        };
        Merged { membership, same_join }
    }

    /// Whether the last joins of two rows of one person are one join.
    fn same_join(&self, other: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (self.joined_at, other.joined_at) else { return false };
        let (first, second, entered) =
            if mine <= theirs { (self, other, theirs) } else { (other, self, mine) };
        if first.is_missed_for(second) {
            return true;
        }
        let began = first.joined_at.unwrap_or(entered);
        // They left in between, as told: the second is a join of its own.
        if first.left_at.is_some_and(|left| left >= began && !before(entered, left)) {
            return false;
        }
        let found = second.present && first.present && second.told_at.is_none();
        let closed = first.removal_open && !first.is_entered_by(second);
        entered <= began + SAME_JOIN || found || closed
    }

    /// Whether somebody who is out by this row is in by what `inside`, a row of the same person that is in, was told.
    fn is_entered_by(&self, inside: &Self) -> bool {
        if self.is_missed_for(inside) {
            return true;
        }
        let Some(entered) = inside.joined_at.or(inside.seen_at) else { return false };
        let joined = match inside.told_at {
            Some(received) => matches!(self.told_join(entered, received), Joining::New | Joining::Again),
            None => self.listed(entered) == Listed::Found,
        };
        let seen_again =
            inside.seen_at.is_some_and(|seen| seen > entered && self.listed(seen) == Listed::Found);
        joined || seen_again
    }

    /// One roster missed this row and listed `inside`, a row of the same person, whether it found them there or knew them
    /// already: it named them by the other id. They never left.
    fn is_missed_for(&self, inside: &Self) -> bool {
        let Some(missed) = self.left_at else { return false };
        let found = inside.told_at.is_none() && inside.joined_at == Some(missed);
        let known = inside.seen_at == Some(missed) && inside.joined_at.is_some_and(|joined| joined < missed);
        !self.present && (found || known)
    }

    /// Whether a leave that a row of the same person knows is the one that our removal led to.
    fn is_closed_by(&self, other: &Self) -> bool {
        other.left_at.is_some_and(|left| self.told_leave(left) == Leaving::Closes)
    }
}

/// One of our sessions in a group, as far as told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// In the group.
    pub inside: bool,
    /// When that was told for.
    pub since: Timestamp,
    /// A self-join told it, not merely an event that only an insider hears.
    pub announced: bool,
}

/// Whether a self-join told for `at` is a new one: the session was out, or was only inferred to be in within the last
/// minute, from an event that overtook this one.
pub fn is_new_self_join(known: Option<Presence>, at: Timestamp) -> bool {
    match known {
        None => true,
        Some(Presence { inside: false, since, .. }) => !before(at, since),
        Some(Presence { announced: true, .. }) => false,
        Some(Presence { since, .. }) => at <= since + SAME_JOIN && since <= at + SAME_JOIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp(1_700_000_000_000 + millis)
    }

    fn present(joined: i64) -> Membership {
        Membership {
            present: true,
            joined_at: Some(at(joined)),
            seen_at: Some(at(joined)),
            ..Membership::default()
        }
    }

    fn left(joined: i64, gone: i64) -> Membership {
        Membership { present: false, left_at: Some(at(gone)), ..present(joined) }
    }

    fn removed(joined: i64, removed: i64) -> Membership {
        Membership { present: false, removed_at: Some(at(removed)), removal_open: true, ..present(joined) }
    }

    #[test]
    fn joins_are_ruled_as_the_table_says() {
        let adopted = Membership { adopted: true, ..present(100_000) };
        let closed = Membership { removal_open: false, left_at: Some(at(6000)), ..removed(0, 5000) };
        let cases = [
            ("never seen", Membership::default(), 0, 0, Joining::New),
            ("told again at once", present(0), 60_000, 60_000, Joining::Repeat),
            ("told again, a little older", present(60_000), 0, 60_000, Joining::Repeat),
            ("its leave was lost", present(0), 60_001, 60_001, Joining::Again),
            ("long before the join we know", present(100_000), 0, 100_000, Joining::Stale),
            ("back after a leave", left(0, 5000), 9000, 9000, Joining::New),
            ("back in the same second", left(0, 5700), 5000, 9000, Joining::New),
            ("older than the leave", left(0, 5000), 4000, 9000, Joining::Stale),
            ("right after our removal", removed(0, 5000), 65_000, 65_001, Joining::Repeat),
            ("event time ahead, received at once", removed(0, 5000), 90_000, 6000, Joining::Repeat),
            ("the old join, repeated an hour later", removed(0, 5000), 0, 3_600_000, Joining::Repeat),
            ("a minute after our removal", removed(0, 5000), 65_001, 65_001, Joining::New),
            ("after the leave that our removal led to", closed, 7000, 7000, Joining::New),
            ("overtaken by the first roster", adopted, 45_000, 101_000, Joining::Again),
            ("established", adopted, 30_000, 101_000, Joining::Stale),
        ];
        for (what, known, told, received, ruling) in cases {
            assert_eq!(known.told_join(at(told), at(received)), ruling, "{what}");
        }
    }

    #[test]
    fn leaves_are_ruled_as_the_table_says() {
        let confirmed = Membership { seen_at: Some(at(4900)), ..removed(0, 5000) };
        let cases = [
            ("never seen", Membership::default(), 0, Leaving::Repeat),
            ("in", present(0), 5000, Leaving::Left),
            ("in the second of the join", present(700), 0, Leaving::Left),
            ("older than the join", present(5000), 4000, Leaving::Stale),
            ("out already", left(0, 5000), 6000, Leaving::Repeat),
            ("our removal", removed(0, 5000), 6000, Leaving::Closes),
            ("our removal, told by a clock behind ours", confirmed, 3000, Leaving::Closes),
        ];
        for (what, known, told, ruling) in cases {
            assert_eq!(known.told_leave(at(told)), ruling, "{what}");
        }
    }

    #[test]
    fn a_roster_never_beats_what_was_told_later() {
        assert_eq!(left(0, 5000).listed(at(6000)), Listed::Found);
        assert_eq!(left(0, 5000).listed(at(4000)), Listed::Outdated);
        let behind = Membership { leave_told_at: Some(at(3_000_000)), ..left(0, 5000) };
        assert_eq!(behind.listed(at(3_000_000)), Listed::Outdated, "the gateway's clock is behind ours");
        assert_eq!(behind.listed(at(3_000_001)), Listed::Found);
        assert_eq!(removed(0, 5000).listed(at(64_000)), Listed::Outdated);
        assert_eq!(removed(0, 5000).listed(at(65_001)), Listed::Found);
        assert!(present(0).missing_means_left(at(1000)));
        let told = Membership { told_at: Some(at(0)), ..present(0) };
        assert!(!told.missing_means_left(at(120_000)), "the roster may come from a cache");
        assert!(told.missing_means_left(at(120_001)));
        assert!(!present(5000).missing_means_left(at(5400)), "a join told in whole seconds may be later");
    }

    #[test]
    fn two_rows_of_a_person_are_merged_as_the_table_says() {
        let told = |row: Membership| Membership { told_at: row.joined_at, ..row };
        let closed = Membership { removal_open: false, left_at: Some(at(6000)), ..removed(0, 5000) };
        let gone = Membership { left_at: Some(at(6000)), ..Membership::default() };
        let adopted = Membership { adopted: true, ..present(0) };
        let confirmed = Membership { seen_at: Some(at(100_000)), ..told(present(1000)) };
        let listed = Membership { seen_at: Some(at(200_000)), ..present(30) };
        let cases = [
            // What, one row, the other, present, removal open, same join.
            ("both in by the same join", present(0), told(present(3000)), (true, false, true)),
            ("both in, a leave was lost", told(present(0)), told(present(61_000)), (true, false, false)),
            ("the same join, removed by us", removed(0, 5000), told(present(1000)), (false, true, true)),
            (
                "the same join, told after our removal",
                removed(0, 5000),
                told(present(30_000)),
                (false, true, true),
            ),
            ("too near to our removal", removed(0, 58_000), told(present(100_000)), (false, true, true)),
            ("back after our removal", removed(0, 5000), told(present(70_000)), (true, false, false)),
            ("listed long after our removal", removed(0, 5000), confirmed, (true, false, true)),
            ("removed and left as told", closed, told(present(0)), (false, false, true)),
            ("back after the leave", closed, told(present(9000)), (true, false, false)),
            ("left by one row alone", told(present(0)), gone, (false, false, false)),
            ("came after the leave", told(present(9000)), gone, (true, false, false)),
            ("the leave of our removal", removed(0, 5000), gone, (false, false, false)),
            ("removed by both", removed(0, 5000), removed(1000, 7000), (false, true, true)),
            ("left by both", left(0, 5000), left(0, 5000), (false, false, true)),
            ("named otherwise by one roster", told(left(0, 200_000)), present(200_000), (true, false, true)),
            ("named otherwise by the next one", told(left(0, 200_000)), listed, (true, false, true)),
            ("adopted and never told", adopted, Membership::default(), (true, false, false)),
        ];
        for (what, one, other, expected) in cases {
            for (one, other) in [(one, other), (other, one)] {
                let Merged { membership, same_join } = one.merged(&other);
                assert_eq!((membership.present, membership.removal_open, same_join), expected, "{what}");
            }
        }
    }

    #[test]
    fn a_self_join_is_new_only_if_we_were_out() {
        let inside = |since, announced| Some(Presence { inside: true, since: at(since), announced });
        let outside = |since| Some(Presence { inside: false, since: at(since), announced: false });
        assert!(is_new_self_join(None, at(0)));
        assert!(is_new_self_join(outside(0), at(1000)));
        assert!(!is_new_self_join(outside(5000), at(1000)), "older than our leave");
        assert!(!is_new_self_join(inside(0, true), at(3000)), "told by two events");
        assert!(is_new_self_join(inside(2000, false), at(0)), "overtaken by another event of the group");
        assert!(!is_new_self_join(inside(0, false), at(600_000)), "in since long before");
    }
}
