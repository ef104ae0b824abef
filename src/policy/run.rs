//! One run: the facts it may read, and the memo of what it read, missed and asked for.
//!
//! Everything a script does to the world ends here, as a record. The memo is kept outside the script, so nothing the
//! script catches or returns can hide a missing fact or a contradiction.

use super::{
    error::{ErrorKind, misuse},
    template::Templates,
};
use crate::{
    action::{Action, Asked},
    clock::Timestamp,
    facts::{Answer, Evidence, Facts, ListHit, Lookup, MemberFacts, Need, Subscription},
    ids::Phone,
};
use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// The run that a call belongs to; scripts carry it as their tag.
pub(super) struct Run {
    /// What may be read.
    pub(super) facts: Facts,
    /// The texts of the policy set.
    pub(super) templates: Arc<Templates>,
    /// A country told by a test instead of the phone.
    pub(super) country: Option<Option<String>>,
    memo: Mutex<Memo>,
}

/// What happened so far.
#[derive(Default)]
pub(super) struct Memo {
    /// The policy whose hook runs, and whether it only observes.
    pub(super) policy: String,
    pub(super) observe: bool,
    /// Its file, and the line where the hook begins.
    pub(super) file: String,
    pub(super) begin: u32,
    /// What was asked for.
    pub(super) asked: Vec<Asked>,
    /// What was read.
    pub(super) evidence: Vec<Evidence>,
    /// What was missing.
    pub(super) needs: Vec<Need>,
    /// Whether something read was unknown.
    pub(super) unknown: bool,
    /// The final action of the hook that runs.
    pub(super) hook_final: Option<&'static str>,
    /// A mistake that stands although the script may have caught it.
    pub(super) mistake: Option<(ErrorKind, String, Option<String>, Position)>,
}

/// The run behind a call.
pub(super) fn of(ctx: &NativeCallContext<'_>) -> Fallible<Arc<Run>> {
    let found = ctx.tag().and_then(|tag| tag.clone().try_cast::<Arc<Run>>());
    found.ok_or_else(|| misuse(ctx.call_position(), "this can be used only while a hook runs"))
}

impl Run {
    pub(super) fn new(facts: Facts, templates: Arc<Templates>, country: Option<Option<String>>) -> Arc<Self> {
        Arc::new(Self { facts, templates, country, memo: Mutex::new(Memo::default()) })
    }

    /// The memo. A poisoned lock is taken as it is: the run fails by the panic's own way.
    pub(super) fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The member, in hooks that have one.
    pub(super) fn member(&self) -> Fallible<&MemberFacts> {
        self.facts.member.as_ref().ok_or_else(|| misuse(Position::NONE, "this hook has no member"))
    }

    /// Records a fact from the directory; the first reading counts.
    pub(super) fn read(&self, fact: &str, value: impl Into<Value>) {
        self.note(fact, self.facts.now, "directory", || (value.into(), false, false));
    }

    fn note(&self, fact: &str, as_of: Timestamp, source: &str, value: impl FnOnce() -> (Value, bool, bool)) {
        let mut memo = self.memo();
        let reader = memo.policy.clone();
        if let Some(known) = memo.evidence.iter_mut().find(|known| known.fact == fact) {
            if !known.readers.contains(&reader) {
                known.readers.push(reader);
            }
            return;
        }
        let (value, unknown, stale) = value();
        memo.evidence.push(Evidence {
            fact: fact.into(),
            value,
            as_of,
            source: source.into(),
            readers: vec![reader],
            unknown,
            stale,
        });
    }

    /// Records a looked-up fact. An unknown one makes the run one to look at again.
    fn looked_up<T>(&self, fact: &str, lookup: &Lookup<T>, value: impl FnOnce(&T) -> Value) {
        match lookup {
            Lookup::Known { value: known, as_of, source, stale } => {
                self.note(fact, *as_of, source, || (value(known), false, *stale));
            }
            Lookup::Unknown { why } => {
                self.note(fact, self.facts.now, why, || (Value::Null, true, false));
                self.memo().unknown = true;
            }
        }
    }

