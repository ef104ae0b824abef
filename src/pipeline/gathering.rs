//! Facts for a run: what is at hand at once, what has to be fetched, and the loop of runs between.
//!
//! A script that meets a missing fact ends; the fact is looked up; the script runs again from the start (`policy-api.md`
//! §1). Facts at hand cost a re-run of microseconds, the others a trip outside; nobody else waits for it.

use super::velocity::{Move, Velocity};
use crate::{
    clock::Clock,
    config::{self, Config},
    facts::{Answer, Facts, Lookup, Need},
    ids::{Lid, Person, Phone, SessionName},
    lists::ListBook,
    policy::{Outcome, PolicySet},
    store::RunInput,
    subscriptions::SubscriptionBook,
    telemetry::Metrics,
};
use async_trait::async_trait;
use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

/// A run meets at most so many missing facts one after the other; more is a policy that never ends.
const MOST_ROUNDS: usize = 16;

/// Learns the phone behind a LID from the gateway, within the `read` ceiling.
#[async_trait]
pub trait Identities: Send + Sync {
    /// The phone, or why nobody knows it now. Never waits for a ceiling.
    async fn phone_of(&self, session: &SessionName, lid: Lid) -> Lookup<Phone>;
}

/// Everybody who can answer a need.
pub(super) struct Gathering {
    pub(super) config: Arc<Config>,
    pub(super) wall: Arc<dyn Clock>,
    pub(super) lists: Arc<ListBook>,
    pub(super) subscriptions: Arc<SubscriptionBook>,
    pub(super) velocity: RwLock<Velocity>,
    pub(super) identities: Arc<dyn Identities>,
    pub(super) metrics: Arc<Metrics>,
}

/// Where a run stands after the facts at hand.
pub(super) enum Progress {
    /// It came to something.
    Finished(Outcome),
    /// These have to be fetched first.
    Missing(Vec<Need>),
}

impl Gathering {
    /// The facts that the directory and the configuration give.
    pub(super) fn base(&self, input: &RunInput, block: &config::Group) -> Facts {
        let mut group = input.group.clone();
        group.params = block.params.clone();
        // Until WhatsApp's name of the group is read, the owner's own name for it stands in texts to people.
        if group.subject.is_empty() {
            group.subject.clone_from(&block.name);
        }
        Facts {
            hook: input.hook,
            now: input.now,
            member: input.member.clone(),
            group,
            change: input.change.clone(),
            time_zone: block.time_zone.clone().unwrap_or_else(|| self.config.server.time_zone.clone()),
            language: block.language.clone().or_else(|| self.config.server.language.clone()),
            answers: Vec::new(),
        }
    }

    /// Runs the chain as far as the facts at hand carry it. No answer is older than `max_age`, where that is given.
    pub(super) fn advance(
        &self,
        set: &PolicySet,
        block: &config::Group,
        facts: &mut Facts,
        max_age: Option<Duration>,
    ) -> Progress {
        for _ in 0..MOST_ROUNDS {
            let needs = match set.evaluate(&block.chain, facts) {
                Outcome::Needs(needs) => needs,
                outcome => return Progress::Finished(outcome),
            };
            let mut missing = Vec::new();
            for need in needs {
                match self.at_hand(facts, &need, max_age) {
                    Some(answer) if rests_on_the_phone(&answer) && phone_may_be_learned(facts) => {
                        missing.push(Need::Phone);
                    }
                    Some(answer) => facts.answers.push((need, answer)),
                    None => missing.push(need),
                }
            }
            missing.dedup();
            if !missing.is_empty() {
                return Progress::Missing(missing);
            }
        }
        Progress::Finished(Outcome::Needs(Vec::new()))
    }

    /// Fetches what is missing, all at once.
    pub(super) async fn fetch(
        &self,
        session: &SessionName,
        facts: &Facts,
        needs: Vec<Need>,
        max_age: Option<Duration>,
    ) -> Vec<(Need, Answer)> {
        let mut answers = Vec::with_capacity(needs.len());
        for need in needs {
            let started = self.wall.elapsed();
            let answer = match (&need, person(facts)) {
                (Need::Phone, Person { lid: Some(lid), .. }) => {
                    Answer::Phone(self.identities.phone_of(session, lid).await)
                }
                (Need::Subscription, Person { phone: Some(phone), .. }) => {
                    Answer::Subscription(self.subscriptions.fetch(phone, max_age).await)
                }
                _ => continue,
            };
            let (name, kind) = described(&answer);
            self.metrics.fact(name, kind, self.wall.elapsed().saturating_sub(started).as_secs_f64());
            answers.push((need, answer));
        }
        answers
    }

