//! The gateway through real loopback HTTP.

use crate::{
    action::Class,
    clock::SystemClock,
    ids::{GroupId, Person, Phone},
    simulator::{
        Addressing, Engine, Fault, Gateway, Kind, Options, Role, Simulator, Target, Via, calls::Placement,
        meter::Meter, world::Status,
    },
};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

mod control_tests;
mod engine_tests;
mod identity_tests;
mod meter_tests;
mod session_tests;

const GROUP: &str = "120363000000000001@g.us";
const AUTH: &str = "instance_id=51A0B1C2D3E4&access_token=simulated-token";
const SOON: Duration = Duration::from_secs(5);

/// A served simulator with a group of us (admin), an owner, and two members.
struct Scene {
    sim: Simulator,
    client: Client,
    base: String,
    group: GroupId,
    ann: Person,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn phone(text: &str) -> Person {
    Person::of_phone(Phone::parse(text).unwrap())
}

fn with(gateway: Gateway) -> Options {
    Options { gateway, ..Options::default() }
}

impl Scene {
    async fn set(options: Options) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let sim = Simulator::new(options, Arc::new(SystemClock::new()));
        let group = GroupId::parse(GROUP).unwrap();
        sim.add_group(&group, "Club", Addressing::Lid, Role::Admin);
        sim.seat(&group, &[phone("447700900010")], Role::Superadmin);
        let lids = sim.seat(&group, &[phone("447700900101"), phone("447700900102")], Role::Participant);
        let ann = sim.with(|world| world.both_ids(lids[0]));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let served = sim.clone();
        let server = tokio::spawn(async move { served.serve(listener).await });
        Self { sim, client: Client::new(), base, group, ann, server }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Result<Response> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let request = self.client.request(method, format!("{}/v2/{path}{joint}{AUTH}", self.base));
        match body {
            Some(body) => request.json(&body).send().await,
            None => request.send().await,
        }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, None).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.send(Method::POST, path, Some(body)).await.unwrap();
        (answer.status(), answer.json().await.unwrap_or(Value::Null))
    }

    async fn remove(&self, jid: &str) -> (StatusCode, Value) {
        self.post(&format!("groups/{GROUP}/participants/remove"), json!({"participants": [{"id": jid}]}))
            .await
    }

    fn has_ann(&self) -> bool {
        self.sim.with(|world| world.is_member(&self.group, self.ann))
    }
}

#[tokio::test]
async fn credentials_are_taken_from_every_placement() {
    let scene = Scene::set(Options::default()).await;
    let url = format!("{}/v2/session/info", scene.base);
    let client = &scene.client;
    let both = json!({"instance_id": "51A0B1C2D3E4", "access_token": "simulated-token"});
    let form = [("instance_id", "51A0B1C2D3E4"), ("access_token", "simulated-token")];
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let id = "X-Instance-ID";
    let cases = [
        (client.get(format!("{url}?{AUTH}")), Placement::Query),
        (client.post(&url).json(&both), Placement::Body),
        (
            client.post(&url).header("content-type", "application/x-www-form-urlencoded").body(form),
            Placement::Body,
        ),
        (client.get(&url).header(id, "51A0B1C2D3E4").bearer_auth("simulated-token"), Placement::Header),
        (
            client.get(format!("{url}?instance_id=51A0B1C2D3E4")).header("access-token", "simulated-token"),
            Placement::Header,
        ),
        // The query wins over a wrong header.
        (client.get(format!("{url}?{AUTH}")).header("access-token", "wrong"), Placement::Query),
    ];
    for (number, (request, placement)) in cases.into_iter().enumerate() {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "case {number}");
        assert_eq!(answer.json::<Value>().await.unwrap()["status"], "WORKING");
        assert_eq!(scene.sim.calls()[number].placement, Some(placement), "case {number}");
    }
    let wrong =
        client.get(format!("{url}?instance_id=51A0B1C2D3E4&access_token=wrong")).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_removed_person_is_out_and_cannot_come_back_by_link() {
    let scene = Scene::set(Options::default()).await;
    let lid = scene.ann.lid.unwrap().jid();
    let (status, body) = scene.remove(&lid).await;
    assert_eq!(status, 200);
    assert_eq!(body[0]["Error"], 0);
    assert_eq!(body[0]["JID"], lid);
    assert!(!scene.has_ann());
    assert!(scene.sim.join(&scene.group, &[scene.ann], Via::Link).await.is_empty());
    assert_eq!(scene.remove(&lid).await.1[0]["Error"], 404);
    let owner = scene.remove("447700900010@c.us").await.1;
    assert_eq!(owner[0]["Error"], 405, "the creator stays");
    let calls = scene.sim.calls();
    let told: Vec<_> = calls.iter().map(|call| (call.route, call.class, call.status, call.effect)).collect();
    let remove = |effect| ("remove", Some(Class::Remove), Some(200), effect);
    assert_eq!(told, [remove(true), remove(false), remove(false)]);
    assert_eq!(calls[0].person, Some(scene.ann));
}

