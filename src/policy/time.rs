//! Moments and durations as scripts see them: they compare and subtract, and refuse what cannot be compared.
//!
//! The engine answers a comparison of unlike types with a silent `false`; a rule that never fires would be the result
//! of a forgotten `duration(…)`. So a text beside a duration is read as one, and anything else is an error.

use super::{
    error::{misuse, type_in_words},
    run::{self, Run},
};
use crate::clock::{self, Timestamp};
use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext, Position};
use std::{cmp::Ordering, fmt};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(pub(super) Timestamp);

/// A length of time in milliseconds; `i64::MAX` is endless. May be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(pub(super) i64);

/// A day of the week, Monday is 1. Equal to its English name however it is capitalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weekday(pub(super) i8);

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Span {
    /// For whoever has no moment to count from.
    pub(super) const ENDLESS: Self = Self(i64::MAX);

    pub(super) fn of(duration: std::time::Duration) -> Self {
        Self(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ENDLESS {
            return f.write_str("endless");
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", clock::format_duration(std::time::Duration::from_millis(self.0.unsigned_abs())))
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(usize::try_from(self.0 - 1).ok().and_then(|day| DAYS.get(day).copied()).unwrap_or("?"))
    }
}

/// Reads a duration that a script gave: text like `"30m"`, or a duration.
pub(super) fn span(value: &Dynamic, position: Position) -> Fallible<Span> {
    if let Some(span) = value.clone().try_cast::<Span>() {
        return Ok(span);
    }
    match value.clone().into_immutable_string() {
        Ok(text) => clock::parse_duration(&text).map(Span::of).map_err(|why| misuse(position, why)),
        Err(kind) => {
            let kind = type_in_words(kind);
            Err(misuse(position, format!("a duration like \"30m\" is wanted here, not {kind}")))
        }
    }
}

/// The same where only a length makes sense: not negative, not endless.
pub(super) fn length(value: &Dynamic, position: Position) -> Fallible<std::time::Duration> {
    let span = span(value, position)?;
    match u64::try_from(span.0) {
        Ok(millis) if span != Span::ENDLESS && millis > 0 => Ok(std::time::Duration::from_millis(millis)),
        _ => Err(misuse(position, format!("a duration like \"30m\" is wanted here, not {span}"))),
    }
}

fn time(value: &Dynamic, position: Position) -> Fallible<Time> {
    value.clone().try_cast::<Time>().ok_or_else(|| {
        let what = type_in_words(value.type_name());
        let hint = if value.is_unit() { "; since(…) takes () as endless" } else { "" };
        misuse(position, format!("a time cannot be compared or counted with {what}{hint}"))
    })
}

fn weekday(value: &Dynamic, position: Position) -> Fallible<Weekday> {
    if let Some(day) = value.clone().try_cast::<Weekday>() {
        return Ok(day);
    }
    let number = value.as_int().ok().filter(|n| (1..=7).contains(n));
    let named = value.clone().into_immutable_string().ok().and_then(|text| {
        let text = text.to_lowercase();
        DAYS.iter()
            .position(|day| *day == text || day[..3] == *text)
            .and_then(|at| i64::try_from(at + 1).ok())
    });
    number
        .or(named)
        .and_then(|n| i8::try_from(n).ok())
        .map(Weekday)
        .ok_or_else(|| misuse(position, format!("`{value}` is not a day of the week like \"monday\"")))
}

/// Whether two values of a list are the same, days of the week included.
pub(super) fn same(a: &Dynamic, b: &Dynamic, position: Position) -> Fallible<bool> {
    if a.is::<Weekday>() || b.is::<Weekday>() {
        return Ok(weekday(a, position)? == weekday(b, position)?);
    }
    if let (Some(a), Some(b)) = (a.clone().try_cast::<Time>(), b.clone().try_cast::<Time>()) {
        return Ok(a == b);
    }
    if a.is::<Span>() || b.is::<Span>() {
        return Ok(span(a, position)? == span(b, position)?);
    }
    if let (Ok(a), Ok(b)) = (a.as_immutable_string_ref(), b.as_immutable_string_ref()) {
        return Ok(*a == *b);
    }
    if let (Ok(a), Ok(b)) = (a.as_int(), b.as_int()) {
        return Ok(a == b);
    }
    if let (Ok(a), Ok(b)) = (a.as_bool(), b.as_bool()) {
        return Ok(a == b);
    }
    if let (Ok(a), Ok(b)) = (a.as_float(), b.as_float()) {
        return Ok(a == b);
    }
    Ok(a.is_unit() && b.is_unit())
}

/// The moment in the group's time zone.
fn zoned(run: &Run, time: Time) -> jiff::Zoned {
    let zone = jiff::tz::TimeZone::get(&run.facts.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
    jiff::Timestamp::from_millisecond(time.0.as_millis()).unwrap_or_default().to_zoned(zone)
}

/// How a moment is written into a text: date and time of day in the group's time zone.
pub(super) fn written(run: &Run, time: Time) -> String {
    zoned(run, time).strftime("%Y-%m-%d %H:%M").to_string()
}

/// Registers the six comparisons of `$own` with anything, both ways round, read by `$read`.
macro_rules! comparisons {
    ($engine:expr, $own:ty, $read:expr) => {
        comparisons!(@one $engine, $own, $read, "<", |o: Ordering| o.is_lt());
        comparisons!(@one $engine, $own, $read, "<=", |o: Ordering| o.is_le());
        comparisons!(@one $engine, $own, $read, ">", |o: Ordering| o.is_gt());
        comparisons!(@one $engine, $own, $read, ">=", |o: Ordering| o.is_ge());
        comparisons!(@equal $engine, $own, $read, "==", |same: bool| same);
        comparisons!(@equal $engine, $own, $read, "!=", |same: bool| !same);
    };
    (@one $engine:expr, $own:ty, $read:expr, $op:literal, $test:expr) => {
        $engine
            .register_fn($op, |a: $own, b: $own| $test(a.cmp(&b)))
            .register_fn($op, |ctx: NativeCallContext<'_>, a: $own, b: Dynamic| -> Fallible<bool> {
                Ok($test(a.cmp(&$read(&b, ctx.call_position())?)))
            })
            .register_fn($op, |ctx: NativeCallContext<'_>, a: Dynamic, b: $own| -> Fallible<bool> {
                Ok($test($read(&a, ctx.call_position())?.cmp(&b)))
            });
    };
    (@equal $engine:expr, $own:ty, $read:expr, $op:literal, $test:expr) => {
        $engine
            .register_fn($op, |a: $own, b: $own| $test(a == b))
            .register_fn($op, |ctx: NativeCallContext<'_>, a: $own, b: Dynamic| -> Fallible<bool> {
                Ok($test(!b.is_unit() && a == $read(&b, ctx.call_position())?))
            })
            .register_fn($op, |ctx: NativeCallContext<'_>, a: Dynamic, b: $own| -> Fallible<bool> {
                Ok($test(!a.is_unit() && $read(&a, ctx.call_position())? == b))
            });
    };
}

