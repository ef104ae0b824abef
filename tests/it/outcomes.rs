//! What a call came to is what happened: waiting removals are taken back with their reason, silent successes are found
//! out, locks and wrong credentials stop the right calls and no others.

use crate::harness::{Bench, FAST_LIMITS, Setup, TOKEN, group, person};
use perimeterd::{ids::Person, simulator::Via};
use serde_json::{Value, json};

const FIRST: u64 = 4915100000300;

fn people(count: u64) -> Vec<Person> {
    (FIRST..FIRST + count).map(person).collect()
}

/// What the payment side pushes.
async fn push(bench: &Bench, number: u64, status: &str) {
    let url = format!("{}/api/v1/subscriptions/+{number}", bench.base);
    let request = bench.http.put(url).bearer_auth(TOKEN).json(&json!({"status": status}));
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
}

/// The last removal of somebody, as it stands.
async fn removal_of(bench: &Bench, number: u64) -> Value {
    let decisions = bench.api(&format!("decisions?member=%2B{number}")).await;
    let rows =
        decisions["decisions"].as_array().into_iter().flatten().filter_map(|one| one["rows"].as_array());
    let mut removals = rows.flatten().filter(|row| row["call"]["call"] == "remove");
    removals.next().cloned().unwrap_or_default()
}

async fn until_it_is(bench: &Bench, number: u64, state: &str, note: &str) {
    bench
        .until(&format!("the removal is {state}: {note}"), async || {
            let row = removal_of(bench, number).await;
            row["state"] == state && row["note"].as_str().unwrap_or_default().contains(note)
        })
        .await;
}

/// One removal an hour: whoever comes after the first has time to be spared.
fn slow() -> Setup {
    let limits = FAST_LIMITS.replace(r#"remove = ["100000/1m"]"#, r#"remove = ["1/1h"]"#);
    Setup { chain: r#"["subscribers"]"#, limits, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_pushed_between_decision_and_sending_keeps_the_member_in() {
    let bench = Bench::start(slow()).await;
    bench.sim.join(&group(), &people(3), Via::Link).await;
    bench.until("the first is out", async || bench.removed() == [FIRST]).await;
    bench.until("two wait", async || removal_of(&bench, FIRST + 2).await["state"] == "waiting").await;
    push(&bench, FIRST + 1, "active").await;
    until_it_is(&bench, FIRST + 1, "cancelled", "the payment side reported active").await;
    let told = bench.rows("cancelled").await;
    assert_eq!(told.len(), 2, "the message that was to follow is dropped with it: {told:?}");
    let (status, explained, _) = bench.run(&["explain", &format!("+{}", FIRST + 1)]);
    assert!(status.success() && explained.contains("the payment side reported active"), "{explained}");
    push(&bench, FIRST + 2, "canceled").await;
    assert_eq!(removal_of(&bench, FIRST + 2).await["state"], "waiting", "who still owes is not spared");
    assert_eq!(bench.removed(), [FIRST]);
    assert!(bench.sim.with(|world| {
        let lid = world.known(person(FIRST + 1)).unwrap();
        world.group(&group()).unwrap().members.contains_key(&lid)
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowlist_entry_and_a_leave_take_waiting_removals_back_and_say_so() {
    let bench = Bench::start(slow()).await;
    bench.sim.join(&group(), &people(4), Via::Link).await;
    bench.until("the first is out", async || bench.removed() == [FIRST]).await;
    bench.write("allowlist.txt", &format!("+{}\n", FIRST + 1));
    bench.sim.leave(&group(), &[person(FIRST + 2)], None).await;
    until_it_is(&bench, FIRST + 1, "cancelled", "the allowlist now names this person").await;
    until_it_is(&bench, FIRST + 2, "cancelled", "left before the removal").await;
    assert_eq!(removal_of(&bench, FIRST + 3).await["state"], "waiting", "nobody else is spared");
    assert_eq!(bench.removed(), [FIRST]);
}
