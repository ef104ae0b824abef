//! `completions`: what a shell needs to complete our verbs.

use super::Cli;
use clap::{Args, CommandFactory};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Completions {
    /// Which shell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self) -> ExitCode {
        clap_complete::generate(self.shell, &mut Cli::command(), "perimeterd", &mut std::io::stdout());
        ExitCode::SUCCESS
    }
}