#[tokio::test]
async fn encoded_and_raw_paths_name_the_same_group() {
    let scene = Scene::set(Options::default()).await;
    let encoded = GROUP.replace('@', "%40");
    let info = scene.get(&format!("groups/{encoded}")).await;
    assert_eq!(info, scene.get(&format!("groups/{GROUP}")).await);
    assert_eq!(info, scene.get(&format!("groups/detail?groupId={encoded}")).await);
    assert_eq!((&info["Name"], &info["AddressingMode"]), (&json!("Club"), &json!("lid")));
    assert_eq!(info["ParticipantCount"], 4);
    assert_eq!(scene.get("groups?limit=1").await[0]["JID"], GROUP);
}

#[tokio::test]
async fn each_engine_has_its_own_roster_and_answer_to_a_removal() {
    let ann = "447700900101@c.us";
    let shapes = [
        (Engine::Gows, "/0/LID", "/0/Error", json!(0)),
        (Engine::Noweb, "/0/phoneNumber", "/0/status", json!("200")),
        (Engine::Webjs, "/0/id/_serialized", "", json!({"status": 200})),
    ];
    for (engine, pointer, told_at, done) in shapes {
        let scene = Scene::set(with(Gateway { engine, ..Gateway::default() })).await;
        let roster = scene.get(&format!("groups/{GROUP}/participants")).await;
        assert!(roster.pointer(pointer).is_some_and(Value::is_string), "{engine:?} {roster}");
        let (_, answer) = scene.remove(ann).await;
        assert_eq!(answer.pointer(told_at), Some(&done), "{engine:?} {answer}");
        assert!(!scene.has_ann());
    }
}

#[tokio::test]
async fn the_normalised_roster_carries_phone_and_role() {
    let scene = Scene::set(Options::default()).await;
    let roster = scene.get(&format!("groups/{GROUP}/participants/v2")).await;
    let ann = roster.as_array().unwrap().iter().find(|one| one["pn"] == "447700900101@c.us").unwrap();
    assert_eq!((&ann["role"], &ann["id"]), (&json!("participant"), &json!(scene.ann.lid.unwrap().jid())));
}

#[tokio::test]
async fn settings_are_written_from_body_or_query_and_read_back() {
    let scene = Scene::set(Options::default()).await;
    let path = format!("groups/{GROUP}/settings/security/messages-admin-only");
    scene.send(Method::PUT, &path, Some(json!({"adminsOnly": true}))).await.unwrap();
    assert_eq!(scene.get(&path).await, json!({"adminsOnly": true}));
    scene.send(Method::PUT, &format!("{path}?adminsOnly=false"), None).await.unwrap();
    assert_eq!(scene.get(&path).await, json!({"adminsOnly": false}));
    let code = scene.get(&format!("groups/{GROUP}/invite-code")).await;
    let (_, new) = scene.post(&format!("groups/{GROUP}/invite-code/revoke"), json!({})).await;
    assert_ne!(code, new);
    assert_eq!(new, scene.get(&format!("groups/{GROUP}/invite-code")).await);
    let path = format!("groups/{GROUP}/subject");
    let answer = scene.send(Method::PUT, &path, Some(json!({"subject": "New"})));
    assert_eq!(answer.await.unwrap().status(), 200);
    assert_eq!(scene.get(&format!("groups/{GROUP}")).await["Name"], "New");
    scene.post(&format!("groups/{GROUP}/leave"), json!({})).await;
    assert_eq!(scene.get("groups/count").await["count"], 0);
}

