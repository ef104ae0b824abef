//! `change`: what scripts read of a change of a group.

use super::{
    error::misuse,
    group::dynamic,
    member::{person_text, text_or_unit},
    run::Run,
};
use crate::facts::GroupChange;
use rhai::{Dynamic, Engine, EvalAltResult, Position};
use serde_json::Value;
use std::sync::Arc;

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// The handle that scripts hold.
#[derive(Clone)]
pub(super) struct Change(pub(super) Arc<Run>);

impl Change {
    fn told(&self) -> Fallible<&GroupChange> {
        let change = self.0.facts.change.as_ref();
        change.ok_or_else(|| misuse(Position::NONE, "this hook has no change"))
    }
}

macro_rules! properties {
    ($engine:expr, $($name:literal => |$change:ident| $value:expr;)*) => {
        $($engine.register_get($name, |handle: &mut Change| -> Fallible<Dynamic> {
            let $change = handle.told()?;
            let (seen, shown): (Value, Dynamic) = $value;
            handle.0.read(concat!("change.", $name), seen);
            Ok(shown)
        });)*
    };
}

fn plain(value: &Value) -> (Value, Dynamic) {
    (value.clone(), dynamic(value))
}

/// Gives the engine `change`.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Change>("change");
    properties! { engine,
        "what" => |change| plain(&change.what.as_str().into());
        "before" => |change| plain(&change.before);
        "after" => |change| plain(&change.after);
        "by" => |change| {
            let by = change.by.and_then(person_text);
            (by.clone().into(), text_or_unit(by))
        };
        "by_role" => |change| plain(&change.by_role.as_str().into());
        "by_is_admin" => |change| plain(&change.by_role.is_admin().into());
    }
}
