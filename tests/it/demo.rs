//! The demo, as a newcomer runs it, only faster.

use serde_json::Value;
use std::process::Command;

fn demo(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_perimeterd"))
        .arg("demo")
        .args(arguments)
        .env_remove("PERIMETERD_LOG")
        .env_remove("PERIMETERD_CONFIG")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Objects of a kind whose `field` is `value`.
fn found<'a>(lines: &'a [Value], kind: &str, field: &str, value: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind && line[field] == value).collect()
}

/// Actions of that name that were done.
fn done<'a>(lines: &'a [Value], action: &str) -> Vec<&'a Value> {
    let actions = found(lines, "action", "action", action);
    actions.into_iter().filter(|line| line["state"] == "done").collect()
}

/// Everybody in these actions, in order.
fn people(actions: &[&Value]) -> Vec<String> {
    let names = actions.iter().flat_map(|action| action["who"].as_array().unwrap());
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_day_shows_what_it_promises_one_json_object_a_line() {
    let (code, told, complaints) = demo(&["--once", "--json", "--pace", "0.4"]);
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.last().unwrap();
    assert_eq!(summary["kind"], "summary");
    assert_eq!(code, Some(0), "{summary:#}\n{complaints}");
    assert_eq!(complaints, "", "the log is off");
    crate::harness::assert_discreet(&told);

    let first_welcome = people(&done(&lines, "welcome")[..1]);
    assert_eq!(first_welcome, ["Ann", "Ben", "Chloe"], "one message for three");
    let removals = done(&lines, "remove");
    let removed = people(&removals);
    for gone in ["Dave", "Ella", "Deals4U", "Promo Bot"] {
        assert_eq!(removed.iter().filter(|name| *name == gone).count(), 1, "{gone} in {removed:?}");
    }
    for stays in ["Ann", "Ben", "Chloe", "Farid", "Grace", "Hugo", "Iris", "Nobody knows"] {
        assert!(!removed.contains(&stays.to_owned()), "{stays} in {removed:?}");
    }
    let heard = people(&done(&lines, "dm"));
    assert!(heard.contains(&"Dave".to_owned()) && heard.contains(&"Ella".to_owned()), "{heard:?}");
    let by_list = removals.iter().filter(|removal| removal["policy"] == "blacklist");
    assert!(
        by_list.clone().count() == 2 && by_list.clone().all(|removal| removal["line"].as_u64() > Some(0))
    );

    let switched: Vec<_> = done(&lines, "announce_only").iter().map(|action| action["on"].clone()).collect();
    assert_eq!(switched, [true, false], "locked once, opened once");
    assert_eq!(done(&lines, "revoke_invite").len(), 1);
    let decisions = lines.iter().filter(|line| line["kind"] == "decision").count();
    assert_eq!(summary["totals"]["decisions"], decisions);
    assert_eq!(summary["totals"]["repeats_ignored"], 1);
    let within = |budget: &Value| budget["used"].as_u64() <= budget["limit"].as_u64();
    assert!(summary["budget"].as_array().unwrap().iter().all(within), "{}", summary["budget"]);
}

#[test]
fn an_unknown_example_is_refused_with_those_there_are() {
    let (code, told, complaints) = demo(&["--example", "sports"]);
    assert_eq!((code, told.as_str()), (Some(1), ""));
    assert!(complaints.contains("`sports`") && complaints.contains("community"), "{complaints}");
}
