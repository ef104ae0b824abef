//! One run in which everything happens that is worth a log line, in both formats and at the most talkative level: no
//! secret and no full number in any of them. Every other bench has its log read as well, when it ends.

use crate::harness::{ACCESS, Bench, GROUP, SECRET, Setup, TOKEN, assert_discreet, group, person};
use perimeterd::{
    action::Class,
    simulator::{Fault, Kind, Via},
};
use serde_json::json;

const SCRAPER: u64 = 4915100000901;
const LAPSED: u64 = 4915100000902;
const BREAKS: u64 = 4915100000903;
const PAYS: u64 = 4915100000904;

fn setup() -> Setup {
    let talkative = format!(
        r#"fn on_join(member, group) {{
    log(`${{member.phone}} came into ${{group.subject}} as ${{member.lid}}`);
    alert(`${{member.phone}} is here`);
    if member.phone == "+{BREAKS}" {{ throw `cannot bear +${{member.phone}} nor {SECRET}`; }}
}}
"#
    );
    Setup {
        chain: r#"["talkative", "blacklist", "subscribers"]"#,
        policies: vec![("talkative.rhai", talkative)],
        blacklist: format!("+{SCRAPER} reason=calls-+{SCRAPER}-all-day\n+4915100000999\n"),
        subscriptions: format!("+{PAYS},active,gold,\n+{LAPSED},canceled,gold,2020-01-31\n"),
        ..Setup::default()
    }
}

/// Everything that has something to say about somebody.
async fn a_bad_day(bench: &Bench) {
    let echo = format!(r#"{{"message":"no {ACCESS} for {LAPSED}@c.us at ?access_token={ACCESS}"}}"#);
    for kind in [
        Kind::Status { status: 500, body: echo.clone(), effect: false },
        Kind::Status { status: 403, body: echo.clone(), effect: false },
        Kind::Upstream { message: format!("no lid for user {LAPSED}@s.whatsapp.net") },
        Kind::Hang { effect: true },
    ] {
        bench.sim.add_fault(Fault::on_class(Class::Remove, kind).times(1));
    }
    bench.sim.add_fault(Fault::on_class(Class::Dm, Kind::Drop { effect: false }).times(1));
    for number in [SCRAPER, LAPSED, BREAKS, PAYS] {
        bench.sim.join(&group(), &[person(number)], Via::Link).await;
    }
    bench.sim.message(None, person(LAPSED), "I did pay, call me: +4915100000902").await;
    for body in [
        format!(r#"{{"id":"evt_1","event":"group.v2.join","payload":{{"id":"{SCRAPER}@c.us"}}}}"#),
        format!("+{SCRAPER} says {SECRET}"),
        json!({"id": "evt_2", "event": "group.v2.participants", "payload": {"group": {"id": GROUP}, "participants": [SCRAPER]}})
            .to_string(),
    ] {
        assert_eq!(bench.post_bytes(body.into_bytes()).await, 202);
    }
    let wrong = format!("{}/webhooks/main?secret={SECRET}-almost&phone={SCRAPER}", bench.base);
    assert_eq!(bench.http.post(wrong).body("x").send().await.unwrap().status().as_u16(), 401);
    let pushed = bench.http.put(format!("{}/api/v1/subscriptions/+{PAYS}", bench.base)).bearer_auth(TOKEN);
    assert!(pushed.json(&json!({"status": "active"})).send().await.unwrap().status().is_success());
    bench.write("blacklist.txt", &format!("+{SCRAPER} raeson=calls\n"));
    bench.write("subscriptions.csv", &format!("phone,status,plan,expires_at\n+{PAYS},paid-by-{LAPSED},,\n"));
    bench.write(
        "policies/blacklist.rhai",
        &format!("fn on_join(member, group) {{ member.x(\"+{SCRAPER}\"); }}\n"),
    );
    bench
        .until("all is said", async || {
            let metrics = bench.metrics().await;
            let refused =
                metrics.lines().filter(|l| l.starts_with("perimeterd_refused{") && l.ends_with(" 1"));
            refused.count() == 3 && metrics.contains(r#"perimeterd_runs{state="parked"} 1"#)
        })
        .await;
    bench.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_the_log_tells_a_secret_or_a_full_number() {
    for format in ["human", "json"] {
        let mut bench = Bench::prepare(setup()).await;
        let level = [("PERIMETERD_LOG", "debug,hyper=info,perimeterd=trace")];
        bench.spawn_with(&["serve", "--log-format", format], &level);
        bench.ready().await;
        a_bad_day(&bench).await;
        bench.kill();
        let text = bench.log();
        assert!(text.lines().count() > 20, "{text}");
        for word in ["came into", "policy failed", "last good one", "cannot be understood", "remove"] {
            assert!(text.contains(word), "{word} is not in the log:\n{text}");
        }
        for line in text.lines().filter(|_| format == "json") {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "no JSON: {line}");
        }
        assert_discreet(&text);
    }
}
