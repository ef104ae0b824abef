//! The brake (P7): how many established members may be removed in a window before a human has to look. Pure.
//!
//! A removal of an established member is counted where it is written: those that are not over (however old), and those
//! sent within the window. Once the count has reached the allowance, it is held. Because what waits is counted too, no
//! window sees more than the allowance go out, not even after an outage. Who was approved by a human counts no more.
//!
//! Somebody who is judged for entering is a joiner, however late the event was told: a raid is answered at the pace of the
//! ceilings, not by a human, and whoever was found by reconciliation is no different from whoever was told. Everybody else
//! is established once they have been in for long enough, and everybody whom the first roster found is from the start.
//!
//! It counts nothing itself and knows no row: the store does, in the commit that writes the removal.

use crate::{clock::Timestamp, event::Hook, facts::MemberFacts, ids::GroupId};
use std::time::Duration;

/// Never less than this, however small the group.
const LEAST: u32 = 3;

/// How many removals of established members a group bears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// At most so many …
    pub max: u32,
    /// … in any window of this length,
    pub window: Duration,
    /// and at most this share of the group; the smaller of the two.
    pub share: f64,
}

impl Terms {
    /// How many removals a group of that size bears in a window. The size is that before the removals.
    pub fn allowance(&self, size: u32) -> u32 {
        // A share of 0.29 of 100 people is 29, not the 28 that binary fractions make of it.
        let share = (f64::from(size) * self.share + 1e-9).floor() as u32;
        self.max.min(share).max(LEAST)
    }
}

/// What operators are told when a brake trips.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// Where.
    pub group: &'a GroupId,
    /// The group's name; may be empty.
    pub subject: &'a str,
    /// How many were in it before the removals.
    pub size: u32,
    /// Removals that were let through.
    pub let_through: u32,
    /// Removals that are held so far.
    pub held: u32,
    /// Policy, line, reason, list entry.
    pub cause: &'a str,
}

impl Notice<'_> {
    /// One paragraph. The group is named by the end of its id, because its name is written by others: it must not end up
    /// in a command that people copy.
    pub fn text(&self) -> String {
        let Self { group, subject, size, let_through, held, cause } = self;
        let tail = group.tail();
        format!(
            "the brake stands in {subject} ({group}): {held} removals of established members are held, {let_through} of \
             {size} were let through; cause: {cause}; see who with `perimeterd outbox list --state held`, then let them go \
             with `perimeterd outbox approve --group {tail}` or stop it with `perimeterd outbox cancel --group {tail}`"
        )
    }
}

/// Whether the brake protects that member from the removal that a run of `hook` asks for at `now`.
pub fn is_established(hook: Hook, member: &MemberFacts, after: Duration, now: Timestamp) -> bool {
    let long_enough = member.joined_at.is_none_or(|joined| now.since(joined) >= after);
    hook != Hook::OnJoin && member.present && (member.adopted || long_enough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Role, Via},
        ids::{Person, PersonId, Phone},
    };

    const MINUTES: fn(u64) -> Duration = |minutes| Duration::from_secs(minutes * 60);

    #[test]
    fn the_smaller_of_number_and_share_counts_and_never_less_than_three() {
        let terms = |max, share| Terms { max, window: MINUTES(10), share };
        let cases = [
            (terms(20, 0.1), 500, 20),
            (terms(20, 0.1), 150, 15),
            (terms(20, 0.1), 159, 15),
            (terms(20, 0.1), 12, 3),
            (terms(20, 0.1), 0, 3),
            (terms(20, 0.29), 100, 20),
            (terms(200, 0.29), 100, 29),
            (terms(0, 1.0), 1000, 3),
            (terms(2000, 1.0), 1024, 1024),
        ];
        for (terms, size, allowance) in cases {
            assert_eq!(terms.allowance(size), allowance, "{terms:?} of {size}");
        }
    }

    fn member(adopted: bool, joined_at: Option<Timestamp>) -> MemberFacts {
        MemberFacts {
            id: PersonId(1),
            person: Person::of_phone(Phone::from_u64(4_915_000_000_001).unwrap()),
            jid: String::new(),
            name: None,
            role: Role::Member,
            present: true,
            via: Via::Link,
            added_by: None,
            left_by: None,
            joined_at,
            adopted,
            joins: 1,
            removals: 0,
            groups: Vec::new(),
            messages: 0,
            last_message_at: None,
            wrote_to_us_at: None,
            tags: Vec::new(),
            is_own: false,
        }
    }

    #[test]
    fn who_was_adopted_or_is_in_for_long_is_established_and_a_joiner_never() {
        let joined = Timestamp(1_700_000_000_000);
        let cases = [
            ("just found by the first roster", Hook::OnSweep, member(true, Some(joined)), 0, true),
            ("in for nine minutes", Hook::OnSweep, member(false, Some(joined)), 9, false),
            ("in for ten minutes", Hook::OnSweep, member(false, Some(joined)), 10, true),
            ("in since nobody knows when", Hook::OnSweep, member(false, None), 0, true),
            ("a join told an hour late", Hook::OnJoin, member(false, Some(joined)), 60, false),
            ("a clock behind the join", Hook::OnSweep, member(false, Some(joined + MINUTES(5))), 0, false),
        ];
        for (what, hook, member, minutes, established) in cases {
            let now = joined + MINUTES(minutes);
            assert_eq!(is_established(hook, &member, MINUTES(10), now), established, "{what}");
        }
        let gone = MemberFacts { present: false, ..member(true, Some(joined)) };
        assert!(!is_established(Hook::OnLeave, &gone, MINUTES(10), joined), "who has left is no member");
    }
}
