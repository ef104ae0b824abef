//! What the engine promises, each told by a script that would break it: here what a run comes to.

mod bounds;
mod loading;

use super::{samples, *};
use crate::{
    action::Action,
    clock::Timestamp,
    facts::{Answer, ListHit, Lookup, Status, Subscription},
    ids::Person,
};
use std::fs;

/// A policies folder of a test.
struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        for (file, text) in files {
            folder.write(file, text);
        }
        folder
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn spec(&self, policies: &[&str]) -> LoadSpec {
        let chain =
            ChainSpec { block: "club".into(), links: chain(policies), params: serde_json::Map::new() };
        LoadSpec { dir: self.dir.path().into(), chains: vec![chain], limits: ScriptLimits::default() }
    }
}

fn chain(policies: &[&str]) -> Vec<ChainLink> {
    policies.iter().map(|policy| ChainLink { policy: (*policy).into(), observe: false }).collect()
}

/// A chain of one policy `p` with that text, loaded.
fn one(text: &str) -> Result<PolicySet, LoadError> {
    load(&Folder::with(&[("p.rhai", text)]).spec(&["p"]))
}

/// The same for the body of an `on_join`.
fn body(text: &str) -> Result<PolicySet, LoadError> {
    one(&format!("fn on_join(member, group) {{\n{text}\n}}"))
}

/// The only problem.
fn problem(loaded: Result<PolicySet, LoadError>) -> PolicyError {
    let problems = loaded.expect_err("must be refused").problems;
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

fn facts() -> Facts {
    Facts {
        change: None,
        hook: Hook::OnJoin,
        now: samples::NOW,
        member: Some(samples::ordinary_member()),
        group: samples::ordinary_group(),
        time_zone: "Europe/Berlin".into(),
        language: None,
        answers: Vec::new(),
    }
}

fn known<T>(value: T) -> Lookup<T> {
    Lookup::Known { value, as_of: samples::NOW, source: "test".into(), stale: false }
}

fn decide(set: &PolicySet, links: &[ChainLink], facts: &Facts) -> Verdict {
    match set.evaluate(links, facts) {
        Outcome::Decided(verdict) => verdict,
        other => panic!("{other:?}"),
    }
}

fn names(verdict: &Verdict) -> Vec<&'static str> {
    verdict.asked.iter().map(|asked| asked.action.name()).collect()
}

/// What a body writes with `log`, run on the ordinary person.
fn logged(text: &str) -> String {
    let set = body(text).unwrap_or_else(|error| panic!("{error}"));
    let verdict = decide(&set, &chain(&["p"]), &facts());
    let line = |asked: &crate::action::Asked| match &asked.action {
        Action::Log { text } => text.clone(),
        other => other.name().to_owned(),
    };
    verdict.asked.iter().map(line).collect::<Vec<_>>().join(" ")
}

#[test]
fn stale_answers_are_marked_and_counts_carry_the_scripts_own_words() {
    let set = body("if group.joins(\"60s\") > 2 { log(\"many\"); }\nlog(`${member.subscription.active}`);")
        .unwrap();
    let mut facts = facts();
    let value = Subscription { status: Status::Active, plan: None, expires_at: None };
    let stale = Lookup::Known { value, as_of: Timestamp(0), source: "crm".into(), stale: true };
    facts.answers.push((Need::Subscription, Answer::Subscription(stale)));
    facts.answers.push((Need::Joins(std::time::Duration::from_secs(60)), Answer::Count(3)));
    let verdict = decide(&set, &chain(&["p"]), &facts);
    assert_eq!(names(&verdict), ["log", "log"]);
    let read: Vec<_> =
        verdict.evidence.iter().map(|e| (e.fact.as_str(), e.source.as_str(), e.stale)).collect();
    assert!(read.contains(&("group.joins(\"60s\")", "directory", false)), "{read:?}");
    assert!(read.contains(&("member.subscription", "crm", true)), "{read:?}");
}

