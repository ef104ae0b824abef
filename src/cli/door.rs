//! How a verb reaches what the daemon remembers: through the running daemon's API, or, with none running, by opening the
//! store itself under its lock. Both ways end in the same functions of `api`.

use super::Context;
use crate::{
    api::{
        explain::look_up,
        rulings::{self, Which},
        sweeps::{self, Asked},
        views::{self, Query},
    },
    clock::Clock,
    config::Config,
    pipeline::places,
    store::{Cause, NewSweep, Ruling, Store, Sweep, sqlite},
};
use anyhow::{Context as _, anyhow};
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// A daemon on this machine answers within this, or there is none.
const KNOCK: Duration = Duration::from_secs(2);

/// What the running daemon leaves in its data folder.
#[derive(Deserialize)]
struct Notice {
    address: SocketAddr,
}

/// A running daemon, by its API.
pub(super) struct Daemon {
    http: reqwest::Client,
    base: url::Url,
    token: Option<String>,
}

/// What a ruling is about.
pub(super) enum Meant {
    /// One action.
    Row(String),
    /// What a brake holds.
    Held(Which),
}

/// Either way to what is remembered.
pub(super) enum Door {
    /// A daemon answers.
    Daemon(Daemon),
    /// None does; the store is ours meanwhile.
    Store(Arc<dyn Store>, Arc<dyn Clock>),
}

impl Daemon {
    /// The running daemon of this configuration, if one answers.
    pub(super) async fn find(config: &Config) -> anyhow::Result<Option<Self>> {
        let Ok(text) = std::fs::read_to_string(config.server.data_dir.join("daemon.json")) else {
            return Ok(None);
        };
        let Ok(Notice { address }) = serde_json::from_str(&text) else { return Ok(None) };
        let reached = match address {
            SocketAddr::V4(a) if a.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], a.port())),
            SocketAddr::V6(a) if a.ip().is_unspecified() => {
                SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], a.port()))
            }
            other => other,
        };
        let base: url::Url =
            format!("http://{reached}/").parse().context("the daemon's address is no URL")?;
        // A proxy of the environment is for the world outside, never for this machine.
        let http = reqwest::Client::builder().no_proxy().build().context("no HTTP client can be made")?;
        let token = config.server.admin_token.as_ref().map(crate::config::Secret::expose).transpose();
        let token = token.map_err(|why| anyhow!("{why}"))?.map(str::to_owned);
        let found = http.get(base.join("healthz")?).timeout(KNOCK).send().await;
        Ok(found.is_ok_and(|answer| answer.status().is_success()).then_some(Self { http, base, token }))
    }

    /// What the open `/readyz` tells.
    pub(super) async fn readiness(&self) -> anyhow::Result<Value> {
        let answer = self.http.get(self.base.join("readyz")?).timeout(KNOCK).send().await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    /// Asks for something.
    pub(super) async fn get(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.ask_json(Method::GET, path, &Query::default()).await
    }

    /// Changes something, with words of its own.
    pub(super) async fn send(&self, method: Method, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        let text = self.call(self.request(method, path)?.json(body)).await?;
        serde_json::from_str(&text).context("the daemon's answer is not JSON")
    }

    /// One call of the API; a refusal becomes an error with its sentence and next step.
    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &impl serde::Serialize,
    ) -> anyhow::Result<String> {
        let request = self.request(method, path)?.query(query);
        self.call(request).await
    }

    /// One call of the API with a body of JSON.
    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> anyhow::Result<T> {
        let request = self.request(method, path)?;
        let request = body.into_iter().fold(request, |request, body| request.json(body));
        serde_json::from_str(&self.call(request).await?)
            .context("the daemon's answer is not what was expected")
    }

    fn request(&self, method: Method, path: &[&str]) -> anyhow::Result<reqwest::RequestBuilder> {
        let token = self.token.as_deref().ok_or_else(|| {
            anyhow!("the running daemon has no admin token, so it cannot be asked\n  set [server] admin_token and restart it")
        })?;
        let mut url = self.base.clone();
        let segments = ["api", "v1"].iter().chain(path);
        url.path_segments_mut()
            .map_err(|()| anyhow!("the daemon's address has no path"))?
            .clear()
            .extend(segments);
        Ok(self.http.request(method, url).bearer_auth(token).timeout(Duration::from_secs(60)))
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> anyhow::Result<String> {
        let answer =
            request.send().await.map_err(|e| anyhow!("the daemon did not answer: {}", e.without_url()))?;
        let status = answer.status();
        let text =
            answer.text().await.map_err(|e| anyhow!("the daemon's answer broke off: {}", e.without_url()))?;
        if status.is_success() {
            return Ok(text);
        }
        let refusal: Value = serde_json::from_str(&text).unwrap_or_default();
        match (refusal["error"].as_str(), refusal["next"].as_str()) {
            (Some(error), Some(next)) => Err(anyhow!("{error}\n  {next}")),
            _ => Err(anyhow!("the daemon answered {status}\n  see its log")),
        }
    }

    async fn ask_json(
        &self,
        method: Method,
        path: &[&str],
        query: &impl serde::Serialize,
    ) -> anyhow::Result<Value> {
        serde_json::from_str(&self.ask(method, path, query).await?).context("the daemon's answer is not JSON")
    }

    /// Changes something.
    pub(super) async fn post(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.ask_json(Method::POST, path, &Query::default()).await
    }
}

