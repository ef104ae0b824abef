//! A LID is not a phone number, however much its digits look like one; and a number that can be learnt is learnt.

use crate::harness::{Bench, GROUP, Setup, group, phone};
use perimeterd::{
    ids::{Lid, Person},
    simulator::Role,
};
use serde_json::{Value, json};

const LISTED: u64 = 4915100000601;

fn setup() -> Setup {
    Setup {
        chain: r#"["blacklist", "countries"]"#,
        blacklist: format!("+{LISTED}\n+4915*\n@PK\n"),
        group_extra: "params = { deny = [\"DE\", \"PK\"] }\n".into(),
        ..Setup::default()
    }
}

/// Somebody of whom only the LID is told.
fn join(id: &str, lid: u64) -> Value {
    json!({
        "id": id, "event": "group.v2.participants", "session": "main", "timestamp": 1_790_000_000_000u64,
        "payload": {"type": "join", "group": {"id": GROUP}, "participants": [{"id": format!("{lid}@lid"), "pn": null, "role": "participant"}]},
        "me": {"id": "447700900001@c.us", "lid": "55501@lid"}
    })
}

async fn adopted(bench: &Bench) {
    bench
        .until("the group is adopted", async || {
            bench.metric("perimeterd_entries_total{outcome=\"applied\"}").await > 0.0
        })
        .await;
}

async fn decisions(bench: &Bench) -> Vec<Value> {
    bench.api("decisions").await["decisions"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lid_that_looks_like_a_listed_number_is_left_alone() {
    let bench = Bench::start(setup()).await;
    adopted(&bench).await;
    // The listed number itself, one under the prefix, one of a denied country.
    for (n, lid) in [LISTED, 4915177777777, 923001234567].into_iter().enumerate() {
        assert_eq!(bench.post(&join(&format!("evt_{n}"), lid)).await, 202);
    }
    bench.until("all are judged", async || decisions(&bench).await.len() == 3).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    for decision in decisions(&bench).await {
        assert_eq!(decision["state"], "decided", "{decision}");
        assert_eq!(decision["rows"].as_array().map(Vec::len), Some(0), "{decision}");
        assert_eq!(decision["member"]["phone"], Value::Null, "{decision}");
        assert_eq!(decision["verdict"]["look_again"], true, "the number may become known: {decision}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_phone_behind_a_lid_is_found_and_removed() {
    let bench = Bench::start(setup()).await;
    adopted(&bench).await;
    let lid = 277_038_292_303_944;
    let both = Person { phone: Some(phone(LISTED)), lid: Some(Lid::from_u64(lid)) };
    bench.sim.seat(&group(), &[both], Role::Participant);
    assert_eq!(bench.post(&join("evt_lid", lid)).await, 202);
    bench.until("they are out", async || bench.removed() == [LISTED]).await;
    bench.settled().await;
    let asked = bench.sim.calls();
    assert!(
        asked.iter().any(|call| call.path.starts_with("/v2/lids/")),
        "the gateway was asked for the phone"
    );
}