    /// The answer to a need. A missing one is noted before the run is ended, because an ending can be swallowed.
    fn answer(&self, need: &Need) -> Fallible<&Answer> {
        if let Some(answer) = self.facts.answer(need) {
            return Ok(answer);
        }
        let mut memo = self.memo();
        if !memo.needs.contains(need) {
            memo.needs.push(need.clone());
        }
        Err(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE).into())
    }

    /// The member's phone; looked up where WhatsApp hides it. `None` if nobody knows.
    pub(super) fn phone(&self) -> Fallible<Option<Phone>> {
        let person = self.member()?.person;
        if let Some(phone) = person.phone {
            self.read("member.phone", phone.e164());
            return Ok(Some(phone));
        }
        if person.lid.is_none() {
            let nobody = Lookup::<Phone>::Unknown { why: "neither phone nor LID was told".into() };
            self.looked_up("member.phone", &nobody, |_| Value::Null);
            return Ok(None);
        }
        match self.answer(&Need::Phone)? {
            Answer::Phone(lookup) => {
                self.looked_up("member.phone", lookup, |phone| phone.e164().into());
                Ok(lookup.value().copied())
            }
            _ => Err(mismatched("phone")),
        }
    }

    /// The entry of a list that names the member; `None` for not listed and for unknown.
    pub(super) fn blacklist(&self) -> Fallible<Option<ListHit>> {
        match self.answer(&Need::Blacklist)? {
            Answer::Blacklist(lookup) => {
                self.looked_up("member.blacklist", lookup, |hit| {
                    serde_json::to_value(hit).unwrap_or(Value::Null)
                });
                Ok(lookup.value().cloned().flatten())
            }
            _ => Err(mismatched("blacklist")),
        }
    }

    /// Whether the allowlist names the member; false if unknown.
    pub(super) fn allowlisted(&self) -> Fallible<bool> {
        match self.answer(&Need::Allowlist)? {
            Answer::Allowlist(lookup) => {
                self.looked_up("member.is_allowlisted", lookup, |listed| (*listed).into());
                Ok(lookup.value().copied().unwrap_or(false))
            }
            _ => Err(mismatched("allowlist")),
        }
    }

    /// The member's subscription. Nobody can be asked about somebody without a phone: unknown.
    pub(super) fn subscription(&self) -> Fallible<Lookup<Subscription>> {
        let lookup = match self.phone()? {
            None => Lookup::Unknown { why: "the phone is unknown".into() },
            Some(_) => match self.answer(&Need::Subscription)? {
                Answer::Subscription(lookup) => lookup.clone(),
                _ => return Err(mismatched("subscription")),
            },
        };
        let lookup = match lookup {
            Lookup::Known { value, source, .. } if value.status == crate::facts::Status::Unknown => {
                Lookup::Unknown { why: format!("{source} does not know the status") }
            }
            other => other,
        };
        let now = self.facts.now;
        self.looked_up("member.subscription", &lookup, |value| {
            let mut json = serde_json::to_value(value).unwrap_or(Value::Null);
            json["active"] = value.is_active(now).into();
            json
        });
        Ok(lookup)
    }

    /// Joins or departures in a window up to `now`; `fact` is the question as the script spells it.
    pub(super) fn count(&self, need: &Need, fact: &str) -> Fallible<i64> {
        let Answer::Count(count) = self.answer(need)? else { return Err(mismatched("count")) };
        self.read(fact, *count);
        Ok(i64::try_from(*count).unwrap_or(i64::MAX))
    }

    /// Whether the person has a tag now: told by the directory, or set by this very run.
    pub(super) fn has_tag(&self, wanted: &str) -> Fallible<bool> {
        let tags = &self.member()?.tags;
        let told = self.memo().asked.iter().rev().find_map(|asked| match &asked.action {
            Action::Tag { name, .. } if name == wanted => Some(true),
            Action::Untag { name, .. } if name == wanted => Some(false),
            _ => None,
        });
        Ok(told.unwrap_or_else(|| tags.iter().any(|tag| tag == wanted)))
    }

    /// Records an action. A second, different final action in one hook is a mistake that no `catch` undoes; the same
    /// one again changes nothing.
    pub(super) fn ask(&self, ctx: &NativeCallContext<'_>, action: Action, reason: &str) -> Fallible<()> {
        let position = ctx.call_position();
        let mut memo = self.memo();
        if action.is_final() {
            match memo.hook_final {
                Some(earlier) if earlier == action.name() => return Ok(()),
                Some(earlier) => {
                    let why =
                        format!("asks for `{}` after `{earlier}`: only one of them can be", action.name());
                    let source = ctx.call_source().map(ToOwned::to_owned);
                    memo.mistake.get_or_insert((ErrorKind::Run, why.clone(), source, position));
                    return Err(misuse(position, why));
                }
                None => memo.hook_final = Some(action.name()),
            }
        }
        // A library's lines mean nothing in the policy's file: the hook that called it stands for them.
        let own = ctx.call_source().is_none_or(|source| source == memo.file);
        let line = position.line().filter(|_| own).and_then(|line| u32::try_from(line).ok());
        let asked = Asked {
            action,
            reason: reason.into(),
            policy: memo.policy.clone(),
            line: line.unwrap_or(memo.begin),
            observe: memo.observe,
        };
        memo.asked.push(asked);
        Ok(())
    }
}

fn mismatched(what: &str) -> Box<EvalAltResult> {
    misuse(Position::NONE, format!("the daemon answered the question for the {what} with something else"))
}

/// A text that must say something.
pub(super) fn wording<'a>(ctx: &NativeCallContext<'_>, text: &'a str, what: &str) -> Fallible<&'a str> {
    if text.trim().is_empty() {
        return Err(misuse(
            ctx.call_position(),
            format!("`{}` needs a {what} that is not empty", ctx.fn_name()),
        ));
    }
    Ok(text)
}
