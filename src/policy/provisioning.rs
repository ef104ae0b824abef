//! What scripts ask for to make groups grow: additions and new groups.

use super::{
    error::misuse,
    group::{Group, LONGEST_DESCRIPTION, LONGEST_SUBJECT, bounded},
    run::{self, wording},
};
use crate::{action::Action, ids::Phone};
use rhai::{Dynamic, Engine, EvalAltResult, Map, NativeCallContext};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// What can be said of a new group, and what of it this version cannot do.
const KEYS: &str = "`subject`, `members`, `description` and `admins`";
const PLANNED: [&str; 4] = ["picture", "labels", "policy", "tags"];

/// So many people fit into one call that makes a group; WhatsApp itself takes 1,024.
const MOST_MEMBERS: usize = 1023;

/// A number that somebody can be added by.
fn phone(ctx: &NativeCallContext<'_>, value: &Dynamic) -> Fallible<Phone> {
    let why = match value.as_immutable_string_ref() {
        Ok(text) => match Phone::parse(&text) {
            Some(phone) => return Ok(phone),
            None => format!("`{}` needs an international number such as \"+4915112345678\"", ctx.fn_name()),
        },
        Err(_) if value.is_unit() => {
            format!("`{}` needs a number, and this one is hidden: look at member.phone first", ctx.fn_name())
        }
        Err(_) => format!("`{}` takes numbers as texts: \"+4915112345678\"", ctx.fn_name()),
    };
    Err(misuse(ctx.call_position(), why))
}

/// A list of numbers, each once.
fn phones(ctx: &NativeCallContext<'_>, key: &str, value: Dynamic) -> Fallible<Vec<Phone>> {
    let wrong = |_| misuse(ctx.call_position(), format!("`{key}` is a list of numbers"));
    let mut found = Vec::new();
    for item in value.into_array().map_err(wrong)? {
        let phone = phone(ctx, &item)?;
        if !found.contains(&phone) {
            found.push(phone);
        }
    }
    Ok(found)
}

fn add(ctx: &NativeCallContext<'_>, group: &Group, whom: &Dynamic, invite: bool) -> Fallible<()> {
    let action = Action::Add { group: group.0.facts.group.id.clone(), phone: phone(ctx, whom)?, invite };
    group.0.ask(ctx, action, "")
}

/// The options of an addition: whether an invite link is to follow a refusal.
fn otherwise(ctx: &NativeCallContext<'_>, mut options: Map) -> Fallible<bool> {
    let told = options.remove("otherwise");
    let wrong = |why: String| Err(misuse(ctx.call_position(), why));
    if let Some(unknown) = options.keys().next() {
        return wrong(format!("`add` knows the option `otherwise`, not `{unknown}`"));
    }
    match told.map(Dynamic::into_string) {
        None => Ok(false),
        Some(Ok(word)) if word == "invite" => Ok(true),
        Some(_) => wrong("`otherwise` can be \"invite\"".into()),
    }
}

fn create(ctx: &NativeCallContext<'_>, told: Map) -> Fallible<()> {
    let wrong = |why: String| Err(misuse(ctx.call_position(), why));
    let (mut subject, mut members, mut admins, mut description) = (None, Vec::new(), Vec::new(), None);
    for (key, value) in told {
        let text = |value: Dynamic| {
            value.into_string().map_err(|_| misuse(ctx.call_position(), format!("`{key}` is a text")))
        };
        match key.as_str() {
            "subject" => subject = Some(text(value)?),
            "members" => members = phones(ctx, &key, value)?,
            "admins" => admins = phones(ctx, &key, value)?,
            "description" => description = Some(text(value)?),
            planned if PLANNED.contains(&planned) => {
                return wrong(format!("`{planned}` is not available in this version of perimeterd"));
            }
            unknown => return wrong(format!("a new group has {KEYS}, not `{unknown}`")),
        }
    }
    let Some(subject) = subject else { return wrong("a new group needs a `subject`".into()) };
    let subject = bounded(ctx, wording(ctx, &subject, "subject")?, LONGEST_SUBJECT)?.to_owned();
    let description = description.filter(|text| !text.trim().is_empty());
    if let Some(text) = &description {
        bounded(ctx, text, LONGEST_DESCRIPTION)?;
    }
    // An admin is a member.
    let more: Vec<Phone> = admins.iter().copied().filter(|admin| !members.contains(admin)).collect();
    members.extend(more);
    if members.is_empty() || members.len() > MOST_MEMBERS {
        return wrong(format!("a new group begins with 1 to {MOST_MEMBERS} `members`"));
    }
    run::of(ctx)?.ask(ctx, Action::CreateGroup { subject, members, admins, description }, "")
}

/// Gives the engine `group.add` and `create_group`.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("add", |ctx: NativeCallContext<'_>, group: &mut Group, whom: Dynamic| {
            add(&ctx, group, &whom, false)
        })
        .register_fn(
            "add",
            |ctx: NativeCallContext<'_>, group: &mut Group, whom: Dynamic, options: Map| -> Fallible<()> {
                let invite = otherwise(&ctx, options)?;
                add(&ctx, group, &whom, invite)
            },
        )
        .register_fn("create_group", |ctx: NativeCallContext<'_>, told: Map| create(&ctx, told));
}
