//! The owner's own tests: functions `test_…` in `policies/tests/*.rhai` build facts, run a chain and assert.
//!
//! They run before a set is taken into force, from the command line, and in our own test run. The language is the
//! policies' own plus `assert`, `assert_eq` and the hooks as functions; it reaches nothing outside either.

use super::{
    ErrorKind, Outcome, Policy, PolicyError, PolicySet, engine,
    error::{explain, explain_parse, misuse},
    fixture::Given,
    group, loader,
    run::Run,
    time,
};
use crate::{
    action::{Action, Asked},
    config::{ChainLink, ScriptLimits},
    event::Hook,
    facts::Verdict,
};
use rhai::{
    AST, ASTNode, Array, CallFnOptions, Dynamic, Engine, EvalAltResult, Expr, Map, NativeCallContext, Scope,
    Stmt,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What the tests of a set came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many passed.
    pub passed: usize,
    /// What failed, with the place of the assertion.
    pub failures: Vec<PolicyError>,
    /// Per policy file, the lines of actions that no test reached.
    pub unreached: Vec<(String, Vec<u32>)>,
}

/// A test file that counts.
#[derive(Clone, Debug)]
pub(super) struct TestFile {
    pub(super) file: String,
    pub(super) text: String,
    /// The functions that touch only loaded policies.
    functions: Vec<String>,
}

/// A test may do more than a policy: many runs in one function.
const LIMITS: ScriptLimits = ScriptLimits {
    operations: 10_000_000,
    string_bytes: 1 << 20,
    elements: 10_000,
    deadline: Duration::from_secs(10),
};

/// The test files of a folder that touch only the loaded policies, and what is wrong with them. A test of a policy that
/// exists and is not loaded is left out; one of a policy that does not exist fails, unless the folder is a kept copy.
pub(super) fn find(dir: &Path, loaded: &BTreeSet<String>, kept: bool) -> (Vec<TestFile>, Vec<PolicyError>) {
    let engine = engine::build(&LIMITS);
    let existing: BTreeSet<String> = loader::file_stems(dir, "rhai").into_iter().collect();
    let (mut found, mut broken) = (Vec::new(), Vec::new());
    for stem in loader::file_stems(&dir.join("tests"), "rhai") {
        let file = format!("tests/{stem}.rhai");
        let Ok(text) = std::fs::read_to_string(dir.join(&file)) else { continue };
        match engine.compile_with_scope(&engine::ambient(), &text) {
            Ok(ast) => {
                let left_out = |word: &String| !loaded.contains(word) && (kept || existing.contains(word));
                let functions: Vec<String> = test_functions(&ast)
                    .into_iter()
                    .filter(|(_, words)| !words.iter().any(left_out))
                    .map(|(name, _)| name)
                    .collect();
                if !functions.is_empty() {
                    found.push(TestFile { file, text, functions });
                }
            }
            // Who it would test cannot be known; it counts if it names a policy that is loaded.
            Err(error) if loaded.iter().any(|policy| text.contains(&format!("\"{policy}\""))) => {
                let (kind, message, position) = explain_parse(&error);
                broken.push(PolicyError::at(kind, &file, &text, position, message));
            }
            Err(_) => {}
        }
    }
    (found, broken)
}

/// The `test_…` functions with the policies that stand in their calls of hooks.
fn test_functions(ast: &AST) -> Vec<(String, BTreeSet<String>)> {
    let place = |position: rhai::Position| (position.line(), position.position());
    let mut calls = Vec::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at))) =
            path.last()
            && Hook::from_function(&call.name).is_some()
            && let Some(chain) = call.args.first()
        {
            let mut words = BTreeSet::new();
            policies_of(chain, &mut words);
            calls.push((place(*at), words));
        }
        true
    });
    let mut tests = Vec::new();
    for function in ast.iter_fn_def().filter(|f| f.name.starts_with("test_") && f.params.is_empty()) {
        let (start, end) = (place(function.body.start_position()), place(function.body.end_position()));
        let inside = calls.iter().filter(|(at, _)| start <= *at && *at <= end);
        tests.push((function.name.to_string(), inside.flat_map(|(_, words)| words.clone()).collect()));
    }
    tests.sort();
    tests
}

/// The policies that a chain names, where they are written out.
fn policies_of(chain: &Expr, words: &mut BTreeSet<String>) {
    match chain {
        Expr::StringConstant(name, _) => {
            words.insert(name.to_string());
        }
        Expr::Array(items, _) => items.iter().for_each(|item| policies_of(item, words)),
        Expr::DynamicConstant(value, _) => {
            let list = value.as_array_ref();
            words.extend(list.iter().flat_map(|l| l.iter()).filter_map(|v| v.clone().into_string().ok()));
        }
        _ => {}
    }
}

