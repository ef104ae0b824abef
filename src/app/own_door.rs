//! Our own front door: where the canaries are posted, over HTTP like everybody else's events.

use crate::{config::Config, ids::SessionName, ingress::SessionAuth, silence::Poster};
use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// A store that needs longer than this is not able to store now.
const PATIENCE: Duration = Duration::from_secs(10);

/// The address that we listen on, and what opens it.
pub(super) struct OwnDoor {
    http: reqwest::Client,
    base: String,
    proofs: BTreeMap<SessionName, SessionAuth>,
}

impl OwnDoor {
    /// # Errors
    /// A sentence, if a session's proofs cannot be read.
    pub(super) fn new(http: reqwest::Client, config: &Config, address: SocketAddr) -> Result<Self, String> {
        let proofs = config.sessions.iter().map(|session| {
            let auth = SessionAuth::new(session)?;
            Ok((session.name.clone(), auth))
        });
        let base = format!("http://{}", reachable(address));
        Ok(Self { http, base, proofs: proofs.collect::<Result<_, String>>()? })
    }
}

/// Where an address that means "all of mine" is reached.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[async_trait]
impl Poster for OwnDoor {
    async fn post(&self, session: &SessionName, body: Vec<u8>) -> Result<(), String> {
        let Some(auth) = self.proofs.get(session) else { return Err("there is no such session".into()) };
        let request = self
            .http
            .post(format!("{}/webhooks/{session}", self.base))
            .timeout(PATIENCE)
            .headers(auth.proofs(&body))
            .header("content-type", "application/json")
            .body(body);
        match request.send().await {
            Ok(answer) if answer.status().as_u16() == 202 => Ok(()),
            Ok(answer) => Err(format!("it answers {}", answer.status())),
            Err(error) => Err(error.without_url().to_string()),
        }
    }
}
