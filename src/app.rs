//! The composition root.

use crate::{config::Config, telemetry::Redactor};
use std::process::ExitCode;

/// Runs the daemon until it is told to stop.
pub async fn run(_config: Config, _redactor: &Redactor) -> anyhow::Result<ExitCode> {
    anyhow::bail!("the parts are not put together yet")
}
