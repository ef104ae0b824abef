//! `serve`: the daemon; the work is in [`crate::app`].

use super::Context;
use std::process::ExitCode;

/// Guards until it is told to stop.
pub(super) async fn run(context: &Context) -> anyhow::Result<ExitCode> {
    context.log("info")?;
    let config = context.load()?;
    let problems = config.secret_problems();
    anyhow::ensure!(
        problems.is_empty(),
        "{}\n  `perimeterd check` looks at everything else too",
        problems.join("\n")
    );
    crate::app::run(config, &context.redactor).await
}
