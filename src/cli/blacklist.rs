//! `blacklist`: who is listed and why, and the daemon's own list: added to, taken from, imported.

use super::{
    Context,
    accept::accept_list,
    door::{Daemon, Door},
    import::{self, Import},
    print,
    shared::{Preview, Publish},
};
use crate::{
    api::{
        Refusal,
        local::{self, Wanted},
    },
    app::LocalDesk,
    clock::{Timestamp, format_duration},
    config::Config,
    lists::ListBook,
};
use anyhow::anyhow;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Blacklist {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Tell whether somebody is listed: by which list and entry, why, since and until when, or what spares them
    Check {
        /// Numbers, …@c.us or …@lid
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<String>,
    },
    /// Put somebody on the daemon's own list
    Add(Said),
    /// Take somebody off the daemon's own list, and out of every other one by an exception
    Remove(Said),
    /// Show the lists, how fresh they are and what waits, and the daemon's own entries
    List,
    /// Put the numbers of a CSV, a vCard or a text on the daemon's own list
    Import(Import),
    /// Take a list's file as it is now
    Accept {
        /// Its name in the configuration; `allowlist` for the allowlist
        name: String,
    },
    /// Tell whom a shared list would touch, before it is accepted
    Preview(Preview),
    /// Make and sign the next version of a list for others to subscribe to
    Publish(Box<Publish>),
}

/// An entry, with who and why.
#[derive(Args)]
struct Said {
    /// A number, …@c.us, …@lid, a prefix (+92*) or a country (@PK)
    entry: String,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// Until when: 30d, 12h, 2027-01-31
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Who says so
    #[arg(long, value_name = "NAME", default_value = "cli")]
    by: String,
}

impl Said {
    fn wanted(self) -> Wanted {
        Wanted { entry: self.entry, reason: self.reason, expires: self.expires, by: Some(self.by) }
    }
}

/// Either way to the lists.
enum Lists {
    Daemon(Daemon),
    Desk(LocalDesk, Timestamp),
}

