//! `simulate`: the Wawp simulator as a server.

use super::{Context, print};
use crate::simulator::{Options, SessionOptions, Simulator, WebhookTarget};
use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use std::{net::SocketAddr, process::ExitCode, sync::Arc};

#[derive(Args)]
pub(super) struct Simulate {
    /// Where the gateway's API and its controls under /sim are served; keep it on loopback
    #[arg(long, default_value = "127.0.0.1:8788", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where events go: http://127.0.0.1:8787/webhooks/main
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Sent along as ?secret=
    #[arg(long, requires = "webhook")]
    secret: Option<String>,
    /// The session's name
    #[arg(long, default_value = "main", value_name = "NAME")]
    session: String,
    /// The instance that calls must name; what `init` writes by default
    #[arg(long, default_value = "A1B2C3D4E5F6", value_name = "ID")]
    instance_id: String,
    /// The access token that calls must carry
    #[arg(long, default_value = "simulated-token", value_name = "TOKEN")]
    access_token: String,
}

impl Simulate {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let session = SessionOptions {
            name: self.session,
            instance_id: self.instance_id,
            token: self.access_token,
            ..SessionOptions::default()
        };
        let (instance_id, token) = (session.instance_id.clone(), session.token.clone());
        let secret = self.secret;
        let webhook = self.webhook.map(|url| WebhookTarget { url, secret, hmac: None });
        let simulator =
            Simulator::new(Options { webhook, session, ..Options::default() }, Arc::clone(&context.clock));
        let listener = tokio::net::TcpListener::bind(self.listen).await.with_context(|| {
            format!("cannot listen on {}; give another address with --listen", self.listen)
        })?;
        let base = format!("http://{}", listener.local_addr()?);
        if context.json {
            print::json(&json!({"base_url": base, "instance_id": instance_id, "access_token": token}));
        } else {
            print::line(&format!(
                "[wawp] base_url = \"{base}\"  instance_id = \"{instance_id}\"  access_token = \"{token}\""
            ));
            print::line("controls are under /sim; Ctrl-C ends it");
        }
        tokio::select! {
            ended = simulator.serve(listener) => ended.context("the simulator stopped")?,
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}
