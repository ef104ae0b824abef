//! Facts as a test writes them: maps with the script's own names, everything else ordinary.
//!
//! An unknown key is an error with a suggestion. What a test does not tell: not on any list, subscription unknown, no
//! joins in the window.

use super::{samples, time, vocabulary};
use crate::{
    clock::{self, Timestamp},
    event::{Aspect, Hook, Role, Via},
    facts::{Answer, Facts, ListHit, Lookup, MemberFacts, Need, Status, Subscription},
    ids::{GroupId, Jid, Lid, Person, Phone, SessionName},
};
use rhai::{Dynamic, Map};

/// What a test tells.
pub(super) struct Given {
    pub(super) facts: Facts,
    /// A country told instead of the phone.
    pub(super) country: Option<Option<String>>,
    joins: u64,
    leaves: u64,
}

/// What a test may tell.
const KEYS: [&str; 9] =
    ["member", "group", "change", "params", "now", "joins", "leaves", "time_zone", "language"];

type Told<T> = Result<T, String>;

impl Given {
    /// The answer to what is not answered from the start.
    pub(super) fn answer(&self, need: &Need) -> Answer {
        match need {
            Need::Joins(_) => Answer::Count(self.joins),
            Need::Leaves(_) => Answer::Count(self.leaves),
            Need::Phone => Answer::Phone(untold()),
            Need::Blacklist => Answer::Blacklist(self.known(None)),
            Need::Allowlist => Answer::Allowlist(self.known(false)),
            Need::Subscription => Answer::Subscription(untold()),
        }
    }

    fn known<T>(&self, value: T) -> Lookup<T> {
        Lookup::Known { value, as_of: self.facts.now, source: "test".into(), stale: false }
    }

    /// Reads the map of a test.
    pub(super) fn read(hook: Hook, map: Map) -> Told<Self> {
        let facts = Facts {
            hook,
            now: samples::NOW,
            member: hook.has_member().then(samples::ordinary_member),
            group: samples::ordinary_group(),
            change: (hook == Hook::OnGroupChanged).then(samples::ordinary_change),
            time_zone: "UTC".into(),
            language: None,
            answers: Vec::new(),
        };
        let mut given = Self { facts, country: None, joins: 0, leaves: 0 };
        let mut map = map;
        if let Some(now) = map.remove("now") {
            given.facts.now = moment(&now, samples::NOW)?;
            if let Some(member) = &mut given.facts.member {
                member.joined_at = Some(given.facts.now);
            }
        }
        for (key, value) in map {
            match key.as_str() {
                "member" => given.member(map_of("member", value)?)?,
                "group" => given.group(map_of("group", value)?)?,
                "change" => given.change(map_of("change", value)?)?,
                "params" => given.facts.group.params = json_map(map_of("params", value)?)?,
                "joins" => given.joins = count(&key, &value)?,
                "leaves" => given.leaves = count(&key, &value)?,
                "time_zone" => given.facts.time_zone = text(&key, value)?,
                "language" => given.facts.language = Some(text(&key, value)?),
                other => {
                    return Err(unknown_key("a test", other, KEYS));
                }
            }
        }
        Ok(given)
    }

    fn member(&mut self, map: Map) -> Told<()> {
        let now = self.facts.now;
        let Some(mut member) = self.facts.member.take() else { return Err("this hook has no member".into()) };
        // The LID of the ordinary person belongs to their own phone: whoever is told otherwise is known by that alone.
        if map.contains_key("phone") && !map.contains_key("lid") && !map["phone"].is_unit() {
            member.person.lid = None;
        }
        for (key, value) in map {
            let key = key.as_str();
            if !self.looked_up(key, &value)? {
                identity(&mut member, key, &value)
                    .or_else(|| history(&mut member, key, &value, now))
                    .unwrap_or_else(|| {
                        let words = vocabulary::WORDS.iter();
                        let own = words
                            .filter(|word| word.owner == vocabulary::Owner::Member)
                            .map(|word| word.name);
                        Err(unknown_key("`member`", key, own))
                    })?;
            }
        }
        member.jid = member.person.jid();
        self.facts.member = Some(member);
        Ok(())
    }

