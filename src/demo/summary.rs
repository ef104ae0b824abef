//! What the day came to: totals, the budget as the gateway saw it, the ban meter, and whether the day kept what it promises.
//!
//! The gateway's side is asked wherever it can be: what it saw is what WhatsApp would have seen.

use super::{Played, chronicle::Chronicle, phrases, stage::Stage};
use crate::{
    action::{Call, Class, RowState},
    app::App,
    clock::format_duration,
    ids::Person,
    simulator::scenario::Day,
    store::Row,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole.
#[derive(Serialize)]
pub(super) struct Summary {
    /// Seconds from the start to the end.
    pub(super) seconds: f64,
    pub(super) totals: Totals,
    pub(super) budget: Vec<Budget>,
    pub(super) ban_meter: BanMeter,
    /// What still waits for its place under a ceiling.
    pub(super) waiting: Vec<Waiting>,
    pub(super) promises: Vec<Promise>,
}

/// Counts of the day.
#[derive(Serialize)]
pub(super) struct Totals {
    pub(super) joins: usize,
    pub(super) decisions: usize,
    pub(super) removed: usize,
    pub(super) welcomed: usize,
    pub(super) welcome_messages: usize,
    pub(super) private_messages: usize,
    pub(super) lockdowns: usize,
    pub(super) opened_again: usize,
    pub(super) repeats_ignored: u64,
    /// People whose fate needed a fact that nobody knew; all of them are still inside.
    pub(super) kept_because_unknown: usize,
    /// Calls whose outcome nobody knows.
    pub(super) unknown_outcomes: usize,
    pub(super) stopped_by_the_dead_link: usize,
}

/// One ceiling and the fullest window of the day.
#[derive(Serialize)]
pub(super) struct Budget {
    pub(super) class: Class,
    pub(super) window: String,
    pub(super) used: usize,
    pub(super) limit: u32,
}

/// How the simulated WhatsApp thinks of the number.
#[derive(Serialize)]
pub(super) struct BanMeter {
    pub(super) points: f64,
    pub(super) threshold: f64,
    pub(super) restricted: bool,
}

/// Rows in line.
#[derive(Serialize)]
pub(super) struct Waiting {
    pub(super) call: &'static str,
    pub(super) count: usize,
}

/// Something that the day is to show.
#[derive(Serialize)]
pub(super) struct Promise {
    pub(super) text: &'static str,
    pub(super) kept: bool,
}

impl Summary {
    /// Adds it up.
    pub(super) fn of(day: &Day, stage: &Stage, app: &App, chronicle: &Chronicle, played: &Played) -> Self {
        let totals = Totals::of(chronicle, app, played);
        let budget = budget(stage);
        let ban_meter = stage.sim.with(|world| {
            let meter = world.meter();
            BanMeter {
                points: meter.points().round(),
                threshold: meter.threshold,
                restricted: meter.is_restricted(),
            }
        });
        let promises =
            promises(&Evidence { day, stage, chronicle, totals: &totals, budget: &budget, played });
        let mut waiting: BTreeMap<&'static str, usize> = BTreeMap::new();
        for row in chronicle.rows().filter(|row| row.state == RowState::Waiting) {
            *waiting.entry(row.call.name()).or_default() += 1;
        }
        Self {
            seconds: (played.took.as_secs_f64() * 10.0).round() / 10.0,
            totals,
            budget,
            ban_meter,
            waiting: waiting.into_iter().map(|(call, count)| Waiting { call, count }).collect(),
            promises,
        }
    }

    /// Whether everything that the day promises happened.
    pub(super) fn is_kept(&self) -> bool {
        self.promises.iter().all(|promise| promise.kept)
    }
}

impl Totals {
    fn of(chronicle: &Chronicle, app: &App, played: &Played) -> Self {
        let done = |wanted: fn(&Call) -> bool| {
            chronicle.rows().filter(|row| row.state == RowState::Done && wanted(&row.call)).count()
        };
        let unknown = chronicle.joins().filter(|decision| {
            decision.verdict.final_action().is_none() && !phrases::unknown_facts(decision).is_empty()
        });
        Self {
            joins: chronicle.joins().count(),
            decisions: chronicle.decisions().count(),
            removed: done(|call| matches!(call, Call::Remove { .. })),
            welcomed: done(|call| matches!(call, Call::Welcome { .. })),
            welcome_messages: chronicle.welcomes().len(),
            private_messages: done(|call| matches!(call, Call::Dm { .. })),
            lockdowns: done(|call| matches!(call, Call::AnnounceOnly { on: true, .. })),
            opened_again: done(|call| matches!(call, Call::AnnounceOnly { on: false, .. })),
            repeats_ignored: app.metrics.repeats(),
            kept_because_unknown: unknown.count(),
            unknown_outcomes: chronicle.rows().filter(|row| row.state == RowState::Unknown).count(),
            stopped_by_the_dead_link: played.turned_away,
        }
    }
}

/// Every ceiling of a class that was used, with the most calls that the gateway saw in any window of that length.
fn budget(stage: &Stage) -> Vec<Budget> {
    stage.sim.with(|world| {
        let all = stage.limits.iter().flat_map(|(class, windows)| windows.iter().map(move |w| (*class, *w)));
        let all = all.map(|(class, window)| Budget {
            class,
            window: format_duration(window.length),
            used: world.most_in_any_window(class, window.length),
            limit: window.calls,
        });
        all.filter(|budget| budget.used > 0).collect()
    })
}

/// What the promises are judged by.
struct Evidence<'a> {
    day: &'a Day,
    stage: &'a Stage,
    chronicle: &'a Chronicle,
    totals: &'a Totals,
    budget: &'a [Budget],
    played: &'a Played,
}

