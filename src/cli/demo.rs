//! `demo`: the scripted day; the playing itself is in [`crate::demo`].

use super::Context;
use clap::Args;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Demo {
    /// End after the script, with a summary
    #[arg(long)]
    once: bool,
    /// Play another script than the main one
    #[arg(long, value_name = "NAME")]
    example: Option<String>,
}

impl Demo {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        context.log("warn")?;
        let options = crate::demo::Options { once: self.once, json: context.json, example: self.example };
        crate::demo::run(options).await
    }
}
