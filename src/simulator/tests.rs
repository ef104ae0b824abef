//! Events as a receiver sees them, over real loopback HTTP.

use super::{
    Addressing, Algorithm, Delivery, Dialect, Options, Quirks, Role, Signing, Simulator, Via, WebhookTarget,
    webhook::signature,
};
use crate::{
    clock::SystemClock,
    ids::{GroupId, Person, Phone},
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    routing::post,
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

mod identity_tests;
mod session_tests;
mod settings_tests;

const SOON: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Inbox {
    posts: Mutex<Vec<(Uri, HeaderMap, Bytes)>>,
    refusals: Mutex<usize>,
}

impl Inbox {
    async fn take(State(inbox): State<Arc<Self>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
        inbox.posts.lock().unwrap().push((uri, headers, body));
        let mut refusals = inbox.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        StatusCode::ACCEPTED
    }

    fn bodies(&self) -> Vec<Value> {
        let posts = self.posts.lock().unwrap();
        posts.iter().map(|(_, _, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

/// A simulator that posts to an inbox, with a group of us (admin) and an owner.
struct Scene {
    sim: Simulator,
    inbox: Arc<Inbox>,
    group: GroupId,
    owner: Person,
}

fn phone(text: &str) -> Person {
    Person::of_phone(Phone::parse(text).unwrap())
}

impl Scene {
    async fn set(options: Options, addressing: Addressing) -> Self {
        let inbox = Arc::new(Inbox::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/{{session}}", listener.local_addr().unwrap());
        let app = Router::new().route("/webhooks/main", post(Inbox::take)).with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let webhook = options.webhook.clone().map(|target| WebhookTarget { url: url.clone(), ..target });
        let webhook = Some(webhook.unwrap_or_else(|| WebhookTarget::plain(url)));
        let sim = Simulator::new(Options { webhook, ..options }, Arc::new(SystemClock::new()));
        let group = GroupId::parse("120363000000000001@g.us").unwrap();
        sim.add_group(&group, "Club", addressing, Role::Admin);
        let owner = sim.seat(&group, &[phone("447700900010")], Role::Superadmin)[0];
        let owner = sim.with(|world| world.both_ids(owner));
        Self { sim, inbox, group, owner }
    }

    async fn join(&self, number: &str, via: Via) -> Person {
        self.sim.join(&self.group, &[phone(number)], via).await[0]
    }

    async fn told(&self) -> Vec<Value> {
        assert!(self.sim.delivered(SOON).await);
        self.inbox.bodies()
    }
}

#[tokio::test]
async fn a_join_on_the_wire_names_the_lid_only_and_tells_how_they_came() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    let ann = scene.join("447700900101", Via::Link).await;
    let ben = scene.join("447700900102", Via::AddedBy(scene.owner)).await;
    let told = scene.told().await;
    let lid = ann.lid.unwrap().jid();
    assert_eq!(told[0]["event"], "group.v2.participants");
    let payload = &told[0]["payload"];
    assert_eq!((&payload["type"], &payload["group"]["id"]), (&json!("join"), &json!(scene.group.as_str())));
    assert_eq!(payload["participants"], json!([{"id": lid, "pn": null, "role": "participant"}]));
    assert_eq!(
        (&payload["_data"]["JoinReason"], &payload["_data"]["Sender"]),
        (&json!("invite"), &json!(lid))
    );
    let added = &told[1]["payload"]["_data"];
    assert_eq!(
        (&added["JoinReason"], &added["SenderPN"]),
        (&json!(""), &json!("447700900010@s.whatsapp.net"))
    );
    assert_eq!(told[1]["payload"]["participants"][0]["id"], ben.lid.unwrap().jid());
    assert_eq!(told[0]["me"], json!({"id": "447700900001@c.us", "lid": "55501@lid", "pushName": "Guard"}));
    assert!(told[0]["id"].as_str() < told[1]["id"].as_str());
}

#[tokio::test]
async fn quirks_strip_data_fill_phones_and_count_in_seconds() {
    let quirks = Quirks { no_data: true, fill_pn: true, seconds: true };
    let scene = Scene::set(Options { quirks, ..Options::default() }, Addressing::Lid).await;
    scene.join("447700900101", Via::Link).await;
    let payload = &scene.told().await[0]["payload"];
    assert!(payload.get("_data").is_none());
    assert_eq!(payload["participants"][0]["pn"], "447700900101@c.us");
    assert!(payload["timestamp"].as_i64().unwrap() < 100_000_000_000);
}

#[tokio::test]
async fn the_docs_dialect_is_the_vendors_sample() {
    let scene = Scene::set(Options { dialect: Dialect::Docs, ..Options::default() }, Addressing::Lid).await;
    scene.join("447700900101", Via::Link).await;
    scene.sim.set_role(&scene.group, phone("447700900101"), true, scene.owner).await;
    scene.sim.leave(&scene.group, &[phone("447700900101")], None).await;
    let told: Vec<_> =
        scene.told().await.iter().map(|body| (body["event"].clone(), body["payload"].clone())).collect();
    let group = scene.group.as_str();
    let people = json!({"0": "447700900101@c.us"});
    assert_eq!(
        told,
        [
            (json!("group.v2.join"), json!({"chatId": group, "participants": people})),
            (
                json!("group.v2.participants"),
                json!({"chatId": group, "participants": people, "action": "promote"})
            ),
            (json!("group.v2.leave"), json!({"chatId": group, "participants": people})),
        ]
    );
}

#[tokio::test]
async fn our_own_coming_carries_the_roster_and_our_removal_is_told_as_the_engine_does() {
    let scene = Scene::set(Options::default(), Addressing::Phone).await;
    let me = scene.sim.me();
    scene.sim.leave(&scene.group, &[me], Some(scene.owner)).await;
    scene.sim.join(&scene.group, &[me], Via::AddedBy(scene.owner)).await;
    let told = scene.told().await;
    let events: Vec<_> = told.iter().map(|body| body["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["group.v2.leave", "group.v2.participants", "group.v2.join"]);
    let roster = told[2]["payload"]["group"]["participants"].as_array().unwrap();
    let roles: HashSet<_> = roster.iter().map(|one| one["role"].as_str().unwrap()).collect();
    assert_eq!(roles, HashSet::from(["participant", "superadmin"]));
    assert!(roster.iter().all(|one| one["id"].as_str().unwrap().ends_with("@c.us")));

    let hidden = Scene::set(Options::default(), Addressing::Lid).await;
    hidden.sim.leave(&hidden.group, &[hidden.sim.me()], Some(hidden.owner)).await;
    let told = hidden.told().await;
    assert_eq!(told.len(), 1, "the engine misses its own removal where it is named by LID");
    assert_eq!(told[0]["payload"]["participants"][0]["id"], "55501@lid");
}

#[tokio::test]
async fn mixed_speaks_both_dialects() {
    let scene = Scene::set(Options { dialect: Dialect::Mixed, ..Options::default() }, Addressing::Lid).await;
    for n in 100..140 {
        scene.join(&format!("447700900{n}"), Via::Link).await;
    }
    let told = scene.told().await;
    let events: HashSet<_> = told.iter().map(|body| body["event"].as_str().unwrap()).collect();
    assert_eq!(events, HashSet::from(["group.v2.join", "group.v2.participants"]));
    assert_eq!(told.len(), 40);
}

#[tokio::test]
async fn deliveries_carry_the_configured_proofs() {
    for algorithm in [Algorithm::Sha512, Algorithm::Sha256] {
        let hmac = Signing { key: "k3y".into(), header: "X-Proof".into(), algorithm };
        let target = WebhookTarget { url: String::new(), secret: Some("s3 cret&".into()), hmac: Some(hmac) };
        let options = Options { webhook: Some(target), ..Options::default() };
        let scene = Scene::set(options, Addressing::Lid).await;
        scene.join("447700900101", Via::Link).await;
        scene.told().await;
        let (uri, headers, body) = scene.inbox.posts.lock().unwrap().remove(0);
        assert_eq!(headers["x-proof"], signature("k3y", algorithm, &body));
        let query: Vec<_> = url::form_urlencoded::parse(uri.query().unwrap().as_bytes()).collect();
        assert_eq!(query, [("secret".into(), "s3 cret&".into())]);
    }
}

#[tokio::test]
async fn a_refused_delivery_is_repeated_with_the_same_id_until_taken() {
    let delivery = Delivery { delay_ms: 1, ..Delivery::default() };
    let scene = Scene::set(Options { delivery, ..Options::default() }, Addressing::Lid).await;
    *scene.inbox.refusals.lock().unwrap() = 3;
    scene.join("447700900101", Via::Link).await;
    let told = scene.told().await;
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|body| body == &told[0]));
    assert_eq!(scene.sim.acknowledged(), 1);
}

#[tokio::test]
async fn attempts_end() {
    let delivery = Delivery { delay_ms: 1, attempts: 3, ..Delivery::default() };
    let scene = Scene::set(Options { delivery, ..Options::default() }, Addressing::Lid).await;
    *scene.inbox.refusals.lock().unwrap() = 100;
    scene.join("447700900101", Via::Link).await;
    assert_eq!(scene.told().await.len(), 3);
}

#[tokio::test]
async fn duplicates_losses_arrays_and_disorder_happen_on_demand() {
    let all = |delivery: Delivery| async move {
        let scene = Scene::set(Options { delivery, ..Options::default() }, Addressing::Lid).await;
        for n in 100..116 {
            scene.join(&format!("447700900{n}"), Via::Link).await;
        }
        scene.told().await
    };
    let ids = |told: &[Value]| told.iter().map(|body| body["id"].to_string()).collect::<Vec<_>>();
    let usual = ids(&all(Delivery::default()).await);
    assert!(usual.len() == 16 && usual.is_sorted());
    assert_eq!(all(Delivery { duplicates: 1.0, ..Delivery::default() }).await.len(), 32);
    assert_eq!(all(Delivery { lost: 1.0, ..Delivery::default() }).await.len(), 0);
    let disorder = ids(&all(Delivery { reorder: true, ..Delivery::default() }).await);
    assert!(disorder.len() == 16 && !disorder.is_sorted());
    let parallel: HashSet<_> =
        ids(&all(Delivery { parallel: 8, ..Delivery::default() }).await).into_iter().collect();
    assert_eq!(parallel.len(), 16);
    let arrays = all(Delivery { arrays: true, ..Delivery::default() }).await;
    assert_eq!(arrays.iter().map(|body| body.as_array().unwrap().len()).sum::<usize>(), 16);
}

#[tokio::test]
async fn updates_and_messages_are_told_and_a_stopped_session_hears_nothing() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    let change = scene.sim.with(|world| world.revoke_invite(&scene.group, None).unwrap().1);
    scene.sim.announce([change]);
    scene.sim.message(Some(&scene.group), scene.owner, "hello").await;
    scene.sim.message(None, scene.owner, "help").await;
    scene.sim.with(|world| world.session_mut(0).unwrap().status = super::world::Status::Stopped);
    scene.join("447700900101", Via::Link).await;
    let told = scene.told().await;
    assert_eq!(told.len(), 3);
    assert!(told[0]["payload"]["group"]["invite"].is_string());
    let owner = scene.owner.lid.unwrap().jid();
    let group = &told[1]["payload"];
    assert_eq!((&group["from"], &group["participant"]), (&json!(scene.group.as_str()), &json!(owner)));
    assert_eq!(group["_data"]["Info"]["SenderAlt"], "447700900010@s.whatsapp.net");
    let private = &told[2]["payload"];
    assert_eq!((&private["from"], &private["body"]), (&json!("447700900010@c.us"), &json!("help")));
}

/// The brief's only literal payload; what stands in the envelope beside it may differ.
#[test]
fn the_docs_dialect_has_the_shape_of_the_vendors_page() {
    let me = Person { phone: Phone::parse("11111111111"), lid: crate::ids::Lid::parse("123@lid") };
    let around = super::Envelope {
        id: "evt_01",
        at: crate::clock::Timestamp(1_634_567_890_123),
        session: "default",
        me,
        quirks: Quirks::default(),
    };
    let group = GroupId::parse("1234567890@g.us").unwrap();
    let body = Dialect::Docs.join_body(&around, &group, Addressing::Lid, &[me], Via::Unknown);
    assert_eq!(
        body["payload"],
        json!({"chatId": "1234567890@g.us", "participants": {"0": "11111111111@c.us"}})
    );
    assert_eq!(
        (&body["event"], &body["session"], &body["timestamp"], &body["id"]),
        (&json!("group.v2.join"), &json!("default"), &json!(1_634_567_890_123_i64), &json!("evt_01"))
    );
    assert_eq!((&body["me"]["id"], &body["me"]["lid"]), (&json!("11111111111@c.us"), &json!("123@lid")));
}

#[tokio::test]
async fn only_admins_write_where_only_admins_may() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    let ann = scene.join("447700900101", Via::Link).await;
    assert!(scene.sim.message(Some(&scene.group), ann, "hello").await);
    scene.sim.with(|world| world.group_mut(&scene.group).unwrap().announce_only = true);
    assert!(!scene.sim.message(Some(&scene.group), ann, "hello").await);
    assert!(!scene.sim.message(Some(&scene.group), phone("447700900999"), "from outside").await);
    assert!(scene.sim.message(Some(&scene.group), scene.owner, "quiet please").await);
    assert_eq!(scene.told().await.len(), 3);
}

#[tokio::test]
async fn what_the_gateway_does_for_us_is_told_with_us_as_the_sender() {
    let scene = Scene::set(Options::default(), Addressing::Lid).await;
    let ann = scene.join("447700900101", Via::Link).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v2/groups/{}", listener.local_addr().unwrap(), scene.group.as_str());
    let served = scene.sim.clone();
    let server = tokio::spawn(async move { served.serve(listener).await });
    let auth = "instance_id=51A0B1C2D3E4&access_token=simulated-token";
    let client = reqwest::Client::new();
    let put = client.put(format!("{base}/settings/security/messages-admin-only?adminsOnly=true&{auth}"));
    let people = json!({"participants": [{"id": ann.lid.unwrap().jid()}]});
    let remove = client.post(format!("{base}/participants/remove?{auth}")).json(&people);
    for request in [put, remove] {
        assert!(request.send().await.unwrap().status().is_success());
    }
    let told = scene.told().await;
    server.abort();
    let group = &told[1]["payload"]["group"];
    assert_eq!(
        (&told[1]["event"], &group["membersCanSendMessages"]),
        (&json!("group.v2.update"), &json!(false))
    );
    let left = &told[2]["payload"];
    assert_eq!((&left["type"], &left["participants"][0]["role"]), (&json!("leave"), &json!("left")));
    assert_eq!(left["_data"]["Sender"], "55501@lid");
    assert_eq!(told.len(), 3);
}
