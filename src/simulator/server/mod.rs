//! The gateway's HTTP face: logs a call at arrival, checks credentials, plays faults, lets [`act`] do the work.
//!
//! Every `/v2` path comes to one handler, because an unknown one must be logged and met by faults like any other.

mod act;
mod ask;
mod groups;
mod line;
mod members;
mod refusal;
mod route;
mod session;
mod shapes;
#[cfg(test)]
mod tests;

use self::{
    act::{Answer, Body, Stage, Twist},
    ask::Ask,
    line::{Line, Lines},
    route::Route,
};
use super::{
    calls::CallRecord,
    faults::Kind,
    handle::Simulator,
    world::{Status, World},
};
use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::time::Duration;

/// The largest body that is read.
const MAX_BODY: usize = 4 << 20;

pub(super) async fn serve(simulator: Simulator, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    let app = Router::new()
        .nest("/sim", super::control::router())
        .fallback(gateway)
        .with_state(simulator)
        .into_make_service_with_connect_info::<Line>();
    axum::serve(Lines::over(listener), app).await
}

/// The same without a socket.
pub(super) async fn answer(simulator: Simulator, request: Request) -> Option<Response> {
    let line = Line::default();
    let response = gateway(State(simulator), ConnectInfo(line.clone()), request).await;
    (!line.is_cut()).then_some(response)
}

async fn gateway(
    State(simulator): State<Simulator>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let at = simulator.inner.clock.elapsed();
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let call = Call::arrive(simulator, Ask::read(&parts, &body), at);
    match call.play() {
        Play::ActLater(session, by) => {
            // Not here: this ends when the client hangs up.
            tokio::spawn(async move {
                tokio::time::sleep(by).await;
                call.act(session, None);
            });
            std::future::pending().await
        }
        Play::Answer(answer) => call.finish(answer),
        Play::Late(answer, by) => {
            tokio::time::sleep(by).await;
            call.finish(answer)
        }
        Play::Hang => std::future::pending().await,
        Play::Cut => {
            line.cut();
            StatusCode::OK.into_response()
        }
    }
}

/// What the client gets to see.
enum Play {
    Answer(Answer),
    Late(Answer, Duration),
    ActLater(usize, Duration),
    Hang,
    Cut,
}

/// One call under way, already in the log.
struct Call {
    simulator: Simulator,
    ask: Ask,
    route: Option<Route>,
    number: usize,
    at: Duration,
}

impl Call {
    fn arrive(simulator: Simulator, ask: Ask, at: Duration) -> Self {
        let route = Route::of(&ask.method, &ask.path, &ask);
        let now = simulator.inner.clock.now();
        let number = simulator.with(|world| {
            let person = ask.people().first().and_then(|jid| world.find(jid));
            let chat = ask.text("chatId").filter(|_| matches!(route, Some(Route::SendText)));
            let to = chat.as_deref().and_then(|chat| world.find(chat));
            let record = CallRecord {
                number: 0,
                at,
                wall_ms: now,
                session: None,
                placement: None,
                route: route.as_ref().map_or("unknown", Route::name),
                class: route.as_ref().and_then(|route| route.class(&ask)),
                cold: to.is_some_and(|to| world.is_cold(to, now)),
                method: ask.method.to_string(),
                path: ask.path.clone(),
                group: route.as_ref().and_then(|route| route.group(&ask)),
                person: person.or(to).map(|lid| world.both_ids(lid)),
                people: ask.people().len(),
                text: ask.message().filter(|_| chat.is_some()),
                chat,
                status: None,
                effect: false,
                fault: None,
            };
            world.log.arrive(record)
        });
        Self { simulator, ask, route, number, at }
    }

    /// Authorises, strikes, acts. Everything but waiting.
    fn play(&self) -> Play {
        let session = match self.authorise() {
            Ok(session) => session,
            Err(answer) => return Play::Answer(answer),
        };
        let class = self.route.as_ref().and_then(|route| route.class(&self.ask));
        let fault = self.simulator.with(|world| {
            let fault = self.simulator.faults().strike(class, &self.ask.path, self.at, &mut world.rng);
            if let (Some(fault), Some(record)) = (&fault, world.log.at_mut(self.number)) {
                record.fault = Some(fault.name().to_owned());
            }
            fault
        });
        match fault {
            None => Play::Answer(self.act(session, None)),
            Some(fault) => self.strike(session, fault),
        }
    }

