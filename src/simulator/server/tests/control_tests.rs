//! The switches under `/sim`.

use super::{GROUP, Scene};
use crate::simulator::Options;
use serde_json::{Value, json};

#[tokio::test]
async fn what_a_test_can_switch_can_be_switched_over_http() {
    let scene = Scene::set(Options::default()).await;
    let post = async |path: &str, body: Value| -> (u16, Value) {
        let url = format!("{}/sim/{path}", scene.base);
        let answer = scene.client.post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    };
    let gateway = post("gateway", json!({"engine": "webjs", "lock": "inside"})).await.1;
    assert_eq!((&gateway["engine"], &gateway["strict_ids"]), (&json!("webjs"), &json!(false)));
    assert_eq!(post("gateway", json!({"engine": "steam"})).await.0, 400);
    let meter = post("meter", json!({"on": true, "threshold": 5.0})).await.1;
    assert_eq!((&meter["on"], &meter["restricted"]), (&json!(true), &json!(false)));
    let session = post("session", json!({"status": "SCAN_QR_CODE", "backlog": "at_once"})).await.1;
    assert_eq!(session, json!({"status": "SCAN_QR_CODE", "mute": false, "backlog": "at_once"}));
    let path = format!("groups/{GROUP}/settings");
    let renamed = post(&path, json!({"subject": "New", "by": "447700900010"})).await.1;
    assert_eq!(renamed["subject"], "New");
    let ann = json!({"phone": "447700900101", "shown_in": ["roster"]});
    assert_eq!(post("people", ann).await.0, 200);
    let shown = scene.sim.with(|world| world.profile(scene.ann.lid.unwrap()).unwrap().shown_in.len());
    assert_eq!(shown, 1);
}