    /// Facts that are looked up rather than known to the directory. Says whether the key is one.
    fn looked_up(&mut self, key: &str, value: &Dynamic) -> Told<bool> {
        let answer = match key {
            "country" => {
                self.country = Some(optional_text(key, value)?);
                return Ok(true);
            }
            "blacklist" if value.is_unit() => (Need::Blacklist, Answer::Blacklist(self.known(None))),
            "blacklist" => {
                let hit = hit(map_of(key, value.clone())?, self.facts.now)?;
                (Need::Blacklist, Answer::Blacklist(self.known(Some(hit))))
            }
            "is_blacklisted" => {
                let hit = truth(key, value)?.then(some_hit);
                (Need::Blacklist, Answer::Blacklist(self.known(hit)))
            }
            "is_allowlisted" => (Need::Allowlist, Answer::Allowlist(self.known(truth(key, value)?))),
            "subscription" => {
                let answer = subscription(map_of(key, value.clone())?, self.facts.now)?;
                (Need::Subscription, Answer::Subscription(answer))
            }
            _ => return Ok(false),
        };
        self.facts.answers.push(answer);
        Ok(true)
    }

    fn group(&mut self, map: Map) -> Told<()> {
        let group = &mut self.facts.group;
        for (key, value) in map {
            match key.as_str() {
                "id" => {
                    let id = text(&key, value)?;
                    group.id =
                        GroupId::parse(&id).ok_or_else(|| format!("`{id}` is not a group id (…@g.us)"))?;
                }
                "subject" => group.subject = text(&key, value)?,
                "serial" => group.subject = format!("[{}] {}", text(&key, value)?, group.subject),
                "description" => group.description = text(&key, value)?,
                "size" => group.size = small(&key, &value)?,
                "capacity" => group.capacity = small(&key, &value)?,
                "is_announce_only" => group.announce_only = Some(truth(&key, &value)?),
                "is_archived" => group.archived = truth(&key, &value)?,
                "created_by_us" => group.created_by_us = truth(&key, &value)?,
                "we_are_admin" => {
                    let role = if truth(&key, &value)? { Role::Admin } else { Role::Member };
                    group.sessions = vec![(SessionName::new("main"), role)];
                }
                "tags" => group.tags = texts(&key, value)?,
                "params" => group.params = json_map(map_of(&key, value)?)?,
                other => {
                    let words = vocabulary::WORDS.iter();
                    let own =
                        words.filter(|word| word.owner == vocabulary::Owner::Group).map(|word| word.name);
                    return Err(unknown_key("`group`", other, own));
                }
            }
        }
        Ok(())
    }
}

impl Given {
    fn change(&mut self, map: Map) -> Told<()> {
        let Some(change) = &mut self.facts.change else { return Err("this hook has no change".into()) };
        for (key, value) in map {
            match key.as_str() {
                "what" => {
                    let word = text(&key, value)?;
                    let found = Aspect::ALL.into_iter().find(|aspect| aspect.as_str() == word);
                    change.what =
                        found.ok_or_else(|| unknown_key("`what`", &word, Aspect::ALL.map(Aspect::as_str)))?;
                }
                "before" => change.before = json(&value)?,
                "after" => change.after = json(&value)?,
                "by" => {
                    change.by = person(&value)?;
                    // Nobody knows the role of somebody who is not told.
                    if change.by.is_none() {
                        change.by_role = Role::Unknown;
                    }
                }
                "by_role" => change.by_role = role(&key, value)?,
                "by_is_admin" => {
                    change.by_role = if truth(&key, &value)? { Role::Admin } else { Role::Member };
                }
                other => {
                    let words = vocabulary::WORDS.iter();
                    let own =
                        words.filter(|word| word.owner == vocabulary::Owner::Change).map(|word| word.name);
                    return Err(unknown_key("`change`", other, own));
                }
            }
        }
        Ok(())
    }
}

fn role(key: &str, value: Dynamic) -> Told<Role> {
    let word = text(key, value)?;
    let roles = [Role::Unknown, Role::Member, Role::Admin, Role::Creator];
    let found = roles.into_iter().find(|role| role.as_str() == word);
    found.ok_or_else(|| unknown_key(&format!("`{key}`"), &word, roles.map(Role::as_str)))
}

fn untold<T>() -> Lookup<T> {
    Lookup::Unknown { why: "the test does not tell it".into() }
}