impl Door {
    /// Finds the daemon, or opens the store.
    pub(super) async fn open(context: &Context, config: &Config) -> anyhow::Result<Self> {
        if let Some(daemon) = Daemon::find(config).await? {
            return Ok(Self::Daemon(daemon));
        }
        let store = sqlite::open(&config.store.path, Arc::clone(&context.clock))?;
        Ok(Self::Store(Arc::new(store), Arc::clone(&context.clock)))
    }

    /// The journal.
    pub(super) async fn events(&self, query: &Query) -> anyhow::Result<Value> {
        match self {
            Self::Daemon(daemon) => daemon.ask_json(Method::GET, &["events"], query).await,
            Self::Store(store, _) => views::events(&**store, query).await.map_err(say),
        }
    }

    /// Puts an event back in line.
    pub(super) async fn retry(&self, id: &str) -> anyhow::Result<Value> {
        match self {
            Self::Daemon(daemon) => daemon.post(&["events", id, "retry"]).await,
            Self::Store(store, _) => views::retry(&**store, id).await.map_err(say),
        }
    }

    /// The outbox.
    pub(super) async fn outbox(&self, query: &Query) -> anyhow::Result<Value> {
        match self {
            Self::Daemon(daemon) => daemon.ask_json(Method::GET, &["outbox"], query).await,
            Self::Store(store, _) => views::outbox(&**store, query).await.map_err(say),
        }
    }

    /// The brakes that stand.
    pub(super) async fn brakes(&self) -> anyhow::Result<Value> {
        match self {
            Self::Daemon(daemon) => daemon.ask_json(Method::GET, &["brakes"], &Query::default()).await,
            Self::Store(store, _) => rulings::brakes(&**store).await.map_err(say),
        }
    }

    /// Rules on actions.
    pub(super) async fn rule(&self, meant: &Meant, ruling: Ruling) -> anyhow::Result<Value> {
        let verb = match ruling {
            Ruling::Approve => "approve",
            Ruling::Cancel => "cancel",
            Ruling::Retry => "retry",
        };
        match (self, meant) {
            (Self::Daemon(daemon), Meant::Row(id)) => daemon.post(&["outbox", id, verb]).await,
            (Self::Daemon(daemon), Meant::Held(which)) => {
                daemon.ask_json(Method::POST, &["outbox", verb], which).await
            }
            (Self::Store(store, clock), Meant::Row(id)) => {
                rulings::rule(&**store, id, ruling, clock.now()).await.map_err(say)
            }
            (Self::Store(store, clock), Meant::Held(which)) => {
                rulings::rule_on_held(&**store, which, ruling, clock.now()).await.map_err(say)
            }
        }
    }

    /// Whether a daemon runs.
    pub(super) fn is_daemon(&self) -> bool {
        matches!(self, Self::Daemon(_))
    }

    /// Has members looked at again.
    pub(super) async fn sweep(&self, asked: &Asked, config: &Config) -> anyhow::Result<Sweep> {
        match self {
            Self::Daemon(daemon) => {
                daemon.exchange(Method::POST, &["sweeps"], Some(&serde_json::to_value(asked)?)).await
            }
            Self::Store(store, clock) => {
                let whom = sweeps::whom(&**store, asked).await.map_err(say)?;
                let places = places(config, &store.groups().await?, None);
                let new =
                    NewSweep { cause: Cause::Operator, whom, places, asked_at: clock.now(), mark: None };
                sweeps::begun(&**store, store.begin_sweep(new).await?).await.map_err(say)
            }
        }
    }

