//! What is wrong with a policy, told to the person who wrote it: one sentence, the place, the source line, the next step.
//!
//! Owns the translation of the script engine's errors. It never decides what follows from one; the pipeline parks the
//! run, the policy book keeps the last good set.

use super::vocabulary::{self, Kind, Owner};
use crate::excerpt::excerpt;
use rhai::{Dynamic, EvalAltResult, ParseError, ParseErrorType, Position};
use std::fmt;

/// Why a policy failed, as far as the caller treats it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The file is missing or cannot be read.
    Missing,
    /// Not a script at all.
    Syntax,
    /// A word that does not exist, or a wrong use of one.
    Word,
    /// Failed while it ran: an error it threw or met, an argument, a contradiction.
    Run,
    /// Failed on a built-in person, at load.
    Trial,
    /// A limit of [`ScriptLimits`](crate::config::ScriptLimits).
    Limit,
    /// The deadline, twice in a row: the machine is overloaded rather than the policy wrong.
    Overload,
    /// A test of `policies/tests` failed.
    Test,
}

/// One thing wrong with one policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// One sentence.
    pub message: String,
    /// The file, relative to the policies folder; empty if none is concerned.
    pub file: String,
    /// From 1; 0 if unknown.
    pub line: u32,
    /// From 1; 0 if unknown.
    pub column: u32,
    /// The source line with a caret under the place; empty if unknown.
    pub snippet: String,
    /// What kind.
    pub kind: ErrorKind,
}

impl PolicyError {
    /// No policy set is in force; `standing` is the problem that keeps it out.
    pub fn no_set(standing: &str) -> Self {
        Self::general(ErrorKind::Missing, "", format!("no good policy set was ever loaded: {standing}"))
    }

    /// The chain never came to an end of the facts it asks for.
    pub fn endless_needs(chain: &[crate::config::ChainLink]) -> Self {
        let names: Vec<&str> = chain.iter().map(|link| link.policy.as_str()).collect();
        Self::general(
            ErrorKind::Limit,
            "",
            format!("the chain {} asks for ever more facts", names.join(", ")),
        )
    }

    /// An error that no place in a file belongs to.
    pub(super) fn general(kind: ErrorKind, file: &str, message: impl Into<String>) -> Self {
        Self { message: message.into(), file: file.into(), line: 0, column: 0, snippet: String::new(), kind }
    }

    /// An error at a place, with the source line under it.
    pub(super) fn at(
        kind: ErrorKind,
        file: &str,
        source: &str,
        position: Position,
        message: impl Into<String>,
    ) -> Self {
        let number = |n: Option<usize>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let (mut line, mut column) = (number(position.line()), number(position.position()));
        if line == 0 && kind == ErrorKind::Syntax {
            // What is never closed is noticed only when the file ends.
            (line, column) = (u32::try_from(source.lines().count()).unwrap_or(0).max(1), 1);
        }
        let snippet = shown(source, line, column);
        Self { message: message.into(), file: file.into(), line, column, snippet, kind }
    }

    /// `policies/blacklist.rhai:3:12: sentence`, the source line with a caret, and the next step. No colour.
    pub fn render(&self) -> String {
        let mut text = match (self.file.as_str(), self.line) {
            ("", _) => self.message.clone(),
            (file, 0) => format!("policies/{file}: {}", self.message),
            (file, line) => format!("policies/{file}:{line}:{}: {}", self.column, self.message),
        };
        if !self.snippet.is_empty() {
            text.push('\n');
            text.push_str(&self.snippet);
        }
        text.push_str("\n  ");
        text.push_str(self.next_step());
        text
    }

