//! The one place that builds a script engine: which packages, which words are gone, every limit.
//!
//! What is not in here does not exist for scripts: no clock, no randomness, no files, no network, no function pointers
//! (they escape the limits and can swallow the stop at a missing fact, measured with Rhai 1.27).

use super::{change, globals, group, member, provisioning, run::Run, time};
use crate::{
    clock::{Clock, SystemClock},
    config::ScriptLimits,
};
use rhai::{
    Dynamic, Engine, OptimizationLevel, Scope,
    packages::{
        ArithmeticPackage, BasicIteratorPackage, BasicMathPackage, BasicStringPackage, LogicPackage,
        MoreStringPackage, Package,
    },
};
use std::{cell::RefCell, sync::Arc, time::Duration};

/// Deeper recursion than this aborts the process on a two-megabyte stack in combination with deep expressions.
const CALL_LEVELS: usize = 16;
/// Nesting of expressions, outside and inside of functions.
const EXPRESSION_DEPTH: usize = 32;
/// Variables of one scope, functions of one script, modules.
const VARIABLES: usize = 256;
const FUNCTIONS: usize = 256;
const MODULES: usize = 64;
/// The clock is asked only so often.
const TICKS_PER_LOOK: u64 = 256;

/// The deadline of the run on this thread. The engine's progress call-back is told nothing about the run, so the
/// thread must; facts never travel this way.
struct Watch {
    clock: SystemClock,
    allowed: Duration,
    ticks: u64,
    over: bool,
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Takes the watch off the thread, even if the work panics.
struct TakeOff;

impl Drop for TakeOff {
    fn drop(&mut self) {
        WATCH.set(None);
    }
}

/// Runs `work` under a deadline, and says whether that was over. Within another one, the outer deadline counts.
pub(super) fn with_deadline<T>(allowed: Duration, work: impl FnOnce() -> T) -> (T, bool) {
    if WATCH.with_borrow(Option::is_some) {
        return (work(), false);
    }
    let _take_off = TakeOff;
    WATCH.set(Some(Watch { clock: SystemClock::new(), allowed, ticks: 0, over: false }));
    let result = work();
    let over = WATCH.with_borrow(|watch| watch.as_ref().is_some_and(|watch| watch.over));
    (result, over)
}

/// Whether the deadline of the run on this thread still lies ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// It does, or there is none.
    Going,
    /// It is over.
    Over,
}

/// Counts work with its own ticks, because the engine's count does not always grow; once over, it stays over, because
/// an ending can be swallowed.
pub(super) fn spend(work: u64) -> Watched {
    WATCH.with_borrow_mut(|watch| {
        let Some(watch) = watch.as_mut() else { return Watched::Going };
        let looks = watch.ticks / TICKS_PER_LOOK;
        watch.ticks = watch.ticks.saturating_add(work);
        if !watch.over && watch.ticks / TICKS_PER_LOOK != looks {
            watch.over = watch.clock.elapsed() > watch.allowed;
        }
        if watch.over { Watched::Over } else { Watched::Going }
    })
}

/// The engine's progress call-back.
fn tick(_operations: u64) -> Option<Dynamic> {
    (spend(1) == Watched::Over).then_some(Dynamic::UNIT)
}

/// The names that scripts may use without declaring them; their values come from the run.
pub(super) fn ambient() -> Scope<'static> {
    let mut scope = Scope::new();
    scope.push_dynamic("now", Dynamic::UNIT).push_dynamic("params", Dynamic::UNIT);
    scope
}

/// An engine with the policy language and nothing else.
pub(super) fn build(limits: &ScriptLimits) -> Engine {
    let mut engine = Engine::new_raw();
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    for symbol in ["eval", "Fn", "call", "curry", "import", "export", "is_shared", "print", "debug"] {
        engine.disable_symbol(symbol);
    }
    engine
        .set_allow_anonymous_fn(false)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        // The built-in operators answer a comparison of unlike types with a silent `false`; ours refuse it.
        .set_fast_operators(false)
        .set_optimization_level(OptimizationLevel::Simple)
        .set_max_operations(limits.operations)
        .set_max_call_levels(CALL_LEVELS)
        .set_max_expr_depths(EXPRESSION_DEPTH, EXPRESSION_DEPTH)
        .set_max_string_size(limits.string_bytes)
        .set_max_array_size(limits.elements)
        .set_max_map_size(limits.elements)
        .set_max_variables(VARIABLES)
        .set_max_functions(FUNCTIONS)
        .set_max_modules(MODULES)
        .on_progress(tick);
    resolve_ambient(&mut engine);
    time::register(&mut engine);
    member::register(&mut engine);
    group::register(&mut engine);
    change::register(&mut engine);
    provisioning::register(&mut engine);
    globals::register(&mut engine);
    engine
}

/// Gives functions `now` and `params`, which a function of the language could not see otherwise.
#[expect(deprecated, reason = "the engine marks this call-back as volatile; there is no other way")]
fn resolve_ambient(engine: &mut Engine) {
    engine.on_var(|name, index, context| {
        if index != 0 {
            return Ok(None);
        }
        let run = || context.tag().clone().try_cast::<Arc<Run>>();
        Ok(match name {
            "now" => run().map(|run| Dynamic::from(time::Time(run.facts.now))),
            "params" => run().map(|run| group::params(&run.facts.group.params).into()),
            _ => None,
        })
    });
}
