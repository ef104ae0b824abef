//! Scripts that run away, or would escape: each is stopped, and told with its place.

use super::*;

#[test]
fn an_endless_loop_is_stopped_and_told_with_its_line() {
    for (text, line) in [("let n = 0;\nloop { n += 1; }", 3), ("loop { }", 2)] {
        let problem = problem(body(text));
        assert_eq!((problem.kind, problem.line), (ErrorKind::Limit, line), "{problem}");
    }
}

#[test]
fn a_missing_fact_cannot_be_caught() {
    let text = "try { let s = member.subscription; } catch { member.admit(\"never\"); }";
    let set = body(text).unwrap();
    match set.evaluate(&chain(&["p"]), &facts()) {
        Outcome::Needs(needs) => assert_eq!(needs, [Need::Subscription]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_would_escape_the_limits_does_not_exist() {
    for text in [
        "let f = |x| x;",
        "eval(\"1\");",
        "let f = Fn(\"on_join\");",
        "[1].map(\"f\");",
        "[1, 2].sort();",
        "let s = \"x\"; s.append(s);",
        "sleep(1);",
        "let t = timestamp();",
        "import \"x\" as x;",
        "let f = on_join;",
        "#{a: 1}.filter(\"f\");",
        "print(\"x\");",
        "exit();",
    ] {
        assert!(body(text).is_err(), "{text}");
    }
}

#[test]
fn growing_without_end_is_stopped() {
    for text in [
        "let s = \"x\"; loop { s += s; }",
        "let a = [1]; loop { a += a; }",
        "let a = [1]; loop { a.push(a); }",
        "let m = #{}; let n = 0; loop { n += 1; m.set(`k${n}`, m); }",
        "let a = [0]; loop { a[0] = a; }",
        "let s = \"xx\"; loop { s.replace(\"x\", s); }",
        "let s = \"xx\"; loop { s.replace('x', s); }",
        "let s = \"0123456789\"; let a = []; loop { a.push(s); s += s; }",
        "let s = \"0123456789\"; loop { s = [s, s].join(s); }",
        "let m = #{ a: \"x\" }; loop { m.a += m.a; }",
        "let s = \"x\"; loop { s = `${s}${s}`; }",
        "let s = \"x\"; loop { s.pad(1000000000, \"x\"); }",
    ] {
        let problem = problem(body(text));
        assert_eq!(problem.kind, ErrorKind::Limit, "{text}: {problem}");
    }
}

#[test]
fn deep_recursion_is_an_error_and_no_abort() {
    let nest = |open: &str, close: &str, times: usize| {
        format!("fn deep(n) {{ {}deep(n + 1){} }}", open.repeat(times), close.repeat(times))
    };
    for (open, close, times) in
        [("(1+", ")", 10), ("[", "]", 7), ("#{ a: ", "}", 7), ("`${", "}`", 4), ("if true { ", "}", 7)]
    {
        let text = format!("{}\nfn on_join(member, group) {{ deep(0); }}", nest(open, close, times));
        let problem = problem(one(&text));
        assert_eq!(problem.kind, ErrorKind::Limit, "{problem}");
    }
    let too_deep = format!("{}\nfn on_join(member, group) {{ deep(0); }}", nest("(1+", ")", 40));
    assert_eq!(problem(one(&too_deep)).kind, ErrorKind::Syntax);
}

#[test]
fn long_conditions_and_texts_are_not_deep() {
    let condition = vec!["member.joins == 7"; 20].join(" || ");
    let text = vec!["\"x\""; 20].join(" + ");
    assert_eq!(logged(&format!("if {condition} {{ return; }}\nlog({text});")), "x".repeat(20));
}

#[test]
fn a_run_past_its_deadline_ends_as_overload() {
    let folder = Folder::with(&[(
        "p.rhai",
        "fn on_join(member, group) { if group.size == 120 && group.subject == \"now\" { loop { } } }",
    )]);
    let mut spec = folder.spec(&["p"]);
    spec.limits.operations = u64::MAX / 2;
    spec.limits.deadline = std::time::Duration::from_millis(20);
    let set = load(&spec).unwrap();
    let mut facts = facts();
    facts.group.subject = "now".into();
    match set.evaluate(&chain(&["p"]), &facts) {
        Outcome::Failed(problem) => assert_eq!(problem.kind, ErrorKind::Overload),
        other => panic!("{other:?}"),
    }
}

#[test]
fn long_work_inside_a_word_counts_against_the_deadline() {
    let text = "fn on_join(member, group) { if group.subject != \"now\" { return; }
        let a = []; for n in range(0, 1900) { a.push(n); }
        loop { count_in(a, a); } }";
    let folder = Folder::with(&[("p.rhai", text)]);
    let mut spec = folder.spec(&["p"]);
    spec.limits.deadline = std::time::Duration::from_millis(200);
    let set = load(&spec).unwrap();
    let mut facts = facts();
    facts.group.subject = "now".into();
    match set.evaluate(&chain(&["p"]), &facts) {
        Outcome::Failed(problem) => assert_eq!(problem.kind, ErrorKind::Overload),
        other => panic!("{other:?}"),
    }
}
