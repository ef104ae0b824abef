//! The ban meter: a simple model of how WhatsApp loses patience with a number.
//!
//! Points for what spammers do, each forgotten after a day. Two thresholds: past the first the account may not write to
//! strangers (463, the reach-out lock); past the second it may neither add people nor make groups. The weights follow
//! what was reported (`whatsapp-reality.md` §4.3) where anything was; the rest is judgement, and none of it is WhatsApp's:
//!
//! | what | points | because |
//! |---|---|---|
//! | a private message to a stranger | 2.9 | a lock after 30–40 in a day (Baileys#2800): here 35 |
//! | a group made | 1.5 | blocked at 45–50 in a day (open-wa#3021, glific#596): the 46th is refused whatever the points |
//! | a stranger added | 5 | "by far the most common" reason that owners name (§4.4): 20 in a day |
//! | somebody added who wrote to us | 0.5 | what the vendor calls warm |
//! | a call made without being admin | 10 | banned "after a couple of errors", since no real app asks (§3.4) |
//! | a member removed who is none | 5 | the same, but it also happens to the honest |
//! | a removal within 1.5 s of the last | 1 | "too many at once is seen as abnormal" (§4.3) |
//! | any other removal | 0.1 | ordinary work of an admin; nobody measured a limit |

use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};

/// How long anything is held against a number, and how long a lock lasts.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Removals closer than this come in a burst.
const BURST: Duration = Duration::from_millis(1500);

/// The groups that may be made in a day.
const CREATIONS: usize = 45;

/// What is held against a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A private message to somebody who never wrote.
    ColdMessage,
    /// Adding somebody who never wrote.
    StrangerAdded,
    /// Adding somebody who did.
    Add,
    /// Making a group.
    Creation,
    /// Removing a member.
    Removal,
    /// Removing somebody who is no member.
    Absent,
    /// A call that needs an admin, made without being one.
    WithoutRight,
}

impl Offence {
    fn points(self) -> f64 {
        match self {
            Self::ColdMessage => 2.9,
            Self::StrangerAdded | Self::Absent => 5.0,
            Self::Add => 0.5,
            Self::Creation => 1.5,
            Self::Removal => 0.1,
            Self::WithoutRight => 10.0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Held {
    at: Duration,
    offence: Offence,
    points: f64,
}

/// The meter's state. It always counts, and restricts only if it is on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    /// Whether it can restrict.
    pub on: bool,
    /// Points within a day at which strangers can no longer be written to.
    pub threshold: f64,
    /// Points within a day at which the whole number is restricted.
    pub grave: f64,
    #[serde(skip)]
    held: VecDeque<Held>,
    highest: f64,
    #[serde(skip)]
    locked_until: Option<Duration>,
    #[serde(skip)]
    barred_until: Option<Duration>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            on: false,
            threshold: 100.0,
            grave: 200.0,
            held: VecDeque::new(),
            highest: 0.0,
            locked_until: None,
            barred_until: None,
        }
    }
}

impl Meter {
    /// A meter that restricts past 100 points in a day.
    pub fn on() -> Self {
        Self { on: true, ..Self::default() }
    }

    /// A meter that restricts at that many points in a day, and gravely at twice as many.
    pub fn restricting_at(threshold: f64) -> Self {
        Self { threshold, grave: threshold * 2.0, ..Self::on() }
    }

    /// Adds an offence at a moment of the clock's elapsed time.
    pub(super) fn weigh(&mut self, offence: Offence, at: Duration) {
        while self.held.front().is_some_and(|held| held.at + DAY <= at) {
            self.held.pop_front();
        }
        let last = self.held.iter().rev().find(|held| held.offence == Offence::Removal);
        let burst = offence == Offence::Removal && last.is_some_and(|last| last.at + BURST > at);
        let points = if burst { 1.0 } else { offence.points() };
        self.held.push_back(Held { at, offence, points });
        let points = self.points();
        self.highest = self.highest.max(points);
        if self.on && points >= self.threshold {
            self.locked_until = Some(at + DAY);
        }
        if self.on && (points >= self.grave || self.creations() > CREATIONS) {
            self.barred_until = Some(at + DAY);
        }
    }

    fn creations(&self) -> usize {
        self.held.iter().filter(|held| held.offence == Offence::Creation).count()
    }

    /// Points held at the last offence.
    pub fn points(&self) -> f64 {
        self.held.iter().map(|held| held.points).sum()
    }

    /// The most points that were ever held at once.
    pub fn highest(&self) -> f64 {
        self.highest
    }

    /// Whether strangers cannot be written to at that moment. It ends a day after the last offence past the threshold.
    pub fn is_locked(&self, at: Duration) -> bool {
        self.is_barred(at) || self.locked_until.is_some_and(|end| at < end)
    }

    /// Whether neither people can be added nor groups made at that moment.
    pub fn is_barred(&self, at: Duration) -> bool {
        self.barred_until.is_some_and(|end| at < end)
    }

    /// Whether the number was ever restricted, since the last [`Meter::pardon`].
    pub fn is_restricted(&self) -> bool {
        self.locked_until.is_some() || self.barred_until.is_some()
    }

    /// Lifts the restriction and forgets everything.
    pub fn pardon(&mut self) {
        *self = Self { on: self.on, threshold: self.threshold, grave: self.grave, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn thirty_five_strangers_in_a_day_lock_and_a_day_later_it_is_over() {
        let mut meter = Meter::on();
        for n in 0..34 {
            meter.weigh(Offence::ColdMessage, at(n * 600));
        }
        assert!(!meter.is_restricted());
        meter.weigh(Offence::ColdMessage, at(34 * 600));
        assert!(meter.is_locked(at(34 * 600)) && !meter.is_barred(at(34 * 600)));
        assert!(!meter.is_locked(at(34 * 600) + DAY));
        assert!(meter.is_restricted(), "it was");
        meter.pardon();
        assert!(!meter.is_restricted());
    }

    #[test]
    fn the_same_over_two_days_does_not() {
        let mut meter = Meter::on();
        for n in 0..60 {
            meter.weigh(Offence::ColdMessage, at(n * 3600));
        }
        assert!(!meter.is_restricted());
        assert!((meter.points() - 24.0 * 2.9).abs() < 1e-9, "{}", meter.points());
    }

    #[test]
    fn the_forty_sixth_group_of_a_day_bars_the_number() {
        let mut meter = Meter::on();
        for n in 0..46 {
            assert!(!meter.is_barred(at(n)));
            meter.weigh(Offence::Creation, at(n));
        }
        assert!(meter.is_barred(at(46)));
    }

    #[test]
    fn removals_weigh_in_bursts() {
        let mut slow = Meter::default();
        let mut fast = Meter::default();
        for n in 0..100 {
            slow.weigh(Offence::Removal, at(n * 4));
            fast.weigh(Offence::Removal, Duration::from_millis(n * 100));
        }
        assert!((slow.highest() - 10.0).abs() < 1e-6, "{}", slow.highest());
        assert!(fast.highest() > 99.0);
    }

    #[test]
    fn a_meter_that_is_off_only_counts() {
        let mut meter = Meter::default();
        for _ in 0..100 {
            meter.weigh(Offence::StrangerAdded, Duration::ZERO);
        }
        assert!(!meter.is_restricted());
        assert!(meter.points() > 400.0);
    }
}
