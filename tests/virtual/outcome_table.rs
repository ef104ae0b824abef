//! Every answer that the vendor's material names, through the real client and pipeline, in virtual time: what the row is
//! right after the call, what it is an hour later, and how many calls it took. And time-outs in equal shares.

use crate::lab::{Lab, Setup, experiment};
use perimeterd::{
    action::{Class, RowState},
    ids::{GroupId, Person, Phone},
    simulator::{Addressing, Delivery, Fault, Kind, Role, Via},
    store::{Filter, Row},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

const FIRST: u64 = 4_915_100_000_001;

fn group(n: u64) -> GroupId {
    GroupId::parse(&format!("{}@g.us", 120_363_000_000_000_001_u64 + n)).unwrap()
}

fn person(n: u64) -> Person {
    Person::of_phone(Phone::from_u64(FIRST + n).unwrap())
}

/// A world in which whoever joins is removed, or told something.
async fn world(hook: &str, groups: u64) -> Lab {
    let config =
        "[[groups]]\nname = \"club\"\nmatch = \"120363*@g.us\"\nchain = [\"doorman\"]\nmode = \"enforce\"\n\
         [pacing]\ngap = \"0s\"\nramp = \"0s\"\n[limits]\nremove = [\"1000/1m\"]\ndm = [\"1000/1m\"]\n\
         cold_dm = [\"1000/1m\"]\nread = [\"10/1m\"]\n"
            .into();
    let policy = format!("fn on_join(member, group) {{ {hook} }}\n");
    let files = vec![("policies/doorman.rhai".into(), policy)];
    let mut lab = Lab::new(Setup { config, files, ..Setup::default() });
    for n in 0..groups {
        lab.sim.add_group(&group(n), "Club", Addressing::Phone, Role::Admin);
    }
    assert!(lab.start().await);
    lab.pass(Duration::from_secs(600)).await;
    lab
}

const REMOVE: &str = "member.remove(\"not here\");";
const TELL: &str = "member.dm(\"hello\");";

async fn rows(lab: &Lab) -> Vec<Row> {
    lab.store.outbox(Filter { limit: 1000, ..Filter::default() }).await.unwrap()
}

/// What a verdict means: the state right after the call, the state in the end, and the calls made. The answer strikes once.
fn meant(verdict: &str, class: Class) -> (RowState, RowState, usize) {
    use RowState::{Done, Refused, Unknown, Waiting};
    match verdict {
        "done" => (Done, Done, 1),
        "refused" => (Refused, Refused, 1),
        "waits" => (Waiting, Done, 2),
        // Only one form of the id is known here: a removal is tried by the name that a roster tells, a message is given up.
        "other form" if class == Class::Remove => (Waiting, Done, 2),
        "other form" => (Refused, Refused, 1),
        "unknown" if class == Class::Dm => (Unknown, Unknown, 1),
        "unknown" => (Unknown, Done, 2),
        other => panic!("no verdict: {other}"),
    }
}

type Case = (u16, &'static str, &'static str);

/// Answers to a removal (`wawp-api.md` §1, §2.2; `whatsapp-reality.md` §3.1–3.3).
const REMOVALS: &[Case] = &[
    (
        200,
        r#"[{"JID":"7@lid","PhoneNumber":"49@s.whatsapp.net","LID":"7@lid","Error":0,"AddRequest":null}]"#,
        "done",
    ),
    (200, r#"[{"JID":"7@lid","Error":403,"AddRequest":{"Code":"x","Expiration":"y"}}]"#, "refused"),
    (200, r#"[{"JID":"7@lid","Error":463}]"#, "refused"),
    (200, r#"[{"status":"200","jid":"7@lid","content":{}}]"#, "done"),
    (200, r#"[{"status":"403","jid":"7@lid"}]"#, "refused"),
    (200, r#"[{"status":"404","jid":"7@lid"}]"#, "refused"),
    (200, r#"[{"status":"409","jid":"7@lid"}]"#, "refused"),
    (200, r#"[{"status":429,"jid":"7@lid"}]"#, "waits"),
    (200, "[]", "unknown"),
    (200, r#"{"status":200}"#, "done"),
    (200, r#"{"49@c.us":{"code":403,"message":"no","isInviteV4Sent":false}}"#, "refused"),
    (200, r#""GroupParticipantError: you have no permission""#, "waits"),
    (200, "true", "done"),
    (200, "false", "refused"),
    (200, "", "done"),
    (200, r#"{"wawp_upstream_error":{"message":"x"}}"#, "waits"),
    (200, r#"{"code":"quota_reached","message":"daily"}"#, "waits"),
    (200, r#"{"error":"expected at least 1 children, but found 0"}"#, "other form"),
    (200, r#"{"error":"Session status is not as expected"}"#, "waits"),
    (400, r#"{"status":400,"message":"missing required parameter(s)","error":"Bad Request"}"#, "other form"),
    (400, "<error><message>missing parameter</message></error>", "other form"),
    (401, r#"{"status":401,"message":"invalid token"}"#, "waits"),
    (403, r#"{"code":"subscription_required","message":"upgrade","data":{"status":403}}"#, "waits"),
    (403, r#"{"message":"the instance is not an admin of the group"}"#, "waits"),
    (404, r#"{"message":"item-not-found"}"#, "refused"),
    (404, r#"{"message":"Session not found"}"#, "waits"),
    (
        422,
        r#"{"error":"Session status is not as expected","session":"x","status":"STOPPED","expected":["WORKING"]}"#,
        "waits",
    ),
    (422, r#"{"statusCode":422,"message":"method is not implemented by the engine"}"#, "refused"),
    (429, "", "waits"),
    (500, "Internal Server Error", "waits"),
    (
        500,
        r#"{"statusCode":500,"exception":{"message":"2 UNKNOWN: info query returned status 400: bad-request","code":2}}"#,
        "other form",
    ),
    (
        500,
        r#"{"statusCode":500,"exception":{"message":"info query returned status 401: not-authorized"}}"#,
        "waits",
    ),
    (500, r#"{"statusCode":500,"exception":{"message":"rate-overlimit","data":429}}"#, "waits"),
    (500, r#"{"statusCode":500,"exception":{"message":"info query timed out"}}"#, "unknown"),
    (502, "", "unknown"),
    (504, "<html>gateway time-out</html>", "unknown"),
];

/// Answers to a private message (`wawp-api.md` §2.3).
const MESSAGES: &[Case] = &[
    (201, r#"{"sent":true,"upstream_status":201}"#, "done"),
    (201, r#"{"id":"true_49@c.us_3EB0","_data":{"Info":{"ID":"3EB0","IsFromMe":true}}}"#, "done"),
    (200, "", "done"),
    (200, r#"{"status":"error","message":"no"}"#, "refused"),
    (200, r#"{"error":{"code":463,"message":"server returned error"}}"#, "refused"),
    (500, r#"{"statusCode":500,"exception":{"message":"server returned error 463"}}"#, "refused"),
    (200, r#"{"error":"{\"code\":463}"}"#, "refused"),
    (200, r#"{"error":"Timed Out"}"#, "unknown"),
    (200, "[]", "unknown"),
    (200, r#"{"error":"No LID for user"}"#, "other form"),
    (422, r#"{"error":"Session status is not as expected","status":"STOPPED"}"#, "waits"),
    (429, "busy", "waits"),
    (500, "", "waits"),
    (502, "", "unknown"),
];

/// Plays one answer once and tells what became of the row.
fn play(hook: &str, class: Class, (status, body, verdict): Case) -> ((RowState, RowState, usize), Row) {
    experiment(1, async {
        let lab = world(hook, 1).await;
        let effect = verdict == "done";
        lab.sim
            .add_fault(Fault::on_class(class, Kind::Status { status, body: body.into(), effect }).times(1));
        lab.sim.join(&group(0), &[person(0)], Via::Link).await;
        lab.pass(Duration::from_millis(500)).await;
        let first = rows(&lab).await[0].state;
        lab.pass(Duration::from_secs(3600)).await;
        let row = rows(&lab).await.remove(0);
        let calls = lab.sim.calls().iter().filter(|call| call.is(class)).count();
        ((first, row.state, calls), row)
    })
}

fn check(hook: &str, class: Class, cases: &[Case]) {
    let mut wrong = Vec::new();
    for case in cases {
        let (came_to, row) = play(hook, class, *case);
        if came_to != meant(case.2, class) {
            wrong.push(format!("{case:?} came to {came_to:?}: {:?}", row.note));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_answer_to_a_removal_leads_to_the_right_state() {
    check(REMOVE, Class::Remove, REMOVALS);
}

#[test]
fn every_answer_to_a_message_leads_to_the_right_state() {
    check(TELL, Class::Dm, MESSAGES);
}

/// The first call of each of 200 gets no answer: every other one took effect all the same. Where a removal did, every
/// other leave is told to nobody, so that a roster has to tell.
async fn time_out(lab: &Lab, class: Class) {
    let (sim, turn) = (lab.sim.clone(), Arc::new(AtomicU64::new(0)));
    let now = turn.clone();
    lab.watch_calls(move |request| {
        if request.url().path().ends_with("/remove") && now.load(Relaxed).is_multiple_of(4) {
            sim.set_delivery(Delivery { lost: 1.0, ..Delivery::default() });
        }
    });
    for n in 0..200 {
        turn.store(n, Relaxed);
        lab.sim.set_delivery(Delivery::default());
        let effect = n.is_multiple_of(2);
        lab.sim.add_fault(Fault::on_class(class, Kind::Hang { effect }).times(1));
        lab.sim.join(&group(n % 20), &[person(n)], Via::Link).await;
        lab.pass(Duration::from_secs(300)).await;
    }
    lab.pass(Duration::from_secs(6 * 3600)).await;
}

/// How many calls got no answer: those that took effect, and those that did not.
fn unanswered(lab: &Lab, class: Class) -> (usize, usize) {
    let calls = lab.sim.calls();
    let hung = calls.iter().filter(|call| call.is(class) && call.fault.as_deref() == Some("hang"));
    let (with, without): (Vec<_>, Vec<_>) = hung.partition(|call| call.effect);
    (with.len(), without.len())
}

#[test]
fn of_200_removals_that_timed_out_nobody_stays_and_each_is_explained() {
    experiment(3, async {
        let lab = world(REMOVE, 20).await;
        time_out(&lab, Class::Remove).await;
        assert_eq!(unanswered(&lab, Class::Remove), (100, 100));
        let inside = (0..200).filter(|n| lab.sim.with(|world| world.is_member(&group(n % 20), person(*n))));
        assert_eq!(inside.count(), 0, "nobody is left inside");
        let rows = rows(&lab).await;
        assert_eq!(rows.iter().filter(|row| row.state == RowState::Done).count(), 200);
        for row in &rows {
            let note = row.note.as_deref().unwrap_or_default();
            assert!(note.starts_with("the outcome is unknown: no answer; "), "{note}");
            let again = note.contains("the roster still lists them, so it is made again");
            assert_eq!(again, row.attempts > 1, "{note}");
            assert!(again || note.contains("they are out"), "not explained: {note}");
        }
        assert_eq!(rows.iter().filter(|row| row.attempts == 2).count(), 100);
        let calls = lab.sim.calls();
        let took_effect = calls.iter().filter(|call| call.is(Class::Remove) && call.effect).count();
        assert_eq!(took_effect, 200, "nobody was removed twice");
    });
}

#[test]
fn of_200_messages_that_timed_out_none_is_sent_twice_and_all_are_shown() {
    experiment(4, async {
        let lab = world(TELL, 20).await;
        time_out(&lab, Class::Dm).await;
        assert_eq!(unanswered(&lab, Class::Dm), (100, 100));
        let calls = lab.sim.calls();
        let sent: Vec<_> = calls.iter().filter(|call| call.is(Class::Dm)).collect();
        assert_eq!(sent.len(), 200, "one call each, whatever became of it");
        let rows = rows(&lab).await;
        let unknown: Vec<_> = rows.iter().filter(|row| row.state == RowState::Unknown).collect();
        assert_eq!(unknown.len(), 200);
        for row in unknown {
            assert!(row.note.as_deref().unwrap_or_default().contains("not repeated"), "{row:?}");
        }
        assert!(lab.store.alerts(100).await.unwrap().iter().any(|alert| alert.text.contains("not repeated")));
    });
}
