//! What sessions hear when somebody changes a group.

use super::{Scene, phone};
use crate::simulator::{Addressing, Dialect, Options, Via, settings::Setting};
use serde_json::{Value, json};

#[tokio::test]
async fn a_hostile_rename_is_told_with_who_did_it() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    let ann = scene.join("447700900101", Via::Link).await;
    assert!(scene.sim.rename(&scene.group, "Free coins", ann));
    assert!(!scene.sim.rename(&scene.group, "Free coins", ann), "it is called so already");
    assert!(!scene.sim.rename(&scene.group, "Other", phone("447700900999")), "from outside");
    let told = scene.told().await;
    assert_eq!(told.len(), 2);
    let payload = &told[1]["payload"];
    assert_eq!(told[1]["event"], "group.v2.update");
    assert_eq!(payload["group"], json!({"id": scene.group.as_str(), "subject": "Free coins"}));
    let data = &payload["_data"];
    assert_eq!(
        (&data["Sender"], &data["SenderPN"], &data["Name"]["Name"]),
        (&json!(ann.lid.unwrap().jid()), &json!("447700900101@s.whatsapp.net"), &json!("Free coins"))
    );
}

#[tokio::test]
async fn settings_are_the_admins_and_a_locked_name_is_theirs_too() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    let ann = scene.join("447700900101", Via::Link).await;
    assert!(!scene.sim.set(&scene.group, &Setting::AnnounceOnly(true), ann));
    assert!(scene.sim.set(&scene.group, &Setting::AnnounceOnly(true), scene.owner));
    assert!(scene.sim.set(&scene.group, &Setting::InfoLocked(true), scene.owner));
    assert!(!scene.sim.rename(&scene.group, "Free coins", ann));
    assert!(scene.sim.set(&scene.group, &Setting::Description("Rules".into()), scene.owner));
    let told = scene.told().await;
    let changed: Vec<_> = told[1..].iter().map(|body| body["payload"]["group"].clone()).collect();
    let id = scene.group.as_str();
    assert_eq!(
        changed,
        [
            json!({"id": id, "membersCanSendMessages": false}),
            json!({"id": id, "membersCanEditInfo": false}),
            json!({"id": id, "description": "Rules"}),
        ]
    );
    let data = |n: usize, key: &str| told[n]["payload"]["_data"][key].clone();
    assert_eq!(data(1, "Announce"), json!({"IsAnnounce": true}));
    assert_eq!(data(2, "Locked"), json!({"IsLocked": true}));
}

#[tokio::test]
async fn the_docs_dialect_tells_name_and_description_and_not_who() {
    let scene = Scene::set(Options { dialect: Dialect::Docs, ..Options::default() }, Addressing::Lid).await;
    scene.sim.rename(&scene.group, "Free coins", scene.owner);
    scene.sim.set(&scene.group, &Setting::AnnounceOnly(true), scene.owner);
    let told: Vec<Value> = scene.told().await.iter().map(|body| body["payload"].clone()).collect();
    assert_eq!(told, [json!({"chatId": scene.group.as_str(), "subject": "Free coins"})]);
}