fn promises(seen: &Evidence<'_>) -> Vec<Promise> {
    let promise = |text, kept| Promise { text, kept };
    let totals = seen.totals;
    vec![
        promise("paying members were welcomed in one message", seen.someone_was_welcomed_with_others()),
        promise("nobody who may stay was put out", seen.everyone_welcome_is_untouched()),
        promise("everybody who may not stay is out, once", seen.unwanted_are_out_once()),
        promise("lapsed members were told, within the cold budget", seen.lapsed_were_told()),
        promise("scrapers were out within seconds", seen.scrapers_left_fast()),
        promise(
            "the raid was answered by one lockdown that opened again",
            totals.lockdowns == 1 && totals.opened_again == 1 && !seen.stage.is_locked(),
        ),
        promise("repeated deliveries were ignored", totals.repeats_ignored > 0),
        promise("no ceiling was exceeded", seen.budget.iter().all(|b| b.used <= b.limit as usize)),
        promise("everything came to its end in time", seen.played.settled),
    ]
}

impl Evidence<'_> {
    fn removals(&self) -> impl Iterator<Item = &Row> {
        self.chronicle
            .rows()
            .filter(|row| matches!(row.call, Call::Remove { .. }) && row.state == RowState::Done)
    }

    /// Removal calls that the gateway got about somebody.
    fn removal_calls(&self, person: Person) -> usize {
        let calls = self.stage.sim.calls();
        calls
            .iter()
            .filter(|call| call.is(Class::Remove) && call.person.is_some_and(|p| p.same_as(person)))
            .count()
    }

    fn someone_was_welcomed_with_others(&self) -> bool {
        self.chronicle.welcomes().iter().any(|together| together.len() > 1)
    }

    fn everyone_welcome_is_untouched(&self) -> bool {
        self.day.may_stay.iter().all(|who| self.removal_calls(Person::of_phone(who.phone)) == 0)
    }

    /// Those of them who came in at all.
    fn unwanted_are_out_once(&self) -> bool {
        let unwanted = self.day.lapsed.iter().chain(&self.day.scrapers).chain(&self.day.raiders);
        let mut came = unwanted.map(|who| Person::of_phone(who.phone)).filter(|person| self.came(*person));
        came.all(|person| {
            let inside = self.stage.sim.with(|world| world.is_member(&self.day.group, person));
            !inside && self.removal_calls(person) == 1
        })
    }

    fn came(&self, person: Person) -> bool {
        self.chronicle.joins().any(|join| join.member.is_some_and(|member| self.is_same(member, person)))
    }

    /// The directory may know only the hidden id of somebody whose phone the day knows.
    fn is_same(&self, one: Person, other: Person) -> bool {
        self.stage.sim.with(|world| world.known(one).is_some() && world.known(one) == world.known(other))
    }

    fn lapsed_were_told(&self) -> bool {
        let told: Vec<Person> =
            self.stage.sim.with(|world| world.sent().iter().filter_map(|m| m.to).collect());
        self.day.lapsed.iter().all(|who| {
            let lapsed = Person::of_phone(who.phone);
            told.iter().any(|person| person.same_as(lapsed))
        })
    }

    fn scrapers_left_fast(&self) -> bool {
        let mut listed = self.removals().filter(|row| row.policy == "blacklist").peekable();
        listed.peek().is_some()
            && listed.all(|row| row.settled_at.is_some_and(|at| at.since(row.created_at).as_secs() < 10))
    }
}
