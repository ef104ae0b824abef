//! `journal`: what was heard; `journal retry`: put a failed event back in line.

use super::{Context, door::Door, print};
use crate::api::views::Query;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Journal {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Only in this state: new, applied, ignored, unreadable, policy_error
    #[arg(long)]
    state: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Only older ones than this event
    #[arg(long, value_name = "ID")]
    before: Option<String>,
}

#[derive(Subcommand)]
enum Verb {
    /// Judge an event again whose policy failed, or read an unreadable one again
    Retry {
        /// e17, or the gateway's event id
        id: String,
    },
}

impl Journal {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let door = Door::open(context, &context.load()?).await?;
        if let Some(Verb::Retry { id }) = self.verb {
            let answer = door.retry(&id).await?;
            if context.json {
                print::json(&answer);
            } else {
                let (id, count) = (print::text(&answer, "/id"), print::text(&answer, "/retried"));
                print::line(&format!("{id}: {count} back in line; see `perimeterd explain {id}`"));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let query =
            Query { limit: Some(self.limit), before: self.before, state: self.state, ..Query::default() };
        let answer = door.events(&query).await?;
        if context.json {
            print::json(&answer);
        } else {
            let rows = answer["events"].as_array().into_iter().flatten().map(row);
            print::table(&rows.collect::<Vec<_>>());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(event: &Value) -> Vec<String> {
    let mut cells = vec![print::text(event, "/id"), print::time(event, "/received_at")];
    cells.extend(["/session", "/source", "/state", "/note"].map(|pointer| print::text(event, pointer)));
    cells
}
