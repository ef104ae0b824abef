//! The rules of what a group says of itself: what is told first, again, anew, or too late. Pure.
//!
//! One aspect of a group (its name, a switch) and a telling of it go in, a ruling comes out. Who changed it, whether it was
//! our own doing and what a policy makes of it are decided elsewhere.

use crate::{
    clock::Timestamp,
    directory::{ROSTER_LAG, before},
};
use serde_json::Value;
use std::time::Duration;

/// So often within [`INSISTENCE`] a change of the same thing is answered with a call. Who changes it more often does not
/// give in, and neither would the other guard in the group: from then on people decide.
pub const MOST_ANSWERS: u32 = 3;

/// See [`MOST_ANSWERS`].
pub const INSISTENCE: Duration = Duration::from_secs(3600);

/// What is known of one aspect.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its value.
    pub value: Value,
    /// The latest moment for which it was told.
    pub at: Timestamp,
    /// By an event or by our own call, not merely read.
    pub told: bool,
}

/// How an aspect is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// An event tells that it changed.
    Event,
    /// We read it, perhaps from a cache of the gateway's.
    Read,
    /// We entered the group: whatever it was before is no business of ours.
    Entered,
}

/// What a telling is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The first sight of it, which is no change.
    First,
    /// As known.
    Same,
    /// It was something else.
    Changed,
    /// Older than what is known; means nothing.
    Stale,
    /// A read that contradicts what was told a moment before: it may come from a cache.
    Doubtful,
}

/// Rules on `value`, told for the moment `at`.
pub fn rule(known: Option<&Known>, value: &Value, at: Timestamp, manner: Manner) -> Ruling {
    let Some(known) = known else { return Ruling::First };
    if known.value == *value {
        Ruling::Same
    } else if before(at, known.at) {
        Ruling::Stale
    } else if manner == Manner::Entered {
        Ruling::First
    } else if manner == Manner::Read && known.told && at <= known.at + ROSTER_LAG {
        Ruling::Doubtful
    } else {
        Ruling::Changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telling_is_ruled_as_the_table_says() {
        let at = |millis: i64| Timestamp(1_700_000_000_000 + millis);
        let known = |told| Some(Known { value: "Club".into(), at: at(60_500), told });
        let cases = [
            ("first sight", None, "X", at(0), Manner::Event, Ruling::First),
            ("the same again", known(true), "Club", at(0), Manner::Event, Ruling::Same),
            ("another name", known(true), "X", at(60_600), Manner::Event, Ruling::Changed),
            ("in the same second", known(true), "X", at(60_000), Manner::Event, Ruling::Changed),
            ("an old one, told late", known(true), "X", at(59_000), Manner::Event, Ruling::Stale),
            ("read from a cache", known(true), "X", at(90_500), Manner::Read, Ruling::Doubtful),
            ("read long after", known(true), "X", at(180_501), Manner::Read, Ruling::Changed),
            ("read after another read", known(false), "X", at(60_600), Manner::Read, Ruling::Changed),
            ("found when we came back", known(true), "X", at(90_500), Manner::Entered, Ruling::First),
        ];
        for (what, known, value, at, manner, ruling) in cases {
            assert_eq!(rule(known.as_ref(), &value.into(), at, manner), ruling, "{what}");
        }
    }
}
