//! `/sim`: the owner's hand on the world over HTTP. The table of calls is in the module's head ([`super`]).

use super::{
    faults::Fault,
    gateway::Gateway,
    handle::Simulator,
    people::Source,
    session::{Backlog, Capping, RateLimits, Timelock},
    settings::Setting,
    webhook::WebhookTarget,
    world::{Addressing, Role, Status, Via},
};
use crate::ids::{GroupId, Lid, Person, Phone};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

pub(super) fn router() -> Router<Simulator> {
    Router::new()
        .route("/groups", post(add_group))
        .route("/groups/{id}", get(show_group))
        .route("/groups/{id}/join", post(join))
        .route("/groups/{id}/leave", post(leave))
        .route("/groups/{id}/role", post(set_role))
        .route("/groups/{id}/settings", post(set_settings))
        .route("/people", post(add_person))
        .route("/messages", post(write))
        .route("/session", post(set_session))
        .route("/gateway", get(show_gateway).post(set_gateway))
        .route("/meter", get(show_meter).post(set_meter))
        .route("/webhook", post(set_webhook))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/calls", get(async |State(sim): State<Simulator>| Json(json!(sim.calls()))))
        .route("/sent", get(sent))
}

fn wrong(status: StatusCode, message: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"error": message})))
}

fn group_id(text: &str) -> Result<GroupId, (StatusCode, Json<Value>)> {
    GroupId::parse(text).ok_or_else(|| wrong(StatusCode::BAD_REQUEST, "the group's id must end in @g.us"))
}

fn existing(sim: &Simulator, text: &str) -> Result<GroupId, (StatusCode, Json<Value>)> {
    let id = group_id(text)?;
    let known = sim.with(|world| world.group(&id).is_some());
    if known {
        Ok(id)
    } else {
        Err(wrong(StatusCode::NOT_FOUND, "no such group; make it with POST /sim/groups"))
    }
}

#[derive(Deserialize)]
struct NewGroup {
    id: GroupId,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    addressing: Addressing,
    #[serde(default = "admin")]
    we_are: Role,
}

fn admin() -> Role {
    Role::Admin
}

async fn add_group(State(sim): State<Simulator>, Json(new): Json<NewGroup>) -> Answer {
    sim.add_group(&new.id, &new.subject, new.addressing, new.we_are);
    show(&sim, &new.id)
}

async fn show_group(State(sim): State<Simulator>, Path(id): Path<String>) -> Answer {
    let id = existing(&sim, &id)?;
    show(&sim, &id)
}

fn show(sim: &Simulator, id: &GroupId) -> Answer {
    let shown = sim.with(|world| {
        let group = world.group(id)?;
        let member = |(lid, role): (&Lid, &Role)| {
            let profile = world.profile(*lid);
            json!({
                "phone": profile.map(|p| p.phone), "lid": lid, "name": profile.map(|p| p.name.as_str()), "role": role,
            })
        };
        Some(json!({
            "id": group.id, "subject": group.subject, "description": group.description,
            "addressing": group.addressing, "announce_only": group.announce_only,
            "info_locked": group.info_locked, "invite_code": group.invite_code,
            "members": group.members.iter().map(member).collect::<Vec<_>>(),
        }))
    });
    shown.map(Json).ok_or_else(|| wrong(StatusCode::NOT_FOUND, "no such group"))
}

#[derive(Deserialize)]
struct Somebody {
    phone: Phone,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    via: Option<String>,
    #[serde(default)]
    by: Option<Phone>,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    hides_phone: bool,
    #[serde(default)]
    refuses_adds: bool,
    #[serde(default)]
    shown_in: Option<BTreeSet<Source>>,
    #[serde(default)]
    group: Option<GroupId>,
    #[serde(default)]
    text: String,
}

impl Somebody {
    fn enter(&self, sim: &Simulator) -> Person {
        let person = Person::of_phone(self.phone);
        sim.with(|world| {
            let lid = match &self.name {
                Some(name) => world.named(person, name),
                None => world.person(person),
            };
            world.both_ids(lid)
        })
    }
}

async fn add_person(State(sim): State<Simulator>, Json(body): Json<Somebody>) -> Answer {
    let person = body.enter(&sim);
    sim.with(|world| {
        if let Some(profile) = person.lid.and_then(|lid| world.profile_mut(lid)) {
            profile.hides_phone = body.hides_phone;
            profile.refuses_adds = body.refuses_adds;
            profile.shown_in = body.shown_in.clone().unwrap_or_else(|| profile.shown_in.clone());
        }
    });
    Ok(Json(json!(person)))
}

async fn join(State(sim): State<Simulator>, Path(id): Path<String>, Json(body): Json<Somebody>) -> Answer {
    let id = existing(&sim, &id)?;
    let via = match (body.via.as_deref(), body.by) {
        (Some("link"), None) => Via::Link,
        (Some("added") | None, Some(by)) => Via::AddedBy(Person::of_phone(by)),
        (None | Some("unknown"), None) => Via::Unknown,
        _ => {
            return Err(wrong(
                StatusCode::BAD_REQUEST,
                "via is \"link\", \"unknown\", or \"added\" with \"by\"",
            ));
        }
    };
    let person = body.enter(&sim);
    let joined = !sim.join(&id, &[person], via).await.is_empty();
    Ok(Json(json!({"joined": joined})))
}

async fn leave(State(sim): State<Simulator>, Path(id): Path<String>, Json(body): Json<Somebody>) -> Answer {
    let id = existing(&sim, &id)?;
    let person = Person::of_phone(body.phone);
    let left = sim.with(|world| world.is_member(&id, person));
    sim.leave(&id, &[person], body.by.map(Person::of_phone)).await;
    Ok(Json(json!({"left": left})))
}

