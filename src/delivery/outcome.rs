//! From a call's outcome to what happens to its row and to the session. Pure.

use crate::{
    action::{Call, RowState},
    clock::Timestamp,
    retry,
    store::{Row, Settled},
    wawp::error::{CallError, Outcome},
};
use std::time::Duration;

/// How long a session pauses when it is not ready, or told to slow down without a time.
const NOT_READY: Duration = Duration::from_secs(15);
const SLOW_DOWN: Duration = Duration::from_secs(30);
/// After WhatsApp refused a first contact (463): how long no cold message is tried.
const COLD_LOCK: Duration = Duration::from_secs(3600);
/// A request that the gateway calls wrong is tried so often.
const FATAL_ATTEMPTS: u32 = 3;
/// A removal whose outcome is unknown is looked at after this long: usually the leave event has settled it by then.
pub(super) const LOOK_AFTER: Duration = Duration::from_secs(5);

/// What a call's outcome means.
#[derive(Debug)]
pub(super) struct Meaning {
    /// For the row.
    pub(super) settled: Settled,
    /// For the session.
    pub(super) session: Consequence,
    /// The operator should hear of it.
    pub(super) alert: bool,
}

/// What it means for the session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// The gateway works.
    Healthy,
    /// It may be broken: ask it something harmless before the next write.
    Suspect,
    /// No call before that moment.
    Paused(Timestamp),
    /// No cold message before that moment.
    ColdLocked(Timestamp),
    /// The other id form is to be tried, now.
    OtherForm,
}

/// The word for an outcome in the metrics.
pub(super) fn word<T>(outcome: &Outcome<T>) -> &'static str {
    outcome.as_ref().err().map_or("done", CallError::name)
}

/// What a failed probe says: the gateway is away for at least so long; `None` if it answered and so works.
pub(super) fn least_pause(error: &CallError) -> Option<Duration> {
    match error {
        CallError::Transient { retry_after, .. } => Some(retry_after.unwrap_or_default()),
        CallError::SlowDown { retry_after, .. } => Some(retry_after.unwrap_or(SLOW_DOWN)),
        CallError::Unknown { .. } => Some(Duration::ZERO),
        CallError::NotReady { .. } => Some(NOT_READY),
        CallError::Fatal { .. } => Some(SLOW_DOWN),
        CallError::Refused { .. }
        | CallError::Locked { .. }
        | CallError::WrongIdentity { .. }
        | CallError::Unsupported { .. } => None,
    }
}

/// Reads an outcome. `attempts` counts the call just made; `chance` spreads the back-off; `other_form` tells whether
/// there is another id form that has not been tried.
pub(super) fn meaning(
    row: &Row,
    outcome: &Outcome<()>,
    attempts: u32,
    now: Timestamp,
    chance: f64,
    other_form: bool,
) -> Meaning {
    let error = match outcome {
        Ok(()) => return ended(RowState::Done, row.note.clone(), Consequence::Healthy),
        Err(error) => error,
    };
    let note = Some(error.to_string());
    match error {
        CallError::Refused { .. } | CallError::Unsupported { .. } => {
            ended(RowState::Refused, note, Consequence::Healthy)
        }
        CallError::WrongIdentity { .. } if other_form => again(now, note, Consequence::OtherForm),
        CallError::WrongIdentity { .. } => ended(RowState::Refused, note, Consequence::Healthy),
        CallError::NotReady { .. } => {
            let due = now + NOT_READY;
            Meaning {
                settled: Settled { counts: false, ..waiting(due, note) },
                ..again(due, None, Consequence::Paused(due))
            }
        }
        CallError::SlowDown { retry_after, .. } => {
            let due = now + retry::back_off(attempts, Some(retry_after.unwrap_or(SLOW_DOWN)), chance);
            Meaning {
                settled: Settled { counts: false, ..waiting(due, note) },
                ..again(due, None, Consequence::Paused(due))
            }
        }
        CallError::Locked { .. } => {
            let locked = Consequence::ColdLocked(now + COLD_LOCK);
            Meaning { alert: true, ..ended(RowState::Refused, note, locked) }
        }
        // Wrong credentials fail the probe too, and then nothing is tried until they work; a request that alone is wrong
        // is given up soon.
        CallError::Fatal { .. } if attempts < FATAL_ATTEMPTS => {
            let due = now + retry::back_off(retry::LANE_PATIENCE + attempts, None, chance);
            Meaning { alert: true, ..again(due, note, Consequence::Suspect) }
        }
        CallError::Fatal { .. } => {
            Meaning { alert: true, ..ended(RowState::Dead, note, Consequence::Healthy) }
        }
        CallError::Unknown { .. } if row.call.is_message() => {
            Meaning { alert: true, ..ended(RowState::Unknown, note, Consequence::Suspect) }
        }
        CallError::Unknown { .. }
            if matches!(row.call, Call::Remove { .. }) && attempts < retry::MAX_ATTEMPTS =>
        {
            let settled = Settled { state: RowState::Unknown, ..waiting(now + LOOK_AFTER, note) };
            Meaning { settled, session: Consequence::Suspect, alert: false }
        }
        CallError::Transient { .. } | CallError::Unknown { .. } if attempts >= retry::MAX_ATTEMPTS => {
            let note = Some(format!("given up after {attempts} attempts: {error}"));
            Meaning { alert: true, ..ended(RowState::Dead, note, Consequence::Suspect) }
        }
        CallError::Transient { retry_after, .. } => {
            again(now + retry::back_off(attempts, *retry_after, chance), note, Consequence::Suspect)
        }
        CallError::Unknown { .. } => {
            again(now + retry::back_off(attempts, None, chance), note, Consequence::Suspect)
        }
    }
}

fn waiting(due: Timestamp, note: Option<String>) -> Settled {
    Settled { state: RowState::Waiting, not_before: Some(due), note, counts: true }
}

fn again(due: Timestamp, note: Option<String>, session: Consequence) -> Meaning {
    Meaning { settled: waiting(due, note), session, alert: false }
}

fn ended(state: RowState, note: Option<String>, session: Consequence) -> Meaning {
    Meaning { settled: Settled { state, not_before: None, note, counts: true }, session, alert: false }
}
