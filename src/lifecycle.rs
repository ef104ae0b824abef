//! From READY to the last committed row: signals, the graceful stop, and what systemd is told.
//!
//! A *soft* stop asks everybody to finish what is under way; a *hard* one, after the limit or a second signal, drops
//! what is left. Every task has a label, so the log can say who still blocks. A task that ends unasked takes the daemon
//! down with a failure, for systemd to start it anew. What a reload or a stop means is the tasks' own business.

use sd_notify::NotifyState;
use std::{
    collections::BTreeMap,
    io,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often the log names who still blocks a stop.
const STOP_REPORT: Duration = Duration::from_secs(5);

/// How long dropped tasks get to unwind.
const HARD_LIMIT: Duration = Duration::from_secs(5);

/// Starts the daemon's tasks and ends them.
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    state: Arc<Mutex<State>>,
    limit: Duration,
}

/// Who runs, and who ended unasked.
#[derive(Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, &'static str>,
    died: Option<&'static str>,
}

/// Lives as long as its task, panics included.
struct Running {
    number: u64,
    state: Arc<Mutex<State>>,
    soft: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let label = state.running.remove(&self.number).unwrap_or("?");
        if !self.soft.is_cancelled() {
            state.died = state.died.or(Some(label));
            drop(state);
            tracing::error!(task = label, "a task ended unasked; stopping");
            self.soft.cancel();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lifecycle {
    /// Nothing runs yet. After `limit` of a graceful stop what is left is dropped.
    pub fn new(limit: Duration) -> Self {
        Self {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: TaskTracker::new(),
            state: Arc::default(),
            limit,
        }
    }

    /// Cancelled when tasks are to finish what is under way and end. Cancelling it stops the daemon.
    pub fn soft(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Cancelled when there is no more time.
    pub fn hard(&self) -> CancellationToken {
        self.hard.clone()
    }

    /// Runs a task that lives as long as the daemon: it ends after [`Self::soft`] and is dropped at [`Self::hard`].
    /// Ending earlier, or panicking, stops the daemon with a failure.
    pub fn spawn(&self, label: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        state.running.insert(number, label);
        drop(state);
        let running = Running { number, state: Arc::clone(&self.state), soft: self.soft() };
        let hard = self.hard();
        self.tasks.spawn(async move {
            let _running = running;
            hard.run_until_cancelled(task).await;
        });
    }

    /// Tells systemd that webhooks can be stored from now on.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// Drops every task where it stands, as a `kill -9` does, and waits until they are gone. For daemons that share their
    /// process with the test that kills them.
    pub async fn cut(&self) {
        self.hard.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits for the end: SIGTERM and SIGINT stop, SIGHUP runs `reload`, and as long as `healthy` says so the watchdog is
    /// fed. Answers failure if a task died or had to be dropped.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub async fn run(
        self,
        reload: impl AsyncFn(),
        healthy: impl Fn() -> bool + Send + Sync + 'static,
    ) -> io::Result<ExitCode> {
        let mut signals = StopSignals::new()?;
        let mut hangup = signal(SignalKind::hangup())?;
        let watchdog = tokio::spawn(feed_watchdog(healthy));
        loop {
            tokio::select! {
                name = signals.recv() => {
                    tracing::info!(signal = name, "stopping; calls and commits under way are finished");
                    self.soft.cancel();
                }
                () = self.soft.cancelled() => break,
                Some(()) = hangup.recv() => reload_now(&reload).await,
            }
        }
        tell(&[NotifyState::Stopping]);
        let drained = self.drain(&mut signals).await;
        watchdog.abort();
        let died = lock(&self.state).died;
        Ok(if drained && died.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Waits for every task. `false` if some had to be dropped.
    async fn drain(&self, signals: &mut StopSignals) -> bool {
        self.tasks.close();
        let mut report = interval(STOP_REPORT);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        report.reset();
        let limit = sleep(self.limit);
        tokio::pin!(limit);
        let why = loop {
            tokio::select! {
                () = self.tasks.wait() => return true,
                () = &mut limit => break "the time for it is over",
                _ = signals.recv() => break "a second signal",
                _ = report.tick() => tracing::info!(waiting_for = self.blocking(), "still stopping"),
            }
        };
        tracing::warn!(
            why,
            dropped = self.blocking(),
            "stopping at once; what is durable is taken up at the next start"
        );
        self.hard.cancel();
        if tokio::time::timeout(HARD_LIMIT, self.tasks.wait()).await.is_err() {
            tracing::error!(tasks = self.blocking(), "tasks do not let go");
        }
        false
    }

    /// Who still runs.
    fn blocking(&self) -> String {
        lock(&self.state).running.values().copied().collect::<Vec<_>>().join(", ")
    }
}

/// The signals that mean stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one.
    async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Runs the reload between the two words that systemd wants to hear.
async fn reload_now(reload: &impl AsyncFn()) {
    tracing::info!("SIGHUP: looking at the configuration again; the other files are followed");
    match NotifyState::monotonic_usec_now() {
        Ok(since) => tell(&[NotifyState::Reloading, since]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
    reload().await;
    tell(&[NotifyState::Ready]);
}

/// Feeds systemd's watchdog at half its interval while the daemon is healthy; does nothing where there is none.
async fn feed_watchdog(healthy: impl Fn() -> bool) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut tick = interval((period / 2).max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if healthy() {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::warn!("not healthy; systemd's watchdog is not fed");
        }
    }
}

/// Tells systemd; without systemd there is nobody to tell.
fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn end_of(lifecycle: Lifecycle) -> ExitCode {
        lifecycle.run(async || (), || true).await.unwrap()
    }

    #[tokio::test]
    async fn tasks_that_end_when_asked_are_a_success() {
        let lifecycle = Lifecycle::new(Duration::from_secs(60));
        let soft = lifecycle.soft();
        lifecycle.spawn("patient", async move { soft.cancelled().await });
        lifecycle.soft().cancel();
        assert_eq!(end_of(lifecycle).await, ExitCode::SUCCESS);
    }

    #[tokio::test]
    async fn a_task_that_ends_unasked_takes_the_daemon_down() {
        let lifecycle = Lifecycle::new(Duration::from_secs(60));
        let soft = lifecycle.soft();
        lifecycle.spawn("patient", async move { soft.cancelled().await });
        lifecycle.spawn("brief", async {});
        assert_eq!(end_of(lifecycle).await, ExitCode::FAILURE);
    }

    #[tokio::test]
    async fn a_task_that_panics_takes_the_daemon_down() {
        let lifecycle = Lifecycle::new(Duration::from_secs(60));
        lifecycle.spawn("unlucky", async { panic!("on purpose") });
        assert_eq!(end_of(lifecycle).await, ExitCode::FAILURE);
    }

    #[tokio::test]
    async fn what_does_not_end_is_named_and_dropped() {
        let lifecycle = Lifecycle::new(Duration::ZERO);
        lifecycle.spawn("stubborn", std::future::pending());
        assert_eq!(lifecycle.blocking(), "stubborn");
        lifecycle.soft().cancel();
        assert_eq!(end_of(lifecycle).await, ExitCode::FAILURE);
    }
}
