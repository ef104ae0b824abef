//! `member`: what scripts read of a person, and what they ask for.

use super::{
    error::misuse,
    run::{Run, wording},
    time::{self, Span, Time},
};
use crate::{
    action::Action,
    clock::Timestamp,
    facts::{ListHit, Lookup, Status},
    ids::Person,
};
use rhai::{Array, Dynamic, Engine, EvalAltResult, Map, NativeCallContext};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// The handle that scripts hold; all values are read through the run, so that each reading is evidence.
#[derive(Clone)]
pub(super) struct Member(pub(super) Arc<Run>);

/// Wrote to us within this time: warm.
const WARM: Duration = Duration::from_secs(24 * 3600);

/// Optional text as scripts see it: the text or `()`.
pub(super) fn text_or_unit(value: Option<impl Into<String>>) -> Dynamic {
    value.map_or(Dynamic::UNIT, |text| Dynamic::from(text.into()))
}

fn time_or_unit(value: Option<Timestamp>) -> Dynamic {
    value.map_or(Dynamic::UNIT, |time| Dynamic::from(Time(time)))
}

fn time_value(value: Option<Timestamp>) -> Value {
    value.map_or(Value::Null, |time| time.to_string().into())
}

/// How scripts and evidence write another person: the phone where known, else the LID.
pub(super) fn person_text(person: Person) -> Option<String> {
    person.phone.map(|phone| phone.e164()).or_else(|| person.lid.map(|lid| lid.jid()))
}

fn number(count: u32) -> i64 {
    i64::from(count)
}

/// The country of a number, by its prefix; shared prefixes (+1, +7) are told apart.
pub(super) fn country_of(phone: crate::ids::Phone) -> Option<String> {
    let util = &rlibphonenumber::PHONE_NUMBER_UTIL;
    let number = util.parse(phone.e164(), None).ok()?;
    util.get_region_for_number(&number).map(|region| region.to_string())
}

fn country(run: &Run) -> Fallible<Dynamic> {
    let country = match &run.country {
        Some(told) => told.clone(),
        None => run.phone()?.and_then(country_of),
    };
    run.read("member.country", country.clone());
    Ok(text_or_unit(country))
}

fn hit_map(hit: ListHit) -> Map {
    Map::from([
        ("list".into(), hit.list.into()),
        ("entry".into(), hit.entry.into()),
        ("reason".into(), text_or_unit(hit.reason)),
        ("source".into(), text_or_unit(hit.source)),
        ("added_at".into(), time_or_unit(hit.added_at)),
        ("expires_at".into(), time_or_unit(hit.expires_at)),
    ])
}

fn subscription(run: &Run) -> Fallible<Map> {
    let now = run.facts.now;
    let lookup = run.subscription()?;
    let (value, age, source) = match &lookup {
        Lookup::Known { value, as_of, source, .. } => {
            (Some(value), Dynamic::from(Span::of(now.since(*as_of))), source.clone())
        }
        Lookup::Unknown { .. } => (None, Dynamic::UNIT, String::new()),
    };
    Ok(Map::from([
        ("known".into(), value.is_some().into()),
        ("active".into(), value.is_some_and(|s| s.is_active(now)).into()),
        ("status".into(), value.map_or(Status::Unknown, |s| s.status).as_str().into()),
        ("plan".into(), text_or_unit(value.and_then(|s| s.plan.clone()))),
        ("expires_at".into(), time_or_unit(value.and_then(|s| s.expires_at))),
        ("source".into(), source.into()),
        ("age".into(), age),
    ]))
}

/// A property that comes straight from the directory: recorded, then shown.
macro_rules! from_directory {
    ($engine:expr, $($name:literal => |$facts:ident| $value:expr, $shown:expr;)*) => {
        $($engine.register_get($name, |member: &mut Member| -> Fallible<Dynamic> {
            let $facts = member.0.member()?;
            let value = $value;
            let (seen, shown) = $shown(value);
            member.0.read(concat!("member.", $name), seen);
            Ok(shown)
        });)*
    };
}

fn plain<T: Clone + Into<Value> + Into<Dynamic>>(value: T) -> (Value, Dynamic) {
    (value.clone().into(), value.into())
}

fn maybe(value: Option<String>) -> (Value, Dynamic) {
    (value.clone().into(), text_or_unit(value))
}

fn moment(value: Option<Timestamp>) -> (Value, Dynamic) {
    (time_value(value), time_or_unit(value))
}

fn list(value: Vec<String>) -> (Value, Dynamic) {
    let shown: Array = value.iter().cloned().map(Dynamic::from).collect();
    (value.into(), shown.into())
}

