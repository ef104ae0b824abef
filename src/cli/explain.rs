//! `explain`: why something happened.

use super::{Context, door::Door, print};
use clap::Args;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Explain {
    /// An event (e17, or the gateway's id), a decision (d17), an action (o17), or a member (phone, …@lid, p17)
    reference: String,
}

impl Explain {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let door = Door::open(context, &context.load()?).await?;
        let text = door.explain(&self.reference, context.json).await?;
        print::line(text.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}
