//! Faults on demand: what the gateway and the network do to calls, by class or path, by time or count.
//!
//! Owns the list and the decision which fault a call meets. Playing one (hanging, cutting the line) is the server's work.

use crate::action::Class;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which calls a fault meets.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Every call.
    #[default]
    Any,
    /// Calls of a class; `cold_dm` is taken as `dm`.
    Class(Class),
    /// Calls whose decoded path contains this.
    Path(String),
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// 500 with WhatsApp's refusal in the engine's words, `2 UNKNOWN: info query returned status …`.
    Upstream {
        /// The text.
        message: String,
    },
    /// Any status with any body, JSON or not.
    Status {
        /// The HTTP status.
        status: u16,
        /// The body as it is sent.
        #[serde(default)]
        body: String,
        /// Whether the call did its work all the same.
        #[serde(default)]
        effect: bool,
    },
    /// 429 with `Retry-After`.
    RateLimited {
        /// Seconds in the header; none: no header.
        retry_after: Option<u64>,
    },
    /// 200, and a code for the person inside it; nothing is done. Only member calls are met.
    PerPerson {
        /// 403, 404, 408, 409, …
        code: u16,
    },
    /// 200 as if done, nothing is done.
    Silent,
    /// No answer ever.
    Hang {
        /// Whether the call did its work all the same.
        effect: bool,
    },
    /// No answer ever, and the work is done only after a while: seconds after the client gave up.
    LateEffect {
        /// After how many milliseconds.
        millis: u64,
    },
    /// 200 and an empty list, as NOWEB says after a time-out.
    EmptyList {
        /// Whether the call did its work all the same.
        effect: bool,
    },
    /// The connection is closed without an answer.
    Drop {
        /// Whether the call did its work all the same.
        effect: bool,
    },
    /// The answer comes late.
    Slow {
        /// By how many milliseconds.
        millis: u64,
    },
    /// 422: the session is not connected.
    NotWorking,
    /// 2xx with an empty body; the call did its work.
    Empty,
}

impl Kind {
    /// The word for it in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Upstream { .. } => "upstream",
            Self::Status { .. } => "status",
            Self::RateLimited { .. } => "rate_limited",
            Self::PerPerson { .. } => "per_person",
            Self::Silent => "silent",
            Self::Hang { .. } => "hang",
            Self::LateEffect { .. } => "late_effect",
            Self::EmptyList { .. } => "empty_list",
            Self::Drop { .. } => "drop",
            Self::Slow { .. } => "slow",
            Self::NotWorking => "not_working",
            Self::Empty => "empty",
        }
    }
}

/// A fault and when it strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Which calls.
    #[serde(default)]
    pub on: Target,
    /// What.
    #[serde(flatten)]
    pub kind: Kind,
    /// Leave this many matching calls alone first.
    #[serde(default)]
    pub skip: u32,
    /// Strike at most this often; `None`: always.
    #[serde(default)]
    pub times: Option<u32>,
    /// Begin this many milliseconds after it was set.
    #[serde(default)]
    pub after_ms: u64,
    /// End this many milliseconds after it began; `None`: never.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// The share of matching calls it strikes, 0 to 1.
    #[serde(default = "always")]
    pub share: f64,
}

fn always() -> f64 {
    1.0
}

impl Fault {
    /// Strikes every matching call until it is cleared.
    pub fn new(on: Target, kind: Kind) -> Self {
        Self { on, kind, skip: 0, times: None, after_ms: 0, for_ms: None, share: 1.0 }
    }

    /// On every call of a class.
    pub fn on_class(class: Class, kind: Kind) -> Self {
        Self::new(Target::Class(class), kind)
    }

    /// Only so often.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Only after that many matching calls.
    #[must_use]
    pub fn skipping(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Only for that long from now.
    #[must_use]
    pub fn lasting(mut self, lasts: Duration) -> Self {
        self.for_ms = Some(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

/// The faults in force, oldest first; the first that strikes wins.
#[derive(Debug, Default)]
pub struct Faults {
    set: Vec<Armed>,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    since: Duration,
}

impl Faults {
    /// Adds one; `now` is the clock's elapsed time.
    pub fn add(&mut self, fault: Fault, now: Duration) {
        self.set.push(Armed { fault, since: now });
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        self.set.clear();
    }

    /// The faults that are set, with what is left of their counts.
    pub fn list(&self) -> impl Iterator<Item = &Fault> {
        self.set.iter().map(|armed| &armed.fault)
    }

    /// The fault that a call meets, if any; counts it.
    pub(super) fn strike(
        &mut self,
        class: Option<Class>,
        path: &str,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> Option<Kind> {
        self.set.iter_mut().find_map(|armed| armed.strike(class, path, now, rng))
    }
}

impl Armed {
    fn strike(
        &mut self,
        class: Option<Class>,
        path: &str,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> Option<Kind> {
        let fault = &mut self.fault;
        let meant = match &fault.on {
            Target::Any => true,
            Target::Class(Class::ColdDm) => class == Some(Class::Dm),
            Target::Class(wanted) => class == Some(*wanted),
            Target::Path(part) => path.contains(part.as_str()),
        };
        let begins = self.since + Duration::from_millis(fault.after_ms);
        let over = fault.for_ms.is_some_and(|lasts| now >= begins + Duration::from_millis(lasts));
        if !meant || now < begins || over || fault.times == Some(0) {
            return None;
        }
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        if fault.share < 1.0 && rng.f64() >= fault.share {
            return None;
        }
        fault.times = fault.times.map(|left| left - 1);
        Some(fault.kind.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(faults: &mut Faults, class: Class, path: &str, millis: u64) -> Option<&'static str> {
        let mut rng = fastrand::Rng::with_seed(1);
        faults.strike(Some(class), path, Duration::from_millis(millis), &mut rng).map(|kind| kind.name())
    }

    #[test]
    fn a_fault_skips_then_strikes_then_is_spent() {
        let mut faults = Faults::default();
        faults.add(Fault::on_class(Class::Remove, Kind::Silent).skipping(1).times(2), Duration::ZERO);
        let seen: Vec<_> = (0..4).map(|n| at(&mut faults, Class::Remove, "/", n)).collect();
        assert_eq!(seen, [None, Some("silent"), Some("silent"), None]);
        assert_eq!(at(&mut faults, Class::Dm, "/", 9), None);
    }

    #[test]
    fn a_fault_strikes_only_within_its_time() {
        let mut faults = Faults::default();
        let mut fault =
            Fault::new(Target::Path("/lids".into()), Kind::Empty).lasting(Duration::from_millis(20));
        fault.after_ms = 10;
        faults.add(fault, Duration::from_millis(100));
        for (millis, expected) in [(109, None), (110, Some("empty")), (129, Some("empty")), (130, None)] {
            assert_eq!(at(&mut faults, Class::Read, "/v2/lids/1", millis), expected, "{millis}");
        }
        assert_eq!(at(&mut faults, Class::Read, "/v2/groups", 115), None);
    }

    #[test]
    fn a_fault_is_written_as_flat_json() {
        let fault: Fault =
            serde_json::from_str(r#"{"on":{"class":"remove"},"kind":"hang","effect":true,"times":1}"#)
                .unwrap();
        assert_eq!(fault, Fault::on_class(Class::Remove, Kind::Hang { effect: true }).times(1));
    }
}
