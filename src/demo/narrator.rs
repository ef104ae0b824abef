//! Prints the day on stdout as it happens: aligned lines for people, one JSON object a line for machines.
//!
//! Numbers are shortened in both; names are the simulator's, as a phone would show them.

use super::{
    chronicle::Happening,
    phrases,
    stage::Stage,
    summary::{Budget, Summary},
};
use crate::{
    action::{Asked, Call, RowState},
    clock::{Clock, format_duration},
    simulator::scenario::Day,
    store::{Decision, Row},
};
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

/// The width of names and phrases.
const WHO: usize = 14;
const WHAT: usize = 74;

/// The colours used, by what they say.
#[derive(Clone, Copy)]
enum Paint {
    Quiet,
    Strong,
    Good,
    Bad,
}

/// Who tells it.
pub(super) struct Narrator {
    json: bool,
    colour: bool,
    clock: Arc<dyn Clock>,
    started: Duration,
}

impl Narrator {
    /// Begins to count the time.
    pub(super) fn new(json: bool, clock: Arc<dyn Clock>) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let started = clock.elapsed();
        Self { json, colour: wanted && !json && io::stdout().is_terminal(), clock, started }
    }

    /// Since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.started)
    }

    /// What is about to be seen.
    pub(super) fn opening(&self, day: &Day, stage: &Stage) {
        if self.json {
            return;
        }
        self.line(&self.paint(Paint::Strong, &format!("A day of \"{}\"", day.subject)));
        self.line(&format!("the guard     {}   the real daemon, with the shipped policies", stage.address));
        self.line(&format!(
            "the gateway   {}   a simulated WhatsApp; nothing leaves this machine",
            stage.gateway
        ));
        self.line("");
    }

    /// What the script does next.
    pub(super) fn scene(&self, says: &str) {
        if says.is_empty() {
            return;
        }
        if self.json {
            self.object("scene", json!({ "text": says }));
        } else {
            self.line(&format!("{} {}", self.time(), self.paint(Paint::Strong, says)));
        }
    }

    /// What the daemon did.
    pub(super) fn tell(&self, happenings: &[Happening], stage: &Stage) {
        for happening in happenings {
            match happening {
                Happening::Decided(decision) => self.decision(decision, stage),
                Happening::Became(rows) => self.rows(rows, stage),
            }
        }
    }

    fn decision(&self, decision: &Decision, stage: &Stage) {
        let who = decision.member.map_or(String::new(), |member| stage.name(member));
        if self.json {
            let asked: Vec<Value> = decision.verdict.asked.iter().map(asked_json).collect();
            self.object(
                "decision",
                json!({
                    "id": decision.id, "event": decision.entry, "hook": decision.hook, "who": who,
                    "phone": decision.member.and_then(|member| member.phone).map(|phone| phone.to_string()),
                    "state": decision.state, "asked": asked, "unknown": phrases::unknown_facts(decision),
                    "failure": decision.failure,
                }),
            );
            return;
        }
        for phrase in phrases::decision(decision) {
            self.columns("decided", Paint::Quiet, &who, &phrase.text, &phrase.place);
        }
    }

    fn rows(&self, rows: &[Row], stage: &Stage) {
        let Some(first) = rows.first() else { return };
        let names: Vec<String> =
            rows.iter().filter_map(|row| row.person).map(|who| stage.name(who)).collect();
        if self.json {
            self.object(
                "action",
                json!({
                    "action": first.call.name(), "on": is_on(&first.call), "state": first.state, "who": names,
                    "reason": first.reason, "policy": first.policy, "line": first.line, "note": first.note,
                    "decision": first.decision, "text": seen_text(rows, stage),
                }),
            );
            return;
        }
        let (word, paint) = match first.state {
            RowState::Done => ("done", Paint::Good),
            RowState::Cancelled | RowState::Observed | RowState::Expired => ("dropped", Paint::Quiet),
            _ => ("not done", Paint::Bad),
        };
        let what = match (seen_text(rows, stage), &first.call) {
            (Some(text), Call::Welcome { .. }) => format!("welcomed in one message: {text}"),
            _ => phrases::row(first),
        };
        let who = match names.as_slice() {
            [] => "the group".to_owned(),
            [name] => name.clone(),
            several => format!("{} people", several.len()),
        };
        self.columns(word, paint, &who, &what, &phrases::place(&first.policy, first.line));
    }

    /// Totals, budget, promises.
    pub(super) fn summary(&self, summary: &Summary) {
        if self.json {
            self.object("summary", json!(summary));
            return;
        }
        self.line("");
        self.line(&self.paint(Paint::Strong, &format!("The day is over, after {} s.", summary.seconds)));
        for line in totals(summary) {
            self.line(&line);
        }
        self.line("");
        self.line(
            &self.paint(Paint::Strong, "Budget: the fullest window that the gateway saw, and the ceiling"),
        );
        for budget in &summary.budget {
            self.line(&budget_line(budget));
        }
        let meter = &summary.ban_meter;
        let verdict = if meter.restricted { "the number is restricted" } else { "the number is at ease" };
        self.line(&format!(
            "  ban meter      {:.0} of {:.0} points: {verdict}",
            meter.points, meter.threshold
        ));
        for waiting in &summary.waiting {
            let noun = if waiting.call == "dm" { "private message(s)" } else { waiting.call };
            self.line(&format!("  {} {noun} wait for their place under the ceiling", waiting.count));
        }
        self.line("");
        for promise in &summary.promises {
            let (word, paint) = if promise.kept { ("yes", Paint::Good) } else { ("NO ", Paint::Bad) };
            self.line(&format!("  {} {}", self.paint(paint, word), promise.text));
        }
    }

    /// How to look on.
    pub(super) fn goes_on(&self, stage: &Stage) {
        let (address, token) = (&stage.address, &stage.admin_token);
        let folder = stage.folder.path().display().to_string();
        if self.json {
            let open =
                json!({"address": address, "admin_token": token, "gateway": stage.gateway, "folder": folder});
            self.object("open", open);
            return;
        }
        self.line("");
        self.line("The guard goes on until Ctrl-C. Look at it:");
        self.line(&format!("  curl -H 'Authorization: Bearer {token}' {address}/api/v1/decisions"));
        let program = std::env::current_exe().map_or("perimeterd".into(), |path| path.display().to_string());
        self.line(&format!("  {program} --config {folder}/perimeterd.toml explain d1"));
        self.line(&format!("  curl {}/sim/calls      # what the gateway was asked to do", stage.gateway));
        self.line(&format!("  {folder}/policies      # edit one: it is in force within two seconds"));
    }

    fn columns(&self, word: &str, paint: Paint, who: &str, what: &str, place: &str) {
        let word = self.paint(paint, &format!("{word:<8}"));
        let place = self.paint(Paint::Quiet, place);
        self.line(format!("{}   {word} {who:<WHO$} {what:<WHAT$} {place}", self.time()).trim_end());
    }

    fn time(&self) -> String {
        self.paint(Paint::Quiet, &format!("{:>5.1}s", self.elapsed().as_secs_f64()))
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Quiet => "2",
            Paint::Strong => "1",
            Paint::Good => "32",
            Paint::Bad => "31;1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn object(&self, kind: &str, mut fields: Value) {
        fields["kind"] = kind.into();
        fields["at_ms"] = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX).into();
        self.line(&fields.to_string());
    }

    /// Who closes the pipe has read enough.
    fn line(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

fn asked_json(asked: &Asked) -> Value {
    let mut value = json!({
        "action": asked.action.name(), "reason": asked.reason, "policy": asked.policy, "line": asked.line,
    });
    if let crate::action::Action::Lockdown { lasts: Some(lasts), .. } = &asked.action {
        value["lasts"] = format_duration(*lasts).into();
    }
    value
}

/// For announce-only: which way.
fn is_on(call: &Call) -> Option<bool> {
    match call {
        Call::AnnounceOnly { on, .. } => Some(*on),
        _ => None,
    }
}

/// A message as its reader sees it: ids that are mentioned become names.
fn seen_text(rows: &[Row], stage: &Stage) -> Option<String> {
    let first = rows.first().filter(|row| row.state == RowState::Done && row.call.is_message())?;
    let chat = match &first.call {
        Call::Dm { .. } => first.jid.clone(),
        call => call.group()?.as_str().to_owned(),
    };
    let users: Vec<(String, String)> = rows
        .iter()
        .filter_map(|row| {
            Some((format!("@{}", row.jid.split('@').next()?), format!("@{}", stage.name(row.person?))))
        })
        .collect();
    let sent: Vec<String> = stage.sim.with(|world| {
        let to_chat = world.sent().iter().filter(|sent| sent.chat == chat);
        to_chat.map(|sent| sent.text.clone()).collect()
    });
    let text = match &first.call {
        Call::Welcome { .. } => {
            sent.into_iter().rev().find(|text| users.iter().all(|(id, _)| text.contains(id.as_str())))?
        }
        _ => sent.into_iter().next_back()?,
    };
    Some(users.iter().fold(text, |text, (id, name)| text.replace(id.as_str(), name)))
}

fn totals(summary: &Summary) -> Vec<String> {
    let totals = &summary.totals;
    let row = |number: u64, text: &str| format!("  {number:>3}  {text}");
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    vec![
        row(count(totals.joins), "joins heard"),
        row(count(totals.decisions), "decisions"),
        row(count(totals.removed), "people removed"),
        row(count(totals.welcomed), &format!("people welcomed, in {} message(s)", totals.welcome_messages)),
        row(count(totals.private_messages), "private messages"),
        row(count(totals.lockdowns), &format!("lockdown(s), {} opened again", totals.opened_again)),
        row(count(totals.stopped_by_the_dead_link), "raiders stood before a dead link"),
        row(totals.repeats_ignored, "repeated deliveries ignored"),
        row(count(totals.kept_because_unknown), "kept because nobody knows whether they pay"),
        row(count(totals.unknown_outcomes), "calls of unknown outcome"),
    ]
}

fn budget_line(budget: &Budget) -> String {
    let bar: String =
        (0..10).map(|n| if n * (budget.limit as usize) < budget.used * 10 { '#' } else { '.' }).collect();
    let ceiling = format!("{} of {} in any {}", budget.used, budget.limit, budget.window);
    format!("  {:<14} {bar}  {ceiling}", budget.class.as_str())
}