impl Blacklist {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let config = context.load()?;
        match self.verb {
            Verb::Check { numbers } => check(context, &config, &numbers).await,
            Verb::Add(said) => {
                let lists = Lists::open(context, &config).await?;
                let mut answer = lists.add(vec![said.wanted()]).await?;
                let added = answer["added"][0].take();
                say(context, &added, &format!("listed: {}", entry_line(&added)));
                Ok(ExitCode::SUCCESS)
            }
            Verb::Remove(said) => {
                let answer = Lists::open(context, &config).await?.remove(said.wanted()).await?;
                say(context, &answer, &removed(&answer));
                Ok(ExitCode::SUCCESS)
            }
            Verb::List => list(context, &config).await,
            Verb::Import(import) => take(context, &config, import).await,
            Verb::Preview(preview) => preview.run(context, &config).await,
            Verb::Publish(publish) => publish.run(context, &config).await,
            Verb::Accept { name } => {
                let answer = match Daemon::find(&config).await? {
                    Some(daemon) => daemon.post(&["blacklist", &name, "accept"]).await?,
                    None => accept_list(context, &config, &name)?,
                };
                say(context, &answer, &print::text(&answer, "/detail"));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Lists {
    /// Finds the daemon, or opens the store and looks at the files.
    async fn open(context: &Context, config: &Config) -> anyhow::Result<Self> {
        match Door::open(context, config).await? {
            Door::Daemon(daemon) => Ok(Self::Daemon(daemon)),
            Door::Store(store, clock) => {
                let now = clock.now();
                Ok(Self::Desk(LocalDesk::open(config, store, now).await?, now))
            }
        }
    }

    async fn add(&self, entries: Vec<Wanted>) -> anyhow::Result<Value> {
        match self {
            Self::Daemon(daemon) => {
                let body = json!(local::Import { entries });
                daemon.send(Method::POST, &["blacklist", "import"], &body).await
            }
            Self::Desk(desk, now) => desk.add(entries, "cli", *now).await.map_err(refused),
        }
    }

    async fn remove(&self, wanted: Wanted) -> anyhow::Result<Value> {
        match self {
            Self::Daemon(daemon) => {
                let mut body = json!(wanted);
                body.as_object_mut().map(|fields| fields.remove("entry"));
                daemon.send(Method::DELETE, &["blacklist", &wanted.entry], &body).await
            }
            Self::Desk(desk, now) => desk.remove(wanted, "cli", *now).await.map_err(refused),
        }
    }

    async fn check(&self, entry: &str) -> anyhow::Result<Value> {
        match self {
            Self::Daemon(daemon) => daemon.get(&["blacklist", entry]).await,
            Self::Desk(desk, now) => desk.check(entry, *now).await.map_err(refused),
        }
    }

    async fn list(&self) -> anyhow::Result<Value> {
        match self {
            Self::Daemon(daemon) => daemon.get(&["blacklist"]).await,
            Self::Desk(desk, _) => {
                let mut told = desk.list();
                told["lists"] = desk.lists().summary().iter().map(summary).collect();
                Ok(told)
            }
        }
    }
}

/// A list as the running daemon's API shows it.
fn summary(list: &crate::lists::Summary) -> Value {
    let fetched = list.fetched.as_ref();
    json!({
        "name": list.name, "entries": list.entries.unwrap_or_default(), "taken_at": list.loaded_at,
        "refused": list.waiting, "fetched_at": fetched.and_then(|fetched| fetched.fetched_at),
    })
}

async fn check(context: &Context, config: &Config, numbers: &[String]) -> anyhow::Result<ExitCode> {
    let lists = Lists::open(context, config).await?;
    let mut told = Vec::with_capacity(numbers.len());
    for number in numbers {
        told.push(lists.check(number).await?);
    }
    if context.json {
        print::json(&json!({ "checked": told }));
    } else {
        told.iter().for_each(checked);
    }
    Ok(ExitCode::SUCCESS)
}

/// What all lists say of somebody, for people.
fn checked(told: &Value) {
    let state = match print::text(told, "/state").as_str() {
        "listed" => "listed",
        "excepted" => "not listed: an exception spares them",
        "allowlisted" => "never removed: on the allowlist",
        "unlisted" => "not listed",
        _ => "nobody can tell",
    };
    print::line(&format!("{}: {state}", print::text(told, "/entry")));
    for hit in told["hits"].as_array().into_iter().flatten() {
        print::line(&format!("  on {}: {}", print::text(hit, "/list"), entry_line(hit)));
    }
    if told["exception"].is_object() {
        print::line(&format!("  exception: {}", entry_line(&told["exception"])));
    }
    for why in told["unsure"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        print::line(&format!("  {why}"));
    }
}

/// An entry with why, who, since and until when.
fn entry_line(entry: &Value) -> String {
    let said =
        [("\"", "/reason", "\""), ("from ", "/source", ""), ("by ", "/by", ""), ("(", "/decision", ")")];
    let mut line = print::text(entry, "/entry");
    for (before, pointer, after) in said {
        let text = print::text(entry, pointer);
        if !text.is_empty() {
            line = format!("{line} {before}{text}{after}");
        }
    }
    for (word, pointer) in [("since", "/added_at"), ("until", "/expires_at")] {
        let time = print::time(entry, pointer);
        if !time.is_empty() {
            line = format!("{line} {word} {time}");
        }
    }
    line
}

fn removed(answer: &Value) -> String {
    let was_local = answer["ended"].as_array().is_some_and(|ended| !ended.is_empty());
    let exception = &answer["exception"];
    match (was_local, exception.is_object()) {
        (true, false) => {
            format!("{}: off the local list; no other names it", print::text(answer, "/entry"))
        }
        (true, true) => format!("off the local list, and spared by every other: {}", entry_line(exception)),
        (false, _) => format!("spared by every list: {}", entry_line(exception)),
    }
}

/// The lists and the local entries, as the API shows them.
pub(super) async fn told(context: &Context, config: &Config) -> anyhow::Result<Value> {
    Lists::open(context, config).await?.list().await
}

async fn list(context: &Context, config: &Config) -> anyhow::Result<ExitCode> {
    let told = told(context, config).await?;
    if context.json {
        print::json(&told);
        return Ok(ExitCode::SUCCESS);
    }
    let now = context.clock.now();
    let lists = told["lists"].as_array().into_iter().flatten();
    print::table(&lists.map(|list| list_row(list, now)).collect::<Vec<_>>());
    print::line(&format!("local: {} entries", print::text(&told, "/local_entries")));
    for entry in told["local"].as_array().into_iter().flatten() {
        let sign = if entry["kind"] == "exception" { "exception" } else { "listed" };
        print::line(&format!("  {sign:<9} {}", entry_line(entry)));
    }
    Ok(ExitCode::SUCCESS)
}

fn list_row(list: &Value, now: Timestamp) -> Vec<String> {
    let ago = |pointer: &str| {
        let at = list.pointer(pointer).and_then(Value::as_i64).map(Timestamp);
        at.map(|at| format!("{} ago", format_duration(now.since(at))))
    };
    let fetched = ago("/fetched_at").map(|ago| format!("fetched {ago}"));
    let taken = ago("/taken_at").map_or("never taken".into(), |ago| format!("taken {ago}"));
    let failing = print::text(list, "/failing/why");
    let waits = [print::text(list, "/refused"), failing];
    let waits = waits.iter().map(|why| why.replace('\n', " ")).filter(|why| !why.is_empty());
    vec![
        print::text(list, "/name"),
        format!("{} entries", print::text(list, "/entries")),
        fetched.unwrap_or(taken),
        waits.collect::<Vec<_>>().join("  "),
    ]
}

async fn take(context: &Context, config: &Config, import: Import) -> anyhow::Result<ExitCode> {
    let now = context.clock.now();
    let book = ListBook::look(config, &config.server.data_dir.join("kept/lists"), now);
    let read = import::read(&import, &book)?;
    let mut answer = json!({
        "entries": read.entries.len(), "unreadable": read.problems, "added": 0, "dry_run": import.dry_run,
    });
    if !import.dry_run && !read.entries.is_empty() {
        let lists = Lists::open(context, config).await?;
        let count = read.entries.len();
        lists.add(read.entries).await?;
        answer["added"] = count.into();
    }
    if context.json {
        print::json(&answer);
    } else {
        for problem in &read.problems {
            print::line(&format!("line {}: {}: {}", problem.line, problem.message, problem.snippet));
        }
        let count = print::text(&answer, "/entries");
        let done = if import.dry_run { "would be added" } else { "added" };
        print::line(&format!("{count} entries {done}, {} lines could not be read", read.problems.len()));
    }
    let nothing = answer["entries"] == 0 && !read.problems.is_empty();
    Ok(if nothing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn say(context: &Context, answer: &Value, text: &str) {
    if context.json {
        print::json(answer);
    } else {
        print::line(text);
    }
}

fn refused(refusal: Refusal) -> anyhow::Error {
    anyhow!("{}\n  {}", refusal.error, refusal.next)
}
