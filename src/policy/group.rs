//! `group`: what scripts read of a group, and what they ask for.

use super::{
    error::misuse,
    member::{Member, mentions, text_or_unit},
    run::{Run, wording},
    time,
};
use crate::{action::Action, clock::format_duration, facts::Need};
use rhai::{Array, Dynamic, Engine, EvalAltResult, Map, NativeCallContext};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// The handle that scripts hold.
#[derive(Clone)]
pub(super) struct Group(pub(super) Arc<Run>);

/// The id in `[VIP-789] …` or `PROJ-101 | …` subjects.
fn serial(subject: &str) -> Option<String> {
    let subject = subject.trim();
    let bracketed = subject.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(id, _)| id);
    let piped = subject.split_once('|').map(|(id, _)| id);
    let id = bracketed.or(piped)?.trim();
    let fits = !id.is_empty()
        && id.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
        && id.chars().any(|c| c.is_ascii_digit());
    fits.then(|| id.to_owned())
}

/// A value of the configuration as scripts see it.
pub(super) fn dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(on) => (*on).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::MAX).into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(dynamic).collect::<Array>().into(),
        Value::Object(map) => params(map).into(),
    }
}

/// The parameters of a group as a map.
pub(super) fn params(map: &serde_json::Map<String, Value>) -> Map {
    map.iter().map(|(key, value)| (key.as_str().into(), dynamic(value))).collect()
}

macro_rules! from_directory {
    ($engine:expr, $($name:literal => |$facts:ident| $value:expr;)*) => {
        $($engine.register_get($name, |group: &mut Group| {
            let $facts = &group.0.facts.group;
            let value = $value;
            group.0.read(concat!("group.", $name), value.clone());
            value
        });)*
    };
}

/// The longest name and description that WhatsApp takes.
pub(super) const LONGEST_SUBJECT: usize = 100;
pub(super) const LONGEST_DESCRIPTION: usize = 2048;

/// A text of a group's info, of a length that can be set.
pub(super) fn bounded<'a>(ctx: &NativeCallContext<'_>, text: &'a str, longest: usize) -> Fallible<&'a str> {
    let length = text.chars().count();
    if length > longest {
        let why = format!("`{}` takes at most {longest} characters, these are {length}", ctx.fn_name());
        return Err(misuse(ctx.call_position(), why));
    }
    Ok(text)
}

/// Gives the engine `group`.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Group>("group");
    from_directory! { engine,
        "id" => |facts| facts.id.as_str().to_owned();
        "subject" => |facts| facts.subject.clone();
        "description" => |facts| facts.description.clone();
        "size" => |facts| i64::from(facts.size);
        "capacity" => |facts| i64::from(facts.capacity);
        "is_announce_only" => |facts| facts.announce_only.unwrap_or(false);
        "is_archived" => |facts| facts.archived;
        "created_by_us" => |facts| facts.created_by_us;
        "we_are_admin" => |facts| facts.we_are_admin();
    }
    engine
        .register_get("serial", |group: &mut Group| {
            let serial = serial(&group.0.facts.group.subject);
            group.0.read("group.serial", serial.clone());
            text_or_unit(serial)
        })
        .register_get("tags", |group: &mut Group| {
            let tags = &group.0.facts.group.tags;
            group.0.read("group.tags", tags.clone());
            tags.iter().cloned().map(Dynamic::from).collect::<Array>()
        })
        .register_get("params", |group: &mut Group| params(&group.0.facts.group.params))
        .register_fn("has_tag", |group: &mut Group, name: &str| {
            let has = group.0.facts.group.tags.iter().any(|tag| tag == name);
            group.0.read(&format!("group.has_tag(\"{name}\")"), has);
            has
        })
        .register_fn("joins", |ctx: NativeCallContext<'_>, group: &mut Group, window: Dynamic| {
            count(&ctx, group, Need::Joins, &window)
        })
        .register_fn("leaves", |ctx: NativeCallContext<'_>, group: &mut Group, window: Dynamic| {
            count(&ctx, group, Need::Leaves, &window)
        });
    register_messages(engine);
    register_settings(engine);
    register_info(engine);
}

/// Counts in a window, under the name by which the script asks.
fn count(
    ctx: &NativeCallContext<'_>,
    group: &Group,
    need: fn(Duration) -> Need,
    window: &Dynamic,
) -> Fallible<i64> {
    let length = time::length(window, ctx.call_position())?;
    let spelt = match window.as_immutable_string_ref() {
        Ok(text) => text.to_string(),
        Err(_) => format_duration(length),
    };
    group.0.count(&need(length), &format!("group.{}(\"{spelt}\")", ctx.fn_name()))
}

