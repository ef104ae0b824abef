//! The ban meter: a simple model of how WhatsApp loses patience with a number.
//!
//! Points for what spammers do, forgotten slowly; past the threshold private messages to strangers are answered with
//! 463 (the reach-out lock, `whatsapp-reality.md` §3.3). The weights are a guess, not WhatsApp's.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is held against a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A private message to somebody who never wrote.
    ColdMessage,
    /// Adding somebody.
    Add,
    /// Making a group.
    Creation,
    /// A call that needs an admin, made without being one.
    WithoutRight,
}

impl Offence {
    fn points(self) -> f64 {
        match self {
            Self::ColdMessage => 5.0,
            Self::Add => 2.0,
            Self::Creation => 10.0,
            Self::WithoutRight => 8.0,
        }
    }
}

/// The meter's state; it does not lock anything unless it is on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    /// Whether it can restrict.
    pub on: bool,
    /// Points at which the number is restricted.
    pub threshold: f64,
    /// Points forgotten per minute.
    pub forgets: f64,
    points: f64,
    #[serde(skip)]
    weighed_at: Duration,
    restricted: bool,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            on: false,
            threshold: 100.0,
            forgets: 1.0,
            points: 0.0,
            weighed_at: Duration::ZERO,
            restricted: false,
        }
    }
}

impl Meter {
    /// A meter that restricts past 100 points.
    pub fn on() -> Self {
        Self { on: true, ..Self::default() }
    }

    /// A meter that restricts at that many points.
    pub fn restricting_at(threshold: f64) -> Self {
        Self { threshold, ..Self::on() }
    }

    /// Adds an offence at a moment of the clock's elapsed time.
    pub(super) fn weigh(&mut self, offence: Offence, at: Duration) {
        let passed = at.saturating_sub(self.weighed_at).as_secs_f64() / 60.0;
        self.points = (self.points - passed * self.forgets).max(0.0) + offence.points();
        self.weighed_at = at;
        self.restricted |= self.on && self.points >= self.threshold;
    }

    /// Points so far.
    pub fn points(&self) -> f64 {
        self.points
    }

    /// Whether strangers can no longer be written to. Stays until [`Meter::pardon`].
    pub fn is_restricted(&self) -> bool {
        self.restricted
    }

    /// Lifts the restriction and forgets everything.
    pub fn pardon(&mut self) {
        self.points = 0.0;
        self.restricted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_forgotten_with_time_and_a_restriction_is_not() {
        let mut meter = Meter::restricting_at(12.0);
        meter.weigh(Offence::ColdMessage, Duration::ZERO);
        meter.weigh(Offence::ColdMessage, Duration::from_secs(300));
        assert!((meter.points() - 5.0).abs() < 1e-9, "{}", meter.points());
        assert!(!meter.is_restricted());
        meter.weigh(Offence::Creation, Duration::from_secs(300));
        meter.weigh(Offence::Add, Duration::from_secs(86_400));
        assert!(meter.is_restricted());
        meter.pardon();
        assert!(!meter.is_restricted());
    }

    #[test]
    fn a_meter_that_is_off_only_counts() {
        let mut meter = Meter::default();
        for _ in 0..100 {
            meter.weigh(Offence::Creation, Duration::ZERO);
        }
        assert!(!meter.is_restricted());
        assert!(meter.points() > 900.0);
    }
}
