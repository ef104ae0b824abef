//! `completions`: what a shell needs to complete our verbs.

use super::{Cli, print};
use clap::{Args, CommandFactory};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Completions {
    /// Which shell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "perimeterd", &mut script);
        print::raw(&String::from_utf8_lossy(&script));
        ExitCode::SUCCESS
    }
}
