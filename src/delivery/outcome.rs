//! From a call's outcome to what happens to its row and to the session. Pure.

use super::{
    forms::{self, NextForm},
    rights,
};
use crate::{
    action::{Call, Class, RowState},
    clock::Timestamp,
    retry,
    store::{Row, Settled},
    wawp::error::{CallError, Outcome},
};
use std::time::Duration;

/// How long a session pauses when it is not ready, or told to slow down without a time.
const NOT_READY: Duration = Duration::from_secs(15);
const SLOW_DOWN: Duration = Duration::from_secs(30);
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
    /// No call about a group, and no cold message, before that moment.
    GroupsPaused(Timestamp),
    /// The other id form is to be tried, now.
    OtherForm,
    /// A roster is to tell the id.
    AskRoster,
}

/// The word for an outcome in the metrics.
pub(super) fn word<T>(outcome: &Outcome<T>) -> &'static str {
    outcome.as_ref().err().map_or("done", CallError::name)
}

/// How long a call that was asked to slow down was asked to wait.
pub(super) fn asked_pause<T>(outcome: &Outcome<T>) -> Option<Duration> {
    match outcome {
        Err(CallError::SlowDown { retry_after, .. }) => {
            Some(retry::back_off(1, Some(retry_after.unwrap_or(SLOW_DOWN)), 0.5))
        }
        _ => None,
    }
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

/// A call that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// Calls of this row so far, this one included.
    pub(super) attempts: u32,
    /// When it ended.
    pub(super) now: Timestamp,
    /// Spreads the back-off.
    pub(super) chance: f64,
    /// What may be tried should the form of the person's id be wrong.
    pub(super) next_form: NextForm,
    /// When a roster is to tell of a removal that was answered as done.
    pub(super) confirm_after: Duration,
}