/// Who the member is. `None` if the key is not about that.
fn identity(member: &mut MemberFacts, key: &str, value: &Dynamic) -> Option<Told<()>> {
    let mut apply = || -> Told<bool> {
        match key {
            "phone" => {
                member.person.phone = optional_text(key, value)?.map(|text| phone(&text)).transpose()?
            }
            "lid" => {
                let lid = optional_text(key, value)?;
                let parse =
                    |text: String| Lid::parse(&text).ok_or_else(|| format!("`{text}` is not a LID (…@lid)"));
                member.person.lid = lid.map(parse).transpose()?;
            }
            "id" => member.person = person(value)?.unwrap_or_default(),
            "name" => member.name = optional_text(key, value)?,
            "role" => member.role = role(key, value.clone())?,
            "is_admin" => member.role = if truth(key, value)? { Role::Admin } else { Role::Member },
            "via" => {
                let word = text(key, value.clone())?;
                let ways = [Via::Unknown, Via::Link, Via::Added, Via::Approved, Via::Reconciled];
                let found = ways.into_iter().find(|via| via.as_str() == word);
                member.via = found.ok_or_else(|| unknown_key("`via`", &word, ways.map(Via::as_str)))?;
            }
            "added_by" => member.added_by = person(value)?,
            "left_by" => member.left_by = person(value)?,
            "tags" => member.tags = texts(key, value.clone())?,
            _ => return Ok(false),
        }
        Ok(true)
    };
    outcome(apply())
}

/// What the member did. `None` if the key is not about that.
fn history(member: &mut MemberFacts, key: &str, value: &Dynamic, now: Timestamp) -> Option<Told<()>> {
    let mut apply = || -> Told<bool> {
        match key {
            "joined_at" => member.joined_at = optional_moment(value, now)?,
            "last_message_at" => member.last_message_at = optional_moment(value, now)?,
            "wrote_to_us_at" => member.wrote_to_us_at = optional_moment(value, now)?,
            "is_warm" => member.wrote_to_us_at = truth(key, value)?.then_some(now),
            "joins" => member.joins = small(key, value)?,
            "removals" => member.removals = small(key, value)?,
            "messages" => member.messages = small(key, value)?,
            "groups" => {
                member.groups =
                    texts(key, value.clone())?.iter().filter_map(|id| GroupId::parse(id)).collect()
            }
            _ => return Ok(false),
        }
        Ok(true)
    };
    outcome(apply())
}

fn outcome(applied: Told<bool>) -> Option<Told<()>> {
    match applied {
        Ok(false) => None,
        Ok(true) => Some(Ok(())),
        Err(why) => Some(Err(why)),
    }
}

/// A hit of which the test says nothing else.
fn some_hit() -> ListHit {
    ListHit {
        list: "test".into(),
        entry: "test".into(),
        reason: None,
        source: None,
        added_at: None,
        expires_at: None,
    }
}

fn hit(map: Map, now: Timestamp) -> Told<ListHit> {
    let mut hit = some_hit();
    for (key, value) in map {
        match key.as_str() {
            "list" => hit.list = text(&key, value)?,
            "entry" => hit.entry = text(&key, value)?,
            "reason" => hit.reason = optional_text(&key, &value)?,
            "source" => hit.source = optional_text(&key, &value)?,
            "added_at" => hit.added_at = optional_moment(&value, now)?,
            "expires_at" => hit.expires_at = optional_moment(&value, now)?,
            other => {
                return Err(unknown_key(
                    "`blacklist`",
                    other,
                    ["list", "entry", "reason", "source", "added_at", "expires_at"],
                ));
            }
        }
    }
    Ok(hit)
}

