//! `policy test`: the policies' own tests.

use super::{Context, print};
use crate::policy::LoadSpec;
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Compile every policy of the configuration and run policies/tests
    Test,
}

impl Policy {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let Verb::Test = self.verb;
        let loaded = crate::policy::load(&LoadSpec::of(&context.load()?));
        let (passed, failures) = match loaded {
            Ok(set) => {
                let report = crate::policy::selftest::run(&set);
                (report.passed, report.failures)
            }
            Err(error) => (0, error.problems),
        };
        let failures: Vec<_> = failures.iter().map(crate::policy::PolicyError::render).collect();
        if context.json {
            print::json(&json!({"passed": passed, "failures": failures}));
        } else {
            failures.iter().for_each(|failure| print::line(failure));
            print::line(&format!("{passed} passed, {} failed", failures.len()));
        }
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
