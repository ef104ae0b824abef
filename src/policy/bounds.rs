//! Sizes and time where the engine does not look: it checks what expressions make and native functions return, not what
//! native methods grow in place, nor how long one of them works.

use super::engine::{self, Watched};
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, NativeCallContext};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

fn too_large(ctx: &NativeCallContext<'_>, what: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorDataTooLarge(what.into(), ctx.call_position()).into()
}

/// Refuses a text of that many bytes if a run may not make it.
pub(super) fn text(ctx: &NativeCallContext<'_>, bytes: usize) -> Fallible<()> {
    let most = ctx.engine().max_string_size();
    if bytes > most { Err(too_large(ctx, "Length of text")) } else { Ok(()) }
}

/// Counts `work` steps against the deadline.
pub(super) fn spend(ctx: &NativeCallContext<'_>, work: usize) -> Fallible<()> {
    match engine::spend(work as u64) {
        Watched::Going => Ok(()),
        Watched::Over => Err(EvalAltResult::ErrorTerminated(Dynamic::UNIT, ctx.call_position()).into()),
    }
}

/// What a value holds with everything inside it: elements and bytes of text.
#[derive(Default)]
struct Size {
    elements: usize,
    bytes: usize,
}

impl Size {
    /// Adds a value; stops looking deeper once there are more than `most` elements.
    fn add(&mut self, value: &Dynamic, most: usize) {
        self.elements += 1;
        if self.elements > most {
            return;
        }
        if let Ok(list) = value.as_array_ref() {
            list.iter().for_each(|inner| self.add(inner, most));
        } else if let Ok(map) = value.as_map_ref() {
            map.values().for_each(|inner| self.add(inner, most));
        } else if let Ok(text) = value.as_immutable_string_ref() {
            self.bytes += text.len();
        }
    }
}

/// Refuses to put something into a list or map that would grow too large: one pushed into itself doubles each time.
pub(super) fn room<'a>(
    ctx: &NativeCallContext<'_>,
    held: impl Iterator<Item = &'a Dynamic>,
    added: impl Iterator<Item = &'a Dynamic>,
) -> Fallible<()> {
    let most = ctx.engine().max_array_size();
    let mut size = Size::default();
    held.chain(added).for_each(|value| size.add(value, most));
    spend(ctx, size.elements)?;
    if size.elements > most {
        return Err(too_large(ctx, "Size of list or map"));
    }
    text(ctx, size.bytes)
}

/// `text.replace(a, b)`, refused before it is made if it would be too long.
fn replace(ctx: &NativeCallContext<'_>, within: &mut ImmutableString, old: &str, new: &str) -> Fallible<()> {
    let found = within.matches(old).count();
    text(ctx, within.len().saturating_add(found.saturating_mul(new.len())))?;
    *within = within.replace(old, new).into();
    Ok(())
}

/// Puts the bounded `replace` before the engine's own.
pub(super) fn register(engine: &mut Engine) {
    type Text = ImmutableString;
    engine
        .register_fn("replace", |ctx: NativeCallContext<'_>, text: &mut Text, old: &str, new: &str| {
            replace(&ctx, text, old, new)
        })
        .register_fn("replace", |ctx: NativeCallContext<'_>, text: &mut Text, old: char, new: &str| {
            replace(&ctx, text, old.encode_utf8(&mut [0; 4]), new)
        })
        .register_fn("replace", |ctx: NativeCallContext<'_>, text: &mut Text, old: &str, new: char| {
            replace(&ctx, text, old, new.encode_utf8(&mut [0; 4]))
        })
        .register_fn("replace", |ctx: NativeCallContext<'_>, text: &mut Text, old: char, new: char| {
            replace(&ctx, text, old.encode_utf8(&mut [0; 4]), new.encode_utf8(&mut [0; 4]))
        });
}
