//! `subscriptions accept`, and `blacklist accept` where no daemon runs: the owner says that a shrunk, emptied or missing file is meant so.

use super::{Context, door::Daemon, print};
use crate::{config::Config, lists::ListBook, subscriptions::SubscriptionBook};
use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{process::ExitCode, sync::Arc};

#[derive(Args)]
pub(super) struct Subscriptions {
    #[command(subcommand)]
    verb: SubscriptionsVerb,
}

#[derive(Subcommand)]
enum SubscriptionsVerb {
    /// Take the subscription file as it is now
    Accept,
}

impl Subscriptions {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let SubscriptionsVerb::Accept = self.verb;
        let config = context.load()?;
        let answer = match Daemon::find(&config).await? {
            Some(daemon) => daemon.post(&["subscriptions", "accept"]).await?,
            None => accept_subscriptions(context, &config)?,
        };
        say(context, &answer);
        Ok(ExitCode::SUCCESS)
    }
}

/// Without a daemon the last good copy is exchanged; the next start finds file and copy equal.
pub(super) fn accept_list(context: &Context, config: &Config, name: &str) -> anyhow::Result<Value> {
    let now = context.clock.now();
    let (book, _) = ListBook::open(config, config.server.data_dir.join("kept/lists"), now);
    let detail = book.accept(name, now).map_err(|why| anyhow!("{why}"))?;
    Ok(json!({"name": name, "detail": detail}))
}

fn accept_subscriptions(context: &Context, config: &Config) -> anyhow::Result<Value> {
    let zone = jiff::tz::TimeZone::get(&config.server.time_zone).context("[server] time_zone")?;
    let kept = config.server.data_dir.join("kept/subscriptions");
    let http = crate::subscriptions::client().context("no HTTP client can be made")?;
    let shrink = config.lists.max_shrink;
    let source = config.subscriptions.as_ref();
    let (book, _) =
        SubscriptionBook::open(source, zone, shrink, kept, Arc::new(http), Arc::clone(&context.clock));
    let detail = book.accept().map_err(|why| anyhow!("{why}"))?;
    Ok(json!({"name": "subscriptions", "detail": detail}))
}

fn say(context: &Context, answer: &Value) {
    if context.json {
        print::json(answer);
    } else {
        print::line(&print::text(answer, "/detail"));
    }
}
