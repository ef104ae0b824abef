//! What each engine answers to the same refusal, and groups made through the gateway.

use super::{GROUP, SOON, Scene, phone, with};
use crate::{
    action::Class,
    ids::GroupId,
    simulator::{Engine, Fault, Gateway, Kind, Options, Role},
};
use serde_json::{Value, json};

const ENGINES: [Engine; 3] = [Engine::Gows, Engine::Noweb, Engine::Webjs];

async fn scene(engine: Engine) -> Scene {
    Scene::set(with(Gateway { engine, ..Gateway::default() })).await
}

fn deprive(scene: &Scene) {
    let me = scene.sim.me().lid.unwrap();
    scene.sim.with(|world| world.group_mut(&scene.group).unwrap().members.insert(me, Role::Participant));
}

async fn deed(scene: &Scene, path: &str, jids: &[&str]) -> (u16, Value) {
    let people: Vec<_> = jids.iter().map(|jid| json!({"id": jid})).collect();
    let (status, body) = scene.post(&format!("groups/{GROUP}/{path}"), json!({"participants": people})).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn without_being_admin_each_engine_refuses_in_its_own_way() {
    let excuse = json!("AddParticipantsError: You have no admin rights to add a participant");
    let jid = "447700900101@c.us";
    for (engine, path, expected) in [
        (Engine::Noweb, "participants/remove", (200, json!([{"status": "403", "jid": jid}]))),
        (Engine::Webjs, "participants/add", (200, excuse)),
    ] {
        let scene = scene(engine).await;
        deprive(&scene);
        assert_eq!(deed(&scene, path, &[jid]).await, expected, "{engine:?}");
        assert!(scene.has_ann());
    }
    for (engine, words) in [
        (Engine::Gows, "2 UNKNOWN: info query returned status 401: not-authorized"),
        (Engine::Webjs, "Evaluation failed: ServerStatusCodeError: 401 not-authorized"),
    ] {
        let scene = scene(engine).await;
        deprive(&scene);
        let (status, body) = deed(&scene, "participants/remove", &[jid]).await;
        assert_eq!((status, &body["exception"]["message"]), (500, &json!(words)));
    }
}

#[tokio::test]
async fn webjs_removes_whom_it_finds_and_says_200_for_all() {
    let scene = scene(Engine::Webjs).await;
    let done = (200, json!({"status": 200}));
    assert_eq!(deed(&scene, "participants/remove", &["447700900999@c.us", "447700900101@c.us"]).await, done);
    assert!(!scene.has_ann());
    let (status, body) = deed(&scene, "participants/remove", &["447700900101@c.us"]).await;
    assert_eq!(status, 500);
    assert!(body["exception"]["message"].as_str().unwrap().contains("at least 1 children"));
    assert_eq!(deed(&scene, "participants/remove", &["447700900010@c.us"]).await, done, "the creator");
    assert!(scene.sim.with(|world| world.is_member(&scene.group, phone("447700900010"))));
}

#[tokio::test]
async fn an_add_is_refused_per_person_in_each_engines_shape() {
    for engine in ENGINES {
        let scene = scene(engine).await;
        scene.sim.with(|world| {
            let shy = world.person(phone("447700900300"));
            world.profile_mut(shy).unwrap().refuses_adds = true;
            let gone = world.person(phone("447700900302"));
            world.group_mut(&scene.group).unwrap().walked_out.insert(gone, 2);
            world.person(phone("447700900301"));
        });
        let asked = ["447700900300@c.us", "447700900301@c.us", "447700900101@c.us", "447700900302@c.us"];
        let (status, body) = deed(&scene, "participants/add", &asked).await;
        assert_eq!(status, 200);
        let codes: Vec<_> = asked
            .iter()
            .enumerate()
            .map(|(n, jid)| match engine {
                Engine::Gows => body[n]["Error"].clone(),
                Engine::Noweb => body[n]["status"].clone(),
                Engine::Webjs => body[*jid]["code"].clone(),
            })
            .collect();
        let expected = match engine {
            Engine::Gows => json!([403, 0, 409, 408]),
            Engine::Noweb => json!(["403", "200", "409", "408"]),
            Engine::Webjs => json!([403, 200, 409, 408]),
        };
        assert_eq!(json!(codes), expected, "{engine:?}");
        match engine {
            Engine::Gows => assert_eq!(body[0]["AddRequest"]["Code"], "c0de"),
            Engine::Noweb => {}
            Engine::Webjs => assert_eq!(body[asked[0]]["isInviteV4Sent"], true),
        }
    }
}

#[tokio::test]
async fn a_group_is_made_with_what_became_of_each_person() {
    for engine in ENGINES {
        let scene = scene(engine).await;
        scene.sim.with(|world| {
            let shy = world.person(phone("447700900300"));
            world.profile_mut(shy).unwrap().refuses_adds = true;
        });
        let people = ["447700900300@c.us", "447700900101@c.us"];
        let path = if engine == Engine::Noweb { "groups/create" } else { "groups" };
        let (status, body) = scene.post(path, json!({"name": "New", "participants": people})).await;
        assert_eq!(status, 200);
        let id = match engine {
            Engine::Gows => &body["JID"],
            Engine::Noweb => &body["id"],
            Engine::Webjs => &body["gid"]["_serialized"],
        };
        let id = GroupId::parse(id.as_str().unwrap()).unwrap();
        let (size, ours) = scene.sim.with(|world| {
            let group = world.group(&id).unwrap();
            (group.members.len(), group.is_admin(world.sessions()[0].me))
        });
        assert_eq!((size, ours), (2, true));
        match engine {
            Engine::Gows => {
                let listed = body["Participants"].as_array().unwrap();
                let refused = listed.iter().find(|one| one["Error"] == 403).unwrap();
                assert_eq!((listed.len(), refused["AddRequest"].is_object()), (3, true));
            }
            Engine::Noweb => assert_eq!(body["participants"].as_array().unwrap().len(), 2),
            Engine::Webjs => assert_eq!(body["participants"][people[0]]["statusCode"], 403),
        }
    }
    let scene = scene(Engine::Gows).await;
    assert_eq!(scene.post("groups", json!({"name": "x".repeat(101)})).await.0, 500);
    assert_eq!(scene.post("groups", json!({})).await.0, 400);
}

#[tokio::test]
async fn webjs_says_false_where_the_name_is_locked() {
    let scene = scene(Engine::Webjs).await;
    deprive(&scene);
    scene.sim.with(|world| world.group_mut(&scene.group).unwrap().info_locked = true);
    let answer = scene
        .send(reqwest::Method::PUT, &format!("groups/{GROUP}/subject"), Some(json!({"subject": "New"})))
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), answer.json::<Value>().await.unwrap()), (200, json!(false)));
}

