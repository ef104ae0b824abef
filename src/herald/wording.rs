//! What operators read: the lines of an incident, the message in WhatsApp, the body of the post. Pure.

use super::gathering::Incident;
use crate::{
    clock::{Timestamp, format_duration},
    store::{AlertNews, Post},
    telemetry::Redactor,
};
use serde_json::{Value, json};

/// Lines of one message; the others are counted.
const LINES: usize = 10;

/// Characters of one line when all stand there; where fewer do they share the room, so the next step at the end of a
/// long one is not cut off.
const LINE: usize = 280;

/// A line for each alert, with how often it was raised; numbers shortened, bounded in length and in count.
pub(super) fn lines(incident: &Incident, redactor: &Redactor) -> Vec<String> {
    let room = LINES * LINE / incident.alerts.len().clamp(1, LINES);
    let mut lines: Vec<String> =
        incident.alerts.iter().take(LINES).map(|alert| line(alert, redactor, room)).collect();
    let others = incident.alerts.len().saturating_sub(LINES);
    if others > 0 {
        lines.push(format!("and {others} others: `GET /api/v1/alerts` has them all"));
    }
    lines
}

fn line(alert: &AlertNews, redactor: &Redactor, room: usize) -> String {
    let words = alert.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = redactor.redact(&words);
    let mut short: String = text.chars().take(room).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    match (alert.count, alert.told_at) {
        (1, _) => short,
        (count, None) => format!("{short} ({count} times)"),
        (count, Some(_)) => format!("{short} ({count} times, {} since told)", unsaid(alert)),
    }
}

/// How often an alert was raised and not told yet.
pub(super) fn unsaid(alert: &AlertNews) -> u32 {
    alert.count.saturating_sub(alert.told_count)
}

/// The message in WhatsApp.
pub(super) fn message(incident: &Incident, lines: &[String], now: Timestamp) -> String {
    let count: u32 = incident.alerts.iter().map(unsaid).sum();
    let first = incident.alerts.iter().map(|alert| alert.first_at).min().unwrap_or(now);
    let kind = incident.kind.replace('_', " ");
    let head = match (incident.follow_up, count) {
        (true, _) => format!("*perimeterd*: {kind}, still, for {}", format_duration(now.since(first))),
        (false, 1) => format!("*perimeterd*: {kind}"),
        (false, _) => format!("*perimeterd*: {kind}, {count} times"),
    };
    let bulleted = lines.iter().map(|line| format!("• {line}"));
    std::iter::once(head).chain(bulleted).collect::<Vec<_>>().join("\n")
}

/// The body of the post; `host` says which daemon it is.
pub(super) fn body(post: &Post, host: &str) -> Value {
    json!({
        "incident": post.id,
        "host": host,
        "kind": post.kind,
        "follow_up": post.follow_up,
        "first_at": post.first_at.to_string(),
        "last_at": post.last_at.to_string(),
        "told_at": post.told_at.to_string(),
        "count": post.count,
        "lines": post.lines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(id: i64, text: &str, count: u32) -> AlertNews {
        let first_at = Timestamp(1_700_000_000_000);
        AlertNews {
            id,
            kind: "policy_error".into(),
            text: text.into(),
            first_at,
            last_at: first_at,
            count,
            told_at: None,
            told_count: 0,
        }
    }

    fn incident(alerts: Vec<AlertNews>) -> Incident {
        Incident { kind: "policy_error".into(), follow_up: false, alerts }
    }

    #[test]
    fn numbers_and_secrets_are_not_told_and_length_is_bounded() {
        let redactor = Redactor::default();
        redactor.add("s3cret-token");
        let alerts =
            vec![alert(1, "+4915112345678 with\n   s3cret-token", 2), alert(2, &"long ".repeat(1000), 1)];
        let one = incident(alerts);
        let told = lines(&one, &redactor);
        assert_eq!(told[0], "+49…78 with [secret] (2 times)");
        assert_eq!(told[1].chars().count(), LINES * LINE / 2 + 1);
        let many = incident((0..500).map(|n| alert(n, &"long ".repeat(1000), 1)).collect());
        let told = lines(&many, &redactor);
        assert_eq!(told.len(), LINES + 1);
        assert!(told[LINES].starts_with("and 490 others"));
        assert!(message(&many, &told, Timestamp(0)).chars().count() < 4096);
    }

    #[test]
    fn the_next_step_at_the_end_of_a_long_line_is_told() {
        let text = format!("{}stop it with `perimeterd outbox cancel --group 000001`", "held ".repeat(80));
        let told = lines(&incident(vec![alert(1, &text, 1)]), &Redactor::default());
        assert_eq!(told, [text]);
    }

    #[test]
    fn a_follow_up_says_how_long_and_how_often() {
        let told_at = Some(Timestamp(1_700_000_060_000));
        let running = AlertNews { told_at, told_count: 3, ..alert(1, "the gateway does not work", 50) };
        let incident = Incident { kind: "gateway".into(), follow_up: true, alerts: vec![running] };
        let told = lines(&incident, &Redactor::default());
        assert_eq!(
            message(&incident, &told, Timestamp(1_700_003_660_000)),
            "*perimeterd*: gateway, still, for 1h 1m\n• the gateway does not work (50 times, 47 since told)"
        );
    }
}
