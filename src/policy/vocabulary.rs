//! The words of the policy language: what scripts may read and ask for, as tables.
//!
//! Owns the names, how they are used, and the suggestions for misspelt ones. The lint refuses what is not in here, and
//! error messages quote it. It runs nothing: the words are given their meaning by `member`, `group` and `globals`.

/// What a word belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// `member.…`
    Member,
    /// `group.…`
    Group,
    /// `change.…`
    Change,
    /// A moment: `now`, `member.joined_at`.
    Time,
    /// No owner: called by its bare name.
    Global,
}

/// Whether a word is read or called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `member.phone`
    Property,
    /// `member.remove("…")`; the numbers of arguments it takes.
    Call(&'static [usize]),
}

/// One word of the language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// As it is written.
    pub(super) name: &'static str,
    /// What it belongs to.
    pub(super) owner: Owner,
    /// Read or called.
    pub(super) kind: Kind,
    /// How it is written out, for error messages; empty where the name says it.
    pub(super) usage: &'static str,
    /// Documented, but this version cannot do it.
    pub(super) planned: bool,
}

const fn read(owner: Owner, name: &'static str) -> Word {
    Word { name, owner, kind: Kind::Property, usage: "", planned: false }
}

const fn call(owner: Owner, name: &'static str, arity: &'static [usize], usage: &'static str) -> Word {
    Word { name, owner, kind: Kind::Call(arity), usage, planned: false }
}

const fn planned(owner: Owner, name: &'static str) -> Word {
    Word { name, owner, kind: Kind::Property, usage: "", planned: true }
}

/// Properties of the facts that come as maps: a subscription, a blacklist entry.
pub(super) const RECORD_KEYS: &[&str] = &[
    "known",
    "active",
    "status",
    "plan",
    "expires_at",
    "source",
    "age",
    "list",
    "entry",
    "reason",
    "added_at",
];

use Owner::{Change, Global, Group, Member, Time};

/// Every documented word (`policy-api.md` §3, §4).
#[rustfmt::skip]
pub(super) const WORDS: &[Word] = &[
    read(Member, "id"), read(Member, "phone"), read(Member, "lid"), read(Member, "name"), read(Member, "mention"),
    read(Member, "country"), read(Member, "role"), read(Member, "is_admin"), read(Member, "via"),
    read(Member, "added_by"), read(Member, "left_by"), read(Member, "joined_at"), read(Member, "joins"),
    read(Member, "removals"), read(Member, "groups"), read(Member, "messages"), read(Member, "last_message_at"),
    read(Member, "wrote_to_us_at"), read(Member, "is_warm"), read(Member, "tags"), read(Member, "blacklist"),
    read(Member, "is_blacklisted"), read(Member, "is_allowlisted"), read(Member, "subscription"),
    planned(Member, "presence"),
    call(Member, "has_tag", &[1], "member.has_tag(\"name\")"),
    call(Member, "remove", &[1], "member.remove(\"reason\")"),
    call(Member, "admit", &[1], "member.admit(\"reason\")"),
    call(Member, "dm", &[1], "member.dm(\"text\")"),
    call(Member, "tag", &[1, 2], "member.tag(\"name\") or member.tag(\"name\", \"30d\")"),
    call(Member, "blacklist_locally", &[1, 2],
         "member.blacklist_locally(\"reason\") or member.blacklist_locally(\"reason\", \"30d\")"),
    call(Member, "untag", &[1], "member.untag(\"name\")"),
    planned(Member, "remove_from"), planned(Member, "refuse"), planned(Member, "hold"), planned(Member, "promote"),
    planned(Member, "demote"), planned(Member, "block"),
    read(Group, "id"), read(Group, "subject"), read(Group, "description"), read(Group, "serial"), read(Group, "size"),
    read(Group, "capacity"), read(Group, "is_announce_only"), read(Group, "is_archived"), read(Group, "created_by_us"),
    read(Group, "we_are_admin"), read(Group, "tags"), read(Group, "params"),
    planned(Group, "labels"), planned(Group, "invite_link"), planned(Group, "member"), planned(Group, "members"),
    call(Group, "has_tag", &[1], "group.has_tag(\"name\")"),
    call(Group, "joins", &[1], "group.joins(\"60s\")"),
    call(Group, "leaves", &[1], "group.leaves(\"10m\")"),
    call(Group, "welcome", &[1, 2], "group.welcome(member) or group.welcome(member, \"text\")"),
    call(Group, "say", &[1, 2], "group.say(\"text\") or group.say(\"text\", #{ mentions: [member] })"),
    call(Group, "announce_only", &[1], "group.announce_only(true)"),
    call(Group, "revoke_invite", &[0], "group.revoke_invite()"),
    call(Group, "lockdown", &[2], "group.lockdown(\"30m\", \"reason\")"),
    call(Group, "set_subject", &[1], "group.set_subject(\"text\")"),
    call(Group, "set_description", &[1], "group.set_description(\"text\")"),
    call(Group, "lock_info", &[1], "group.lock_info(true)"),
    read(Change, "what"), read(Change, "before"), read(Change, "after"), read(Change, "by"), read(Change, "by_role"),
    read(Change, "by_is_admin"),
    call(Group, "add", &[1, 2], "group.add(\"+4915…\") or group.add(\"+4915…\", #{ otherwise: \"invite\" })"),
    planned(Group, "set_picture"), planned(Group, "label"), planned(Group, "unlabel"), planned(Group, "leave"),
    planned(Group, "archive"), planned(Group, "delete"), planned(Group, "tag"), planned(Group, "untag"),
    planned(Group, "after"), planned(Group, "every"), planned(Group, "daily"), planned(Group, "cancel"),
    planned(Member, "after"), planned(Member, "every"), planned(Member, "daily"), planned(Member, "cancel"),
    read(Time, "hour"), read(Time, "weekday"), read(Time, "date"),
    call(Global, "duration", &[1], "duration(\"3d\")"),
    call(Global, "since", &[1], "since(member.joined_at)"),
    call(Global, "template", &[1, 2], "template(\"name\", #{ key: value })"),
    call(Global, "log", &[1], "log(\"text\")"),
    call(Global, "alert", &[1], "alert(\"text\")"),
    call(Global, "any_in", &[2], "any_in(list, other_list)"),
    call(Global, "count_in", &[2], "count_in(list, other_list)"),
    planned(Global, "group"), planned(Global, "groups_tagged"), planned(Global, "dm"),
    call(Global, "create_group", &[1], "create_group(#{ subject: \"name\", members: [\"+4915…\"] })"),
    planned(Global, "after"), planned(Global, "every"), planned(Global, "daily"), planned(Global, "cancel"),
    planned(Global, "notify"),
];