#[test]
fn a_group_is_set_up_when_it_is_joined_and_has_no_member_then() {
    let set = one("fn on_group_joined(group) { group.announce_only(true); group.say(\"Hello\"); }").unwrap();
    assert!(set.defines(&chain(&["p"]), Hook::OnGroupJoined) && !set.defines(&chain(&["p"]), Hook::OnJoin));
    let facts = Facts { hook: Hook::OnGroupJoined, member: None, ..facts() };
    assert_eq!(names(&decide(&set, &chain(&["p"]), &facts)), ["announce_only", "say"]);
    assert!(matches!(set.evaluate(&chain(&["q"]), &facts), Outcome::Failed(_)), "q is not loaded");
    assert!(one("fn on_group_joined(group) { group.welcome(member); }").is_err());
}

#[test]
fn facts_are_asked_for_one_after_the_other_and_become_evidence() {
    let set =
        body("if !member.is_blacklisted && member.subscription.active { member.admit(\"pays\"); }").unwrap();
    let mut facts = facts();
    let hidden = Person { phone: None, ..facts.member.as_ref().unwrap().person };
    facts.member.as_mut().unwrap().person = hidden;
    let phone = samples::ordinary_member().person.phone.unwrap();
    let subscription = Subscription { status: Status::Active, plan: None, expires_at: None };
    let answers = [
        (Need::Blacklist, Answer::Blacklist(known(None))),
        (Need::Phone, Answer::Phone(known(phone))),
        (Need::Subscription, Answer::Subscription(known(subscription))),
    ];
    for (need, answer) in answers {
        match set.evaluate(&chain(&["p"]), &facts) {
            Outcome::Needs(needs) => assert_eq!(needs, std::slice::from_ref(&need)),
            other => panic!("{other:?}"),
        }
        facts.answers.push((need, answer));
    }
    let verdict = decide(&set, &chain(&["p"]), &facts);
    assert_eq!(names(&verdict), ["admit"]);
    let read: Vec<&str> = verdict.evidence.iter().map(|e| e.fact.as_str()).collect();
    assert_eq!(read, ["member.blacklist", "member.phone", "member.subscription"]);
    assert_eq!(verdict.evidence[2].value["active"], true);
    assert!(!verdict.look_again);
}

#[test]
fn an_unknown_fact_without_a_final_action_is_looked_at_again() {
    let set = body("if member.subscription.known { member.remove(\"x\"); }").unwrap();
    let mut facts = facts();
    facts.answers.push((Need::Subscription, Answer::Subscription(Lookup::Unknown { why: "down".into() })));
    let verdict = decide(&set, &chain(&["p"]), &facts);
    assert!(verdict.look_again && verdict.asked.is_empty());
    assert!(verdict.evidence.iter().any(|e| e.fact == "member.subscription" && e.unknown));
}

#[test]
fn a_final_action_ends_the_chain_after_its_hook() {
    let folder = Folder::with(&[
        ("a.rhai", "fn on_join(member, group) { member.admit(\"vip\"); member.tag(\"seen\"); }"),
        ("b.rhai", "fn on_join(member, group) { group.welcome(member); }"),
    ]);
    let set = load(&folder.spec(&["a", "b"])).unwrap();
    let verdict = decide(&set, &chain(&["a", "b"]), &facts());
    assert_eq!(names(&verdict), ["admit", "tag"]);
    assert_eq!((verdict.asked[0].policy.as_str(), verdict.asked[0].line), ("a", 1));
    let mut observed = chain(&["a", "b"]);
    observed[0].observe = true;
    let verdict = decide(&set, &observed, &facts());
    assert_eq!(names(&verdict), ["admit", "tag", "welcome"]);
    assert_eq!(verdict.asked.iter().map(|a| a.observe).collect::<Vec<_>>(), [true, true, false]);
    assert!(verdict.final_action().is_none());
}

#[test]
fn two_different_finals_in_one_hook_are_an_error_that_no_catch_undoes() {
    let error = problem(body("member.remove(\"a\");\ntry { member.admit(\"b\"); } catch { }"));
    assert_eq!(error.line, 3, "{error}");
    let set = body("member.remove(\"first\"); member.remove(\"second\");").unwrap();
    let verdict = decide(&set, &chain(&["p"]), &facts());
    assert_eq!(verdict.asked.len(), 1);
    assert_eq!(verdict.asked[0].reason, "first");
}