#[tokio::test]
async fn without_being_admin_nothing_changes_and_the_refusal_is_upstreams_or_the_documented_one() {
    for (documented_refusals, expected) in [(false, 500), (true, 403)] {
        let scene = Scene::set(Options {
            gateway: Gateway { documented_refusals, ..Gateway::default() },
            ..Options::default()
        })
        .await;
        let me = scene.sim.me().lid.unwrap();
        scene.sim.with(|world| world.group_mut(&scene.group).unwrap().members.insert(me, Role::Participant));
        let (status, body) = scene.remove("447700900101@c.us").await;
        assert_eq!(status, expected);
        if expected == 500 {
            assert!(body["exception"]["message"].as_str().unwrap().ends_with("401: not-authorized"));
        }
        assert!(scene.has_ann());
    }
}

#[tokio::test]
async fn texts_reach_their_chat_and_strangers_are_cold() {
    let scene = Scene::set(Options::default()).await;
    scene.sim.message(None, phone("447700900102"), "hi").await;
    for chat in ["447700900101@c.us", "447700900102@c.us", GROUP] {
        let (status, body) = scene.post("send/text", json!({"chatId": chat, "message": "Hello"})).await;
        assert_eq!(status, 200);
        assert!(body["id"].as_str().unwrap().starts_with(&format!("true_{chat}_")));
    }
    scene.get(&format!("send/text?chatId={GROUP}&text=old")).await;
    let sent = scene.sim.with(|world| world.sent().to_vec());
    let told: Vec<_> = sent.iter().map(|message| (message.text.as_str(), message.cold)).collect();
    assert_eq!(told, [("Hello", true), ("Hello", false), ("Hello", false), ("old", false)]);
    let most = |class| scene.sim.with(|world| world.most_in_any_window(class, Duration::from_secs(60)));
    assert_eq!((most(Class::Dm), most(Class::ColdDm), most(Class::GroupMessage)), (2, 1, 2));
    let long = "x".repeat(4097);
    assert_eq!(scene.post("send/text", json!({"chatId": GROUP, "message": long})).await.0, 400);
}

#[tokio::test]
async fn a_restricted_number_cannot_write_to_strangers() {
    let meter = Meter::restricting_at(8.0);
    let scene = Scene::set(Options { meter, ..Options::default() }).await;
    let dm = || scene.post("send/text", json!({"chatId": "447700900101@c.us", "message": "Hello"}));
    assert_eq!(dm().await.0, 200);
    assert_eq!(dm().await.0, 200);
    let (status, body) = dm().await;
    assert_eq!(status, 500);
    assert!(body["exception"]["message"].as_str().unwrap().ends_with("463"));
    scene.sim.message(None, scene.ann, "hi").await;
    assert_eq!(dm().await.0, 200, "she wrote first");
}

#[tokio::test]
async fn pairs_are_shown_to_whom_they_concern() {
    let scene = Scene::set(Options::default()).await;
    let lid = scene.ann.lid.unwrap().jid();
    for path in
        [format!("lids/{}", lid.replace('@', "%40")), format!("lids/{}", lid.trim_end_matches("@lid"))]
    {
        assert_eq!(scene.get(&path).await["pn"], "447700900101@c.us", "{path}");
    }
    assert_eq!(scene.get("lids/pn/447700900101").await["lid"], lid);
    assert_eq!(scene.get("lids/pn/447700900999").await["lid"], Value::Null);
    assert_eq!(scene.get("lids/count").await["count"], 4);
    assert_eq!(scene.get("lids?limit=2&offset=3").await.as_array().unwrap().len(), 1);
    scene.sim.with(|world| world.profile_mut(scene.ann.lid.unwrap()).unwrap().hides_phone = true);
    assert_eq!(scene.get(&format!("lids/{lid}")).await["pn"], Value::Null);
    assert_eq!(scene.get("contacts/check-exists?phone=447700900101").await["numberExists"], true);
    assert_eq!(scene.get("session/me").await["lid"], "55501@lid");
}

