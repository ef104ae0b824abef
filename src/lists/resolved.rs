//! Numbers that lists name, with the accounts behind them: how somebody whose phone is hidden is matched all the same.
//! Pure.

use crate::{
    clock::Timestamp,
    identity::{Forward, NumberReply},
    ids::{Lid, Phone},
};
use std::collections::HashMap;

/// A list with more numbers than this is never known by accounts.
pub(super) const MOST: usize = 500;

/// What is known of numbers.
#[derive(Debug, Default)]
pub(super) struct Resolved(HashMap<u64, NumberReply>);

/// Whether one of some numbers belongs to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    /// This one does.
    Is(Phone),
    /// None does: each belongs to another one, or to nobody.
    Not,
    /// Nobody can tell.
    Unclear,
}

impl Resolved {
    pub(super) fn new(replies: Vec<NumberReply>) -> Self {
        Self(replies.into_iter().map(|reply| (reply.phone.as_u64(), reply)).collect())
    }

    /// Whether one of these numbers belongs to the account. A number of which nothing is known, or was known too long
    /// ago, could be anybody's.
    pub(super) fn among(&self, numbers: &[u64], lid: Lid, now: Timestamp) -> Among {
        if numbers.len() > MOST {
            return Among::Unclear;
        }
        let mut all_known = true;
        for number in numbers {
            match self.0.get(number).filter(|reply| reply.holds_until() > now) {
                Some(NumberReply { phone, answer: Forward::Lid(other), .. }) if *other == lid => {
                    return Among::Is(*phone);
                }
                Some(NumberReply { answer: Forward::Lid(_) | Forward::Absent, .. }) => {}
                Some(NumberReply { answer: Forward::Untold, .. }) | None => all_known = false,
            }
        }
        if all_known { Among::Not } else { Among::Unclear }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const HOUR: i64 = 3_600_000;

    fn said(phone: u64, answer: Forward, hours_ago: i64) -> NumberReply {
        let at = Timestamp(NOW.0 - hours_ago * HOUR);
        NumberReply { phone: Phone::from_u64(phone).unwrap(), answer, at }
    }

    #[test]
    fn somebody_hidden_is_ruled_out_only_when_every_number_is_known() {
        let (one, two) = (4_915_100_000_001, 4_915_100_000_002);
        let lid = Lid::from_u64;
        let with = |second: Forward, hours_ago: i64| {
            Resolved::new(vec![said(one, Forward::Lid(lid(77)), 1), said(two, second, hours_ago)])
        };
        let among = |resolved: Resolved, who: u64| resolved.among(&[one, two], lid(who), NOW);
        assert_eq!(among(with(Forward::Lid(lid(78)), 1), 79), Among::Not);
        assert_eq!(among(with(Forward::Absent, 1), 79), Among::Not);
        assert_eq!(among(with(Forward::Untold, 0), 79), Among::Unclear, "a miss proves nothing");
        assert_eq!(among(with(Forward::Absent, 25), 79), Among::Unclear, "they may have come since");
        assert_eq!(among(with(Forward::Lid(lid(78)), 24 * 31), 79), Among::Unclear, "too long ago");
        assert_eq!(among(Resolved::default(), 79), Among::Unclear);
        let named = Among::Is(Phone::from_u64(one).unwrap());
        assert_eq!(among(with(Forward::Untold, 0), 77), named, "one match is enough");
        let many: Vec<u64> = (0..=MOST as u64).map(|n| one + n).collect();
        assert_eq!(with(Forward::Absent, 1).among(&many, lid(77), NOW), Among::Unclear);
    }
}
