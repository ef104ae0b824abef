//! Time: the only place that asks the operating system for it.
//!
//! Owns [`Timestamp`], the [`Clock`] that workers hold, and the spelling of durations (`"10s"`, `"30d"`) and ends.
//! Pure code takes `now` as an argument; tests hold a [`ManualClock`].

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A moment, in milliseconds since 1970 UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Reads a gateway's number: above 10^11 it is milliseconds, else seconds (`wawp-api.md` §3.5).
    pub fn from_wire(number: i64) -> Self {
        if number > 100_000_000_000 { Self(number) } else { Self(number.saturating_mul(1000)) }
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC with milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What workers ask for the time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock. May step.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment of this process. Never steps.
    fn elapsed(&self) -> Duration;
    /// How long the machine has been up; `None` where nobody can tell.
    fn uptime(&self) -> Option<Uptime> {
        None
    }
}

/// How long a machine has been up: between two processes of one boot this tells how much time passed, whatever the wall
/// clock was set to meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// Names the boot; another one cannot be compared.
    pub boot: String,
    /// Time since then, sleep included.
    pub lasted: Duration,
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts counting [`Clock::elapsed`] now.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    #[cfg(target_os = "linux")]
    fn uptime(&self) -> Option<Uptime> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let lasted = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Some(Uptime { boot, lasted: lasted.try_into().ok()? })
    }
}

/// A clock that a test holds: it stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall: AtomicI64,
    elapsed_millis: AtomicI64,
    boots: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { wall: AtomicI64::new(now.0), ..Self::default() }
    }

    /// Lets time pass: wall clock and elapsed time move together.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.wall.fetch_add(millis, Ordering::SeqCst);
        self.elapsed_millis.fetch_add(millis, Ordering::SeqCst);
    }

    /// Steps the wall clock alone, as a wrong NTP server or an operator would.
    pub fn step(&self, to: Timestamp) {
        self.wall.store(to.0, Ordering::SeqCst);
    }

    /// The machine starts anew: uptimes before cannot be compared with those after.
    pub fn reboot(&self) {
        self.boots.fetch_add(1, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.elapsed_millis.load(Ordering::SeqCst)).unwrap_or(0))
    }

    fn uptime(&self) -> Option<Uptime> {
        Some(Uptime { boot: self.boots.load(Ordering::SeqCst).to_string(), lasted: self.elapsed() })
    }
}

/// A clock for durable schedules and the ledger of calls: it starts at the later of the wall clock and a moment that the
/// record gives, and from then on follows elapsed time alone. So a step of the wall clock while running changes nothing,
/// and after a start with the clock set back no time has passed since the newest record (P4).
pub struct SteadyClock {
    base: Timestamp,
    started: Duration,
    clock: std::sync::Arc<dyn Clock>,
}

impl SteadyClock {
    /// Starts it, not before that moment.
    pub fn new(clock: std::sync::Arc<dyn Clock>, not_before: Timestamp) -> Self {
        let base = clock.now().max(not_before);
        Self { base, started: clock.elapsed(), clock }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        self.base + self.clock.elapsed().saturating_sub(self.started)
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }
}

/// Reads `"10s"`, `"5m"`, `"24h"`, `"30d"`, `"1h 30m"`, `"500ms"`; a day is 24 hours. Negative, calendar (months) and
/// unit-less spellings are refused with a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration like \"10s\", \"5m\", \"24h\" or \"30d\"");
    let span: jiff::Span = text.trim().parse().map_err(|_| wrong())?;
    let signed = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}

/// Reads when something ends: the end of the day `2027-01-31` in the zone, or the moment of an RFC 3339 time.
///
/// # Errors
/// A sentence, for anything else.
pub fn parse_end(text: &str, zone: &jiff::tz::TimeZone) -> Result<Timestamp, String> {
    if text.len() > 10
        && let Ok(moment) = text.parse::<jiff::Timestamp>()
    {
        return Ok(Timestamp(moment.as_millisecond()));
    }
    let sentence = || "this is not a date; dates are like 2027-01-31".to_owned();
    let date: jiff::civil::Date =
        if text.len() == 10 { text.parse().map_err(|_| sentence())? } else { return Err(sentence()) };
    let next = date.tomorrow().map_err(|_| sentence())?;
    let midnight = next.to_zoned(zone.clone()).map_err(|_| sentence())?;
    Ok(Timestamp(midnight.timestamp().as_millisecond()))
}

/// Writes a duration as people say it: the two largest units, `3d 4h`, `1m 30s`, `250ms`.
pub fn format_duration(duration: Duration) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let mut rest = duration.as_millis();
    let mut parts = Vec::new();
    for (name, millis) in units {
        let count = rest / millis;
        rest %= millis;
        if count > 0 && parts.len() < 2 {
            parts.push(format!("{count}{name}"));
        }
    }
    if parts.is_empty() { "0s".into() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_owners_write_them() {
        for (text, seconds) in [("10s", 10), ("5m", 300), ("24h", 86_400), ("30d", 2_592_000), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "10", "-5s", "1mo", "soon"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_date_lasts_to_the_end_of_its_day_in_the_zone() {
        let berlin = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let cases = [
            ("2027-01-31", "2027-01-31T23:00:00.000Z"),
            // A day of 25 hours.
            ("2027-10-31", "2027-10-31T23:00:00.000Z"),
            ("2027-01-31T12:00:00+01:00", "2027-01-31T11:00:00.000Z"),
        ];
        for (text, moment) in cases {
            assert_eq!(parse_end(text, &berlin).unwrap().to_string(), moment, "{text}");
        }
        for bad in ["", "soon", "31.01.2027", "2027-02-30", "2027-01-31T12:00:00", "20270131"] {
            assert!(parse_end(bad, &berlin).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wire_number_is_seconds_or_milliseconds_by_its_size() {
        assert_eq!(Timestamp::from_wire(1_634_567_890), Timestamp::from_wire(1_634_567_890_000));
    }

    #[test]
    fn a_steady_clock_ignores_steps_and_never_starts_behind_the_record() {
        let wall = std::sync::Arc::new(ManualClock::at(Timestamp(5_000)));
        let steady = SteadyClock::new(wall.clone(), Timestamp(9_000));
        wall.step(Timestamp(1));
        assert_eq!(steady.now(), Timestamp(9_000));
        wall.advance(Duration::from_millis(50));
        assert_eq!(steady.now(), Timestamp(9_050));
    }

    #[test]
    fn durations_are_written_with_their_two_largest_units() {
        assert_eq!(format_duration(Duration::from_secs(90)), "1m 30s");
        assert_eq!(format_duration(Duration::ZERO), "0s");
        assert_eq!(format_duration(Duration::from_secs(273_600)), "3d 4h");
    }
}
