//! The numbers for `/metrics`, in one registry that the composition root owns: no globals.
//!
//! Owns names, labels and buckets. Callers say what happened in typed methods and never see a label. No label holds a
//! phone, a group or a text of somebody: the number of series is bounded by configuration and vocabulary.

use crate::{
    action::{Class, RowState},
    clock::Timestamp,
    event::Hook,
    ids::SessionName,
    store::{Depths, EntryState, Source},
    takeup::Takeup,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Metric, Registry},
};
use std::{
    fmt::Debug,
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Kinds of trouble that are told as zero while there is none.
const TROUBLES: [&str; 6] = ["admin_rights", "canary", "list_source", "session", "silence", "webhook"];

/// One label with a fixed word.
type One = [(&'static str, &'static str); 1];
/// Two of them.
type Two = [(&'static str, &'static str); 2];
/// Three of them.
type Three = [(&'static str, &'static str); 3];
/// One label with an owner's word (the name of a file or list).
type Named = [(&'static str, String); 1];
/// A gauge of seconds.
type Seconds = Gauge<f64, AtomicU64>;

/// What became of a posted webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookOutcome {
    /// Durable.
    Stored,
    /// Already there.
    Repeat,
    /// A proof is missing or wrong, or the session does not exist.
    Unauthentic,
    /// Over `max_body`.
    TooLarge,
    /// Too many failed authentications from that address.
    Limited,
    /// Cannot be made durable now.
    Unavailable,
}

impl WebhookOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Repeat => "repeat",
            Self::Unauthentic => "unauthentic",
            Self::TooLarge => "too_large",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The labels of a ceiling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ceiling {
    /// The session's name.
    pub session: String,
    /// The class of calls.
    pub class: String,
    /// The window's length as people write it.
    pub window: String,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    events: Family<Two, Counter>,
    entries: Family<One, Counter>,
    decisions: Family<Three, Counter>,
    actions: Family<Two, Counter>,
    gateway_calls: Family<Two, Counter>,
    gateway_seconds: Family<One, Histogram>,
    takeups: Family<[(&'static str, String); 2], Counter>,
    refused: Family<Named, Gauge>,
    facts: Family<Two, Counter>,
    fact_seconds: Family<One, Histogram>,
    payments: Family<[(&'static str, String); 2], Counter>,
    subscriptions: Subscriptions,
    alerts: Family<Named, Counter>,
    journal_oldest: Seconds,
    journal_unread: Gauge,
    outbox_oldest: Seconds,
    outbox_rows: Family<One, Gauge>,
    runs: Family<One, Gauge>,
    brakes: Gauge,
    sweeps: Family<One, Gauge>,
    ceiling_used: Family<Ceiling, Gauge>,
    ceiling_limit: Family<Ceiling, Gauge>,
    cold_locked: Family<Named, Gauge>,
    session_last_event: Family<Named, Seconds>,
    session_working: Family<Named, Gauge>,
    canary_age: Family<Named, Seconds>,
    troubles: Family<Named, Gauge>,
}

/// The figures of the subscription source, which counts for itself.
struct Subscriptions {
    answers: Family<One, Counter>,
    seconds: Counter<f64, AtomicU64>,
    cache: Family<One, Gauge>,
}

impl Subscriptions {
    fn new(r: &mut Registry) -> Self {
        let took = "Time that the subscription source took for all its answers";
        Self {
            answers: family(r, "subscription_answers", "Look-ups of subscriptions, by what became of them"),
            seconds: register(r, "subscription_source_seconds", took, Counter::default()),
            cache: family(r, "subscription_cache", "Answers kept, and questions under way"),
        }
    }
}

/// From a millisecond to half a minute.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.5, 12))
}

/// Registers a metric and hands it back.
fn register<M: Metric + Clone + Debug>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// Registers a family of counters or gauges.
fn family<L, M>(registry: &mut Registry, name: &str, help: &str) -> Family<L, M>
where
    L: Clone + Debug + Hash + Eq,
    M: Default,
    Family<L, M>: Metric,
{
    register(registry, name, help, Family::<L, M>::default())
}

impl Metrics {
    /// An empty set, with the build's version in it.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("perimeterd");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running version", build);
        let r = &mut registry;
        let latency = || Family::<One, Histogram>::new_with_constructor(latencies as fn() -> Histogram);
        Self {
            events: family(r, "events", "Events received, by source and outcome"),
            entries: family(r, "entries", "Journal entries read, by outcome"),
            decisions: family(r, "decisions", "Policy runs, by hook, outcome and final action"),
            actions: family(r, "actions", "Outbox rows that reached a state, by call"),
            gateway_calls: family(r, "gateway_calls", "Calls of the gateway, by class and outcome"),
            gateway_seconds: register(
                r,
                "gateway_call_seconds",
                "Time of a gateway call, by class",
                latency(),
            ),
            takeups: family(r, "takeups", "Edits of the owner's files, taken up or refused"),
            refused: family(
                r,
                "refused",
                "1 while an edit of that file is refused and the old one is in force",
            ),
            facts: family(r, "facts", "Facts looked up, by kind of answer"),
            fact_seconds: register(r, "fact_seconds", "Time until a fact was known, by fact", latency()),
            payments: family(r, "payments", "Webhooks of payment providers, by what they came to"),
            subscriptions: Subscriptions::new(r),
            alerts: family(r, "alerts", "Alerts raised, by kind"),
            journal_oldest: register(
                r,
                "journal_oldest_seconds",
                "Age of the oldest unread entry",
                Gauge::default(),
            ),
            journal_unread: register(r, "journal_unread", "Entries not read yet", Gauge::default()),
            outbox_oldest: register(
                r,
                "outbox_oldest_seconds",
                "How long the oldest waiting row has been due",
                Gauge::default(),
            ),
            outbox_rows: family(r, "outbox_rows", "Outbox rows, by state"),
            brakes: register(r, "brakes", "Groups whose brake holds removals for a human", Gauge::default()),
            sweeps: family(r, "sweeps", "Running sweeps, and memberships that they looked at or have left"),
            runs: family(r, "runs", "Runs that are pending, or parked after a policy error"),
            ceiling_used: family(r, "ceiling_used", "Calls that hold a place in the window now"),
            ceiling_limit: family(r, "ceiling_limit", "Calls the window allows"),
            cold_locked: family(r, "cold_locked", "1 while WhatsApp locks a session's messages to strangers"),
            session_last_event: family(
                r,
                "session_last_event_age_seconds",
                "How long ago a session's last webhook came",
            ),
            session_working: family(r, "session_working", "1 while a session says that it works"),
            canary_age: family(r, "canary_age_seconds", "Age of the newest canary that came through"),
            troubles: family(r, "troubles", "Troubles that last, by kind"),
            registry,
        }
    }

    /// Webhook elements received, or posts refused.
    pub fn webhook(&self, outcome: WebhookOutcome, count: u64) {
        self.event(Source::Webhook, outcome, count);
    }

    /// Entries that came in by any door.
    pub fn event(&self, source: Source, outcome: WebhookOutcome, count: u64) {
        let source = match source {
            Source::Webhook => "webhook",
            Source::Timer => "timer",
            Source::Roster => "roster",
            Source::Sweep => "sweep",
        };
        if count > 0 {
            let labels = [("source", source), ("outcome", outcome.as_str())];
            self.events.get_or_create(&labels).inc_by(count);
        }
    }

    /// Webhook elements that were there already.
    pub fn repeats(&self) -> u64 {
        self.events
            .get_or_create(&[("source", "webhook"), ("outcome", WebhookOutcome::Repeat.as_str())])
            .get()
    }

    /// A journal entry was read: what became of it.
    pub fn entry(&self, state: EntryState) {
        let outcome = match state {
            EntryState::New => "new",
            EntryState::Applied => "applied",
            EntryState::Ignored => "ignored",
            EntryState::Unreadable => "unreadable",
            EntryState::PolicyError => "policy_error",
        };
        self.entries.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A run ended: `outcome` is `decided` or `policy_error`, `last` is `remove`, `admit` or `none`.
    pub fn decision(&self, hook: Hook, outcome: &'static str, last: &'static str) {
        let labels = [("hook", hook.function()), ("outcome", outcome), ("final", last)];
        self.decisions.get_or_create(&labels).inc();
    }

    /// So many outbox rows reached a state.
    pub fn action(&self, call: &'static str, state: RowState, count: usize) {
        self.actions.get_or_create(&[("call", call), ("outcome", state.as_str())]).inc_by(count as u64);
    }

    /// A call of the gateway ended.
    pub fn gateway_call(&self, class: Class, outcome: &'static str, seconds: f64) {
        self.gateway_calls.get_or_create(&[("class", class.as_str()), ("outcome", outcome)]).inc();
        self.gateway_seconds.get_or_create(&[("class", class.as_str())]).observe(seconds);
    }

    /// An owner's file was looked at.
    pub fn takeup(&self, takeup: &Takeup) {
        let (what, outcome, refused) = match takeup {
            Takeup::Taken { what, .. } => (what, "taken", 0),
            Takeup::Refused { what, .. } => (what, "refused", 1),
        };
        self.takeups.get_or_create(&[("what", what.clone()), ("outcome", outcome.to_owned())]).inc();
        self.refused.get_or_create(&[("what", what.clone())]).set(refused);
    }

    /// A fact was looked up: `answer` is `known`, `stale` or `unknown`.
    pub fn fact(&self, name: &'static str, answer: &'static str, seconds: f64) {
        self.facts.get_or_create(&[("fact", name), ("answer", answer)]).inc();
        self.fact_seconds.get_or_create(&[("fact", name)]).observe(seconds);
    }

    /// A payment provider's webhook came; `provider` is a name of the configuration.
    pub fn payment(&self, provider: &str, outcome: &str) {
        let labels = [("provider", provider.to_owned()), ("outcome", outcome.to_owned())];
        self.payments.get_or_create(&labels).inc();
    }

    /// What look-ups of subscriptions came to so far, by kind, how long the source took for them, and what is now.
    pub fn set_subscriptions(
        &self,
        answers: &[(&'static str, u64)],
        took: Duration,
        now: &[(&'static str, u64)],
    ) {
        let Subscriptions { answers: counted, seconds, cache } = &self.subscriptions;
        for (kind, count) in answers {
            counted.get_or_create(&[("kind", *kind)]).inner().store(*count, Relaxed);
        }
        seconds.inner().store(took.as_secs_f64().to_bits(), Relaxed);
        for (what, count) in now {
            cache.get_or_create(&[("what", *what)]).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
    }

    /// An alert was raised.
    pub fn alert(&self, kind: &str) {
        self.alerts.get_or_create(&[("kind", kind.to_owned())]).inc();
    }

    /// How much waits, and since when.
    pub fn set_depths(&self, depths: &Depths, now: Timestamp) {
        let age = |since: Option<Timestamp>| since.map_or(0.0, |since| now.since(since).as_secs_f64());
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.journal_oldest.set(age(depths.oldest_unread));
        self.journal_unread.set(whole(depths.unread));
        self.outbox_oldest.set(age(depths.oldest_waiting));
        self.brakes.set(whole(depths.brakes));
        for (what, count) in [
            ("running", depths.sweeps),
            ("members_looked_at", depths.sweeps_looked),
            ("members_left", depths.sweeps_left),
        ] {
            self.sweeps.get_or_create(&[("what", what)]).set(whole(count));
        }
        self.runs.get_or_create(&[("state", "pending")]).set(whole(depths.pending_runs));
        self.runs.get_or_create(&[("state", "parked")]).set(whole(depths.parked_runs));
        for state in RowState::ALL {
            let rows = depths.outbox.iter().filter(|row| row.0 == state).map(|row| row.2).sum();
            self.outbox_rows.get_or_create(&[("state", state.as_str())]).set(whole(rows));
        }
    }

    /// How a session is, as far as anybody told.
    pub fn set_session(
        &self,
        session: &SessionName,
        works: Option<bool>,
        last_event: Option<Duration>,
        canary: Option<Duration>,
    ) {
        let labels = [("session", session.as_str().to_owned())];
        if let Some(works) = works {
            self.session_working.get_or_create(&labels).set(works.into());
        }
        if let Some(age) = last_event {
            self.session_last_event.get_or_create(&labels).set(age.as_secs_f64());
        }
        if let Some(age) = canary {
            self.canary_age.get_or_create(&labels).set(age.as_secs_f64());
        }
    }

    /// The troubles that last, a kind for each.
    pub fn set_troubles<'a>(&self, kinds: impl Iterator<Item = &'a str>) {
        self.troubles.clear();
        for kind in TROUBLES {
            self.troubles.get_or_create(&[("kind", kind.to_owned())]).set(0);
        }
        for kind in kinds {
            self.troubles.get_or_create(&[("kind", kind.to_owned())]).inc();
        }
    }

    /// How much of a ceiling is in use.
    pub fn set_ceiling(&self, session: &SessionName, class: &str, window: &str, used: u32, limit: u32) {
        let labels = Ceiling {
            session: session.as_str().to_owned(),
            class: class.to_owned(),
            window: window.to_owned(),
        };
        self.ceiling_used.get_or_create(&labels).set(used.into());
        self.ceiling_limit.get_or_create(&labels).set(limit.into());
    }

    /// Whether messages to people who never wrote to us are locked.
    pub fn cold_locked(&self, session: &SessionName, locked: bool) {
        self.cold_locked.get_or_create(&[("session", session.as_str().to_owned())]).set(locked.into());
    }

    /// Everything in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail; an empty page would only mean that a label's encoder gave up.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_told_under_the_promised_names() {
        let metrics = Metrics::new();
        metrics.webhook(WebhookOutcome::Stored, 3);
        metrics.decision(Hook::OnJoin, "decided", "remove");
        metrics.action("remove", RowState::Done, 1);
        metrics.gateway_call(Class::ColdDm, "done", 0.2);
        metrics.fact("subscription", "stale", 0.01);
        metrics.set_ceiling(&SessionName::new("main"), "remove", "1m", 4, 10);
        let text = metrics.render();
        for line in [
            r#"perimeterd_events_total{source="webhook",outcome="stored"} 3"#,
            r#"perimeterd_decisions_total{hook="on_join",outcome="decided",final="remove"} 1"#,
            r#"perimeterd_actions_total{call="remove",outcome="done"} 1"#,
            r#"perimeterd_gateway_calls_total{class="cold_dm",outcome="done"} 1"#,
            r#"perimeterd_facts_total{fact="subscription",answer="stale"} 1"#,
            r#"perimeterd_ceiling_used{session="main",class="remove",window="1m"} 4"#,
            r#"perimeterd_build_info{version=""#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_file_is_refused_until_it_is_taken_up() {
        let metrics = Metrics::new();
        let what = "blacklist scrapers".to_owned();
        metrics.takeup(&Takeup::Refused { what: what.clone(), why: "line 3".into() });
        assert!(metrics.render().contains(r#"perimeterd_refused{what="blacklist scrapers"} 1"#));
        metrics.takeup(&Takeup::Taken { what, detail: String::new(), flaw: None });
        assert!(metrics.render().contains(r#"perimeterd_refused{what="blacklist scrapers"} 0"#));
    }

    #[test]
    fn a_state_without_rows_is_told_as_zero() {
        let metrics = Metrics::new();
        let now = Timestamp(100_000);
        let busy = Depths {
            outbox: vec![(RowState::Waiting, "remove".into(), 2), (RowState::Waiting, "dm".into(), 1)],
            oldest_waiting: Some(Timestamp(98_000)),
            ..Depths::default()
        };
        metrics.set_depths(&busy, now);
        assert!(metrics.render().contains(r#"perimeterd_outbox_rows{state="waiting"} 3"#));
        assert!(metrics.render().contains("perimeterd_outbox_oldest_seconds 2"));
        metrics.set_depths(&Depths::default(), now);
        assert!(metrics.render().contains(r#"perimeterd_outbox_rows{state="waiting"} 0"#));
    }
}
