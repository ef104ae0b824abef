//! The log of every call that reached the gateway, and the arithmetic of ceilings over it.
//!
//! The log is written at arrival, before anything is decided, so that a call which was never answered is there too.

use crate::{
    action::Class,
    clock::Timestamp,
    ids::{GroupId, Person},
};
use serde::{Serialize, Serializer};
use std::time::Duration;

/// Where a call carried its credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// `?instance_id=…&access_token=…`.
    Query,
    /// In the JSON or form body.
    Body,
    /// `X-Instance-ID` with `access-token` or `Authorization: Bearer`.
    Header,
}

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct CallRecord {
    /// Counted from 0, in order of arrival.
    pub number: usize,
    /// Arrival, since the clock's fixed moment.
    #[serde(rename = "at_ms", serialize_with = "millis")]
    pub at: Duration,
    /// Arrival on the wall clock.
    pub wall_ms: Timestamp,
    /// The instance it was made for; `None` if not authorised.
    pub session: Option<String>,
    /// How it proved itself.
    pub placement: Option<Placement>,
    /// The word for the route, `remove`, `send_text`; `unknown` for a path that is none.
    pub route: &'static str,
    /// The class that the ceilings count it under; `None` for calls about the session itself, and unknown ones.
    /// A private message is [`Class::Dm`] here, cold or not; see [`CallRecord::is`].
    pub class: Option<Class>,
    /// A private message to a stranger.
    pub cold: bool,
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, percent-decoded, without the query.
    pub path: String,
    /// The group it named.
    pub group: Option<GroupId>,
    /// The person it named, with both ids where this world knows them. The first one, if there were several.
    pub person: Option<Person>,
    /// How many people it named.
    pub people: usize,
    /// The chat it wrote to.
    pub chat: Option<String>,
    /// The text it wrote.
    pub text: Option<String>,
    /// The HTTP status it was answered with; `None`: not answered (yet).
    pub status: Option<u16>,
    /// Whether it changed the world.
    pub effect: bool,
    /// The fault that was played on it.
    pub fault: Option<String>,
}

fn millis<S: Serializer>(at: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(at.as_secs_f64() * 1000.0)
}

impl CallRecord {
    /// Whether it counts under a class. A private message to a stranger counts as `dm` and as `cold_dm`.
    pub fn is(&self, class: Class) -> bool {
        match class {
            Class::ColdDm => self.class == Some(Class::Dm) && self.cold,
            _ => self.class == Some(class),
        }
    }
}

/// The calls in order of arrival.
#[derive(Debug, Default)]
pub struct CallLog {
    records: Vec<CallRecord>,
}

impl CallLog {
    pub(super) fn arrive(&mut self, mut record: CallRecord) -> usize {
        let number = self.records.len();
        record.number = number;
        self.records.push(record);
        number
    }

    pub(super) fn at_mut(&mut self, number: usize) -> Option<&mut CallRecord> {
        self.records.get_mut(number)
    }

    pub(super) fn records(&self) -> &[CallRecord] {
        &self.records
    }

    pub(super) fn most_in_any_window(&self, class: Class, window: Duration) -> usize {
        let times: Vec<_> =
            self.records.iter().filter(|record| record.is(class)).map(|record| record.at).collect();
        most_in_window(&times, window)
    }
}

/// The most of `times` within any *closed* interval of length `window`: two calls exactly one window apart are both in it.
/// That is the strictest reading of a ceiling. The times need not be sorted.
pub fn most_in_window(times: &[Duration], window: Duration) -> usize {
    let mut times = times.to_vec();
    times.sort_unstable();
    let mut first = 0;
    let mut most = 0;
    for last in 0..times.len() {
        while times[last] - times[first] > window {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most
}

/// Which of the ceilings `(calls, window)` of a class the log breaks, with the worst count of each.
pub fn broken_ceilings(
    calls: &[CallRecord],
    class: Class,
    ceilings: &[(usize, Duration)],
) -> Vec<(usize, Duration, usize)> {
    let times: Vec<_> = calls.iter().filter(|call| call.is(class)).map(|call| call.at).collect();
    let worst = ceilings.iter().map(|(most, window)| (*most, *window, most_in_window(&times, *window)));
    worst.filter(|(most, _, found)| found > most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_calls_exactly_one_window_apart_are_both_counted() {
        let times = [Duration::from_millis(1000), Duration::ZERO];
        assert_eq!(most_in_window(&times, Duration::from_millis(1000)), 2);
        assert_eq!(most_in_window(&times, Duration::from_millis(999)), 1);
        assert_eq!(most_in_window(&[], Duration::ZERO), 0);
    }

    proptest! {
        #[test]
        fn the_worst_window_is_that_of_counting_every_start(
            times in prop::collection::vec(0_u64..200, 0..60),
            window in 0_u64..250,
        ) {
            let brute = times
                .iter()
                .map(|start| times.iter().filter(|t| (*start..=start + window).contains(t)).count())
                .max()
                .unwrap_or(0);
            let durations: Vec<_> = times.iter().map(|t| Duration::from_millis(*t)).collect();
            prop_assert_eq!(most_in_window(&durations, Duration::from_millis(window)), brute);
        }
    }
}