#[test]
fn a_wrong_argument_is_an_error_with_the_right_way() {
    for (text, hint) in [
        ("member.remove(3);", "it is written member.remove(\"reason\")"),
        ("member.remove(\" \");", "not empty"),
        ("group.lockdown(\"soon\", \"x\");", "not a duration"),
        ("group.say(\"x\", #{ mention: [] });", "`mentions`"),
        ("group.welcome(\"x\");", "group.welcome(member)"),
        ("if now - member.joined_at > 3 { }", "duration like"),
        ("if member.joins > \"3\" { }", "cannot compare a number with text"),
        ("if group.size < () { }", "cannot compare a number with nothing"),
        ("if member.joined_at > () { }", "a time cannot be compared"),
    ] {
        let problem = problem(body(text));
        assert!(problem.message.contains(hint), "{text}: {problem}");
        assert_eq!(problem.line, 2, "{problem}");
        assert!(problem.snippet.contains(text), "{problem}");
    }
}

#[test]
fn times_compare_and_subtract() {
    for (text, result) in [
        ("since(member.joined_at) == duration(\"0s\")", "true"),
        ("now - member.joined_at > \"3d\"", "false"),
        ("since(member.last_message_at) > duration(\"900d\")", "true"),
        ("(now - \"1h\") < now && duration(\"1h\") * 24 == duration(\"1d\")", "true"),
        ("now.weekday == \"Monday\" && now.weekday in [\"mon\", \"sunday\"]", "true"),
        ("now.hour", "14"),
        ("now.date", "2026-06-15"),
        ("any_in([1, 2], [2]) && count_in([\"a\", \"b\"], [\"a\", \"b\", \"c\"]) == 2", "true"),
        ("params.get(\"grace_days\") ?? 3", "3"),
        ("group.serial", "CLUB-1"),
        (
            "1 < 2 && 2.5 > 2 && \"a\" < \"b\" && 3 >= 3 && 3 <= 3.0 && !(2 > 3) && 1 != 2 && 1 + 1 == 2",
            "true",
        ),
        ("member.country", "DE"),
        ("member.last_message_at == ()", "true"),
    ] {
        assert_eq!(logged(&format!("log(`${{{text}}}`);")), result, "{text}");
    }
}

#[test]
fn a_tag_of_this_run_is_seen_by_the_rest_of_it() {
    assert_eq!(logged("member.tag(\"new\"); log(`${member.has_tag(\"new\")}`);"), "tag true");
}

#[test]
fn library_functions_are_called_by_name_and_their_faults_are_told_there() {
    let folder = Folder::with(&[
        ("p.rhai", "fn on_join(member, group) { if rules::is_new(member) { rules::greet(group, member); } }"),
        (
            "lib/rules.rhai",
            "fn is_new(member) { more::yes(member.joins) }\nfn greet(group, member) {\n group.welcome(member); }",
        ),
        ("lib/more.rhai", "fn yes(n) { n == 1 }"),
        ("lib/broken.rhai", "fn ("),
    ]);
    let set = load(&folder.spec(&["p"])).unwrap_or_else(|error| panic!("{error}"));
    let verdict = decide(&set, &chain(&["p"]), &facts());
    assert_eq!(names(&verdict), ["welcome"]);
    assert_eq!(verdict.asked[0].line, 1, "a line of the policy, not of the library");
    folder.write("lib/more.rhai", "fn yes(n) {\n throw \"no\"; }");
    let broken = problem(load(&folder.spec(&["p"])));
    assert_eq!((broken.file.as_str(), broken.line), ("lib/more.rhai", 2), "{broken}");
    folder.write("p.rhai", "fn on_join(member, group) { rules::gret(group, member); }");
    let misspelt = problem(load(&folder.spec(&["p"])));
    assert!(misspelt.message.contains("did you mean `greet`?"), "{misspelt}");
    folder.write("p.rhai", "fn on_join(member, group) { rulez::greet(group, member); }");
    assert!(problem(load(&folder.spec(&["p"]))).message.contains("no library `rulez`"));
}

