//! The lab's wires: from the daemon to the gateway, and from the gateway to the daemon's door. No sockets; what would
//! take time on a real wire takes virtual time.

use super::SECRET;
use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{Request, Response},
};
use perimeterd::{
    simulator::Simulator,
    transport::{Transport, Unanswered},
};
use std::{
    fmt,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) const ADMIN_TOKEN: &str = "the-admin-token-of-the-lab";

/// A look at a call on its way to the gateway.
pub(super) type Look = Box<dyn Fn(&reqwest::Request) + Send + Sync>;

/// To the gateway.
pub(crate) struct GatewayWire {
    sim: Simulator,
    look: Mutex<Option<Look>>,
}

impl fmt::Debug for GatewayWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayWire").finish_non_exhaustive()
    }
}

impl GatewayWire {
    pub(super) fn new(sim: Simulator) -> Self {
        Self { sim, look: Mutex::new(None) }
    }

    pub(super) fn watch(&self, look: Look) {
        *locked(&self.look) = Some(look);
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<reqwest::Response, Unanswered> {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..80))).await;
        if let Some(look) = &*locked(&self.look) {
            look(&request);
        }
        let answer = self.sim.answer(plain(request)).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..80))).await;
        match answer {
            Some(response) => Ok(whole(response).await.into()),
            None => Err(Unanswered::BrokenOff("the line was cut".into())),
        }
    }
}

#[async_trait]
impl Transport for GatewayWire {
    async fn send(&self, request: reqwest::Request) -> Result<reqwest::Response, Unanswered> {
        let patience = request.timeout().copied().unwrap_or(Duration::from_secs(30));
        match tokio::time::timeout(patience, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Unanswered::TimedOut("no answer".into())),
        }
    }
}

/// The daemon's door: webhooks and the API, for as long as a daemon is behind it.
#[derive(Default)]
pub(crate) struct Door {
    behind: Mutex<Option<(Router, CancellationToken)>>,
    end: Mutex<Option<CancellationToken>>,
    acknowledged: Mutex<Vec<String>>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl Door {
    /// The next daemon dies with this token; it does not listen yet.
    pub(super) fn announce(&self, end: CancellationToken) {
        *locked(&self.end) = Some(end);
    }

    pub(super) fn open(&self, router: Router) {
        let end = locked(&self.end).clone();
        *locked(&self.behind) = end.map(|end| (router, end));
    }

    pub(super) fn shut(&self) {
        *locked(&self.behind) = None;
    }

    /// Shuts it, and whoever is behind it is dead.
    pub(super) fn slam(&self) {
        self.shut();
        if let Some(end) = locked(&self.end).take() {
            end.cancel();
        }
    }

    pub(super) fn acknowledged(&self) -> Vec<String> {
        locked(&self.acknowledged).clone()
    }

    pub(super) async fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        let request = request.header("content-type", "application/json").body(body.to_owned().into());
        let response = self.pass(request.unwrap()).await.ok()?;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.ok()?;
        Some((status, String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// One request through the door; it ends with the daemon behind it.
    async fn pass(&self, mut request: Request<Body>) -> Result<Response<Body>, Unanswered> {
        let Some((router, end)) = locked(&self.behind).clone() else {
            return Err(Unanswered::NotConnected("nobody listens".into()));
        };
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        match end.run_until_cancelled(router.oneshot(request)).await {
            Some(Ok(response)) => Ok(response),
            Some(Err(never)) => match never {},
            None => Err(Unanswered::BrokenOff("the daemon died".into())),
        }
    }
}

/// A webhook.
#[async_trait]
impl Transport for Door {
    async fn send(&self, request: reqwest::Request) -> Result<reqwest::Response, Unanswered> {
        let patience = request.timeout().copied().unwrap_or(Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..20))).await;
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default().to_vec();
        assert!(request.url().query().is_some_and(|query| query.contains(SECRET)));
        let passing = self.pass(plain(request));
        let response = tokio::time::timeout(patience, passing).await;
        let response = response.map_err(|_| Unanswered::TimedOut("no answer".into()))??;
        // On its way back a yes can still be lost.
        if fastrand::u32(0..50) == 0 {
            return Err(Unanswered::BrokenOff("the answer was lost".into()));
        }
        if response.status().is_success() {
            locked(&self.acknowledged).push(String::from_utf8_lossy(&body).into_owned());
        }
        Ok(whole(response).await.into())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request as a server gets it: the path, not the address.
fn plain(request: reqwest::Request) -> Request<Body> {
    let url = request.url();
    let uri = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let bytes = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default().to_vec();
    let mut plain = Request::builder().method(request.method().clone()).uri(uri).body(bytes.into()).unwrap();
    *plain.headers_mut() = request.headers().clone();
    plain
}

async fn whole(response: Response<Body>) -> Response<Vec<u8>> {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    Response::from_parts(parts, bytes.to_vec())
}
