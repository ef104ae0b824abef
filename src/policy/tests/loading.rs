//! What is refused before it ever runs, with its place and the next step; and what is only warned about.

use super::*;

#[test]
fn a_misspelt_word_is_found_in_a_branch_that_never_runs() {
    for (text, suggestion) in [
        ("if group.size > 1000000 { member.remvoe(\"x\"); }", "`remove`"),
        ("if group.size > 1000000 { log(member.contry); }", "`country`"),
        ("if group.size > 1000000 { alrt(\"x\"); }", "`alert`"),
        ("if group.size > 1000000 { let s = member.subscription; if s.actve { } }", "`active`"),
        ("if group.size > 1000000 { member.lockdown(\"1m\", \"x\"); }", "`group` has"),
        ("if group.size > 1000000 { member.hold(\"x\"); }", "not available in this version"),
        ("if group.size > 1000000 { member.remove(); }", "member.remove(\"reason\")"),
        ("if group.size > 1000000 { log(gruop.subject); }", "`group`"),
        ("if group.size > 1000000 { let t = template(\"helo\", #{}); }", "no template `helo`"),
        ("if group.size > params.most { }", "no chain sets the parameter `most`"),
        ("if group.size > 1000000 { member.remove; }", "member.remove(\"reason\")"),
    ] {
        let problem = problem(body(text));
        assert!(problem.message.contains(suggestion), "{text}: {problem}");
        assert_eq!((problem.line, problem.kind), (2, ErrorKind::Word), "{text}: {problem}");
        assert!(problem.column > 1, "{text}: {problem}");
    }
}

#[test]
fn a_hook_must_be_named_and_written_as_it_is_called() {
    for (text, hint) in [
        ("fn on_jion(member, group) { }", "did you mean `on_join`?"),
        ("fn on_join(member) { }", "(member, group)"),
        ("fn on_message(member, group, message) { }", "not available in this version"),
        ("let x = 1;", "only functions"),
    ] {
        let problem = problem(one(text));
        assert!(problem.message.contains(hint), "{problem}");
    }
}

#[test]
fn an_error_is_rendered_with_place_source_line_and_caret() {
    let problem = problem(body("member.remvoe(\"x\");"));
    let text = problem.render();
    assert!(text.starts_with("policies/p.rhai:2:8: "), "{text}");
    assert!(text.contains("\n     2 | member.remvoe(\"x\");\n       |        ^\n"), "{text}");
}

#[test]
fn an_error_on_an_unusual_person_refuses_the_edit() {
    let problem = problem(body("log(\"phone \" + member.phone.len());"));
    assert!(problem.message.contains("tried on built-in people"), "{problem}");
}

#[test]
fn a_policy_without_on_sweep_that_reads_uncertain_facts_is_warned_about() {
    let set = body("if member.is_blacklisted { member.remove(\"x\"); }").unwrap();
    assert_eq!(set.warnings().len(), 1);
    assert!(set.warnings()[0].contains("is_blacklisted"));
}

#[test]
fn a_policy_without_a_hook_is_warned_about() {
    let set = one("fn on_the_side(member) { }\nfn x(member) { on_the_side(member); }").unwrap();
    assert!(set.warnings()[0].contains("no hook"), "{:?}", set.warnings());
}

#[test]
fn the_words_of_other_scripts_are_refused_with_the_word_to_use() {
    for (text, hint) in [
        ("print(\"x\");", "use log"),
        ("import \"x\" as x;", "not part of the policy language"),
        ("let f = |x| x;", "without a name"),
        ("let t = timestamp();", "use `now`"),
    ] {
        let problem = problem(body(text));
        assert!(problem.message.contains(hint), "{text}: {problem}");
    }
}

