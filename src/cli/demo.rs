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
    /// Stretch every pause of the day; 0.5 is twice as fast
    #[arg(long, hide = true, default_value_t = 1.0, value_parser = pace, value_name = "FACTOR")]
    pace: f64,
}

fn pace(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor| (0.1..=100.0).contains(factor));
    factor.ok_or_else(|| "a factor from 0.1 to 100 is wanted".into())
}

impl Demo {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        // What happens is told on stdout; whoever wants the log besides sets PERIMETERD_LOG.
        context.log("off")?;
        let Self { once, example, pace } = self;
        let options = crate::demo::Options { once, json: context.json, example, pace };
        crate::demo::run(options).await
    }
}
