//! `demo`: a scripted day, played against the simulator by the real daemon in this process.
//!
//! Owns the course of it: the [`stage`] is set, the [`scenario`] plays, the [`chronicle`] follows the store and the
//! [`narrator`] tells each decision as it happens; then the [`summary`] holds what happened against what was promised. It
//! decides nothing: everything it tells was decided by the shipped policies and sent through the real outbox.

mod chronicle;
mod narrator;
mod phrases;
mod stage;
mod summary;

use crate::{
    app::App,
    clock::{Clock, SystemClock},
    simulator::scenario::{self, Day},
};
use chronicle::Chronicle;
use narrator::Narrator;
use stage::Stage;
use std::{process::ExitCode, sync::Arc, time::Duration};
use summary::Summary;

/// How often the store is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the day caused must be over so long after its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The examples there are, with what they show.
const EXAMPLES: [(&str, &str); 1] =
    [("community", "a paid club: welcomes, lapsed members, scrapers, a raid, a quiet end")];

/// How the day is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// End after the script, with a summary.
    pub once: bool,
    /// One JSON object a line.
    pub json: bool,
    /// Which script; the first one if none is named.
    pub example: Option<String>,
    /// Stretches every pause and every window of the day: 0.5 is twice as fast.
    pub pace: f64,
}

/// Plays it. Without `once` the daemon goes on guarding the simulated group until a signal stops it. Answers failure if
/// something that the day promises did not happen.
///
/// # Errors
/// If there is no such example, or the daemon cannot start.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let day = find(options.example.as_deref())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (stage, app) = Stage::set(&day, options.pace, Arc::clone(&clock)).await?;
    let narrator = Narrator::new(options.json, clock);
    let mut chronicle = Chronicle::new(app.store.clone());
    narrator.opening(&day, &stage);

    let played = tokio::select! {
        played = play(&day, &stage, &narrator, &mut chronicle, options.pace) => played?,
        _ = tokio::signal::ctrl_c() => {
            app.stop().await?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let summary = Summary::of(&day, &stage, &app, &chronicle, &played);
    narrator.summary(&summary);
    let ended =
        if options.once { app.stop().await? } else { go_on(app, &stage, &narrator, chronicle).await? };
    Ok(if summary.is_kept() { ended } else { ExitCode::FAILURE })
}

fn find(name: Option<&str>) -> anyhow::Result<Day> {
    match name {
        None | Some("community") => Ok(scenario::community_day()),
        Some(other) => {
            let there: Vec<String> =
                EXAMPLES.iter().map(|(name, shows)| format!("  {name}  {shows}")).collect();
            anyhow::bail!("there is no example `{other}`; there is:\n{}", there.join("\n"))
        }
    }
}

/// How the day went, as far as only the player knows.
struct Played {
    /// People who stood before a dead invite link.
    turned_away: usize,
    /// Whether everything that the day caused came to its end in time.
    settled: bool,
    /// How long it took.
    took: Duration,
}

/// Plays the day and waits until all that it caused is over.
async fn play(
    day: &Day,
    stage: &Stage,
    narrator: &Narrator,
    chronicle: &mut Chronicle,
    pace: f64,
) -> anyhow::Result<Played> {
    let playing = scenario::play(day, &stage.sim, pace, |step| narrator.scene(&step.says));
    tokio::pin!(playing);
    let turned_away = loop {
        tokio::select! {
            turned_away = &mut playing => break turned_away,
            () = tokio::time::sleep(LOOK_EVERY) => narrator.tell(&chronicle.look().await?, stage),
        }
    };
    let patience_ends = stage.clock.now() + PATIENCE;
    let settled = loop {
        narrator.tell(&chronicle.look().await?, stage);
        if !stage.is_locked() && chronicle.is_settled(patience_ends).await? {
            break true;
        }
        if stage.clock.now() > patience_ends {
            break false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    Ok(Played { turned_away, settled, took: narrator.elapsed() })
}

/// Guards on until a signal comes.
async fn go_on(
    app: App,
    stage: &Stage,
    narrator: &Narrator,
    mut chronicle: Chronicle,
) -> anyhow::Result<ExitCode> {
    narrator.goes_on(stage);
    let ending = app.until_stopped();
    tokio::pin!(ending);
    loop {
        tokio::select! {
            ended = &mut ending => return ended,
            () = tokio::time::sleep(LOOK_EVERY) => narrator.tell(&chronicle.look().await?, stage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_example_is_refused_with_a_list_of_those_there_are() {
        let refused = find(Some("sports")).unwrap_err().to_string();
        assert!(refused.contains("`sports`") && refused.contains("community"), "{refused}");
        assert!(find(Some("community")).is_ok());
    }
}