/// Reads an outcome.
pub(super) fn meaning(row: &Row, outcome: &Outcome<()>, made: Made) -> Meaning {
    let Made { attempts, now, chance, next_form, confirm_after } = made;
    let error = match outcome {
        Ok(()) => return done(row, now + confirm_after),
        Err(error) => error,
    };
    let note = Some(error.to_string());
    match error {
        CallError::Refused { .. } if rights::denies_right(row, error) && attempts < retry::MAX_ATTEMPTS => {
            again(now + rights::LOOK_AGAIN, note, Consequence::Healthy)
        }
        // Somebody stays inside who should not.
        CallError::Refused { .. } | CallError::Unsupported { .. } => Meaning {
            alert: matches!(row.call, Call::Remove { .. }),
            ..ended(RowState::Refused, note, Consequence::Healthy)
        },
        CallError::WrongIdentity { .. } => named_wrongly(row, note, next_form, now),
        CallError::NotReady { .. } => {
            let due = now + NOT_READY;
            Meaning {
                settled: Settled { counts: false, ..waiting(due, note) },
                ..again(due, None, Consequence::Paused(due))
            }
        }
        CallError::SlowDown { retry_after, .. } => {
            let due = now + retry::back_off(attempts, Some(retry_after.unwrap_or(SLOW_DOWN)), chance);
            // WhatsApp's 429 comes of work on groups; a chat that is already open may go on. One that a private message
            // met is the gateway's own, and meant for everything.
            let paused = match row.call.class() {
                Class::Dm | Class::ColdDm => Consequence::Paused(due),
                _ => Consequence::GroupsPaused(due),
            };
            Meaning { settled: Settled { counts: false, ..waiting(due, note) }, ..again(due, None, paused) }
        }
        // The breaker tells the operator, once.
        CallError::Locked { .. } => ended(RowState::Refused, note, Consequence::Healthy),
        // Wrong credentials fail the probe too, which tells the operator, and then nothing is tried until they work; a
        // request that alone is wrong is given up soon.
        CallError::Fatal { .. } if attempts < FATAL_ATTEMPTS => {
            let due = now + retry::back_off(retry::LANE_PATIENCE + attempts, None, chance);
            again(due, note, Consequence::Suspect)
        }
        CallError::Fatal { .. } => {
            Meaning { alert: true, ..ended(RowState::Dead, note, Consequence::Healthy) }
        }
        CallError::Unknown { .. } if row.call.is_once() => {
            let note = Some(format!("{error}; not repeated, because it may have taken effect"));
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

/// The id names nobody in the form that was used.
fn named_wrongly(row: &Row, note: Option<String>, next_form: NextForm, now: Timestamp) -> Meaning {
    match next_form {
        NextForm::Other => again(now, note, Consequence::OtherForm),
        NextForm::Roster => again(now + forms::LOOK, note, Consequence::AskRoster),
        // Somebody stays inside who should not.
        NextForm::None => Meaning {
            alert: matches!(row.call, Call::Remove { .. }),
            ..ended(RowState::Refused, note, Consequence::Healthy)
        },
    }
}

/// The answer of a removal proves little: a roster is to tell, should no leave be told until then.
fn done(row: &Row, confirm_at: Timestamp) -> Meaning {
    let mut done = ended(RowState::Done, row.note.clone(), Consequence::Healthy);
    done.settled.not_before = matches!(row.call, Call::Remove { .. }).then_some(confirm_at);
    done
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DecisionId, GroupId, OutboxId, PersonId, SessionName};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn row(call: Call) -> Row {
        Row {
            id: OutboxId(1),
            decision: DecisionId(1),
            session: SessionName::new("main"),
            call,
            state: RowState::Sending,
            attempts: 0,
            created_at: NOW,
            not_before: NOW,
            expires_at: None,
            settled_at: None,
            reason: String::new(),
            policy: String::new(),
            line: 1,
            note: None,
            jid: String::new(),
            name: None,
            person: None,
            present: None,
            wrote_to_us_at: None,
            removal: None,
            silences: 0,
            authority: crate::store::Authority::Admin,
        }
    }

    fn removal() -> Row {
        let group = GroupId::parse("120363000000000001@g.us").unwrap();
        row(Call::Remove { group, member: PersonId(1) })
    }

    fn message() -> Row {
        row(Call::Dm { to: PersonId(1), text: "hello".into() })
    }

    /// The row's state, whether the call counts, and whether the operator hears of it.
    fn come_to(row: &Row, error: CallError, attempts: u32) -> (RowState, bool, bool) {
        let meaning = meaning(row, &Err(error), made(attempts, NextForm::None));
        (meaning.settled.state, meaning.settled.counts, meaning.alert)
    }

    fn made(attempts: u32, next_form: NextForm) -> Made {
        Made { attempts, now: NOW, chance: 0.5, next_form, confirm_after: Duration::from_secs(130) }
    }

    fn why() -> String {
        "because".into()
    }

    #[test]
    fn a_failing_row_is_tried_to_the_end_and_then_dead_and_told() {
        let transient = || CallError::Transient { retry_after: None, why: why() };
        for attempts in 1..retry::MAX_ATTEMPTS {
            assert_eq!(come_to(&removal(), transient(), attempts), (RowState::Waiting, true, false));
        }
        assert_eq!(come_to(&removal(), transient(), retry::MAX_ATTEMPTS), (RowState::Dead, true, true));
        let unknown = || CallError::Unknown { why: why() };
        assert_eq!(come_to(&removal(), unknown(), retry::MAX_ATTEMPTS), (RowState::Dead, true, true));
        let fatal = || CallError::Fatal { why: why() };
        assert_eq!(come_to(&message(), fatal(), FATAL_ATTEMPTS - 1), (RowState::Waiting, true, false));
        assert_eq!(come_to(&message(), fatal(), FATAL_ATTEMPTS), (RowState::Dead, true, true));
    }

    #[test]
    fn an_unknown_outcome_ends_a_message_and_has_a_removal_looked_at() {
        let unknown = || CallError::Unknown { why: why() };
        let told = meaning(&message(), &Err(unknown()), made(1, NextForm::None));
        assert_eq!((told.settled.state, told.settled.not_before), (RowState::Unknown, None));
        let doubted = meaning(&removal(), &Err(unknown()), made(1, NextForm::None));
        assert_eq!(doubted.settled.state, RowState::Unknown);
        assert_eq!(doubted.settled.not_before, Some(NOW + LOOK_AFTER));
    }

    #[test]
    fn waiting_for_the_session_counts_no_attempt() {
        let slow = |retry_after| CallError::SlowDown { retry_after, why: why() };
        for (error, pause) in [
            (CallError::NotReady { why: why() }, NOT_READY),
            (slow(None), SLOW_DOWN),
            (slow(Some(Duration::from_secs(90))), Duration::from_secs(90)),
        ] {
            let meaning = meaning(&removal(), &Err(error), Made { chance: 0.0, ..made(1, NextForm::None) });
            assert_eq!((meaning.settled.state, meaning.settled.counts), (RowState::Waiting, false));
            let paused = if pause == NOT_READY { Consequence::Paused } else { Consequence::GroupsPaused };
            assert_eq!(meaning.session, paused(NOW + pause));
            assert_eq!(meaning.settled.not_before, Some(NOW + pause));
        }
        let told = meaning(&message(), &Err(slow(None)), Made { chance: 0.0, ..made(1, NextForm::None) });
        assert_eq!(told.session, Consequence::Paused(NOW + SLOW_DOWN), "of the gateway itself");
    }

    #[test]
    fn a_refusal_is_final_and_so_is_a_lock_for_the_row_that_met_it() {
        let refused = CallError::Refused { code: Some(404), why: why() };
        assert_eq!(
            come_to(&removal(), refused.clone(), 1),
            (RowState::Refused, true, true),
            "they stay inside"
        );
        assert_eq!(come_to(&message(), refused, 1), (RowState::Refused, true, false));
        let locked = CallError::Locked { why: why() };
        assert_eq!(come_to(&message(), locked, 1), (RowState::Refused, true, false));
    }

    #[test]
    fn a_removal_that_is_done_is_confirmed_later() {
        let done = meaning(&removal(), &Ok(()), made(1, NextForm::None));
        let look_at = Some(NOW + Duration::from_secs(130));
        assert_eq!((done.settled.state, done.settled.not_before), (RowState::Done, look_at));
        assert_eq!(meaning(&message(), &Ok(()), made(1, NextForm::None)).settled.not_before, None);
    }

    #[test]
    fn a_wrong_form_of_the_id_is_final_only_when_a_roster_knows_no_better() {
        let wrong = || Err(CallError::WrongIdentity { why: why() });
        let first = meaning(&removal(), &wrong(), made(1, NextForm::Other));
        assert_eq!((first.settled.state, first.session), (RowState::Waiting, Consequence::OtherForm));
        let second = meaning(&removal(), &wrong(), made(2, NextForm::Roster));
        assert_eq!((second.settled.state, second.session), (RowState::Waiting, Consequence::AskRoster));
        let last = meaning(&removal(), &wrong(), made(3, NextForm::None));
        assert_eq!((last.settled.state, last.alert), (RowState::Refused, true));
        assert!(!meaning(&message(), &wrong(), made(3, NextForm::None)).alert);
    }
}