/// Which of two plain values is the larger; unlike ones have no order.
fn order(op: &str, a: &Dynamic, b: &Dynamic, position: Position) -> Fallible<Ordering> {
    if let (Ok(a), Ok(b)) = (a.as_int(), b.as_int()) {
        return Ok(a.cmp(&b));
    }
    if let (Ok(a), Ok(b)) = (a.as_immutable_string_ref(), b.as_immutable_string_ref()) {
        return Ok(a.as_str().cmp(b.as_str()));
    }
    if let (Ok(a), Ok(b)) = (a.as_char(), b.as_char()) {
        return Ok(a.cmp(&b));
    }
    let number = |value: &Dynamic| {
        #[expect(clippy::cast_precision_loss, reason = "the language compares so as well")]
        value.as_float().or_else(|_| value.as_int().map(|whole| whole as f64)).ok()
    };
    if let (Some(a), Some(b)) = (number(a), number(b))
        && let Some(order) = a.partial_cmp(&b)
    {
        return Ok(order);
    }
    let (a, b) = (type_in_words(a.type_name()), type_in_words(b.type_name()));
    Err(misuse(position, format!("`{op}` cannot compare {a} with {b}")))
}

/// Gives the engine comparisons that refuse unlike values.
fn register_order(engine: &mut Engine) {
    type Test = fn(Ordering) -> bool;
    let tests: [Test; 4] = [Ordering::is_lt, Ordering::is_le, Ordering::is_gt, Ordering::is_ge];
    for (op, test) in ["<", "<=", ">", ">="].into_iter().zip(tests) {
        engine.register_fn(op, move |ctx: NativeCallContext<'_>, a: Dynamic, b: Dynamic| -> Fallible<bool> {
            Ok(test(order(op, &a, &b, ctx.call_position())?))
        });
    }
}

