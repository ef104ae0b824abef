//! Which ids events tell.

use super::{Scene, phone};
use crate::{
    ids::Person,
    simulator::{Addressing, Options, Quirks, Source, Via},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Ann, whose pair of ids is told in these places only.
fn veiled(scene: &Scene, shown_in: impl IntoIterator<Item = Source>) -> Person {
    scene.sim.with(|world| {
        let lid = world.person(phone("447700900101"));
        world.profile_mut(lid).unwrap().shown_in = shown_in.into_iter().collect::<BTreeSet<_>>();
        world.both_ids(lid)
    })
}

#[tokio::test]
async fn a_veiled_person_comes_under_the_id_of_the_group_alone() {
    for addressing in [Addressing::Lid, Addressing::Phone] {
        let quirks = Quirks { fill_pn: true, ..Quirks::default() };
        let scene = Scene::set(Options { quirks, ..Options::default() }, addressing).await;
        let ann = veiled(&scene, []);
        scene.sim.join(&scene.group, &[ann], Via::Link).await;
        scene.sim.message(Some(&scene.group), ann, "hi").await;
        let told = json!(scene.told().await).to_string();
        let by_lid = addressing == Addressing::Lid;
        assert_eq!(told.contains(&ann.lid.unwrap().jid()), by_lid, "{told}");
        assert_eq!(told.contains("447700900101"), !by_lid, "{told}");
    }
}

#[tokio::test]
async fn a_message_can_be_the_first_to_tell_the_other_id() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    let ann = veiled(&scene, [Source::Message]);
    scene.sim.join(&scene.group, &[ann], Via::Link).await;
    scene.sim.message(Some(&scene.group), ann, "hi").await;
    let told = scene.told().await;
    assert!(!told[0].to_string().contains("447700900101"));
    let info = |body: &Value| body["payload"]["_data"]["Info"]["SenderAlt"].clone();
    assert_eq!(info(&told[1]), "447700900101@s.whatsapp.net");
}

#[tokio::test]
async fn in_a_group_by_phone_the_other_id_of_a_writer_is_the_lid() {
    let scene = Scene::set(Options::default(), Addressing::Phone).await;
    scene.sim.message(Some(&scene.group), scene.owner, "hi").await;
    let info = &scene.told().await[0]["payload"]["_data"]["Info"];
    assert_eq!(
        (&info["Sender"], &info["SenderAlt"]),
        (&json!("447700900010@s.whatsapp.net"), &json!(scene.owner.lid.unwrap().jid()))
    );
}