/// Runs every test of the set.
pub fn run(set: &PolicySet) -> Report {
    let reached = Arc::new(Mutex::new(BTreeSet::new()));
    let engine = test_engine(set, &reached);
    let mut report = Report::default();
    for test in &set.inner.tests {
        let Ok(mut ast) = engine.compile_with_scope(&engine::ambient(), &test.text) else { continue };
        ast.set_source(test.file.as_str());
        for name in &test.functions {
            match run_one(set, &engine, &ast, name) {
                Ok(()) => report.passed += 1,
                Err(error) => {
                    let fault = explain(&error);
                    let message = format!("{name}: {}", fault.message);
                    let kind = if fault.kind == ErrorKind::Word { ErrorKind::Word } else { ErrorKind::Test };
                    let problem = PolicyError::at(kind, &test.file, &test.text, fault.position, message);
                    report.failures.push(problem);
                }
            }
        }
    }
    let reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
    report.unreached = unreached(set, &reached);
    report
}

fn run_one(set: &PolicySet, engine: &Engine, ast: &AST, name: &str) -> Result<(), Box<EvalAltResult>> {
    let given = Given::read(Hook::OnJoin, Map::new()).map_err(|why| misuse(rhai::Position::NONE, why))?;
    let run = Run::new(given.facts, Arc::clone(&set.inner.templates), None);
    let options = CallFnOptions::new().eval_ast(false).with_tag(Dynamic::from(run));
    let call = || engine.call_fn_with_options::<Dynamic>(options, &mut Scope::new(), ast, name, ());
    engine::with_deadline(LIMITS.deadline, call).0.map(|_| ())
}

/// Lines that asked for something in some test: policy and line.
type Reached = Arc<Mutex<BTreeSet<(String, u32)>>>;

fn test_engine(set: &PolicySet, reached: &Reached) -> Engine {
    let mut engine = engine::build(&LIMITS);
    for hook in Hook::ALL {
        let (set, reached) = (set.clone(), Arc::clone(reached));
        let call = move |ctx: NativeCallContext<'_>, chain: Dynamic, facts: Map| {
            let run =
                TestRun::make(&set, hook, chain, facts).map_err(|why| misuse(ctx.call_position(), why))?;
            let mut reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
            if let Ok(verdict) = &*run.0 {
                reached.extend(verdict.asked.iter().map(|asked| (asked.policy.clone(), asked.line)));
            }
            Ok::<_, Box<EvalAltResult>>(run)
        };
        engine.register_fn(hook.function(), call);
    }
    register_run(&mut engine);
    register_assertions(&mut engine);
    engine
}

/// What a hook came to, as a test sees it. A failed run can be asked for its error and nothing else, so that a test that
/// expects "not removed" cannot pass because the policy is broken.
#[derive(Clone)]
struct TestRun(Arc<Result<Verdict, PolicyError>>);

impl TestRun {
    fn make(set: &PolicySet, hook: Hook, chain: Dynamic, facts: Map) -> Result<Self, String> {
        let chain = links(chain)?;
        for link in &chain {
            if !set.inner.policies.contains_key(&link.policy) {
                let known = set.inner.policies.keys().map(String::as_str);
                let hint = super::vocabulary::did_you_mean(&link.policy, known);
                return Err(format!("there is no policy `{}`{hint}", link.policy));
            }
        }
        let mut given = Given::read(hook, facts)?;
        for _ in 0..64 {
            match set.evaluate_as(&chain, &given.facts, given.country.as_ref()) {
                Outcome::Decided(verdict) => return Ok(Self(Arc::new(Ok(verdict)))),
                Outcome::Failed(problem) => return Ok(Self(Arc::new(Err(problem)))),
                Outcome::Needs(needs) => {
                    for need in needs {
                        let answer = given.answer(&need);
                        given.facts.answers.push((need, answer));
                    }
                }
            }
        }
        Err("the policy asks for ever more facts".into())
    }

    fn verdict(&self) -> Result<&Verdict, Box<EvalAltResult>> {
        self.0.as_ref().as_ref().map_err(|problem| {
            misuse(
                rhai::Position::NONE,
                format!("the policy failed: policies/{}:{}: {}", problem.file, problem.line, problem.message),
            )
        })
    }

    fn final_name(&self) -> Result<Option<&'static str>, Box<EvalAltResult>> {
        Ok(self.verdict()?.final_action().map(|asked| asked.action.name()))
    }
}

/// A chain as a test writes it: `"blacklist"`, `["blacklist", "welcome"]`, `#{ policy: "welcome", mode: "observe" }`.
fn links(chain: Dynamic) -> Result<Vec<ChainLink>, String> {
    let wrong = || "a chain is a list of policies: [\"blacklist\", \"welcome\"]".to_owned();
    let items = if chain.is_array() { chain.into_array().map_err(|_| wrong())? } else { vec![chain] };
    let one = |item: Dynamic| -> Result<ChainLink, String> {
        if let Some(map) = item.clone().try_cast::<Map>() {
            let word = |key: &str| map.get(key).and_then(|value| value.clone().into_string().ok());
            let observe = word("mode").is_some_and(|mode| mode == "observe");
            return Ok(ChainLink { policy: word("policy").ok_or_else(wrong)?, observe });
        }
        Ok(ChainLink { policy: item.into_string().map_err(|_| wrong())?, observe: false })
    };
    items.into_iter().map(one).collect()
}

