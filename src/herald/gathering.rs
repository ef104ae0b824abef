//! What is told when: alerts of one kind within the window are one message, and one that goes on is not repeated.
//!
//! Pure: what the store has of alerts, and `now`, in; messages that are due, and when to look again, out.

use crate::{
    clock::Timestamp,
    store::{AlertNews, News},
};
use std::{collections::BTreeMap, time::Duration};

/// An incident that goes on is followed up this long after it was told last, with the count.
const FOLLOW_UP: Duration = Duration::from_secs(3600);

/// What happened of one kind and is to be told now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Incident {
    /// The kind.
    pub(super) kind: String,
    /// Nothing in it is told for the first time.
    pub(super) follow_up: bool,
    /// The alerts, in the order in which they were raised.
    pub(super) alerts: Vec<AlertNews>,
}

/// The incidents to be told at `now`, and when the next one may be.
pub(super) fn due(news: News, window: Duration, now: Timestamp) -> (Vec<Incident>, Option<Timestamp>) {
    let mut kinds: BTreeMap<String, Vec<AlertNews>> = BTreeMap::new();
    for alert in news.alerts {
        kinds.entry(alert.kind.clone()).or_default().push(alert);
    }
    let (mut incidents, mut next) = (Vec::new(), None);
    for (kind, alerts) in kinds {
        let told = news.told.iter().filter(|(other, _)| *other == kind).map(|(_, at)| *at);
        let first_at = first_telling(&alerts, &told.collect::<Vec<_>>(), window, now);
        let (now_due, later): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| {
            let at = alert.told_at.map_or(first_at, |told| Some(told + FOLLOW_UP));
            at.is_some_and(|at| at <= now)
        });
        let dues = later.iter().map(|alert| alert.told_at.map_or(first_at, |told| Some(told + FOLLOW_UP)));
        next = dues.flatten().chain(next).min();
        if !now_due.is_empty() {
            let follow_up = now_due.iter().all(|alert| alert.told_at.is_some());
            incidents.push(Incident { kind, follow_up, alerts: now_due });
        }
    }
    (incidents, next)
}

/// When what was never told of a kind is: the window after its first alert. Where the kind was told of lately, each
/// message of the last hour doubles the pause to the next, so a trouble with a thousand faces is a handful of messages.
fn first_telling(
    alerts: &[AlertNews],
    told: &[Timestamp],
    window: Duration,
    now: Timestamp,
) -> Option<Timestamp> {
    let first = alerts.iter().filter(|alert| alert.told_at.is_none()).map(|alert| alert.first_at).min()?;
    // An alert from a clock that is ahead is not told later for it.
    let gathered = first.min(now) + window;
    let gathered = if first > now + window { now } else { gathered.max(first) };
    let of_late = told.iter().filter(|at| **at + FOLLOW_UP > now).count();
    let pause = window.saturating_mul(1 << of_late.min(16)).min(FOLLOW_UP);
    let last = told.iter().max().filter(|_| of_late > 0);
    Some(last.map_or(gathered, |last| gathered.max(*last + pause)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);
    const T: i64 = 1_700_000_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(T + seconds * 1000)
    }

    fn alert(id: i64, kind: &str, first: i64) -> AlertNews {
        AlertNews {
            id,
            kind: kind.into(),
            text: format!("{kind} {id}"),
            first_at: at(first),
            last_at: at(first),
            count: 1,
            told_at: None,
            told_count: 0,
        }
    }

    fn news(alerts: &[AlertNews], told: &[(&str, i64)]) -> News {
        News {
            alerts: alerts.to_vec(),
            told: told.iter().map(|(kind, second)| ((*kind).to_owned(), at(*second))).collect(),
        }
    }

    fn ids(incidents: &[Incident]) -> Vec<Vec<i64>> {
        incidents.iter().map(|one| one.alerts.iter().map(|alert| alert.id).collect()).collect()
    }

    #[test]
    fn what_happens_together_is_one_message_and_kinds_are_not_mixed() {
        let all = news(&[alert(1, "raid", 0), alert(2, "gateway", 10), alert(3, "raid", 59)], &[]);
        assert_eq!(due(all.clone(), WINDOW, at(59)), (Vec::new(), Some(at(60))));
        let (told, next) = due(all.clone(), WINDOW, at(60));
        assert_eq!((ids(&told), next), (vec![vec![1, 3]], Some(at(70))));
        let (told, next) = due(all, WINDOW, at(70));
        assert_eq!((ids(&told), next), (vec![vec![2], vec![1, 3]], None));
        assert!(told.iter().all(|incident| !incident.follow_up));
    }

    #[test]
    fn a_running_incident_is_followed_up_once_an_hour() {
        let running = AlertNews { count: 50, told_at: Some(at(60)), told_count: 3, ..alert(1, "gateway", 0) };
        let all = news(&[running], &[("gateway", 60)]);
        assert_eq!(due(all.clone(), WINDOW, at(3659)), (Vec::new(), Some(at(3660))));
        let (told, next) = due(all, WINDOW, at(3660));
        assert!(told[0].follow_up && told[0].alerts[0].count == 50 && next.is_none());
    }

    #[test]
    fn a_trouble_with_many_faces_is_told_ever_less_often() {
        let (mut told, mut messages): (Vec<(&str, i64)>, Vec<i64>) = (Vec::new(), Vec::new());
        for second in 0..3600 {
            // A new alert every second, told or not.
            let fresh: Vec<_> =
                (messages.last().copied().unwrap_or(0)..=second).map(|n| alert(n, "raid", n)).collect();
            if !due(news(&fresh, &told), WINDOW, at(second)).0.is_empty() {
                messages.push(second);
                told.push(("raid", second));
            }
        }
        assert_eq!(messages, [60, 180, 420, 900, 1860]);
    }

    #[test]
    fn another_alert_of_a_running_kind_is_not_held_for_the_hour() {
        let running = AlertNews { count: 9, told_at: Some(at(60)), told_count: 1, ..alert(1, "gateway", 0) };
        let all = news(&[running, alert(2, "gateway", 300)], &[("gateway", 60)]);
        let (told, next) = due(all, WINDOW, at(360));
        assert_eq!((ids(&told), next), (vec![vec![2]], Some(at(3660))));
    }

    #[test]
    fn an_alert_from_a_clock_that_is_far_ahead_is_told_at_once() {
        let (told, _) = due(news(&[alert(1, "refused", 90_000)], &[]), WINDOW, at(0));
        assert_eq!(ids(&told), [[1]]);
    }
}
