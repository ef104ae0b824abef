//! `outbox list`: actions and what became of them.

use super::{Context, door::Door, print};
use crate::api::views::Query;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Outbox {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Newest first
    List {
        /// Only in this state: waiting, held, sending, done, refused, unknown, cancelled, expired, dead, observed
        #[arg(long)]
        state: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Only older ones than this action
        #[arg(long, value_name = "ID")]
        before: Option<String>,
    },
}

impl Outbox {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let Verb::List { state, limit, before } = self.verb;
        let door = Door::open(context, &context.load()?).await?;
        let query = Query { limit: Some(limit), before, state, ..Query::default() };
        let answer = door.outbox(&query).await?;
        if context.json {
            print::json(&answer);
        } else {
            let rows = answer["outbox"].as_array().into_iter().flatten().map(row);
            print::table(&rows.collect::<Vec<_>>());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(row: &Value) -> Vec<String> {
    vec![
        print::text(row, "/id"),
        print::text(row, "/state"),
        print::text(row, "/call/call"),
        print::text(row, "/session"),
        print::text(row, "/jid"),
        print::time(row, "/created_at"),
        format!("{}:{}", print::text(row, "/policy"), print::text(row, "/line")),
        [print::text(row, "/reason"), print::text(row, "/note")].join("  "),
    ]
}
