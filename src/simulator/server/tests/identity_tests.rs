//! Two ids of one person: where the pair can be learned, and which form a call must use.

use super::{GROUP, Scene, with};
use crate::simulator::{Engine, Gateway, Options, Source, world::Profile};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ANN: &str = "447700900101@c.us";

fn ann(scene: &Scene, change: impl FnOnce(&mut Profile)) {
    scene.sim.with(|world| change(world.profile_mut(scene.ann.lid.unwrap()).unwrap()));
}

/// Where the gateway tells that Ann's two ids are one person.
async fn told(scene: &Scene) -> BTreeSet<Source> {
    let lid = scene.ann.lid.unwrap().jid();
    let both = |value: &Value| {
        let text = value.to_string();
        text.contains(&lid) && text.contains("447700900101")
    };
    let paths = [
        (Source::Roster, format!("groups/{GROUP}/participants")),
        (Source::Roster, format!("groups/{GROUP}/participants/v2")),
        (Source::Roster, format!("groups/{GROUP}")),
        (Source::Lid, format!("lids/{}", lid.replace('@', "%40"))),
        (Source::List, "lids?limit=50".into()),
    ];
    let mut found = BTreeSet::new();
    for (source, path) in paths {
        found.extend(both(&scene.get(&path).await).then_some(source));
    }
    let answer = scene.get("lids/pn/447700900101").await;
    found.extend((answer["lid"] == json!(lid)).then_some(Source::Number));
    found
}

#[tokio::test]
async fn a_pair_is_learned_only_where_a_test_lets_it_be() {
    let scene = Scene::set(Options::default()).await;
    let read = BTreeSet::from([Source::Roster, Source::Lid, Source::List, Source::Number]);
    assert_eq!(told(&scene).await, read);
    for open in read {
        ann(&scene, |ann| ann.shown_in = [open].into());
        assert_eq!(told(&scene).await, BTreeSet::from([open]));
    }
    ann(&scene, |ann| ann.shown_in.clear());
    assert_eq!(told(&scene).await, BTreeSet::new());
    assert!(!scene.remove(&scene.ann.lid.unwrap().jid()).await.1.to_string().contains("447700900101"));
}

#[tokio::test]
async fn an_anonymous_group_tells_no_phone_even_to_an_admin() {
    let scene = Scene::set(Options::default()).await;
    scene.sim.with(|world| world.group_mut(&scene.group).unwrap().anonymous = true);
    assert_eq!(told(&scene).await, BTreeSet::from([Source::Number]));
}

#[tokio::test]
async fn a_strict_group_by_lid_refuses_the_phone_in_the_words_of_the_engine() {
    let cases = [
        (Engine::Gows, "2 UNKNOWN: info query returned status 400: bad-request"),
        (Engine::Noweb, "bad-request"),
        (Engine::Webjs, "Evaluation failed: Error: expected at least 1 children, but found 0"),
    ];
    for (engine, words) in cases {
        let scene = Scene::set(with(Gateway { engine, strict_ids: true, ..Gateway::default() })).await;
        let (status, body) = scene.remove(ANN).await;
        assert_eq!((status.as_u16(), &body["exception"]["message"]), (500, &json!(words)), "{engine:?}");
        assert!(scene.has_ann());
        assert_eq!(scene.remove(&scene.ann.lid.unwrap().jid()).await.0, 200);
        assert!(!scene.has_ann());
    }
}

#[tokio::test]
async fn webjs_passes_over_a_wrong_form_in_silence_and_knows_no_chat_by_phone() {
    let gateway = Gateway { engine: Engine::Webjs, strict_ids: true, ..Gateway::default() };
    let scene = Scene::set(with(gateway)).await;
    let ben = scene.sim.with(|world| world.find("447700900102@c.us").unwrap().jid());
    let people = json!({"participants": [{"id": ANN}, {"id": ben}]});
    let (status, body) = scene.post(&format!("groups/{GROUP}/participants/remove"), people).await;
    assert_eq!((status.as_u16(), body), (200, json!({"status": 200})));
    assert!(scene.has_ann());
    let write = async |chat: &str| scene.post("send/text", json!({"chatId": chat, "message": "hi"})).await.1;
    assert_eq!(write(ANN).await["exception"]["message"], "Evaluation failed: Error: No LID for user");
    assert!(write(&scene.ann.lid.unwrap().jid()).await["id"].is_string());
}
