//! The ceilings: at most so many calls of a class in *any* window of the configured length (P4).
//!
//! Pure: a [`Ledger`] of past calls and `now` in, a [`Permit`] out. The ledger's durable half is the store's; this half
//! is loaded from it at a start. A call holds its place from its start until the window has passed since its **end**,
//! because the gateway may have seen it at any moment in between; so the promise holds at the gateway, not only here.
//! Beside the windows of single classes there are [`Cap`]s over several classes together: those that the gateway tells of
//! itself. Pacing inside the ceilings is governor's work in the delivery, not this module's.

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

/// A ceiling over several classes together, as the gateway counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The gateway's word for what it counts.
    pub name: &'static str,
    /// What counts. A call under two of them counts twice: rather too few calls than one too many.
    pub classes: &'static [Class],
    /// The window; it is never ramped.
    pub window: Window,
}

/// Calls of the last day are remembered whatever is configured: a cap may be told later than they were made.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The ceilings of one session: the configured windows, the gateway's caps, and how far the ramp has risen.
#[derive(Clone, Debug)]
pub struct Ceilings {
    windows: BTreeMap<Class, Vec<Window>>,
    caps: Vec<Cap>,
    ramp: Duration,
    young_since: Timestamp,
}

impl Ceilings {
    /// Ceilings for a session that is young since then: its first start, or its last pairing.
    pub fn new(windows: BTreeMap<Class, Vec<Window>>, pacing: Pacing, young_since: Timestamp) -> Self {
        Self { windows, caps: Vec::new(), ramp: pacing.ramp, young_since }
    }

    /// Puts the gateway's caps in force, in place of those told before.
    pub fn set_caps(&mut self, caps: Vec<Cap>) {
        self.caps = caps;
    }

    /// The gateway's caps.
    pub fn caps(&self) -> &[Cap] {
        &self.caps
    }

    /// The number was paired anew: the ramp begins there again. Never moves back.
    pub fn young_again(&mut self, since: Timestamp) {
        self.young_since = self.young_since.max(since);
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

    /// The longest window, a day at least: older calls do not matter.
    pub fn longest(&self) -> Duration {
        let caps = self.caps.iter().map(|cap| cap.window.length);
        let windows = self.windows.values().flatten().map(|window| window.length);
        windows.chain(caps).fold(REMEMBERED, Duration::max)
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
            .map(|window| self.check_window(&[class], window, now))
            .fold(Permit::Granted, Permit::and)
    }

    /// Whether a call that counts under all these classes may start at `now`.
    pub fn check_all(&self, ceilings: &Ceilings, classes: &[Class], now: Timestamp) -> Permit {
        let caps = ceilings.caps.iter().filter(|cap| cap.classes.iter().any(|class| classes.contains(class)));
        let caps = caps.map(|cap| self.check_window(cap.classes, cap.window, now));
        classes
            .iter()
            .map(|class| self.check(ceilings, *class, now))
            .chain(caps)
            .fold(Permit::Granted, Permit::and)
    }

    /// How many places of a window over these classes are taken at `now`.
    pub fn used(&self, classes: &[Class], length: Duration, now: Timestamp) -> usize {
        self.recent(classes, length, now).map(|ends| ends.len()).sum::<usize>() + self.under_way(classes)
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

    fn check_window(&self, classes: &[Class], window: Window, now: Timestamp) -> Permit {
        let places = window.calls as usize;
        if places == 0 {
            return Permit::Never;
        }
        let under_way = self.under_way(classes);
        let recent: usize = self.recent(classes, window.length, now).map(|ends| ends.len()).sum();
        if recent + under_way < places {
            return Permit::Granted;
        }
        // So many of the oldest recent ones must pass before one place is free.
        let must_pass = recent + under_way + 1 - places;
        if must_pass > recent {
            return Permit::AfterCall;
        }
        let mut ends: Vec<Timestamp> = self.recent(classes, window.length, now).flatten().copied().collect();
        let (_, last, _) = ends.select_nth_unstable(must_pass - 1);
        Permit::NotBefore(*last + window.length + Duration::from_millis(1))
    }

    /// The ends of these classes that a window of that length still holds.
    fn recent(
        &self,
        classes: &[Class],
        length: Duration,
        now: Timestamp,
    ) -> impl Iterator<Item = std::collections::vec_deque::Iter<'_, Timestamp>> {
        classes
            .iter()
            .filter_map(|class| self.ended.get(class))
            .map(move |ends| ends.range(ends.partition_point(|end| has_passed(*end, length, now))..))
    }

    fn under_way(&self, classes: &[Class]) -> usize {
        self.under_way.iter().filter(|(_, class)| classes.contains(class)).count()
    }
}

/// Whether the window has passed since that end. Both moments are cut to milliseconds, so a whole millisecond more is
/// asked for: then the true distance is longer than the window, whatever was cut off.
fn has_passed(end: Timestamp, length: Duration, now: Timestamp) -> bool {
    end + length < now
}

#[cfg(test)]
mod tests;