    /// Every sweep.
    pub(super) async fn sweeps(&self) -> anyhow::Result<Value> {
        match self {
            Self::Daemon(daemon) => daemon.exchange(Method::GET, &["sweeps"], None).await,
            Self::Store(store, _) => sweeps::all(&**store).await.map_err(say),
        }
    }

    /// How far one is.
    pub(super) async fn look_at_sweep(&self, id: &str) -> anyhow::Result<Sweep> {
        match self {
            Self::Daemon(daemon) => daemon.exchange(Method::GET, &["sweeps", id], None).await,
            Self::Store(store, _) => sweeps::one_of(&**store, id).await.map_err(say),
        }
    }

    /// Ends one.
    pub(super) async fn cancel_sweep(&self, id: &str) -> anyhow::Result<Sweep> {
        match self {
            Self::Daemon(daemon) => daemon.exchange(Method::DELETE, &["sweeps", id], None).await,
            Self::Store(store, clock) => sweeps::end(&**store, id, clock.now()).await.map_err(say),
        }
    }

    /// Why something happened; as text, or as JSON.
    pub(super) async fn explain(&self, reference: &str, as_json: bool) -> anyhow::Result<String> {
        match self {
            Self::Daemon(daemon) => {
                let query = json!({"format": if as_json { "json" } else { "text" }});
                daemon.ask(Method::GET, &["explain", reference], &query).await
            }
            Self::Store(store, clock) => {
                let explained = look_up(&**store, reference).await.map_err(say)?;
                Ok(if as_json { serde_json::to_string(&explained)? } else { explained.text(clock.now()) })
            }
        }
    }
}

/// A refusal as an error of the command line.
fn say(refusal: crate::api::Refusal) -> anyhow::Error {
    anyhow!("{}\n  {}", refusal.error, refusal.next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, http::Uri, response::IntoResponse as _};

    /// A daemon that answers with what it was asked, after the token.
    async fn echo() -> Daemon {
        // Another test may have installed one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let home = tempfile::tempdir().unwrap();
        let answer = |method: axum::http::Method, uri: Uri, headers: axum::http::HeaderMap| async move {
            if headers.get("authorization").is_some_and(|value| value == "Bearer letmein") {
                return axum::Json(json!({"asked": format!("{method} {uri}")})).into_response();
            }
            let refusal = json!({"error": "the token is wrong", "next": "mend it"});
            let status = if uri.path() == "/healthz" { 200 } else { 401 };
            (axum::http::StatusCode::from_u16(status).unwrap(), axum::Json(refusal)).into_response()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let notice = json!({"address": listener.local_addr().unwrap(), "pid": 1});
        std::fs::write(home.path().join("daemon.json"), notice.to_string()).unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let text = format!("[server]\ndata_dir = {:?}\nadmin_token = \"letmein\"\n", home.path())
            + "[[sessions]]\nname = \"main\"\ninstance_id = \"A1B2C3D4E5F6\"\naccess_token = \"t\"\nwebhook_secret = \"s\"\n";
        let config = crate::config::parse(text, &home.path().join("perimeterd.toml"), []).unwrap();
        Daemon::find(&config).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_running_daemon_is_asked_with_the_token() {
        let door = Door::Daemon(echo().await);
        let asked = |answer: Value| answer["asked"].as_str().unwrap().to_owned();
        let query = Query { limit: Some(5), state: Some("new".into()), ..Query::default() };
        assert_eq!(asked(door.events(&query).await.unwrap()), "GET /api/v1/events?limit=5&state=new");
        let retried = asked(door.retry("e17").await.unwrap());
        assert_eq!(retried.trim_end_matches('?'), "POST /api/v1/events/e17/retry");
        let text = door.explain("evt/1?", false).await.unwrap();
        assert!(text.contains("GET /api/v1/explain/evt%2F1%3F?format=text"), "{text}");
    }

    #[tokio::test]
    async fn a_refusal_of_the_daemon_is_told_with_its_next_step() {
        let daemon = Daemon { token: Some("letmeout".into()), ..echo().await };
        let refused = Door::Daemon(daemon).retry("e17").await.unwrap_err();
        assert_eq!(refused.to_string(), "the token is wrong\n  mend it");
    }
}