    fn next_step(&self) -> &'static str {
        match self.kind {
            ErrorKind::Missing => "put the file there, or take the name out of the chain",
            ErrorKind::Syntax | ErrorKind::Word | ErrorKind::Trial => {
                "mend the line and save; it is taken up by itself"
            }
            ErrorKind::Run => {
                "mend the policy; then `perimeterd journal retry` judges the parked events again"
            }
            ErrorKind::Limit => "look for a loop that does not end, or raise the limit under [policies]",
            ErrorKind::Overload => {
                "the machine was too slow to finish the run; `perimeterd journal retry` tries again"
            }
            ErrorKind::Test => "mend the policy, or the test if it is the rule that changed",
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

impl std::error::Error for PolicyError {}

/// Everything wrong with a set of policies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(PolicyError::render).collect::<Vec<_>>().join("\n"))]
pub struct LoadError {
    /// At least one, in the order of the chains.
    pub problems: Vec<PolicyError>,
}

/// The source line of a place, with a caret; empty if there is no such line.
fn shown(source: &str, line: u32, column: u32) -> String {
    let text = (line as usize).checked_sub(1).and_then(|index| source.lines().nth(index));
    text.map_or_else(String::new, |text| excerpt(line as usize, column as usize, 1, text))
}

/// An error made by the daemon's own functions, in words for the owner. Opaque, so that a script cannot forge one.
#[derive(Clone, Debug)]
pub(super) struct Misuse(pub(super) String);

/// Ends the script with a sentence at the place of the call.
pub(super) fn misuse(position: Position, message: impl Into<String>) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(Dynamic::from(Misuse(message.into())), position).into()
}

/// Where a failed run stopped, and why.
pub(super) struct Fault {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    /// The file, where the engine names another than the one called (a library function).
    pub(super) source: Option<String>,
    pub(super) position: Position,
}

/// Translates an error of a run. The innermost place counts: there stands the mistake.
pub(super) fn explain(error: &EvalAltResult) -> Fault {
    use EvalAltResult as E;
    let fault = |kind, message: String| Fault { kind, message, source: None, position: error.position() };
    match error {
        E::ErrorInFunctionCall(_, source, inner, position) => {
            let mut found = explain(inner);
            if found.source.is_none() && !source.is_empty() {
                found.source = Some(source.clone());
            }
            if found.position.is_none() {
                found.position = *position;
            }
            found
        }
        E::ErrorRuntime(value, _) => match value.clone().try_cast::<Misuse>() {
            Some(Misuse(message)) => fault(ErrorKind::Run, message),
            None => fault(ErrorKind::Run, format!("the policy stopped itself: {value}")),
        },
        E::ErrorFunctionNotFound(signature, _) => fault(ErrorKind::Word, no_such_call(signature)),
        E::ErrorDotExpr(message, _) => fault(ErrorKind::Word, no_such_getter(message)),
        E::ErrorPropertyNotFound(name, _) => fault(
            ErrorKind::Word,
            format!(
                "there is no `{name}` here{}",
                vocabulary::did_you_mean(name, vocabulary::RECORD_KEYS.iter().copied())
            ),
        ),
        E::ErrorVariableNotFound(name, _) => {
            fault(ErrorKind::Word, format!("nothing here is called `{name}`"))
        }
        E::ErrorTooManyOperations(_) => fault(
            ErrorKind::Limit,
            "the run takes more operations than a run may; an endless loop ends like this".into(),
        ),
        E::ErrorStackOverflow(_) => {
            fault(ErrorKind::Limit, "functions call each other too deep (16 levels are allowed)".into())
        }
        E::ErrorDataTooLarge(what, _) => {
            fault(ErrorKind::Limit, format!("larger than a run may make: {}", what.to_lowercase()))
        }
        E::ErrorTooManyVariables(_) => fault(ErrorKind::Limit, "too many variables".into()),
        E::ErrorTerminated(..) => {
            fault(ErrorKind::Overload, "the run did not end within its deadline".into())
        }
        E::ErrorParsing(what, _) => fault(ErrorKind::Syntax, syntax(what)),
        other => {
            let text = other.to_string();
            let sentence = text.split(" (line ").next().unwrap_or(&text);
            fault(ErrorKind::Run, sentence.to_owned())
        }
    }
}

/// Translates a syntax error.
pub(super) fn explain_parse(error: &ParseError) -> (ErrorKind, String, Position) {
    let kind = match error.err_type() {
        ParseErrorType::VariableUndefined(_) | ParseErrorType::ModuleUndefined(_) => ErrorKind::Word,
        _ => ErrorKind::Syntax,
    };
    (kind, syntax(error.err_type()), error.position())
}

fn syntax(error: &ParseErrorType) -> String {
    match error {
        ParseErrorType::VariableUndefined(name) => {
            let known = vocabulary::VARIABLES.iter().copied().chain(["member", "group"]);
            format!("nothing here is called `{name}`{}", vocabulary::did_you_mean(name, known))
        }
        ParseErrorType::ExprTooDeep => {
            "too much in one expression: give parts of it a name with `let` first".into()
        }
        ParseErrorType::ModuleUndefined(name) => {
            format!("there is no library `{name}`; its functions would stand in policies/lib/{name}.rhai")
        }
        other => {
            let text = other.to_string();
            match text.split('\'').nth(1) {
                Some(word) if vocabulary::FORBIDDEN.contains(&word) => vocabulary::forbidden(word),
                Some("|" | "||") => "functions without a name are not part of the policy language".into(),
                _ => text,
            }
        }
    }
}

/// The engine's word for a type, in the owner's words.
pub(super) fn type_in_words(name: &str) -> &str {
    match name.trim().trim_start_matches("&mut ").trim_start_matches('&') {
        "str | ImmutableString | String" => "text",
        "string" | "&str" | "ImmutableString" | "str" | "alloc::string::String" => "text",
        "i64" | "f64" => "a number",
        "bool" => "true or false",
        "array" => "a list",
        "map" => "a map #{…}",
        "()" => "nothing ()",
        other => other,
    }
}

/// `remove (member, i64)` as a sentence.
fn no_such_call(signature: &str) -> String {
    let (name, arguments) = signature.split_once(" (").unwrap_or((signature, ""));
    let mut types: Vec<&str> = arguments.trim_end_matches(')').split(',').map(type_in_words).collect();
    if name.starts_with("get$") {
        let property = name.trim_start_matches("get$");
        return format!("{} has no `{property}`", types.first().copied().unwrap_or("this"));
    }
    let owner = match types.first() {
        Some(&"member") => Some(Owner::Member),
        Some(&"group") => Some(Owner::Group),
        _ => None,
    };
    let known = |kind: Kind| matches!(kind, Kind::Call(_));
    let word = vocabulary::words(name)
        .filter(|word| known(word.kind))
        .find(|word| Some(word.owner) == owner || (owner.is_none() && word.owner == Owner::Global));
    if let Some(word) = word {
        if word.owner != Owner::Global {
            types.remove(0);
        }
        let given = types.iter().filter(|t| !t.is_empty()).copied().collect::<Vec<_>>().join(", ");
        return format!("`{name}` does not take ({given}); it is written {}", word.usage);
    }
    if let Some(word) = vocabulary::words(name).find(|word| known(word.kind)) {
        let given = types.first().copied().unwrap_or("this");
        return format!("{given} cannot do `{name}`; it is written {}", word.usage);
    }
    let calls = vocabulary::WORDS.iter().filter(|word| known(word.kind)).map(|word| word.name);
    let given = types.iter().filter(|t| !t.is_empty()).copied().collect::<Vec<_>>().join(", ");
    format!("there is no `{name}` for ({given}){}", vocabulary::did_you_mean(name, calls))
}

/// `Unknown property 'x' - a getter is not registered for type 'member'` as a sentence.
fn no_such_getter(message: &str) -> String {
    let mut quoted = message.split('\'').skip(1).step_by(2);
    let (Some(name), Some(owner)) = (quoted.next(), quoted.next()) else { return message.to_owned() };
    let kind = match owner {
        "member" => Some(Owner::Member),
        "group" => Some(Owner::Group),
        "time" => Some(Owner::Time),
        _ => None,
    };
    let words = vocabulary::WORDS.iter().filter(|word| kind.is_none_or(|kind| word.owner == kind));
    let hint = vocabulary::did_you_mean(name, words.map(|word| word.name));
    format!("{} has no `{name}`{hint}", type_in_words(owner))
}
