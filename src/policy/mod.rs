//! The policy engine: an owner's scripts, applied to facts, come to a verdict.
//!
//! A run is a pure function of the policy set and the [`Facts`]: nothing is sent, fetched or remembered while a script
//! runs. A missing fact ends the run as [`Outcome::Needs`]; the caller fetches it and runs again from the start. This
//! module does no I/O but reading policy files at load ([`load`], [`PolicyBook`]), and never panics on a script.

mod book;
#[cfg(test)]
mod book_tests;
mod bounds;
mod change;
mod engine;
mod error;
mod fixture;
mod globals;
mod group;
mod lint;
mod loader;
mod member;
mod provisioning;
mod run;
mod samples;
pub mod selftest;
mod shipped;
mod template;
#[cfg(test)]
mod tests;
mod time;
mod vocabulary;

pub use book::PolicyBook;
pub use error::{ErrorKind, LoadError, PolicyError};
pub use loader::{ChainSpec, LoadSpec, load};
pub use shipped::shipped;

use crate::{
    config::{ChainLink, ScriptLimits},
    event::Hook,
    facts::{Facts, Need, Verdict},
};
use rhai::{AST, CallFnOptions, Dynamic, Engine, EvalAltResult, Position, Scope};
use run::Run;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
};

/// A loaded set of policies: immutable, checked, cheap to clone. One engine, one compiled script per policy.
#[derive(Clone)]
pub struct PolicySet {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    limits: ScriptLimits,
    policies: BTreeMap<String, Policy>,
    templates: Arc<template::Templates>,
    /// Every file used, by its path relative to the policies folder.
    sources: BTreeMap<String, String>,
    /// The test files that touch only loaded policies.
    tests: Vec<selftest::TestFile>,
    warnings: Vec<String>,
    hash: String,
}

/// One compiled policy.
struct Policy {
    file: String,
    ast: AST,
    hash: String,
    /// The hooks it defines, with the place where each begins.
    hooks: BTreeMap<&'static str, Position>,
}

/// What a run of a chain comes to.
#[derive(Debug)]
pub enum Outcome {
    /// The chain ran to its end.
    Decided(Verdict),
    /// Facts are missing; run again with their answers. Never empty.
    Needs(Vec<Need>),
    /// A policy failed; nothing it asked for counts.
    Failed(PolicyError),
}

impl std::fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySet").field("hash", &self.inner.hash).finish_non_exhaustive()
    }
}

impl PolicySet {
    /// Runs a chain on facts. Pure; never blocks; never panics. Costs microseconds; at most twice the configured
    /// deadline, for a run that does not end by itself.
    pub fn evaluate(&self, chain: &[ChainLink], facts: &Facts) -> Outcome {
        self.evaluate_as(chain, facts, None)
    }

    /// The same, with a country that a test told instead of a phone.
    fn evaluate_as(&self, chain: &[ChainLink], facts: &Facts, country: Option<&Option<String>>) -> Outcome {
        match self.attempt(chain, facts, country) {
            // An overloaded machine deserves a second chance before the owner is told of a fault in the policy.
            (_, true) => match self.attempt(chain, facts, country) {
                (Outcome::Failed(problem), true) => {
                    Outcome::Failed(PolicyError { kind: ErrorKind::Overload, ..problem })
                }
                (outcome, _) => outcome,
            },
            (outcome, false) => outcome,
        }
    }

    /// One try; says whether the deadline was over. A panic inside the script engine is a failed run, no more.
    fn attempt(
        &self,
        chain: &[ChainLink],
        facts: &Facts,
        country: Option<&Option<String>>,
    ) -> (Outcome, bool) {
        let work = AssertUnwindSafe(|| {
            let run = Run::new(facts.clone(), Arc::clone(&self.inner.templates), country.cloned());
            engine::with_deadline(self.inner.limits.deadline, || self.run_chain(chain, &run))
        });
        catch_unwind(work).unwrap_or_else(|_| {
            let why = "the script engine broke down on this run; please report it with the policy";
            (Outcome::Failed(PolicyError::general(ErrorKind::Run, "", why)), false)
        })
    }

