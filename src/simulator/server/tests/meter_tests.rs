//! What the gateway answers once WhatsApp lost patience with the number.

use super::{GROUP, Scene, phone};
use crate::simulator::{Gateway, LockWords, Options, meter::Meter, session::Capping};
use serde_json::{Value, json};

async fn cold(scene: &Scene) -> (u16, Value) {
    let body = json!({"chatId": "447700900101@c.us", "message": "Hello"});
    let (status, body) = scene.post("send/text", body).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn a_lock_hides_in_an_exception_in_an_error_object_or_in_the_status() {
    for (lock, status, words) in [
        (LockWords::Thrown, 500, "server returned error 463"),
        (LockWords::Inside, 200, "463"),
        (LockWords::Status, 463, ""),
    ] {
        let gateway = Gateway { lock, ..Gateway::default() };
        let meter = Meter::restricting_at(1.0);
        let scene = Scene::set(Options { gateway, meter, ..Options::default() }).await;
        let answer = cold(&scene).await;
        assert_eq!(answer.0, status);
        assert!(answer.1.to_string().contains(words), "{}", answer.1);
        assert!(scene.sim.with(|world| world.sent().is_empty()));
        let me = scene.get("session/me").await;
        assert_eq!(me["reachoutTimelock"]["isActive"], true);
    }
}

#[tokio::test]
async fn a_lock_need_not_show_in_the_account() {
    let gateway = Gateway { tells_lock: false, ..Gateway::default() };
    let options = Options { gateway, meter: Meter::restricting_at(1.0), ..Options::default() };
    let scene = Scene::set(options).await;
    assert_eq!(cold(&scene).await.0, 500);
    assert_eq!(scene.get("session/me").await.get("reachoutTimelock"), None);
}

#[tokio::test]
async fn a_barred_number_adds_nobody_and_makes_no_group() {
    let scene = Scene::set(Options { meter: Meter::restricting_at(5.0), ..Options::default() }).await;
    scene.sim.with(|world| {
        for n in 300..303 {
            world.person(phone(&format!("447700900{n}")));
        }
    });
    let add = async |n: u32| {
        let people = json!({"participants": [format!("447700900{n}@c.us")]});
        scene.post(&format!("groups/{GROUP}/participants/add"), people).await.1[0]["Error"].clone()
    };
    assert_eq!(add(300).await, 0, "locked only for messages");
    assert_eq!(add(301).await, 463);
    let (status, body) = scene.post("groups", json!({"name": "New"})).await;
    assert_eq!(status, 500);
    assert!(body["exception"]["message"].as_str().unwrap().contains("429"), "{body}");
    assert_eq!(scene.get("groups/count").await["count"], 1);
    assert_eq!(scene.remove("447700900101@c.us").await.1[0]["Error"], 0, "removing is still allowed");
}

#[tokio::test]
async fn removing_strangers_and_acting_without_right_is_held_against_us() {
    let scene = Scene::set(Options::default()).await;
    let points = || scene.sim.with(|world| world.meter().points());
    scene.remove("447700900101@c.us").await;
    assert!(points() < 1.0);
    scene.remove("447700900101@c.us").await;
    assert!(points() > 5.0);
    scene.sim.with(|world| {
        let me = world.sessions()[0].me;
        world.group_mut(&scene.group).unwrap().members.insert(me, crate::simulator::Role::Participant);
    });
    scene.remove("447700900102@c.us").await;
    assert!(points() > 15.0);
}

#[tokio::test]
async fn a_quota_of_new_chats_runs_out() {
    let scene = Scene::set(Options::default()).await;
    let capping = Capping {
        capping_status: "NONE".into(),
        total_quota: 1,
        used_quota: 0,
        cycle_start: 1_771_000_000,
        cycle_end: 1_773_000_000,
    };
    scene.sim.set_restrictions(None, Some(capping));
    assert_eq!(cold(&scene).await.0, 200);
    assert_eq!(scene.get("session/me").await["messageCapping"]["cappingStatus"], "CAPPED");
    assert_eq!(cold(&scene).await.0, 500);
}