#[tokio::test]
async fn an_effect_can_come_after_the_client_gave_up() {
    let scene = Scene::set(Options::default()).await;
    scene.sim.add_fault(Fault::on_class(Class::Remove, Kind::LateEffect { millis: 50 }).times(1));
    let path = format!("groups/{GROUP}/participants/remove");
    let people = json!({"participants": [{"id": "447700900101@c.us"}]});
    let hanging = scene.send(reqwest::Method::POST, &path, Some(people));
    tokio::select! {
        _ = hanging => panic!("it was answered"),
        seen = scene.sim.wait_for(|world| !world.calls().is_empty(), SOON) => assert!(seen),
    }
    let out = |world: &crate::simulator::World| !world.is_member(&scene.group, scene.ann);
    assert!(scene.sim.wait_for(out, SOON).await, "the client hung up, and it was done all the same");
    assert!(scene.sim.calls()[0].effect && scene.sim.calls()[0].status.is_none());
}

#[tokio::test]
async fn an_empty_list_tells_nothing() {
    for effect in [false, true] {
        let scene = scene(Engine::Noweb).await;
        scene.sim.add_fault(Fault::on_class(Class::Remove, Kind::EmptyList { effect }).times(1));
        assert_eq!(deed(&scene, "participants/remove", &["447700900101@c.us"]).await, (200, json!([])));
        assert_eq!(scene.has_ann(), !effect);
    }
}
