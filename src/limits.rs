//! The ceilings: at most so many calls of a class in *any* window of the configured length (P4).
//!
//! Pure: a [`Ledger`] of past calls and `now` in, a [`Permit`] out. The ledger's durable half is the store's; this half
//! is loaded from it at a start. A call holds its place from its start until the window has passed since its **end**,
//! because the gateway may have seen it at any moment in between; so the promise holds at the gateway, not only here.
//! Pacing inside the ceilings is governor's work in the delivery, not this module's.

use crate::{
    action::Class,
    clock::Timestamp,
    config::{Pacing, Window},
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// A call in the ledger of the ceilings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub i64);

/// A ledger entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The call.
    pub id: CallId,
    /// Its class; a cold message has two entries.
    pub class: Class,
    /// When it began, in ledger time.
    pub started_at: Timestamp,
    /// When it ended; `None` while it is under way.
    pub ended_at: Option<Timestamp>,
}

/// Whether a call may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Now.
    Granted,
    /// Not before that moment, and then only if nothing else took the place.
    NotBefore(Timestamp),
    /// Not until a call that is under way has ended.
    AfterCall,
    /// Never: the class is switched off (`"0/1d"`).
    Never,
}

impl Permit {
    /// The stricter of two permits.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::AfterCall, _) | (_, Self::AfterCall) => Self::AfterCall,
            (Self::NotBefore(a), Self::NotBefore(b)) => Self::NotBefore(a.max(b)),
            (Self::Granted, later) | (later, Self::Granted) => later,
        }
    }
}

/// The ceilings of one session: the configured windows, and how far the ramp has risen.
#[derive(Clone, Debug)]
pub struct Ceilings {
    windows: BTreeMap<Class, Vec<Window>>,
    ramp: Duration,
    young_since: Timestamp,
}

impl Ceilings {
    /// Ceilings for a session that was first started at `first_started_at`.
    pub fn new(windows: BTreeMap<Class, Vec<Window>>, pacing: Pacing, first_started_at: Timestamp) -> Self {
        Self { windows, ramp: pacing.ramp, young_since: first_started_at }
    }

    /// The windows of a class as they stand at `now`: a young number starts at a fifth and rises to the full value
    /// over the ramp, never below one call. Reads are not ramped: the ramp guards a number's reputation, and a roster
    /// read tells WhatsApp nothing about it.
    pub fn windows(&self, class: Class, now: Timestamp) -> impl Iterator<Item = Window> + '_ {
        let share = self.risen(class, now);
        self.windows.get(&class).into_iter().flatten().map(move |window| {
            // A share of at most 1 keeps the product within u32.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ share ≤ 1")]
            let ramped = (f64::from(window.calls) * share).floor() as u32;
            Window { calls: ramped.max(window.calls.min(1)), length: window.length }
        })
    }

    /// The longest configured window: older calls do not matter.
    pub fn longest(&self) -> Duration {
        self.windows.values().flatten().map(|window| window.length).max().unwrap_or_default()
    }

    fn risen(&self, class: Class, now: Timestamp) -> f64 {
        if class == Class::Read || self.ramp.is_zero() {
            return 1.0;
        }
        let age = now.since(self.young_since).as_secs_f64() / self.ramp.as_secs_f64();
        (0.2 + 0.8 * age).min(1.0)
    }
}

/// One session's calls within the longest window, by class, oldest end first.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    ended: BTreeMap<Class, VecDeque<Timestamp>>,
    under_way: Vec<(CallId, Class)>,
}

impl Ledger {
    /// The ledger as the store kept it.
    pub fn restore(entries: &[LedgerEntry]) -> Self {
        let mut ledger = Self::default();
        for entry in entries {
            match entry.ended_at {
                Some(end) => ledger.ended.entry(entry.class).or_default().push_back(end),
                None => ledger.under_way.push((entry.id, entry.class)),
            }
        }
        for ends in ledger.ended.values_mut() {
            ends.make_contiguous().sort_unstable();
        }
        ledger
    }

    /// Whether a call of that class may start at `now`.
    pub fn check(&self, ceilings: &Ceilings, class: Class, now: Timestamp) -> Permit {
        ceilings
            .windows(class, now)
            .map(|window| self.check_window(class, window, now))
            .fold(Permit::Granted, Permit::and)
    }

    /// Whether a call that counts under all these classes may start at `now`.
    pub fn check_all(&self, ceilings: &Ceilings, classes: &[Class], now: Timestamp) -> Permit {
        classes.iter().map(|class| self.check(ceilings, *class, now)).fold(Permit::Granted, Permit::and)
    }

    /// How many places of a window are taken at `now`.
    pub fn used(&self, class: Class, length: Duration, now: Timestamp) -> usize {
        let ends = self.ended.get(&class);
        let recent =
            ends.map_or(0, |ends| ends.len() - ends.partition_point(|end| has_passed(*end, length, now)));
        recent + self.under_way.iter().filter(|(_, of)| *of == class).count()
    }

    /// Notes a call that begins.
    pub fn begin(&mut self, id: CallId, classes: &[Class]) {
        self.under_way.extend(classes.iter().map(|class| (id, *class)));
    }

    /// Notes that a call has ended, and forgets what is older than `longest`.
    pub fn end(&mut self, id: CallId, now: Timestamp, longest: Duration) {
        let Self { ended, under_way } = self;
        under_way.retain(|(call, class)| {
            let ends_now = *call == id;
            if ends_now {
                ended.entry(*class).or_default().push_back(now);
            }
            !ends_now
        });
        for ends in ended.values_mut() {
            while ends.front().is_some_and(|end| has_passed(*end, longest, now)) {
                ends.pop_front();
            }
        }
    }

