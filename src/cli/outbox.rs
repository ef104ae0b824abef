//! `outbox`: actions and what became of them; and what a human makes of those that are held, wait or have failed.

use super::{
    Context,
    door::{Door, Meant},
    print,
};
use crate::{
    api::{rulings::Which, views::Query},
    store::Ruling,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
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
    /// Let held removals go, within the ceilings and after the usual look just before sending
    Approve(Chosen),
    /// Stop what is held or waits; the people stay until they enter the group again
    Cancel(Chosen),
    /// Put an action back in line that was cancelled, expired or failed
    Retry {
        /// o17
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

/// Which actions.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Chosen {
    /// o17
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// All that the brake of this group holds: its id, its name, or the end of its id
    #[arg(long)]
    group: Option<String>,
    /// All that any brake holds
    #[arg(long)]
    all: bool,
}

impl Outbox {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let door = Door::open(context, &context.load()?).await?;
        match self.verb {
            Verb::List { state, limit, before } => {
                let query = Query { limit: Some(limit), before, state, ..Query::default() };
                list(context, &door, &query).await?;
            }
            Verb::Approve(chosen) => rule(context, &door, Ruling::Approve, chosen).await?,
            Verb::Cancel(chosen) => rule(context, &door, Ruling::Cancel, chosen).await?,
            Verb::Retry { ids } => {
                rule(context, &door, Ruling::Retry, Chosen { ids, group: None, all: false }).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(context: &Context, door: &Door, query: &Query) -> anyhow::Result<()> {
    let answer = door.outbox(query).await?;
    if context.json {
        print::json(&answer);
        return Ok(());
    }
    if query.state.as_deref() == Some("held") {
        for brake in door.brakes().await?["brakes"].as_array().into_iter().flatten() {
            print::line(&cause(brake));
        }
    }
    let rows = answer["outbox"].as_array().into_iter().flatten().map(row);
    print::table(&rows.collect::<Vec<_>>());
    if let Some(last) = answer["next_before"].as_str() {
        print::line(&format!("there are older ones: `--before {last}`, or more at once with `--limit`"));
    }
    Ok(())
}

/// Why a brake stands.
fn cause(brake: &Value) -> String {
    let [group, subject, held, cause] =
        ["/group", "/subject", "/held", "/cause"].map(|pointer| print::text(brake, pointer));
    let since = print::time(brake, "/since");
    format!("{subject} ({group}): the brake holds {held} since {since}; cause: {cause}")
}

async fn rule(context: &Context, door: &Door, ruling: Ruling, chosen: Chosen) -> anyhow::Result<()> {
    let meant = if chosen.ids.is_empty() {
        vec![Meant::Held(Which { group: chosen.group, all: chosen.all })]
    } else {
        chosen.ids.into_iter().map(Meant::Row).collect()
    };
    let mut rows: Vec<Value> = Vec::new();
    for meant in meant {
        let answer = door.rule(&meant, ruling).await?;
        rows.extend(answer["rows"].as_array().into_iter().flatten().cloned());
    }
    if context.json {
        print::json(&json!({ "rows": rows }));
        return Ok(());
    }
    let done = match ruling {
        Ruling::Approve => "approved",
        Ruling::Cancel => "cancelled",
        Ruling::Retry => "back in line",
    };
    match rows.len() {
        0 => print::line("nothing was held"),
        1 => print::line(&format!("{}: {done}", rows[0].as_str().unwrap_or_default())),
        count => print::line(&format!("{count} actions: {done}")),
    }
    Ok(())
}

fn row(row: &Value) -> Vec<String> {
    vec![
        print::text(row, "/id"),
        print::text(row, "/state"),
        print::text(row, "/call/call"),
        print::text(row, "/session"),
        print::text(row, "/jid"),
        print::text(row, "/name"),
        print::time(row, "/created_at"),
        format!("{}:{}", print::text(row, "/policy"), print::text(row, "/line")),
        [print::text(row, "/reason"), print::text(row, "/note")].join("  "),
    ]
}