#[tokio::test]
async fn adding_follows_privacy_and_membership() {
    let scene = Scene::set(Options::default()).await;
    let shy = scene.sim.with(|world| {
        let shy = world.person(phone("447700900300"));
        world.profile_mut(shy).unwrap().refuses_adds = true;
        world.person(phone("447700900301"));
        shy
    });
    let people = ["447700900300@c.us", "447700900301@c.us", "447700900101@c.us", "447700900999@c.us"];
    let (_, body) =
        scene.post(&format!("groups/{GROUP}/participants/add"), json!({"participants": people})).await;
    let codes: Vec<_> = body.as_array().unwrap().iter().map(|one| one["Error"].as_u64().unwrap()).collect();
    assert_eq!(codes, [403, 0, 409, 404]);
    assert!(!scene.sim.with(|world| world.is_member(&scene.group, Person::of_lid(shy))));
}

#[tokio::test]
async fn a_stopped_session_answers_422_and_an_unknown_route_404_and_both_are_logged() {
    let scene = Scene::set(Options::default()).await;
    assert_eq!(scene.post("groups/mystery/fly", json!({})).await.0, 404);
    scene.sim.with(|world| world.session_mut(0).unwrap().status = Status::Stopped);
    let (status, body) = scene.remove("447700900101@c.us").await;
    assert_eq!((status.as_u16(), &body["status"]), (422, &json!("STOPPED")));
    assert_eq!(scene.get("session/info").await["status"], "STOPPED");
    let routes: Vec<_> = scene.sim.calls().iter().map(|call| call.route).collect();
    assert_eq!(routes, ["unknown", "remove", "session_info"]);
}

#[tokio::test]
async fn faults_answer_as_told_and_take_effect_only_where_told() {
    let upstream = "2 UNKNOWN: info query returned status 429: rate-overlimit";
    let body = "<error>busy</error>".to_owned();
    let cases = [
        (Kind::Upstream { message: upstream.into() }, 500, false),
        (Kind::Status { status: 503, body: body.clone(), effect: false }, 503, false),
        (Kind::Status { status: 502, body, effect: true }, 502, true),
        (Kind::RateLimited { retry_after: Some(7) }, 429, false),
        (Kind::PerPerson { code: 404 }, 200, false),
        (Kind::Silent, 200, false),
        (Kind::NotWorking, 422, false),
        (Kind::Empty, 200, true),
        (Kind::Slow { millis: 1 }, 200, true),
    ];
    for (kind, status, effect) in cases {
        let scene = Scene::set(Options::default()).await;
        scene.sim.add_fault(Fault::on_class(Class::Remove, kind.clone()).times(1));
        let path = format!("groups/{GROUP}/participants/remove");
        let body = json!({"participants": [{"id": "447700900101@c.us"}]});
        let answer = scene.send(Method::POST, &path, Some(body)).await.unwrap();
        assert_eq!(answer.status(), status, "{kind:?}");
        let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap());
        assert_eq!(retry_after, (status == 429).then_some("7"));
        assert_eq!(scene.has_ann(), !effect, "{kind:?}");
        let call = scene.sim.calls().remove(0);
        assert_eq!((call.effect, call.fault.as_deref()), (effect, Some(kind.name())));
        scene.remove("447700900101@c.us").await;
        assert!(!scene.has_ann(), "the fault is spent: {kind:?}");
    }
}