    fn check_window(&self, class: Class, window: Window, now: Timestamp) -> Permit {
        let places = window.calls as usize;
        if places == 0 {
            return Permit::Never;
        }
        let under_way = self.under_way.iter().filter(|(_, of)| *of == class).count();
        let Some(ends) = self.ended.get(&class) else {
            return if under_way < places { Permit::Granted } else { Permit::AfterCall };
        };
        let recent = ends.len() - ends.partition_point(|end| has_passed(*end, window.length, now));
        if recent + under_way < places {
            return Permit::Granted;
        }
        // So many of the oldest recent ones must pass before one place is free.
        let must_pass = recent + under_way + 1 - places;
        match ends.get((ends.len() - recent) + must_pass - 1) {
            Some(end) if must_pass <= recent => {
                Permit::NotBefore(*end + window.length + Duration::from_millis(1))
            }
            _ => Permit::AfterCall,
        }
    }
}

/// Whether the window has passed since that end. Both moments are cut to milliseconds, so a whole millisecond more is
/// asked for: then the true distance is longer than the window, whatever was cut off.
fn has_passed(end: Timestamp, length: Duration, now: Timestamp) -> bool {
    end + length < now
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ceilings(text: &[(u32, u64)]) -> Ceilings {
        let windows = text.iter().map(|(calls, s)| Window { calls: *calls, length: Duration::from_secs(*s) });
        Ceilings {
            windows: BTreeMap::from([(Class::Remove, windows.collect())]),
            ramp: Duration::ZERO,
            young_since: Timestamp(0),
        }
    }

    #[test]
    fn a_place_is_held_from_the_start_until_the_window_has_passed_since_the_end() {
        let ceilings = ceilings(&[(1, 60)]);
        let mut ledger = Ledger::default();
        assert_eq!(ledger.check(&ceilings, Class::Remove, Timestamp(0)), Permit::Granted);
        ledger.begin(CallId(1), &[Class::Remove]);
        assert_eq!(ledger.check(&ceilings, Class::Remove, Timestamp(500_000)), Permit::AfterCall);
        ledger.end(CallId(1), Timestamp(500_000), ceilings.longest());
        let free = Timestamp(560_001);
        assert_eq!(ledger.check(&ceilings, Class::Remove, Timestamp(560_000)), Permit::NotBefore(free));
        assert_eq!(ledger.check(&ceilings, Class::Remove, free), Permit::Granted);
    }

    #[test]
    fn zero_calls_means_never() {
        let ledger = Ledger::default();
        assert_eq!(ledger.check(&ceilings(&[(0, 60)]), Class::Remove, Timestamp(0)), Permit::Never);
    }

    #[test]
    fn a_young_number_starts_at_a_fifth_and_rises_to_full() {
        let mut ceilings = ceilings(&[(10, 60)]);
        ceilings.ramp = Duration::from_secs(100);
        let calls = |at| ceilings.windows(Class::Remove, Timestamp(at)).map(|w| w.calls).collect::<Vec<_>>();
        assert_eq!((calls(0), calls(50_000), calls(100_000)), (vec![2], vec![6], vec![10]));
    }

    proptest! {
        /// Whatever the schedule, call lengths and restarts: no closed window at the gateway holds more than allowed,
        /// and as soon as a permit names a moment, that moment grants.
        #[test]
        fn no_window_ever_holds_more_than_its_ceiling(
            calls in 1u32..6, length in 1u64..20, second in 1u32..12,
            steps in proptest::collection::vec((0i64..3_000, 0i64..4_000, any::<bool>()), 1..200),
        ) {
            let ceilings = ceilings(&[(calls, length), (second, length * 5)]);
            let mut ledger = Ledger::default();
            let mut now = Timestamp(1_000_000);
            let mut seen = Vec::new();
            for (number, (pause, lasts, restart)) in steps.into_iter().enumerate() {
                now.0 += pause;
                if let Permit::NotBefore(at) = ledger.check(&ceilings, Class::Remove, now) {
                    prop_assert!(at > now);
                    now = at;
                }
                if ledger.check(&ceilings, Class::Remove, now) != Permit::Granted { continue; }
                let id = CallId(number as i64);
                ledger.begin(id, &[Class::Remove]);
                seen.push(now.0 + lasts / 2);
                let started_at = now;
                now.0 += lasts;
                if restart {
                    let mut entries: Vec<LedgerEntry> = ledger.ended.get(&Class::Remove).into_iter().flatten()
                        .map(|end| LedgerEntry {
                            id: CallId(-1), class: Class::Remove, started_at: *end, ended_at: Some(*end) })
                        .collect();
                    entries.push(LedgerEntry { id, class: Class::Remove, started_at, ended_at: Some(now) });
                    ledger = Ledger::restore(&entries);
                } else {
                    ledger.end(id, now, ceilings.longest());
                }
            }
            for (calls, window) in [(calls, length), (second, length * 5)] {
                for first in &seen {
                    let last = first + i64::try_from(window * 1000).expect("small");
                    let within = seen.iter().filter(|at| (*first..=last).contains(*at)).count();
                    prop_assert!(within <= calls as usize, "{within} calls within {window} s");
                }
            }
        }
    }
}
