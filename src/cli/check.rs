//! `check`: everything that `serve` would look at, without touching anything. One line per part; exit 1 if a part is bad.

use super::{Context, door::Daemon, print};
use crate::{
    config::Config,
    lists::ListBook,
    policy::{self, ChainSpec, LoadSpec},
    subscriptions::SubscriptionBook,
    takeup::Takeup,
};
use serde_json::{Value, json};
use std::process::ExitCode;

/// How a part is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    Warning,
    Bad,
}

/// A part and what there is to say about it.
struct Finding {
    grade: Grade,
    part: String,
    text: String,
}

/// Looks at every part.
pub(super) async fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    match context.load() {
        Err(error) => findings.push(finding(Grade::Bad, "configuration", format!("{error:#}"))),
        Ok(config) => {
            findings.push(finding(Grade::Good, "configuration", config.path.display().to_string()));
            let warnings = config.secret_problems().into_iter().chain(config.warnings());
            findings.extend(warnings.map(|text| finding(Grade::Warning, "configuration", text)));
            findings.push(policies(&config));
            findings.extend(files(context, &config)?);
            findings.extend(running(&config).await);
        }
    }
    let bad = findings.iter().any(|finding| finding.grade == Grade::Bad);
    if context.json {
        let parts: Vec<_> = findings.iter().map(Finding::to_json).collect();
        print::json(&json!({"ok": !bad, "parts": parts}));
    } else {
        findings.iter().for_each(|finding| print::line(&finding.to_line()));
    }
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The policies, compiled, tried and tested.
fn policies(config: &Config) -> Finding {
    match policy::load(&load_spec(config)) {
        Ok(set) => {
            let count = format!("{} file(s) compiled and tested", set.files().len());
            let text = [vec![count], set.warnings().to_vec()].concat().join("\n");
            let grade = if set.warnings().is_empty() { Grade::Good } else { Grade::Warning };
            finding(grade, "policies", text)
        }
        Err(error) => {
            let problems: Vec<_> = error.problems.iter().map(policy::PolicyError::render).collect();
            finding(Grade::Bad, "policies", problems.join("\n"))
        }
    }
}

/// Lists and the subscription file, judged against their last good copies.
fn files(context: &Context, config: &Config) -> anyhow::Result<Vec<Finding>> {
    let now = context.clock.now();
    let kept = config.server.data_dir.join("kept");
    let zone = jiff::tz::TimeZone::get(&config.server.time_zone)?;
    let mut takeups = ListBook::check(config, &kept.join("lists"), now);
    takeups.extend(SubscriptionBook::check(
        config.subscriptions.as_ref(),
        &zone,
        config.lists.max_shrink,
        &kept.join("subscriptions"),
        now,
    ));
    let told = takeups.into_iter().map(|takeup| match takeup {
        Takeup::Taken { what, detail } => finding(Grade::Good, &what, detail),
        Takeup::Refused { what, why } => finding(Grade::Bad, &what, why),
    });
    Ok(told.collect())
}

/// What a running daemon refuses at the moment.
async fn running(config: &Config) -> Option<Finding> {
    let told = match Daemon::find(config).await {
        Ok(None) => return None,
        Ok(Some(daemon)) => daemon.readiness().await,
        Err(error) => Err(error),
    };
    let told = match told {
        Ok(told) => told,
        Err(error) => return Some(finding(Grade::Warning, "daemon", format!("{error:#}"))),
    };
    let name = |value: &Value| value.as_str().map(str::to_owned);
    let lists = told["lists"].as_array().into_iter().flatten();
    let lists = lists.filter(|list| list["refused"] == true).filter_map(|list| name(&list["name"]));
    let mut refused: Vec<_> =
        told["refused"].as_array().into_iter().flatten().filter_map(name).chain(lists).collect();
    refused.sort();
    refused.dedup();
    Some(match (told["ready"] == true, refused.is_empty()) {
        (true, true) => finding(Grade::Good, "daemon", "running, refuses nothing".into()),
        (false, _) => finding(Grade::Bad, "daemon", "running, and cannot store webhooks; see its log".into()),
        (true, false) => {
            let text = format!("running, refuses an edit of {}; the old one is in force", refused.join(", "));
            finding(Grade::Bad, "daemon", text)
        }
    })
}

/// Every chain of the configuration, as the daemon loads them.
pub(super) fn load_spec(config: &Config) -> LoadSpec {
    let events = ChainSpec {
        block: "policies".into(),
        links: config.policies.chain.clone(),
        params: serde_json::Map::new(),
    };
    let groups = config.groups.iter().map(|group| ChainSpec {
        block: group.name.clone(),
        links: group.chain.clone(),
        params: group.params.clone(),
    });
    LoadSpec {
        dir: config.policies.dir.clone(),
        chains: std::iter::once(events).chain(groups).collect(),
        limits: config.policies.limits,
    }
}

fn finding(grade: Grade, part: &str, text: String) -> Finding {
    Finding { grade, part: part.into(), text }
}

impl Finding {
    fn word(&self) -> &'static str {
        match self.grade {
            Grade::Good => "ok",
            Grade::Warning => "warning",
            Grade::Bad => "bad",
        }
    }

    fn to_line(&self) -> String {
        format!("{:<8} {}: {}", self.word(), self.part, self.text.replace('\n', "\n         "))
    }

    fn to_json(&self) -> Value {
        json!({"part": self.part, "grade": self.word(), "text": self.text})
    }
}
