//! What has members looked at again besides a changed list: another subscription file, a pushed payment, the clock.
//!
//! It begins sweeps and nothing else. How far each cause was followed is kept with the sweep, so that what changed while no
//! daemon ran is swept at the next start, and nothing twice.

use super::books::Books;
use crate::{
    clock::{Clock, Timestamp},
    config::Sweep,
    ids::Phone,
    pipeline::Pipeline,
    store::{Cause, Mark, Store, StoreError, Whom},
    subscriptions::{Changes, RollChange},
};
use jiff::{ToSpan as _, civil, tz::TimeZone};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// After the store failed.
const PAUSE: Duration = Duration::from_secs(5);
/// A machine that slept does not know it: the clock is looked at this often at least.
const NAP: Duration = Duration::from_secs(3600);

/// The names of the marks: the file's digest, when the newest push came, when the schedule came round.
const ROLL: &str = "subscriptions";
const PUSHED: &str = "pushed";
const SCHEDULE: &str = "schedule";

/// What this works with.
pub(super) struct Parts {
    pub(super) books: Arc<Books>,
    pub(super) store: Arc<dyn Store>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) steady: Arc<dyn Clock>,
    pub(super) schedule: Sweep,
    pub(super) zone: TimeZone,
}

/// Follows the causes until `stop`.
pub(super) async fn run(parts: Parts, stop: CancellationToken) {
    let bell = parts.books.subscriptions.change_bell();
    let mut following = Following { parts, changes: Changes::default(), started: false };
    while !stop.is_cancelled() {
        let pause = match following.look().await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "members could not be swept, tried again in {} s", PAUSE.as_secs());
                PAUSE
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = bell.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Following {
    parts: Parts,
    /// What the store has not been told yet.
    changes: Changes,
    started: bool,
}

impl Following {
    /// Looks at every cause. Answers how long nothing will be due.
    async fn look(&mut self) -> Result<Duration, StoreError> {
        let Changes { roll, pushed } = self.parts.books.subscriptions.take_changes();
        self.changes.pushed.extend(pushed);
        self.changes.roll = match (self.changes.roll.take(), roll) {
            (Some(one), Some(next)) => Some(RollChange {
                from: one.from,
                to: next.to,
                phones: one.phones.into_iter().chain(next.phones).collect(),
            }),
            (one, next) => one.or(next),
        };
        self.follow_roll().await?;
        self.follow_pushes().await?;
        self.started = true;
        self.follow_schedule().await
    }

    /// The people of whom the file says something else; everybody, if nobody can tell who that is.
    async fn follow_roll(&mut self) -> Result<(), StoreError> {
        let Some(to) = self.parts.books.subscriptions.digest() else { return Ok(()) };
        if self.started && self.changes.roll.is_none() {
            return Ok(());
        }
        let kept = self.parts.store.sweep_mark(ROLL).await?;
        if kept.as_ref() == Some(&to) && self.changes.roll.is_none() {
            return Ok(());
        }
        let whom = match (&self.changes.roll, &kept) {
            // Nothing was judged by a file before.
            (None, None) => return self.parts.store.keep_sweep_mark((ROLL, to)).await,
            (Some(change), kept) if kept.is_none() || *kept == change.from => {
                Whom::People(change.phones.iter().copied().collect())
            }
            _ => Whom::Everybody,
        };
        self.sweep(Cause::Subscriptions, whom, (ROLL, to)).await?;
        self.changes.roll = None;
        Ok(())
    }

    /// Whoever was pushed since. At a start the book tells all pushes that still count.
    async fn follow_pushes(&mut self) -> Result<(), StoreError> {
        let Some(newest) = self.changes.pushed.iter().map(|(_, at)| *at).max() else { return Ok(()) };
        let followed = match self.started {
            true => None,
            false => self.parts.store.sweep_mark(PUSHED).await?.and_then(|mark| mark.parse().ok()),
        };
        let news =
            self.changes.pushed.iter().filter(|(_, at)| followed.is_none_or(|followed| at.0 > followed));
        let people: BTreeSet<Phone> = news.map(|(phone, _)| *phone).collect();
        if !people.is_empty() {
            let whom = Whom::People(people.into_iter().collect());
            self.sweep(Cause::Subscriptions, whom, (PUSHED, newest.0.to_string())).await?;
        }
        self.changes.pushed.clear();
        Ok(())
    }

    async fn follow_schedule(&self) -> Result<Duration, StoreError> {
        let Parts { schedule, zone, steady, store, .. } = &self.parts;
        if schedule.every.is_zero() {
            return Ok(NAP);
        }
        let now = steady.now();
        let last = store.sweep_mark(SCHEDULE).await?.and_then(|mark| mark.parse().ok()).map(Timestamp);
        let last = match last {
            Some(last) => last.min(now),
            None => {
                store.keep_sweep_mark((SCHEDULE, now.0.to_string())).await?;
                now
            }
        };
        let mut due = next_due(last, schedule, zone);
        if due <= now {
            self.sweep(Cause::Schedule, Whom::Everybody, (SCHEDULE, now.0.to_string())).await?;
            due = next_due(now, schedule, zone);
        }
        Ok(due.since(now).min(NAP))
    }

    async fn sweep(&self, cause: Cause, whom: Whom, mark: Mark) -> Result<(), StoreError> {
        if let Some(sweep) = self.parts.pipeline.sweep(cause, whom, Some(mark)).await? {
            tracing::info!(%sweep, ?cause, "members are looked at again");
        }
        Ok(())
    }
}

/// When the schedule comes round after `last`: so many days later at the hour of the day, or that much later.
fn next_due(last: Timestamp, schedule: &Sweep, zone: &TimeZone) -> Timestamp {
    let later = last + schedule.every;
    let Some(days) = schedule.whole_days() else { return later };
    at_hour(last, days, schedule.at, zone).unwrap_or(later)
}

/// That hour, so many days after the day of `last`. Where a clock that is put forward skips it: the hour after.
fn at_hour(last: Timestamp, days: i64, at: civil::Time, zone: &TimeZone) -> Option<Timestamp> {
    let day = jiff::Timestamp::from_millisecond(last.0).ok()?.to_zoned(zone.clone()).date();
    let due = day.checked_add(days.days()).ok()?.to_datetime(at).to_zoned(zone.clone()).ok()?;
    Some(Timestamp(due.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn daily(days: u64) -> Sweep {
        Sweep { every: Duration::from_secs(days * 24 * 3600), at: civil::time(4, 0, 0, 0) }
    }

    #[test]
    fn a_day_is_from_one_morning_to_the_next_also_where_clocks_are_changed() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (last, days, due) in [
            ("2026-06-01T02:00:00.4Z", 1, "2026-06-02T02:00:00Z"),
            ("2026-06-01T20:00:00Z", 1, "2026-06-02T02:00:00Z"),
            ("2026-03-28T03:00:00Z", 1, "2026-03-29T02:00:00Z"),
            ("2026-10-24T02:00:00Z", 1, "2026-10-25T03:00:00Z"),
            ("2026-06-01T02:00:00Z", 7, "2026-06-08T02:00:00Z"),
        ] {
            assert_eq!(next_due(moment(last), &daily(days), &berlin), moment(due), "{last}");
        }
    }

    #[test]
    fn less_than_a_day_goes_by_its_length() {
        let schedule = Sweep { every: Duration::from_secs(6 * 3600), ..daily(1) };
        let due = next_due(moment("2026-06-01T02:30:00Z"), &schedule, &TimeZone::UTC);
        assert_eq!(due, moment("2026-06-01T08:30:00Z"));
    }
}