    fn run_chain(&self, chain: &[ChainLink], run: &Arc<Run>) -> Outcome {
        let hook = run.facts.hook;
        let mut policies = Vec::with_capacity(chain.len());
        for link in chain {
            let Some(policy) = self.inner.policies.get(&link.policy) else {
                let why = format!("the chain names the policy `{}`, which is not loaded", link.policy);
                return Outcome::Failed(PolicyError::general(ErrorKind::Missing, "", why));
            };
            if !policy.hooks.contains_key(hook.function()) {
                continue;
            }
            policies.push((link.policy.clone(), policy.hash.clone()));
            {
                let mut memo = run.memo();
                memo.policy.clone_from(&link.policy);
                memo.observe = link.observe;
                memo.file.clone_from(&policy.file);
                let begin = policy.hooks.get(hook.function()).and_then(|place| place.line());
                memo.begin = begin.and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
                memo.hook_final = None;
            }
            let result = self.call_hook(policy, hook, run);
            let mut memo = run.memo();
            if !memo.needs.is_empty() {
                return Outcome::Needs(std::mem::take(&mut memo.needs));
            }
            if let Some((kind, message, source, position)) = memo.mistake.take() {
                let fault = error::Fault { kind, message, source, position };
                return Outcome::Failed(self.problem(policy, hook, fault));
            }
            if let Err(error) = result {
                return Outcome::Failed(self.problem(policy, hook, error::explain(&error)));
            }
            if memo.hook_final.is_some() && !link.observe {
                break;
            }
        }
        Outcome::Decided(self.verdict(run, policies))
    }

    fn call_hook(&self, policy: &Policy, hook: Hook, run: &Arc<Run>) -> Result<Dynamic, Box<EvalAltResult>> {
        let options = CallFnOptions::new().eval_ast(false).with_tag(Dynamic::from(Arc::clone(run)));
        let member = member::Member(Arc::clone(run));
        let group = group::Group(Arc::clone(run));
        let (engine, scope) = (&self.inner.engine, &mut Scope::new());
        match hook {
            Hook::OnGroupJoined => {
                engine.call_fn_with_options(options, scope, &policy.ast, hook.function(), (group,))
            }
            Hook::OnGroupChanged => {
                let change = change::Change(Arc::clone(run));
                engine.call_fn_with_options(options, scope, &policy.ast, hook.function(), (group, change))
            }
            Hook::OnJoin | Hook::OnLeave | Hook::OnSweep => {
                engine.call_fn_with_options(options, scope, &policy.ast, hook.function(), (member, group))
            }
        }
    }

    fn verdict(&self, run: &Run, policies: Vec<(String, String)>) -> Verdict {
        let mut memo = run.memo();
        let unknown = memo.unknown;
        let mut verdict = Verdict {
            asked: std::mem::take(&mut memo.asked),
            evidence: std::mem::take(&mut memo.evidence),
            policies,
            look_again: false,
        };
        verdict.look_again = unknown && verdict.final_action().is_none() && run.facts.hook.has_member();
        verdict
    }

    /// Puts a fault into the file it stands in: the policy's own, or a library's. Where the engine names no place, the
    /// hook's beginning is it.
    fn problem(&self, policy: &Policy, hook: Hook, fault: error::Fault) -> PolicyError {
        let mut position = fault.position;
        if position.is_none() {
            let begin = policy.hooks.get(hook.function()).copied().unwrap_or(Position::NONE);
            let endless = matches!(fault.kind, ErrorKind::Limit | ErrorKind::Overload);
            position = endless.then(|| lint::first_loop(&policy.ast)).flatten().unwrap_or(begin);
        }
        let known = |name: &String| self.inner.sources.contains_key(name);
        let file = fault.source.filter(known).unwrap_or_else(|| policy.file.clone());
        let text = self.inner.sources.get(&file).map_or("", String::as_str);
        PolicyError::at(fault.kind, &file, text, position, fault.message)
    }

    /// Whether any policy of the chain defines the hook: whether a run would do anything.
    pub fn defines(&self, chain: &[ChainLink], hook: Hook) -> bool {
        let defines = |policy: &Policy| policy.hooks.contains_key(hook.function());
        chain.iter().any(|link| self.inner.policies.get(&link.policy).is_some_and(defines))
    }

    /// What `check` should say although the set is good.
    pub fn warnings(&self) -> &[String] {
        &self.inner.warnings
    }

    /// The content hash over all files used.
    pub fn hash(&self) -> &str {
        &self.inner.hash
    }

    /// The files used, by their path relative to the policies folder, with their content.
    pub fn files(&self) -> Vec<(PathBuf, String)> {
        self.inner.sources.iter().map(|(path, text)| (PathBuf::from(path), text.clone())).collect()
    }
}