/// An action as a test sees it.
fn action_map(asked: &Asked) -> Map {
    let mut map = Map::from([
        ("action".into(), asked.action.name().into()),
        ("reason".into(), asked.reason.clone().into()),
        ("policy".into(), asked.policy.clone().into()),
        ("line".into(), i64::from(asked.line).into()),
        ("observed".into(), asked.observe.into()),
    ]);
    let details = serde_json::to_value(&asked.action).unwrap_or_default();
    for key in
        ["text", "name", "on", "mentions", "phone", "invite", "subject", "members", "admins", "description"]
    {
        if let Some(value) = details.get(key) {
            map.insert(key.into(), group::dynamic(value));
        }
    }
    if let Action::Lockdown { lasts: Some(lasts), .. }
    | Action::Tag { lasts: Some(lasts), .. }
    | Action::BlacklistLocally { lasts: Some(lasts), .. } = &asked.action
    {
        map.insert("lasts".into(), Dynamic::from(time::Span::of(*lasts)));
    }
    map
}

fn register_run(engine: &mut Engine) {
    type Fallible<T> = Result<T, Box<EvalAltResult>>;
    engine
        .register_type_with_name::<TestRun>("run")
        .register_get("removed", |run: &mut TestRun| -> Fallible<bool> {
            Ok(run.final_name()? == Some("remove"))
        })
        .register_get("admitted", |run: &mut TestRun| -> Fallible<bool> {
            Ok(run.final_name()? == Some("admit"))
        })
        .register_get("final", |run: &mut TestRun| -> Fallible<Dynamic> {
            Ok(run.final_name()?.map_or(Dynamic::UNIT, Dynamic::from))
        })
        .register_get("look_again", |run: &mut TestRun| -> Fallible<bool> { Ok(run.verdict()?.look_again) })
        .register_get("actions", |run: &mut TestRun| -> Fallible<Array> {
            Ok(run.verdict()?.asked.iter().map(|asked| Dynamic::from(action_map(asked))).collect())
        })
        .register_get("error", |run: &mut TestRun| match &*run.0 {
            Ok(_) => Dynamic::UNIT,
            Err(problem) => problem.message.clone().into(),
        });
}

fn register_assertions(engine: &mut Engine) {
    type Fallible = Result<(), Box<EvalAltResult>>;
    engine
        .register_fn("assert", |ctx: NativeCallContext<'_>, holds: bool| -> Fallible {
            if holds { Ok(()) } else { Err(misuse(ctx.call_position(), "this does not hold")) }
        })
        .register_fn("assert", |ctx: NativeCallContext<'_>, holds: bool, why: &str| -> Fallible {
            if holds { Ok(()) } else { Err(misuse(ctx.call_position(), why)) }
        })
        .register_fn("assert_eq", |ctx: NativeCallContext<'_>, left: Dynamic, right: Dynamic| -> Fallible {
            let at = ctx.call_position();
            let same = time::same(&left, &right, at)? || same_json(&left, &right);
            if same { Ok(()) } else { Err(misuse(at, format!("{left} is not {right}"))) }
        });
}

fn same_json(left: &Dynamic, right: &Dynamic) -> bool {
    let json = |value: &Dynamic| rhai::serde::from_dynamic::<serde_json::Value>(value).ok();
    let compound = left.is_array() || left.is_map();
    compound && json(left).is_some() && json(left) == json(right)
}

/// Lines of policies that call an action and that no test reached.
fn unreached(set: &PolicySet, reached: &BTreeSet<(String, u32)>) -> Vec<(String, Vec<u32>)> {
    let lines = |name: &str, policy: &Policy| {
        let mut lines = action_lines(&policy.ast);
        lines.retain(|line| !reached.contains(&(name.to_owned(), *line)));
        lines.into_iter().collect::<Vec<_>>()
    };
    let all: BTreeMap<_, _> =
        set.inner.policies.iter().map(|(name, p)| (p.file.clone(), lines(name, p))).collect();
    all.into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
}

/// The lines on which a policy asks for something.
fn action_lines(ast: &AST) -> BTreeSet<u32> {
    const ACTIONS: [&str; 18] = [
        "remove",
        "admit",
        "dm",
        "tag",
        "untag",
        "welcome",
        "say",
        "announce_only",
        "revoke_invite",
        "lockdown",
        "set_subject",
        "set_description",
        "lock_info",
        "add",
        "create_group",
        "alert",
        "log",
        "block",
    ];
    let mut lines = BTreeSet::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::MethodCall(call, position) | Expr::FnCall(call, position))) =
            path.last()
            && ACTIONS.contains(&call.name.as_str())
        {
            lines.extend(position.line().and_then(|line| u32::try_from(line).ok()));
        }
        if let Some(ASTNode::Stmt(Stmt::FnCall(call, position))) = path.last()
            && ACTIONS.contains(&call.name.as_str())
        {
            lines.extend(position.line().and_then(|line| u32::try_from(line).ok()));
        }
        true
    });
    lines
}
