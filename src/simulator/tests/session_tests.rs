//! Sessions that drop, fall silent and come back, and where their events go.

use super::{Scene, phone};
use crate::{
    clock::Timestamp,
    simulator::{
        Addressing, Dialect, Options, Via,
        session::{Backlog, Capping, Status, Timelock},
    },
};
use serde_json::{Value, json};

fn events(told: &[Value]) -> Vec<&str> {
    told.iter().map(|body| body["event"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_session_that_drops_and_returns_says_so_each_time() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    for status in [Status::Stopped, Status::ScanQrCode, Status::Failed, Status::Working] {
        scene.sim.set_status(status);
    }
    let told = scene.told().await;
    let states: Vec<_> = told.iter().map(|body| body["payload"]["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["STOPPED", "SCAN_QR_CODE", "FAILED", "WORKING"]);
    let last = &told[3]["payload"];
    assert_eq!((&last["name"], &last["data"]), (&json!("main"), &Value::Null));
    assert_eq!(last["statuses"].as_array().unwrap().len(), 4);
    assert!(last["statuses"][0]["timestamp"].is_i64());
    assert_eq!((&told[0]["me"], &told[3]["me"]["lid"]), (&Value::Null, &json!("55501@lid")));
}

#[tokio::test]
async fn the_docs_dialect_tells_name_and_state_only() {
    let scene = Scene::set(Options { dialect: Dialect::Docs, ..Options::default() }, Addressing::Lid).await;
    scene.sim.set_status(Status::Stopped);
    assert_eq!(scene.told().await[0]["payload"], json!({"name": "main", "status": "STOPPED"}));
}

#[tokio::test]
async fn what_happens_while_a_session_is_away_is_lost_or_told_at_once_on_its_return() {
    for (backlog, expected) in [
        (Backlog::Lost, vec!["session.status", "session.status"]),
        (
            Backlog::AtOnce,
            vec!["session.status", "session.status", "group.v2.participants", "group.v2.participants"],
        ),
    ] {
        let scene = Scene::set(Options::default(), Addressing::Lid).await;
        scene.sim.set_backlog(backlog);
        scene.sim.set_status(Status::Stopped);
        scene.join("447700900101", Via::Link).await;
        scene.join("447700900102", Via::Link).await;
        scene.sim.set_status(Status::Working);
        assert_eq!(events(&scene.told().await), expected);
    }
}

#[tokio::test]
async fn a_mute_session_works_and_sends_nothing_until_it_is_restarted() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    scene.sim.set_backlog(Backlog::AtOnce);
    scene.sim.set_mute(true);
    scene.join("447700900101", Via::Link).await;
    assert!(scene.told().await.is_empty());
    assert_eq!(scene.sim.with(|world| world.sessions()[0].status), Status::Working);
    scene.sim.set_status(Status::Stopped);
    scene.sim.set_status(Status::Working);
    assert_eq!(events(&scene.told().await), ["session.status", "session.status", "group.v2.participants"]);
}

#[tokio::test]
async fn restrictions_are_told_at_once_and_ride_on_every_event() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    let capping = Capping {
        capping_status: "FIRST_WARNING".into(),
        total_quota: 1000,
        used_quota: 700,
        cycle_start: 1_771_000_000,
        cycle_end: 1_773_000_000,
    };
    let lock = Timelock::until(Timestamp(1_772_000_000_000));
    scene.sim.set_restrictions(Some(lock), Some(capping));
    scene.sim.message(None, phone("447700900101"), "hi").await;
    let told = scene.told().await;
    assert_eq!(events(&told), ["session.status", "message"]);
    for body in &told {
        let me = &body["me"];
        assert_eq!(
            me["reachoutTimelock"],
            json!({
                "enforcementType": "RESTRICT_ALL_COMPANIONS", "isActive": true,
                "timeEnforcementEnds": 1_772_000_000,
            })
        );
        assert_eq!(
            (&me["messageCapping"]["cappingStatus"], &me["messageCapping"]["usedQuota"]),
            (&json!("FIRST_WARNING"), &json!(700))
        );
    }
}

#[tokio::test]
async fn a_webhook_that_is_registered_no_more_gets_nothing() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    scene.join("447700900101", Via::Link).await;
    scene.sim.with(|world| world.session_mut(0).unwrap().webhooks = json!([]));
    scene.join("447700900102", Via::Link).await;
    assert_eq!(scene.told().await.len(), 1);
}