fn welcome(ctx: &NativeCallContext<'_>, group: &Group, member: &Member, text: Option<&str>) -> Fallible<()> {
    let text = text.map(|text| wording(ctx, text, "text")).transpose()?.map(str::to_owned);
    let action =
        Action::Welcome { group: group.0.facts.group.id.clone(), member: member.0.member()?.id, text };
    group.0.ask(ctx, action, "")
}

fn say(ctx: &NativeCallContext<'_>, group: &Group, text: &str, mentions: Vec<String>) -> Fallible<()> {
    let text = wording(ctx, text, "text")?.to_owned();
    group.0.ask(ctx, Action::Say { group: group.0.facts.group.id.clone(), text, mentions }, "")
}

fn register_messages(engine: &mut Engine) {
    engine
        .register_fn("welcome", |ctx: NativeCallContext<'_>, group: &mut Group, member: Member| {
            welcome(&ctx, group, &member, None)
        })
        .register_fn(
            "welcome",
            |ctx: NativeCallContext<'_>, group: &mut Group, member: Member, text: &str| {
                welcome(&ctx, group, &member, Some(text))
            },
        )
        .register_fn("say", |ctx: NativeCallContext<'_>, group: &mut Group, text: &str| {
            say(&ctx, group, text, Vec::new())
        })
        .register_fn(
            "say",
            |ctx: NativeCallContext<'_>, group: &mut Group, text: &str, mut options: Map| -> Fallible<()> {
                let list = options.remove("mentions").unwrap_or_else(|| Array::new().into());
                if let Some(unknown) = options.keys().next() {
                    let why = format!("`say` knows the option `mentions`, not `{unknown}`");
                    return Err(misuse(ctx.call_position(), why));
                }
                say(&ctx, group, text, mentions(&ctx, list)?)
            },
        );
}

fn register_settings(engine: &mut Engine) {
    engine
        .register_fn("announce_only", |ctx: NativeCallContext<'_>, group: &mut Group, on: bool| {
            group.0.ask(&ctx, Action::AnnounceOnly { group: group.0.facts.group.id.clone(), on }, "")
        })
        .register_fn("revoke_invite", |ctx: NativeCallContext<'_>, group: &mut Group| {
            group.0.ask(&ctx, Action::RevokeInvite { group: group.0.facts.group.id.clone() }, "")
        })
        .register_fn(
            "lockdown",
            |ctx: NativeCallContext<'_>, group: &mut Group, lasts: Dynamic, reason: &str| -> Fallible<()> {
                let lasts = time::length(&lasts, ctx.call_position())?;
                let reason = wording(&ctx, reason, "reason")?;
                let action = Action::Lockdown { group: group.0.facts.group.id.clone(), lasts: Some(lasts) };
                group.0.ask(&ctx, action, reason)
            },
        );
}

/// Name, description, and who may edit them.
fn register_info(engine: &mut Engine) {
    engine
        .register_fn(
            "set_subject",
            |ctx: NativeCallContext<'_>, group: &mut Group, text: &str| -> Fallible<()> {
                let text = bounded(&ctx, wording(&ctx, text, "text")?, LONGEST_SUBJECT)?.to_owned();
                group.0.ask(&ctx, Action::SetSubject { group: group.0.facts.group.id.clone(), text }, "")
            },
        )
        .register_fn(
            "set_description",
            |ctx: NativeCallContext<'_>, group: &mut Group, text: &str| -> Fallible<()> {
                // An empty one is a wish like any other; whether it can be fulfilled only the gateway's engine knows.
                let text = bounded(&ctx, text, LONGEST_DESCRIPTION)?.to_owned();
                group.0.ask(&ctx, Action::SetDescription { group: group.0.facts.group.id.clone(), text }, "")
            },
        )
        .register_fn("lock_info", |ctx: NativeCallContext<'_>, group: &mut Group, on: bool| {
            group.0.ask(&ctx, Action::LockInfo { group: group.0.facts.group.id.clone(), on }, "")
        });
}

#[cfg(test)]
mod tests {
    use super::serial;

    #[test]
    fn a_serial_stands_in_brackets_or_before_a_bar() {
        assert_eq!(serial("[VIP-789] Gold").as_deref(), Some("VIP-789"));
        assert_eq!(serial("PROJ-101 | Site").as_deref(), Some("PROJ-101"));
        for none in ["Friends of PROJ-101", "Us | them", "[] x", ""] {
            assert_eq!(serial(none), None, "{none}");
        }
    }
}
