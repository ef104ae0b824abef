//! The command line: which verbs there are, and what they share. One file per verb.
//!
//! Owns the exit codes (0 done, 1 refused or bad, 2 wrong usage) and how an error is said: one sentence, the place, the
//! next step, on stderr. Verbs that read or change what the daemon remembers go through a [`door`].

use crate::{
    clock::{Clock, SystemClock},
    config::{self, Config},
    telemetry::{self, LogFormat, Redactor},
};
use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode, sync::Arc};

mod accept;
mod blacklist;
mod check;
mod completions;
mod demo;
mod door;
mod explain;
mod import;
mod init;
mod journal;
mod outbox;
mod policy;
mod print;
mod serve;
mod shared;
mod simulate;
mod sweep;

/// The guard of WhatsApp communities.
#[derive(Parser)]
#[command(name = "perimeterd", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb understands.
#[derive(Args)]
struct Common {
    /// The configuration [default: ./perimeterd.toml, then /etc/perimeterd/perimeterd.toml]
    #[arg(long, global = true, env = "PERIMETERD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// For machines: JSON on stdout
    #[arg(long, global = true)]
    json: bool,
    /// The form of log lines on stderr
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Verb {
    /// Play a scripted day against the simulator; nothing to set up
    Demo(demo::Demo),
    /// Make a folder with everything a first start needs
    Init(init::Init),
    /// Guard
    Serve,
    /// Look at configuration, secrets, policies and lists without touching anything
    Check,
    /// Serve a small WhatsApp behind Wawp's API, for trying things out
    Simulate(simulate::Simulate),
    /// List what was heard, or put a failed event back in line
    Journal(journal::Journal),
    /// List actions and what became of them, approve or cancel what is held, take up what failed
    Outbox(outbox::Outbox),
    /// Tell who is listed and why, change the daemon's own list, take up what waits, preview and publish shared lists
    Blacklist(blacklist::Blacklist),
    /// Take up a subscription file that is refused because it shrank
    Subscriptions(accept::Subscriptions),
    /// Have members looked at again who are inside already
    Sweep(sweep::Sweeping),
    /// Tell why: an event (e17), a decision (d17), or a member (phone)
    Explain(explain::Explain),
    /// Work on policies
    Policy(policy::Policy),
    /// Print the completions for a shell
    Completions(completions::Completions),
}

/// What every verb needs.
struct Context {
    config: Option<PathBuf>,
    json: bool,
    log_format: LogFormat,
    clock: Arc<dyn Clock>,
    redactor: Arc<Redactor>,
}

impl Context {
    /// The configuration, read and checked.
    fn load(&self) -> anyhow::Result<Config> {
        let words = std::env::vars_os();
        let words =
            words.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(config::load(self.config.as_deref(), words)?)
    }

    /// Installs the log. Verbs that answer and end are quiet below warnings.
    fn log(&self, level: &str) -> anyhow::Result<()> {
        telemetry::init(self.log_format, level, &self.redactor).map_err(anyhow::Error::msg)
    }
}

/// Reads the arguments and does what they say.
pub fn run() -> ExitCode {
    let Cli { common, verb } = Cli::parse();
    // Whoever installed one earlier in this process is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = Context {
        config: common.config,
        json: common.json,
        log_format: common.log_format,
        clock: Arc::new(SystemClock::new()),
        redactor: Arc::default(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&context, &error.into()),
    };
    match runtime.block_on(dispatch(&context, verb)) {
        Ok(code) => code,
        Err(error) => complain(&context, &error),
    }
}

async fn dispatch(context: &Context, verb: Verb) -> anyhow::Result<ExitCode> {
    if !matches!(verb, Verb::Serve | Verb::Demo(_)) {
        context.log("warn")?;
    }
    match verb {
        Verb::Demo(demo) => demo.run(context).await,
        Verb::Init(init) => init.run(context),
        Verb::Serve => serve::run(context).await,
        Verb::Check => check::run(context).await,
        Verb::Simulate(simulate) => simulate.run(context).await,
        Verb::Journal(journal) => journal.run(context).await,
        Verb::Outbox(outbox) => outbox.run(context).await,
        Verb::Blacklist(blacklist) => blacklist.run(context).await,
        Verb::Subscriptions(subscriptions) => subscriptions.run(context).await,
        Verb::Sweep(sweep) => sweep.run(context).await,
        Verb::Explain(explain) => explain.run(context).await,
        Verb::Policy(policy) => policy.run(context),
        Verb::Completions(completions) => Ok(completions.run()),
    }
}

/// Says what went wrong, without what must not be said.
fn complain(context: &Context, error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", context.redactor.redact(&format!("{error:#}")));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_verbs_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_flags_may_stand_after_the_verb() {
        let cli = Cli::try_parse_from(["perimeterd", "journal", "--json", "--config", "x.toml"]).unwrap();
        assert!(cli.common.json);
        let retry = Cli::try_parse_from(["perimeterd", "journal", "retry", "e17"]).unwrap();
        assert!(matches!(retry.verb, Verb::Journal(_)));
        assert!(Cli::try_parse_from(["perimeterd", "journal", "--sideways"]).is_err());
    }
}