/// Gives the engine times, durations and days of the week.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Time>("time")
        .register_type_with_name::<Span>("duration")
        .register_type_with_name::<Weekday>("weekday");
    comparisons!(engine, Time, time);
    comparisons!(engine, Span, span);
    comparisons!(@equal engine, Weekday, weekday, "==", |same: bool| same);
    comparisons!(@equal engine, Weekday, weekday, "!=", |same: bool| !same);
    register_order(engine);
    register_arithmetic(engine);
    engine
        .register_get("hour", |ctx: NativeCallContext<'_>, time: &mut Time| -> Fallible<i64> {
            Ok(zoned(&*run::of(&ctx)?, *time).hour().into())
        })
        .register_get("weekday", |ctx: NativeCallContext<'_>, time: &mut Time| -> Fallible<Weekday> {
            Ok(Weekday(zoned(&*run::of(&ctx)?, *time).weekday().to_monday_one_offset()))
        })
        .register_get("date", |ctx: NativeCallContext<'_>, time: &mut Time| -> Fallible<String> {
            Ok(zoned(&*run::of(&ctx)?, *time).date().to_string())
        });
    engine.register_fn("to_string", |ctx: NativeCallContext<'_>, time: Time| -> Fallible<String> {
        Ok(written(&*run::of(&ctx)?, time))
    });
    engine.register_fn("to_string", |span: Span| span.to_string());
    engine.register_fn("to_string", |day: Weekday| day.to_string());
}

fn register_arithmetic(engine: &mut Engine) {
    engine
        .register_fn("-", |a: Time, b: Time| Span(a.0.as_millis().saturating_sub(b.0.as_millis())))
        .register_fn("-", |ctx: NativeCallContext<'_>, a: Time, b: Dynamic| -> Fallible<Dynamic> {
            let at = ctx.call_position();
            if b.is_unit() {
                return time(&b, at).map(Dynamic::from);
            }
            Ok(Dynamic::from(Time(Timestamp(a.0.as_millis().saturating_sub(span(&b, at)?.0)))))
        })
        .register_fn("+", |ctx: NativeCallContext<'_>, a: Time, b: Dynamic| -> Fallible<Time> {
            Ok(Time(Timestamp(a.0.as_millis().saturating_add(span(&b, ctx.call_position())?.0))))
        })
        .register_fn("+", |a: Span, b: Span| Span(a.0.saturating_add(b.0)))
        .register_fn("-", |a: Span, b: Span| Span(a.0.saturating_sub(b.0)))
        .register_fn("*", |a: Span, b: i64| Span(a.0.saturating_mul(b)))
        .register_fn("*", |a: i64, b: Span| Span(b.0.saturating_mul(a)));
    engine.register_fn("duration", |ctx: NativeCallContext<'_>, text: Dynamic| {
        span(&text, ctx.call_position())
    });
    engine.register_fn("since", |ctx: NativeCallContext<'_>, then: Dynamic| -> Fallible<Span> {
        if then.is_unit() {
            return Ok(Span::ENDLESS);
        }
        let then = time(&then, ctx.call_position())?;
        let now = run::of(&ctx)?.facts.now;
        Ok(Span(now.as_millis().saturating_sub(then.0.as_millis())))
    });
}