/// Hooks that are documented and not called by this version.
pub(super) const PLANNED_HOOKS: &[&str] =
    &["on_request", "on_message", "on_direct_message", "on_subscription", "on_trigger", "on_timer"];

/// Variables that every function sees.
pub(super) const VARIABLES: &[&str] = &["now", "params"];

/// What values of the language itself can do: strings, arrays, maps, numbers, ranges.
#[rustfmt::skip]
pub(super) const VALUE_CALLS: &[&str] = &[
    "len", "is_empty", "contains", "starts_with", "ends_with", "index_of", "sub_string", "trim", "to_upper", "to_lower",
    "make_upper", "make_lower", "split", "split_rev", "replace", "crop", "pad", "chars", "to_chars", "pop", "push",
    "truncate", "clear", "get", "set", "keys", "values", "join", "to_string", "to_int", "to_float",
    "parse_int", "parse_float", "abs", "sign", "is_zero", "min", "max", "floor", "ceiling", "round", "int", "fraction",
    "sqrt", "range", "first", "last", "start", "end",
];

/// Properties of the same.
pub(super) const VALUE_PROPERTIES: &[&str] =
    &["len", "is_empty", "chars", "floor", "ceiling", "round", "int", "fraction", "start", "end"];

/// Words of the language that would escape the limits or the stop at a missing fact.
pub(super) const FORBIDDEN: &[&str] = &[
    "eval",
    "Fn",
    "call",
    "curry",
    "is_shared",
    "is_def_fn",
    "is_def_var",
    "import",
    "export",
    "print",
    "debug",
    "sleep",
    "map",
    "filter",
    "reduce",
    "for_each",
    "some",
    "all",
    "sort",
    "sort_by",
    "retain",
    "drain",
    "find",
    "find_map",
    "timestamp",
    "exit",
];

/// The documented words of that name.
pub(super) fn words(name: &str) -> impl Iterator<Item = &'static Word> {
    WORDS.iter().filter(move |word| word.name == name)
}

/// The candidate nearest to a misspelt word, if one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance > 0 && *distance <= allowed && !candidate.is_empty())
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean `x`?`, or nothing.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|found| format!("; did you mean `{found}`?")).unwrap_or_default()
}

/// Why a word of [`FORBIDDEN`] is refused, and what to write instead.
pub(super) fn forbidden(name: &str) -> String {
    let instead = match name {
        "print" | "debug" => "; use log(\"…\")",
        "timestamp" => "; use `now`",
        "map" | "filter" | "some" | "all" | "for_each" | "find" => {
            "; use a `for` loop, any_in(a, b) or count_in(a, b)"
        }
        _ => "",
    };
    format!("`{name}` is not part of the policy language{instead}")
}