#[test]
fn a_failing_test_of_the_owner_refuses_the_edit_with_its_place() {
    let folder = Folder::with(&[
        ("p.rhai", "fn on_join(member, group) { if member.is_blacklisted { member.remove(\"x\"); } }"),
        ("other.rhai", "fn ("),
        ("tests/p.rhai", "fn test_it() {\n let run = on_join([\"p\"], #{});\n assert(run.removed);\n}"),
        ("tests/other.rhai", "fn test_other() { on_join([\"other\"], #{}); }"),
        ("tests/broken.rhai", "fn test_other( { \"other\" }"),
    ]);
    let refused = problem(load(&folder.spec(&["p"])));
    assert_eq!(
        (refused.file.as_str(), refused.line, refused.kind),
        ("tests/p.rhai", 3, ErrorKind::Test),
        "{refused}"
    );
    folder.write(
        "tests/p.rhai",
        "fn test_it() { assert(on_join(\"p\", #{ member: #{ is_blacklisted: true } }).removed); }",
    );
    let set = load(&folder.spec(&["p"])).unwrap_or_else(|error| panic!("{error}"));
    let report = selftest::run(&set);
    assert_eq!((report.passed, report.unreached.len()), (1, 0));
    folder.write("tests/p.rhai", "fn test_it() { on_join(\"p\", #{ member: #{ is_blaklisted: true } }); }");
    assert!(problem(load(&folder.spec(&["p"]))).message.contains("did you mean `is_blacklisted`?"));
}

#[test]
fn a_broken_policy_does_not_pass_a_test_that_expects_nothing() {
    let folder = Folder::with(&[
        ("p.rhai", "fn on_join(member, group) { if group.size == 7 { throw \"no\"; } }"),
        ("tests/p.rhai", "fn test_it() { assert(!on_join(\"p\", #{ group: #{ size: 7 } }).removed); }"),
    ]);
    assert!(problem(load(&folder.spec(&["p"]))).message.contains("the policy failed"));
}

#[test]
fn unreached_actions_are_named_by_line() {
    let folder = Folder::with(&[(
        "p.rhai",
        "fn on_join(member, group) {\n if group.size == 7 {\n group.say(\"x\");\n }\n}",
    )]);
    let set = load(&folder.spec(&["p"])).unwrap();
    assert_eq!(selftest::run(&set).unreached, [("p.rhai".to_owned(), vec![3])]);
}

#[test]
fn the_shipped_policies_load_and_pass_their_tests() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let names = ["blacklist", "raid", "subscribers", "countries", "governance", "welcome"];
    let spec = LoadSpec {
        dir,
        chains: vec![ChainSpec {
            block: "club".into(),
            links: chain(&names),
            params: serde_json::Map::new(),
        }],
        limits: ScriptLimits::default(),
    };
    let set = load(&spec).unwrap_or_else(|error| panic!("{error}"));
    let report = selftest::run(&set);
    assert!(report.passed >= 20, "{report:?}");
    assert_eq!(report.unreached, []);
    assert_eq!(set.warnings(), ["x"; 0]);
}

#[test]
fn a_text_that_is_never_closed_is_refused_with_a_line() {
    let folder = Folder::with(&[("p.rhai", "fn on_join(member, group) {\n    `${ }\n")]);
    let error = load(&folder.spec(&["p"])).unwrap_err();
    assert!(error.problems.iter().all(|problem| problem.line > 0), "{error}");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 96, failure_persistence: None, ..Default::default() })]

    /// Whatever stands in a file, loading and running it ends, without a panic, in a set or in problems with a place.
    #[test]
    fn any_text_is_a_policy_or_a_problem(words in proptest::collection::vec(proptest::sample::select(SOUP), 0..40)) {
        let folder = Folder::with(&[("p.rhai", &format!("fn on_join(member, group) {{ {} }}", words.join(" ")))]);
        let mut spec = folder.spec(&["p"]);
        spec.limits.operations = 2_000;
        match load(&spec) {
            Ok(set) => {
                let first = format!("{:?}", set.evaluate(&chain(&["p"]), &facts()));
                let second = format!("{:?}", set.evaluate(&chain(&["p"]), &facts()));
                proptest::prop_assert_eq!(first, second);
            }
            Err(error) => proptest::prop_assert!(error.problems.iter().all(|p| p.line > 0), "{}", error),
        }
    }
}

/// What random scripts are made of.
const SOUP: &[&str] = &[
    "member",
    ".name",
    ".phone",
    ".remove(\"x\")",
    ".subscription",
    "group",
    ".joins(\"1m\")",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ";",
    ";",
    ";",
    "if",
    "true",
    "while",
    "loop",
    "let",
    "x",
    "=",
    "1",
    "+",
    "<",
    "\"t\"",
    "now",
    "-",
    "params",
    "#{ a: x }",
    ",",
    "return",
    "try",
    "catch",
    "throw",
    "for",
    "in",
    "duration(\"3d\")",
    "log(\"x\")",
    "::",
    "??",
    "!",
    "'",
    "`${",
    "é",
];