fn subscription(map: Map, now: Timestamp) -> Told<Lookup<Subscription>> {
    let mut status = None;
    let (mut known, mut active) = (true, None);
    let mut value = Subscription { status: Status::Unknown, plan: None, expires_at: None };
    let (mut source, mut as_of) = ("test".to_owned(), now);
    for (key, given) in map {
        match key.as_str() {
            "known" => known = truth(&key, &given)?,
            "active" => active = Some(truth(&key, &given)?),
            "status" => {
                let word = text(&key, given)?;
                let all = ["active", "trialing", "past_due", "canceled", "none", "unknown"];
                status = Some(Status::parse(&word).ok_or_else(|| unknown_key("`status`", &word, all))?);
            }
            "plan" => value.plan = optional_text(&key, &given)?,
            "expires_at" => value.expires_at = optional_moment(&given, now)?,
            "source" => source = text(&key, given)?,
            "age" => as_of = moment(&given, now)?,
            other => {
                return Err(unknown_key("`subscription`", other, vocabulary::RECORD_KEYS.iter().copied()));
            }
        }
    }
    value.status = match (status, active) {
        (Some(status), _) => status,
        (None, Some(true)) => Status::Active,
        (None, Some(false)) => Status::None,
        (None, None) => Status::Unknown,
    };
    if active.is_some_and(|active| active != value.is_active(now)) {
        return Err("`active` contradicts `status` and `expires_at`; leave it out".into());
    }
    if !known || value.status == Status::Unknown {
        return Ok(untold());
    }
    Ok(Lookup::Known { value, as_of, source, stale: false })
}

fn unknown_key<'a>(of: &str, key: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let hint = vocabulary::did_you_mean(key, known);
    format!("{of} knows no `{key}`{hint}")
}

fn map_of(key: &str, value: Dynamic) -> Told<Map> {
    value.try_cast::<Map>().ok_or_else(|| format!("`{key}` is a map: #{{ … }}"))
}

fn text(key: &str, value: Dynamic) -> Told<String> {
    value.into_string().map_err(|_| format!("`{key}` is a text"))
}

fn optional_text(key: &str, value: &Dynamic) -> Told<Option<String>> {
    if value.is_unit() { Ok(None) } else { text(key, value.clone()).map(Some) }
}

fn texts(key: &str, value: Dynamic) -> Told<Vec<String>> {
    let list = value.into_array().map_err(|_| format!("`{key}` is a list of texts"))?;
    list.into_iter().map(|item| text(key, item)).collect()
}

fn truth(key: &str, value: &Dynamic) -> Told<bool> {
    value.as_bool().map_err(|_| format!("`{key}` is true or false"))
}

fn count(key: &str, value: &Dynamic) -> Told<u64> {
    value
        .as_int()
        .ok()
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| format!("`{key}` is a number from 0"))
}

fn small(key: &str, value: &Dynamic) -> Told<u32> {
    u32::try_from(count(key, value)?).map_err(|_| format!("`{key}` is too large"))
}

fn phone(text: &str) -> Told<Phone> {
    Phone::parse(text).ok_or_else(|| format!("`{text}` is not an international phone number"))
}

fn person(value: &Dynamic) -> Told<Option<Person>> {
    let Some(text) = optional_text("a person", value)? else { return Ok(None) };
    match Jid::parse(&text).and_then(|jid| jid.person()) {
        Some(person) => Ok(Some(person)),
        None => phone(&text).map(Person::of_phone).map(Some),
    }
}

fn optional_moment(value: &Dynamic, now: Timestamp) -> Told<Option<Timestamp>> {
    if value.is_unit() { Ok(None) } else { moment(value, now).map(Some) }
}

/// A moment: a time, `"2027-01-31T12:00:00Z"`, `"2027-01-31"` (its first moment, UTC), or how long ago: `"3d"`.
fn moment(value: &Dynamic, now: Timestamp) -> Told<Timestamp> {
    if let Some(time) = value.clone().try_cast::<time::Time>() {
        return Ok(time.0);
    }
    if let Some(span) = value.clone().try_cast::<time::Span>() {
        return Ok(Timestamp(now.as_millis().saturating_sub(span.0)));
    }
    let text = text("a time", value.clone())?;
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(moment.as_millisecond()));
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>()
        && let Ok(day) = date.to_zoned(jiff::tz::TimeZone::UTC)
    {
        return Ok(Timestamp(day.timestamp().as_millisecond()));
    }
    let ago = clock::parse_duration(&text).map_err(|_| {
        format!("`{text}` is no time: write \"2027-01-31T12:00:00Z\", or \"3d\" for three days ago")
    })?;
    Ok(now - ago)
}

fn json(value: &Dynamic) -> Told<serde_json::Value> {
    rhai::serde::from_dynamic(value).map_err(|_| "parameters are texts, numbers, lists and maps".into())
}

fn json_map(map: Map) -> Told<serde_json::Map<String, serde_json::Value>> {
    map.into_iter().map(|(key, value)| Ok((key.to_string(), json(&value)?))).collect()
}