    /// After a fetch: what is at hand is read anew. A list or a payment that changed meanwhile counts for whoever waited.
    pub(super) fn renew(&self, facts: &mut Facts) {
        let mut answers = std::mem::take(&mut facts.answers);
        // Who it is comes first: the others are read by it.
        facts.answers.extend(answers.extract_if(.., |(need, _)| *need == Need::Phone));
        for (need, answer) in answers {
            let now = match need {
                Need::Blacklist | Need::Allowlist | Need::Subscription => self.at_hand(facts, &need, None),
                _ => None,
            };
            facts.answers.push((need, now.unwrap_or(answer)));
        }
    }

    fn at_hand(&self, facts: &Facts, need: &Need, max_age: Option<Duration>) -> Option<Answer> {
        let who = person(facts);
        let now = self.wall.now();
        match need {
            Need::Blacklist => Some(Answer::Blacklist(self.lists.blacklist(who, now))),
            Need::Allowlist => Some(Answer::Allowlist(self.lists.allowlisted(who, now))),
            Need::Joins(window) => Some(self.moves(facts, Move::Join, *window)),
            Need::Leaves(window) => Some(self.moves(facts, Move::Leave, *window)),
            Need::Phone => match (who.phone, who.lid) {
                (Some(phone), _) => Some(Answer::Phone(Lookup::Known {
                    value: phone,
                    as_of: now,
                    source: "directory".into(),
                    stale: false,
                })),
                (None, Some(_)) => None,
                (None, None) => Some(Answer::Phone(unknown("nobody told who this is"))),
            },
            Need::Subscription => match who.phone {
                Some(phone) => self.subscriptions.now_or_none(phone, max_age).map(Answer::Subscription),
                None => Some(Answer::Subscription(unknown("WhatsApp hides this person's number"))),
            },
        }
    }

    fn moves(&self, facts: &Facts, way: Move, window: Duration) -> Answer {
        let velocity = self.velocity.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Answer::Count(velocity.count(&facts.group.id, way, window, facts.now))
    }
}

/// Who the run is about, with what has been learned during it.
fn person(facts: &Facts) -> Person {
    let mut who = facts.member.as_ref().map(|member| member.person).unwrap_or_default();
    if let Some(Answer::Phone(Lookup::Known { value, .. })) = facts.answer(&Need::Phone) {
        who.phone = who.phone.or(Some(*value));
    }
    who
}

/// A list names people by phone: it cannot tell of somebody who is known by LID only.
fn rests_on_the_phone(answer: &Answer) -> bool {
    matches!(answer, Answer::Blacklist(Lookup::Unknown { .. }) | Answer::Allowlist(Lookup::Unknown { .. }))
}

/// Whether the gateway may know the phone and was not asked yet.
fn phone_may_be_learned(facts: &Facts) -> bool {
    let who = person(facts);
    who.phone.is_none() && who.lid.is_some() && facts.answer(&Need::Phone).is_none()
}

fn unknown<T>(why: &str) -> Lookup<T> {
    Lookup::Unknown { why: why.into() }
}

/// The fact's name and the kind of answer, for the metrics.
fn described(answer: &Answer) -> (&'static str, &'static str) {
    fn kind<T>(lookup: &Lookup<T>) -> &'static str {
        match lookup {
            Lookup::Known { stale: true, .. } => "stale",
            Lookup::Known { .. } => "known",
            Lookup::Unknown { .. } => "unknown",
        }
    }
    match answer {
        Answer::Phone(lookup) => ("phone", kind(lookup)),
        Answer::Subscription(lookup) => ("subscription", kind(lookup)),
        Answer::Blacklist(lookup) => ("blacklist", kind(lookup)),
        Answer::Allowlist(lookup) => ("allowlist", kind(lookup)),
        Answer::Count(_) => ("velocity", "known"),
    }
}
