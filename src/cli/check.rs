//! `check`: everything that `serve` would look at, without touching anything. One line per part; exit 1 if a part is bad.

use super::{Context, door::Daemon, print};
use crate::{
    config::{ChainLink, Config},
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
            findings.extend(idle_policies(&config));
            findings.extend(idle_chain(&config));
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
    match policy::load(&LoadSpec::of(config)) {
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

/// A policy that no chain names refuses nothing, but who wrote it wants to know of its mistakes before it is named.
fn idle_policies(config: &Config) -> Option<Finding> {
    let named: Vec<&str> = config
        .groups
        .iter()
        .flat_map(|group| &group.chain)
        .chain(&config.policies.chain)
        .map(|link| link.policy.as_str())
        .collect();
    let files = std::fs::read_dir(&config.policies.dir).ok()?.filter_map(Result::ok);
    let mut idle: Vec<String> = files
        .filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".rhai")?.to_owned()))
        .filter(|name| !named.contains(&name.as_str()))
        .collect();
    idle.sort();
    let mut problems = Vec::new();
    for name in idle {
        let alone = ChainSpec {
            block: "no chain".into(),
            links: vec![ChainLink { policy: name, observe: false }],
            params: serde_json::Map::new(),
        };
        let dir = config.policies.dir.clone();
        let spec = LoadSpec { dir, chains: vec![alone], limits: config.policies.limits };
        if let Err(error) = policy::load(&spec) {
            problems.extend(error.problems.iter().map(policy::PolicyError::render));
        }
    }
    let text = format!("in no chain, so nothing is refused for it:\n{}", problems.join("\n"));
    (!problems.is_empty()).then(|| finding(Grade::Warning, "policies", text))
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
        Takeup::Taken { what, detail, flaw: None } => finding(Grade::Good, &what, detail),
        Takeup::Taken { what, detail, flaw: Some(flaw) } => {
            finding(Grade::Warning, &what, format!("{detail}; {flaw}"))
        }
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

/// Policies of the chain for events without a group that are not there. No hook of this version calls that chain, so it is
/// a warning: once one does, a missing policy is an error like any other.
fn idle_chain(config: &Config) -> Option<Finding> {
    let missing = |link: &&ChainLink| !config.policies.dir.join(format!("{}.rhai", link.policy)).exists();
    let names: Vec<_> =
        config.policies.chain.iter().filter(missing).map(|link| link.policy.as_str()).collect();
    let text = format!(
        "[policies] chain names {}, which is not there; events without a group are not judged by this version",
        names.join(", ")
    );
    (!names.is_empty()).then(|| finding(Grade::Warning, "policies", text))
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