async fn set_role(
    State(sim): State<Simulator>,
    Path(id): Path<String>,
    Json(body): Json<Somebody>,
) -> Answer {
    let id = existing(&sim, &id)?;
    let person = body.enter(&sim);
    let by = body.by.map_or_else(|| sim.me(), Person::of_phone);
    sim.set_role(&id, person, body.admin, by).await;
    show(&sim, &id)
}

#[derive(Deserialize)]
struct NewSettings {
    subject: Option<String>,
    description: Option<String>,
    announce_only: Option<bool>,
    info_locked: Option<bool>,
    by: Option<Phone>,
}

async fn set_settings(
    State(sim): State<Simulator>,
    Path(id): Path<String>,
    Json(new): Json<NewSettings>,
) -> Answer {
    let id = existing(&sim, &id)?;
    let by = new.by.map_or_else(|| sim.me(), Person::of_phone);
    let settings = [
        new.subject.map(Setting::Subject),
        new.description.map(Setting::Description),
        new.announce_only.map(Setting::AnnounceOnly),
        new.info_locked.map(Setting::InfoLocked),
    ];
    for setting in settings.into_iter().flatten() {
        sim.set(&id, &setting, by);
    }
    show(&sim, &id)
}

async fn write(State(sim): State<Simulator>, Json(body): Json<Somebody>) -> Answer {
    let person = body.enter(&sim);
    let written = sim.message(body.group.as_ref(), person, &body.text).await;
    Ok(Json(json!({"written": written})))
}

/// What is absent stays as it is.
#[derive(Deserialize)]
struct NewSession {
    status: Option<Status>,
    mute: Option<bool>,
    backlog: Option<Backlog>,
    free_plan: Option<bool>,
    timelock: Option<Timelock>,
    capping: Option<Capping>,
    rate_limits: Option<RateLimits>,
}

async fn set_session(State(sim): State<Simulator>, Json(new): Json<NewSession>) -> Answer {
    sim.with(|world| {
        let Some(session) = world.session_mut(0) else { return };
        session.backlog = new.backlog.unwrap_or(session.backlog);
        session.free_plan = new.free_plan.unwrap_or(session.free_plan);
        session.timelock = new.timelock.or(session.timelock.take());
        session.capping = new.capping.or(session.capping.take());
        session.rate_limits = new.rate_limits.unwrap_or_else(|| session.rate_limits.clone());
    });
    if let Some(mute) = new.mute {
        sim.set_mute(mute);
    }
    if let Some(status) = new.status {
        sim.set_status(status);
    }
    let shown = sim.with(|world| {
        let session = world.sessions().first()?;
        Some(json!({"status": session.status, "mute": session.mute, "backlog": session.backlog}))
    });
    Ok(Json(json!(shown)))
}

async fn show_gateway(State(sim): State<Simulator>) -> Json<Gateway> {
    Json(sim.with(|world| world.gateway))
}

async fn set_gateway(State(sim): State<Simulator>, Json(new): Json<Map<String, Value>>) -> Answer {
    let mut gateway = json!(sim.with(|world| world.gateway));
    gateway.as_object_mut().into_iter().for_each(|now| now.extend(new.clone()));
    let gateway = serde_json::from_value(gateway).map_err(|error| {
        wrong(StatusCode::BAD_REQUEST, &format!("the gateway cannot be like that: {error}"))
    })?;
    sim.with(|world| world.gateway = gateway);
    Ok(Json(json!(gateway)))
}

async fn show_meter(State(sim): State<Simulator>) -> Json<Value> {
    Json(sim.with(|world| {
        let meter = world.meter();
        let mut shown = json!(meter);
        shown["points"] = json!(meter.points());
        shown["restricted"] = json!(meter.is_restricted());
        shown
    }))
}

#[derive(Deserialize)]
struct NewMeter {
    on: Option<bool>,
    threshold: Option<f64>,
    grave: Option<f64>,
    #[serde(default)]
    pardon: bool,
}

async fn set_meter(State(sim): State<Simulator>, Json(new): Json<NewMeter>) -> Json<Value> {
    sim.with(|world| {
        let meter = world.meter_mut();
        meter.on = new.on.unwrap_or(meter.on);
        meter.threshold = new.threshold.unwrap_or(meter.threshold);
        meter.grave = new.grave.unwrap_or(meter.grave);
        if new.pardon {
            meter.pardon();
        }
    });
    show_meter(State(sim)).await
}

async fn set_webhook(State(sim): State<Simulator>, Json(target): Json<WebhookTarget>) -> Answer {
    sim.set_webhook(Some(target));
    Ok(Json(json!({"set": true})))
}

async fn faults(State(sim): State<Simulator>) -> Json<Value> {
    Json(json!(sim.faults().list().collect::<Vec<_>>()))
}

async fn add_fault(State(sim): State<Simulator>, Json(fault): Json<Fault>) -> Json<Value> {
    sim.add_fault(fault);
    faults(State(sim)).await
}

async fn clear_faults(State(sim): State<Simulator>) -> Json<Value> {
    sim.faults().clear();
    Json(json!([]))
}

async fn sent(State(sim): State<Simulator>) -> Json<Value> {
    let messages = sim.with(|world| {
        let one = |sent: &super::world::Sent| {
            json!({"chat": sent.chat, "text": sent.text, "at": sent.at.to_string(), "cold": sent.cold})
        };
        world.sent().iter().map(one).collect::<Vec<_>>()
    });
    Json(json!(messages))
}
