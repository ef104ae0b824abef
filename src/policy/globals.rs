//! What scripts call by its bare name, and what lists and maps can do.
//!
//! The engine's own list and map packages take function pointers, which escape its limits and can swallow the stop at a
//! missing fact; so the few harmless methods are given here instead.

use super::{
    bounds,
    error::misuse,
    run::{self, Run, wording},
    time::{self, Time},
};
use crate::action::Action;
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map, NativeCallContext};
use std::collections::BTreeMap;

type Fallible<T> = Result<T, Box<EvalAltResult>>;

fn template(ctx: &NativeCallContext<'_>, name: &str, values: Map) -> Fallible<String> {
    let run = run::of(ctx)?;
    let values: BTreeMap<String, String> =
        values.into_iter().map(|(key, value)| (key.to_string(), text_of(&run, &value))).collect();
    let text = run.templates.fill(name, run.facts.language.as_deref(), &values);
    let text = text.map_err(|why| misuse(ctx.call_position(), why))?;
    bounds::text(ctx, text.len())?;
    Ok(text)
}

fn text_of(run: &Run, value: &Dynamic) -> String {
    match value.clone().try_cast::<Time>() {
        Some(moment) => time::written(run, moment),
        None if value.is_unit() => String::new(),
        None => match value.clone().try_cast::<time::Span>() {
            Some(span) => span.to_string(),
            None => value.to_string(),
        },
    }
}

fn contains(ctx: &NativeCallContext<'_>, list: &[Dynamic], wanted: &Dynamic) -> Fallible<bool> {
    for item in list {
        if time::same(item, wanted, ctx.call_position())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn count_in(ctx: &NativeCallContext<'_>, list: &[Dynamic], others: &[Dynamic]) -> Fallible<i64> {
    let mut count = 0;
    for item in list {
        bounds::spend(ctx, others.len())?;
        count += i64::from(contains(ctx, others, item)?);
    }
    Ok(count)
}

/// Gives the engine the global functions, lists and maps.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("template", |ctx: NativeCallContext<'_>, name: &str, values: Map| {
            template(&ctx, name, values)
        })
        .register_fn("template", |ctx: NativeCallContext<'_>, name: &str| template(&ctx, name, Map::new()))
        .register_fn("log", |ctx: NativeCallContext<'_>, text: &str| -> Fallible<()> {
            run::of(&ctx)?.ask(&ctx, Action::Log { text: text.into() }, "")
        })
        .register_fn("alert", |ctx: NativeCallContext<'_>, text: &str| -> Fallible<()> {
            let text = wording(&ctx, text, "text")?.to_owned();
            run::of(&ctx)?.ask(&ctx, Action::Alert { text }, "")
        });
    bounds::register(engine);
    register_lists(engine);
    register_maps(engine);
}

fn register_lists(engine: &mut Engine) {
    engine
        .register_iterator::<Array>()
        .register_fn("any_in", |ctx: NativeCallContext<'_>, list: Array, others: Array| -> Fallible<bool> {
            Ok(count_in(&ctx, &list, &others)? > 0)
        })
        .register_fn("count_in", |ctx: NativeCallContext<'_>, list: Array, others: Array| {
            count_in(&ctx, &list, &others)
        })
        .register_fn("contains", |ctx: NativeCallContext<'_>, list: &mut Array, wanted: Dynamic| {
            contains(&ctx, list, &wanted)
        })
        .register_fn("len", |list: &mut Array| i64::try_from(list.len()).unwrap_or(i64::MAX))
        .register_get("len", |list: &mut Array| i64::try_from(list.len()).unwrap_or(i64::MAX))
        .register_fn("is_empty", |list: &mut Array| list.is_empty())
        .register_get("is_empty", |list: &mut Array| list.is_empty())
        .register_fn("first", |list: &mut Array| list.first().cloned().unwrap_or(Dynamic::UNIT))
        .register_fn("last", |list: &mut Array| list.last().cloned().unwrap_or(Dynamic::UNIT))
        .register_fn("push", push)
        .register_fn("+=", push_all)
        .register_fn(
            "join",
            |ctx: NativeCallContext<'_>, list: &mut Array, between: &str| -> Fallible<String> {
                let run = run::of(&ctx)?;
                let texts: Vec<String> = list.iter().map(|item| text_of(&run, item)).collect();
                let length = texts.iter().map(|text| text.len() + between.len()).sum();
                bounds::text(&ctx, length)?;
                Ok(texts.join(between))
            },
        );
}

#[expect(clippy::needless_pass_by_value, reason = "the engine hands the context over")]
fn push(ctx: NativeCallContext<'_>, list: &mut Array, item: Dynamic) -> Fallible<()> {
    bounds::room(&ctx, list.iter(), std::iter::once(&item))?;
    list.push(item);
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "the engine hands the context over")]
fn push_all(ctx: NativeCallContext<'_>, list: &mut Array, items: Array) -> Fallible<()> {
    bounds::room(&ctx, list.iter(), items.iter())?;
    list.extend(items);
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "the engine hands the context over")]
fn set(ctx: NativeCallContext<'_>, map: &mut Map, key: &str, value: Dynamic) -> Fallible<()> {
    bounds::room(&ctx, map.values(), std::iter::once(&value))?;
    map.insert(key.into(), value);
    Ok(())
}

fn register_maps(engine: &mut Engine) {
    engine
        .register_fn("len", |map: &mut Map| i64::try_from(map.len()).unwrap_or(i64::MAX))
        .register_fn("is_empty", |map: &mut Map| map.is_empty())
        .register_fn("contains", |map: &mut Map, key: &str| map.contains_key(key))
        .register_fn("get", |map: &mut Map, key: &str| map.get(key).cloned().unwrap_or(Dynamic::UNIT))
        .register_fn("set", set)
        .register_fn("keys", |map: &mut Map| {
            map.keys().map(|key| Dynamic::from(ImmutableString::from(key.as_str()))).collect::<Array>()
        })
        .register_fn("values", |map: &mut Map| map.values().cloned().collect::<Array>());
}