/// Gives the engine `member`.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Member>("member");
    from_directory! { engine,
        "id" => |facts| facts.jid.clone(), plain;
        "lid" => |facts| facts.person.lid.map(|lid| lid.jid()), maybe;
        "name" => |facts| facts.name.clone(), maybe;
        "mention" => |facts| format!("@{}", facts.jid.split('@').next().unwrap_or_default()), plain;
        "role" => |facts| facts.role.as_str().to_owned(), plain;
        "is_admin" => |facts| facts.role.is_admin(), plain;
        "via" => |facts| facts.via.as_str().to_owned(), plain;
        "added_by" => |facts| facts.added_by.and_then(person_text), maybe;
        "left_by" => |facts| facts.left_by.and_then(person_text), maybe;
        "joins" => |facts| number(facts.joins), plain;
        "removals" => |facts| number(facts.removals), plain;
        "groups" => |facts| facts.groups.iter().map(|id| id.as_str().to_owned()).collect(), list;
        "messages" => |facts| number(facts.messages), plain;
        "last_message_at" => |facts| facts.last_message_at, moment;
        "wrote_to_us_at" => |facts| facts.wrote_to_us_at, moment;
        "tags" => |facts| facts.tags.clone(), list;
    }
    // First seen is now, if neither a join nor a roster told: there is always a time to count from.
    engine.register_get("joined_at", |member: &mut Member| -> Fallible<Time> {
        let joined = member.0.member()?.joined_at.unwrap_or(member.0.facts.now);
        member.0.read("member.joined_at", time_value(Some(joined)));
        Ok(Time(joined))
    });
    engine.register_get("is_warm", |member: &mut Member| -> Fallible<bool> {
        let written = member.0.member()?.wrote_to_us_at;
        let warm = written.is_some_and(|at| member.0.facts.now.since(at) <= WARM);
        member.0.read("member.is_warm", warm);
        Ok(warm)
    });
    engine
        .register_get("phone", |member: &mut Member| -> Fallible<Dynamic> {
            Ok(text_or_unit(member.0.phone()?.map(|phone| phone.e164())))
        })
        .register_get("country", |member: &mut Member| country(&member.0))
        .register_get("blacklist", |member: &mut Member| -> Fallible<Dynamic> {
            Ok(member.0.blacklist()?.map_or(Dynamic::UNIT, |hit| hit_map(hit).into()))
        })
        .register_get("is_blacklisted", |member: &mut Member| -> Fallible<bool> {
            Ok(member.0.blacklist()?.is_some())
        })
        .register_get("is_allowlisted", |member: &mut Member| member.0.allowlisted())
        .register_get("subscription", |member: &mut Member| subscription(&member.0))
        .register_fn("has_tag", |member: &mut Member, name: &str| -> Fallible<bool> {
            let has = member.0.has_tag(name)?;
            member.0.read(&format!("member.has_tag(\"{name}\")"), has);
            Ok(has)
        });
    register_actions(engine);
}

fn tag(ctx: &NativeCallContext<'_>, member: &Member, name: &str, lasts: Option<Duration>) -> Fallible<()> {
    let name = wording(ctx, name, "name")?.to_owned();
    let id = member.0.member()?.id;
    member.0.ask(ctx, Action::Tag { member: id, name, lasts }, "")
}

fn list_locally(
    ctx: &NativeCallContext<'_>,
    member: &Member,
    reason: &str,
    lasts: Option<Duration>,
) -> Fallible<()> {
    let reason = wording(ctx, reason, "reason")?;
    let action = Action::BlacklistLocally { member: member.0.member()?.id, lasts };
    member.0.ask(ctx, action, reason)
}

fn register_actions(engine: &mut Engine) {
    engine
        .register_fn("blacklist_locally", |ctx: NativeCallContext<'_>, member: &mut Member, reason: &str| {
            list_locally(&ctx, member, reason, None)
        })
        .register_fn(
            "blacklist_locally",
            |ctx: NativeCallContext<'_>, member: &mut Member, reason: &str, lasts: Dynamic| -> Fallible<()> {
                let lasts = time::length(&lasts, ctx.call_position())?;
                list_locally(&ctx, member, reason, Some(lasts))
            },
        )
        .register_fn(
            "remove",
            |ctx: NativeCallContext<'_>, member: &mut Member, reason: &str| -> Fallible<()> {
                let reason = wording(&ctx, reason, "reason")?;
                let action =
                    Action::Remove { group: member.0.facts.group.id.clone(), member: member.0.member()?.id };
                member.0.ask(&ctx, action, reason)
            },
        )
        .register_fn(
            "admit",
            |ctx: NativeCallContext<'_>, member: &mut Member, reason: &str| -> Fallible<()> {
                let reason = wording(&ctx, reason, "reason")?;
                member.0.ask(&ctx, Action::Admit, reason)
            },
        )
        .register_fn("dm", |ctx: NativeCallContext<'_>, member: &mut Member, text: &str| -> Fallible<()> {
            let text = wording(&ctx, text, "text")?.to_owned();
            let to = member.0.member()?.id;
            member.0.ask(&ctx, Action::Dm { to, text }, "")
        })
        .register_fn("tag", |ctx: NativeCallContext<'_>, member: &mut Member, name: &str| {
            tag(&ctx, member, name, None)
        })
        .register_fn(
            "tag",
            |ctx: NativeCallContext<'_>, member: &mut Member, name: &str, lasts: Dynamic| -> Fallible<()> {
                let lasts = time::length(&lasts, ctx.call_position())?;
                tag(&ctx, member, name, Some(lasts))
            },
        )
        .register_fn(
            "untag",
            |ctx: NativeCallContext<'_>, member: &mut Member, name: &str| -> Fallible<()> {
                let name = wording(&ctx, name, "name")?.to_owned();
                let id = member.0.member()?.id;
                member.0.ask(&ctx, Action::Untag { member: id, name }, "")
            },
        );
}

/// The ids that a message mentions: members, or ids and phones as text.
pub(super) fn mentions(ctx: &NativeCallContext<'_>, list: Dynamic) -> Fallible<Vec<String>> {
    let wrong = || misuse(ctx.call_position(), "`mentions` is a list of members, ids or phones");
    let list = list.into_array().map_err(|_| wrong())?;
    let one = |item: Dynamic| -> Fallible<String> {
        if let Some(member) = item.clone().try_cast::<Member>() {
            return Ok(member.0.member()?.jid.clone());
        }
        let text = item.into_string().map_err(|_| wrong())?;
        let phone = crate::ids::Phone::parse(&text).map(|phone| phone.jid());
        let id = crate::ids::Jid::parse(&text).and_then(|jid| jid.person()).map(Person::jid);
        phone.or(id).ok_or_else(wrong)
    };
    list.into_iter().map(one).collect()
}
