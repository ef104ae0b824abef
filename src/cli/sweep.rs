//! `sweep`: members inside are looked at again, now.

use super::{Context, door::Door, print};
use crate::{api::sweeps::Asked, config::Config, store::Sweep};
use anyhow::anyhow;
use clap::Args;
use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The bar's width.
const WIDTH: u64 = 30;

#[derive(Args)]
pub(super) struct Sweeping {
    /// Only this group: its id, its name, or the end of its id
    #[arg(long, conflicts_with_all = ["member", "list", "cancel"])]
    group: Option<String>,
    /// Only this person, by phone
    #[arg(long, value_name = "PHONE", conflicts_with_all = ["list", "cancel"])]
    member: Option<String>,
    /// List sweeps and how far they are
    #[arg(long, conflicts_with_all = ["cancel", "wait"])]
    list: bool,
    /// End a sweep before its time; what it asked for already stands
    #[arg(long, value_name = "ID", conflicts_with = "wait")]
    cancel: Option<String>,
    /// Stay until everybody was looked at and judged
    #[arg(long)]
    wait: bool,
}

impl Sweeping {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let config = context.load()?;
        let door = Door::open(context, &config).await?;
        if self.list {
            return list(context, &door).await;
        }
        if let Some(id) = &self.cancel {
            say(context, &door.cancel_sweep(id).await?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let sweep = self.begin(&door, &config).await?;
        if !self.wait {
            say(context, &sweep)?;
            return Ok(ExitCode::SUCCESS);
        }
        if !door.is_daemon() {
            say(context, &sweep)?;
            return Err(anyhow!(
                "no daemon runs, so nobody sweeps\n  it goes on when `perimeterd serve` runs"
            ));
        }
        wait(context, &door, sweep).await
    }

    async fn begin(&self, door: &Door, config: &Config) -> anyhow::Result<Sweep> {
        door.sweep(&Asked { group: self.group.clone(), member: self.member.clone() }, config).await
    }
}

async fn list(context: &Context, door: &Door) -> anyhow::Result<ExitCode> {
    let answer = door.sweeps().await?;
    if context.json {
        print::json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = answer["sweeps"].as_array().into_iter().flatten().map(|sweep| {
        let cells = ["/id", "/cause", "/scope", "/group", "/looked_at", "/members", "/decided", "/actions"];
        let mut cells: Vec<String> = cells.iter().map(|pointer| print::text(sweep, pointer)).collect();
        cells.insert(1, print::time(sweep, "/asked_at"));
        cells.push(match (sweep["finished_at"].is_null(), sweep["cancelled_at"].is_null()) {
            (true, true) => "running".into(),
            (false, _) => "done".into(),
            (true, false) => "cancelled".into(),
        });
        cells
    });
    print::table(&rows.collect::<Vec<_>>());
    Ok(ExitCode::SUCCESS)
}

/// Shows how far it is until it is over: a bar on a terminal, else a line whenever something has changed.
async fn wait(context: &Context, door: &Door, mut sweep: Sweep) -> anyhow::Result<ExitCode> {
    let bar = !context.json && io::stdout().is_terminal();
    let mut shown = None;
    loop {
        if shown.as_ref() != Some(&sweep) {
            match bar {
                true => print::raw(&format!("\r{}", drawn(&sweep))),
                false => say(context, &sweep)?,
            }
            shown = Some(sweep.clone());
        }
        if !sweep.is_running() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        sweep = door.look_at_sweep(&sweep.id.to_string()).await?;
    }
    if bar {
        // The line above stays as it was at the end.
        let _ = io::stdout().write_all(b"\n");
        say(context, &sweep)?;
    }
    Ok(if sweep.finished_at.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A bar that is as long at every step.
fn drawn(sweep: &Sweep) -> String {
    let done = (WIDTH * sweep.looked_at.min(sweep.members)).checked_div(sweep.members).unwrap_or(WIDTH);
    let bar: String = (0..WIDTH).map(|at| if at < done { '#' } else { '.' }).collect();
    format!(
        "{} [{bar}] {:>9} of {} looked at, {} actions ",
        sweep.id, sweep.looked_at, sweep.members, sweep.actions
    )
}

fn say(context: &Context, sweep: &Sweep) -> anyhow::Result<()> {
    if context.json {
        print::raw(&format!("{}\n", serde_json::to_string(sweep)?));
        return Ok(());
    }
    let Sweep { id, looked_at, members, decided, actions, .. } = sweep;
    let far = format!("{looked_at} of {members} looked at, {decided} judged, {actions} actions asked for");
    let stands = match (sweep.finished_at, sweep.cancelled_at, &sweep.note) {
        (Some(_), ..) => "done",
        (None, Some(_), Some(note)) => note,
        (None, Some(_), None) => "cancelled",
        (None, None, _) => "running",
    };
    print::line(&format!("{id}: {stands}; {far}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        ids::SweepId,
        store::{Cause, Scope},
    };

    #[test]
    fn a_bar_shows_how_far_it_is() {
        let mut sweep = Sweep {
            id: SweepId(3),
            cause: Cause::Operator,
            scope: Scope::Everybody,
            group: None,
            asked_at: Timestamp(0),
            members: 100_000,
            looked_at: 50_000,
            decided: 49_800,
            actions: 7,
            finished_at: None,
            cancelled_at: None,
            note: None,
        };
        let half = format!("[{}{}]", "#".repeat(15), ".".repeat(15));
        assert!(drawn(&sweep).contains(&half), "{}", drawn(&sweep));
        sweep.members = 0;
        assert!(drawn(&sweep).contains(&"#".repeat(30)));
    }
}