#[test]
fn templates_take_the_language_of_the_group() {
    let folder = Folder::with(&[
        ("p.rhai", "fn on_join(member, group) { member.dm(template(\"hi\", #{ who: member.name })); }"),
        ("templates/hi.txt", "Hi {who}\n"),
        ("templates/hi.de.txt", "Hallo {who}\n"),
        ("templates/unused.txt", "{nothing}"),
    ]);
    let set = load(&folder.spec(&["p"])).unwrap_or_else(|error| panic!("{error}"));
    let mut facts = facts();
    facts.language = Some("de".into());
    match &decide(&set, &chain(&["p"]), &facts).asked[0].action {
        Action::Dm { text, .. } => assert_eq!(text, "Hallo Kim"),
        other => panic!("{other:?}"),
    }
    let files: Vec<String> = set.files().iter().map(|(path, _)| path.display().to_string()).collect();
    assert_eq!(files, ["p.rhai", "templates/hi.de.txt", "templates/hi.txt"]);
    folder.write("templates/hi.de.txt", "Hallo {wer}");
    let translation = problem(load(&folder.spec(&["p"])));
    assert!(translation.message.contains("hi.de") && translation.message.contains("{wer}"), "{translation}");
    folder.write("templates/hi.de.txt", "Hallo {who}");
    folder.write("templates/hi.txt", "Hi {whom}");
    assert!(problem(load(&folder.spec(&["p"]))).message.contains("{whom}"));
}

#[test]
fn a_listed_member_is_out_whatever_else_is_unknown() {
    let set = body("if member.is_blacklisted { member.remove(`on ${member.blacklist.list}`); }").unwrap();
    let mut facts = facts();
    let hit = ListHit {
        list: "scrapers".into(),
        entry: "x".into(),
        reason: None,
        source: None,
        added_at: None,
        expires_at: Some(Timestamp(0)),
    };
    facts.answers.push((Need::Blacklist, Answer::Blacklist(known(Some(hit)))));
    let verdict = decide(&set, &chain(&["p"]), &facts);
    assert_eq!(verdict.final_action().unwrap().reason, "on scrapers");
}

#[test]
fn one_set_serves_all_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<PolicySet>();
    shared::<PolicyBook>();
}

#[test]
fn groups_grow_by_numbers_and_mistakes_are_told() {
    let set = body(
        "group.add(\"+4915100000001\", #{ otherwise: \"invite\" });
         create_group(#{ subject: \"Guild\", members: [\"+4915100000001\"], admins: [\"+4915100000002\"] });",
    )
    .unwrap();
    let Outcome::Decided(Verdict { asked: all, .. }) = set.evaluate(&chain(&["p"]), &facts()) else {
        panic!("it runs")
    };
    assert!(matches!(&all[0].action, Action::Add { invite: true, .. }));
    let Action::CreateGroup { members, admins, .. } = &all[1].action else { panic!("{all:?}") };
    assert_eq!((members.len(), admins.len()), (2, 1), "an admin is a member");
    for (line, why) in [
        ("group.add(\"0151\");", "needs an international number"),
        ("group.add(member.left_by);", "this one is hidden"),
        ("group.add(\"+4915100000001\", #{ otherwise: \"dm\" });", "`otherwise` can be"),
        ("create_group(#{ members: [\"+4915100000001\"] });", "needs a `subject`"),
        ("create_group(#{ subject: \"Guild\", members: [] });", "begins with 1 to"),
        ("create_group(#{ subject: \"Guild\", member: [] });", "not `member`"),
        ("create_group(#{ subject: \"Guild\", members: [\"+4915100000001\"], tags: [] });", "not available"),
        ("group.set_subject(\" \");", "not empty"),
    ] {
        let told = format!("{:?}", body(line).err());
        assert!(told.contains(why), "{line}: {told}");
    }
}