#[tokio::test]
async fn a_code_per_person_meets_member_calls_only() {
    let scene = Scene::set(Options::default()).await;
    scene.sim.add_fault(Fault::new(Target::Any, Kind::PerPerson { code: 408 }));
    assert_eq!(scene.remove("447700900101@c.us").await.1[0]["Error"], 408);
    assert!(scene.has_ann());
    scene.post("send/text", json!({"chatId": GROUP, "message": "Hello"})).await;
    assert_eq!(scene.sim.with(|world| world.sent().len()), 1);
}

#[tokio::test]
async fn a_hanging_or_dropped_call_is_never_answered_with_or_without_effect() {
    for effect in [false, true] {
        let scene = Scene::set(Options::default()).await;
        scene.sim.add_fault(Fault::new(Target::Path("/remove".into()), Kind::Drop { effect }).times(1));
        let path = format!("groups/{GROUP}/participants/remove");
        let body = json!({"participants": [{"id": "447700900101@c.us"}]});
        let answer = scene.send(Method::POST, &path, Some(body.clone())).await;
        assert!(answer.is_err_and(|error| error.is_request() && !error.is_timeout()));
        assert_eq!(scene.has_ann(), !effect);

        scene.sim.seat(&scene.group, &[scene.ann], Role::Participant);
        scene.sim.add_fault(Fault::new(Target::Any, Kind::Hang { effect }).times(1));
        let url = format!("{}/v2/{path}?{AUTH}", scene.base);
        let hanging = scene.client.post(url).json(&body).send();
        tokio::select! {
            _ = hanging => panic!("a hanging call was answered"),
            seen = scene.sim.wait_for(|world| world.calls().len() == 2 && world.calls()[1].fault.is_some(), SOON) => assert!(seen),
        }
        assert!(scene.sim.wait_for(|world| world.is_member(&scene.group, scene.ann) != effect, SOON).await);
        assert!(scene.sim.calls().iter().all(|call| call.status.is_none() && call.effect == effect));
    }
}

#[tokio::test]
async fn the_control_api_arranges_a_group_and_shows_it() {
    let scene = Scene::set(Options::default()).await;
    let post =
        |path: &str, body: Value| scene.client.post(format!("{}/sim/{path}", scene.base)).json(&body).send();
    let id = "120363000000000002@g.us";
    assert_eq!(post("groups", json!({"id": id, "subject": "Two"})).await.unwrap().status(), 200);
    let join = json!({"phone": "447700900500", "name": "Zoe", "via": "link"});
    let answer: Value = post(&format!("groups/{id}/join"), join).await.unwrap().json().await.unwrap();
    assert_eq!(answer, json!({"joined": true}));
    let shown = scene.client.get(format!("{}/sim/groups/{id}", scene.base)).send().await.unwrap();
    let shown: Value = shown.json().await.unwrap();
    let zoe = shown["members"].as_array().unwrap().iter().find(|one| one["name"] == "Zoe").unwrap();
    assert_eq!((&zoe["phone"], &zoe["role"]), (&json!("+447700900500"), &json!("participant")));
    let fault = json!({"on": {"class": "remove"}, "kind": "silent"});
    post("faults", fault).await.unwrap();
    scene.remove("447700900101@c.us").await;
    assert!(scene.has_ann());
    scene.client.delete(format!("{}/sim/faults", scene.base)).send().await.unwrap();
    assert_eq!(scene.sim.faults().list().count(), 0);
    let calls = scene.client.get(format!("{}/sim/calls", scene.base)).send().await.unwrap();
    assert_eq!(calls.json::<Value>().await.unwrap()[0]["fault"], "silent");
    assert_eq!(
        post("groups/nowhere@g.us/join", json!({"phone": "447700900500"})).await.unwrap().status(),
        400
    );
}

#[tokio::test]
async fn a_server_that_is_gone_serves_no_open_connection_either() {
    let scene = Scene::set(Options::default()).await;
    scene.get("session/info").await;
    scene.server.abort();
    assert!(scene.send(Method::POST, &format!("groups/{GROUP}/leave"), None).await.is_err());
    assert_eq!(scene.sim.calls().len(), 1);
}