    fn strike(&self, index: usize, fault: Kind) -> Play {
        let act_if = |effect: bool| {
            if effect {
                drop(self.act(index, None));
            }
        };
        match fault {
            Kind::Hang { effect } => {
                act_if(effect);
                Play::Hang
            }
            Kind::Drop { effect } => {
                act_if(effect);
                Play::Cut
            }
            Kind::LateEffect { millis } => Play::ActLater(index, Duration::from_millis(millis)),
            Kind::EmptyList { effect } => {
                act_if(effect);
                Play::Answer(Answer::told(json!([])))
            }
            Kind::Slow { millis } => Play::Late(self.act(index, None), Duration::from_millis(millis)),
            Kind::Status { status, body, effect } => {
                act_if(effect);
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let body = match serde_json::from_str(&body) {
                    Ok(json) => Body::Json(json),
                    Err(_) => Body::Text(body),
                };
                Play::Answer(Answer::refusal(status, body))
            }
            Kind::Empty => Play::Answer(Answer { body: Body::Empty, ..self.act(index, None) }),
            Kind::Silent => Play::Answer(self.act(index, Some(Twist::Silent))),
            Kind::PerPerson { code } => Play::Answer(self.act(index, Some(Twist::PerPerson(code)))),
            Kind::Upstream { message } => {
                let engine = self.simulator.with(|world| world.gateway.engine);
                let exception = json!({"message": message, "code": 2});
                let now = self.simulator.inner.clock.now();
                Play::Answer(refusal::thrown(&exception, engine, &self.ask, now))
            }
            Kind::RateLimited { retry_after } => Play::Answer(act::rate_limited(retry_after)),
            Kind::NotWorking => {
                let name = self.simulator.with(|world| world.sessions().get(index).map(|s| s.name.clone()));
                Play::Answer(session::not_working(&name.unwrap_or_default(), Status::Stopped))
            }
        }
    }

    /// The session whose credentials these are.
    fn authorise(&self) -> Result<usize, Answer> {
        let Some(credentials) = self.ask.credentials() else {
            return Err(act::refused(
                StatusCode::BAD_REQUEST,
                "missing required parameter(s): instance_id, access_token",
            ));
        };
        self.simulator.with(|world| {
            let found = world.sessions().iter().position(|session| {
                session.instance_id == credentials.instance && session.token == credentials.token
            });
            let Some(found) = found else {
                return Err(act::refused(StatusCode::UNAUTHORIZED, "invalid access token or instance id"));
            };
            if let Some(record) = world.log.at_mut(self.number) {
                record.session = Some(credentials.instance);
                record.placement = Some(credentials.placement);
            }
            Ok(found)
        })
    }

    /// Does the work, and tells the sessions what changed.
    fn act(&self, session: usize, twist: Option<Twist>) -> Answer {
        let now = self.simulator.inner.clock.now();
        let mut answer = self.simulator.with(|world| {
            let answer = self.act_in(world, session, twist, now);
            if let Some(record) = world.log.at_mut(self.number) {
                record.effect = answer.effect;
            }
            answer
        });
        self.simulator.announce(std::mem::take(&mut answer.changes));
        answer
    }

    fn act_in(
        &self,
        world: &mut World,
        session: usize,
        twist: Option<Twist>,
        now: crate::clock::Timestamp,
    ) -> Answer {
        let Some(route) = &self.route else {
            return act::refused(
                StatusCode::NOT_FOUND,
                "no route was found matching the URL and request method",
            );
        };
        let Some(there) = world.sessions().get(session) else {
            return act::refused(StatusCode::UNAUTHORIZED, "the session is gone");
        };
        if there.status != Status::Working && route.needs_connection() {
            return session::not_working(&there.name, there.status);
        }
        let me = there.me;
        Stage { world, session, me, ask: &self.ask, twist, now, at: self.at }.act(route)
    }

    fn finish(&self, answer: Answer) -> Response {
        self.simulator.with(|world| {
            if let Some(record) = world.log.at_mut(self.number) {
                record.status = Some(answer.status.as_u16());
            }
        });
        let mut response = match answer.body {
            Body::Json(json) => (answer.status, axum::Json(json)).into_response(),
            Body::Text(text) => (answer.status, text).into_response(),
            Body::Empty => answer.status.into_response(),
        };
        if let Some(seconds) = answer.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The vendor's error envelope.
fn envelope(status: StatusCode, message: &str) -> serde_json::Value {
    json!({"status": status.as_u16(), "message": message, "error": status.canonical_reason()})
}
