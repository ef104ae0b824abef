//! P4 at the seam of store, ledger and clock: whatever the schedule, the restarts and the steps of the wall clock, no
//! window of the configured length sees more calls than configured, and none is left unused while work waits.
//!
//! The store is the real one on a real file; time is a clock that the test moves. A call reaches the gateway at some
//! moment between its start and its end; a kill in the middle leaves a call whose end nobody saw.

use perimeterd::{
    action::Class,
    clock::{Clock, ManualClock, SteadyClock, Timestamp},
    config::{Pacing, Window},
    ids::SessionName,
    limits::{Ceilings, Ledger, Permit},
    store::{Store, sqlite},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

/// Where every test begins.
const BEGINNING: Timestamp = Timestamp(1_700_000_000_000);

/// What happens next.
#[derive(Clone, Debug)]
enum Happening {
    /// Nothing for so many milliseconds.
    Pause(u64),
    /// A call that lasts so long and reaches the gateway after a share of it.
    Call { lasts: u64, seen_at: f64 },
    /// `kill -9` in the middle of a call that had reached the gateway or would have; down for so long.
    Killed { after: u64, down: u64, step: i64 },
    /// A stop with nothing under way.
    Restart { down: u64, step: i64 },
    /// The machine was off, too.
    Reboot { down: u64, step: i64 },
    /// The wall clock is set while we run.
    Step(i64),
}

/// One daemon's life after the other on one store.
struct Life {
    file: PathBuf,
    machine: Arc<ManualClock>,
    store: Option<Arc<dyn Store>>,
    steady: SteadyClock,
    ledger: Ledger,
    ceilings: Ceilings,
    session: SessionName,
    /// When the gateway saw each call, by a clock that never steps.
    seen: Vec<u64>,
}

impl Life {
    async fn begin(folder: &std::path::Path, windows: &[Window]) -> Self {
        let machine = Arc::new(ManualClock::at(BEGINNING));
        let limits = BTreeMap::from([(Class::Remove, windows.to_vec())]);
        let pacing = Pacing { gap_min: Duration::ZERO, gap_max: Duration::ZERO, ramp: Duration::ZERO };
        let mut life = Self {
            file: folder.join("perimeterd.db"),
            steady: SteadyClock::new(machine.clone(), Timestamp(0)),
            ledger: Ledger::default(),
            ceilings: Ceilings::new(limits, pacing, BEGINNING),
            machine,
            store: None,
            session: SessionName::new("main"),
            seen: Vec::new(),
        };
        life.start().await;
        life
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().expect("the daemon runs")
    }

    /// As the composition root starts: store, newest moment, clock, recovery, ledger.
    async fn start(&mut self) {
        self.store = None;
        let store: Arc<dyn Store> = Arc::new(sqlite::open(&self.file, self.machine.clone()).unwrap());
        let (wall, uptime) = (self.machine.now(), self.machine.uptime());
        self.steady = SteadyClock::new(self.machine.clone(), store.resume_time(wall, uptime).await.unwrap());
        let now = self.steady.now();
        store.recover(self.machine.now(), now).await.unwrap();
        let entries = store.ledger(&self.session, now - self.ceilings.longest()).await.unwrap();
        self.ledger = Ledger::restore(&entries);
        self.store = Some(store);
    }

    fn permit(&self) -> Permit {
        self.ledger.check(&self.ceilings, Class::Remove, self.steady.now())
    }

    fn true_now(&self) -> u64 {
        u64::try_from(self.machine.elapsed().as_millis()).unwrap()
    }

    /// Waits for a place, as a courier with work does; answers how long.
    async fn wait_for_a_place(&mut self) -> u64 {
        let began = self.true_now();
        loop {
            match self.permit() {
                Permit::Granted => return self.true_now() - began,
                Permit::NotBefore(at) => {
                    let wait = at.since(self.steady.now());
                    assert!(!wait.is_zero(), "a permit for the past");
                    self.machine.advance(wait);
                }
                other => panic!("nothing is under way, yet the permit says {other:?}"),
            }
        }
    }

    async fn start_call(&mut self) -> perimeterd::store::CallId {
        let now = self.steady.now();
        let begun = self.store().begin(&self.session, Vec::new(), vec![Class::Remove], now).await.unwrap();
        let id = begun.unwrap();
        self.ledger.begin(id, &[Class::Remove]);
        id
    }

    async fn call(&mut self, lasts: u64, seen_at: f64) {
        let id = self.start_call().await;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "small"
        )]
        let until_seen = (lasts as f64 * seen_at) as u64;
        self.machine.advance(Duration::from_millis(until_seen));
        self.seen.push(self.true_now());
        self.machine.advance(Duration::from_millis(lasts - until_seen));
        let now = self.steady.now();
        self.store().settle(Some(id), Vec::new(), self.machine.now(), now).await.unwrap();
        self.ledger.end(id, now, self.ceilings.longest());
    }

    async fn live(&mut self, happening: Happening) {
        match happening {
            Happening::Pause(millis) => self.machine.advance(Duration::from_millis(millis)),
            Happening::Call { lasts, seen_at } => {
                self.wait_for_a_place().await;
                self.call(lasts, seen_at).await;
            }
            Happening::Killed { after, down, step } => {
                self.wait_for_a_place().await;
                self.start_call().await;
                self.machine.advance(Duration::from_millis(after));
                self.seen.push(self.true_now());
                self.away(down, step).await;
            }
            Happening::Restart { down, step } => self.away(down, step).await,
            Happening::Reboot { down, step } => self.off(down, step).await,
            Happening::Step(by) => self.machine.step(Timestamp(self.machine.now().0 + by)),
        }
    }

    /// Down, with the wall clock set meanwhile.
    async fn away(&mut self, down: u64, step: i64) {
        self.store = None;
        self.machine.advance(Duration::from_millis(down));
        self.machine.step(Timestamp(self.machine.now().0 + step));
        self.start().await;
    }

    /// The machine is switched off, and its clock set meanwhile: back by any amount, never ahead of what it was for us. A
    /// clock that was put ahead while the machine was off cannot be told from a long night.
    async fn off(&mut self, down: u64, step: i64) {
        self.store = None;
        self.machine.advance(Duration::from_millis(down));
        self.machine.step(self.steady.now().min(Timestamp(self.machine.now().0 + step)));
        self.machine.reboot();
        self.start().await;
    }

    fn most_in(&self, length: Duration) -> usize {
        let length = u64::try_from(length.as_millis()).unwrap();
        let within =
            |first: &u64| self.seen.iter().filter(|at| (*first..=first + length).contains(*at)).count();
        self.seen.iter().map(within).max().unwrap_or(0)
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    let call = (0u64..3_000, 0.0..=1.0).prop_map(|(lasts, seen_at)| Happening::Call { lasts, seen_at });
    // A day back, a day ahead.
    let step = prop_oneof![Just(0), -90_000_000i64..0, 0i64..90_000_000];
    prop_oneof![
        6 => call,
        2 => (0u64..8_000).prop_map(Happening::Pause),
        1 => (0u64..3_000, 0u64..9_000, step.clone())
            .prop_map(|(after, down, step)| Happening::Killed { after, down, step }),
        1 => (0u64..9_000, step.clone()).prop_map(|(down, step)| Happening::Restart { down, step }),
        1 => (0u64..9_000, step.clone()).prop_map(|(down, step)| Happening::Reboot { down, step }),
        1 => step.prop_map(Happening::Step),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_window_at_the_gateway_holds_more_than_configured(
        calls in 1u32..5, seconds in 1u64..15, more in 0u32..8,
        life in proptest::collection::vec(happening(), 1..60),
    ) {
        let windows = [
            Window { calls, length: Duration::from_secs(seconds) },
            Window { calls: calls + more, length: Duration::from_secs(seconds * 4) },
        ];
        let folder = tempfile::tempdir().unwrap();
        let lived = runtime().block_on(async {
            let mut lived = Life::begin(folder.path(), &windows).await;
            for happening in life {
                lived.live(happening).await;
            }
            lived
        });
        for window in windows {
            let most = lived.most_in(window.length);
            prop_assert!(most <= window.calls as usize, "{most} calls within {:?}", window.length);
        }
    }
}

#[test]
fn the_whole_allowance_is_used_while_work_waits() {
    // (calls, seconds): with answers of 5 ms, over 40 windows.
    for (calls, seconds) in [(10u32, 60u64), (20, 60), (1, 1), (5, 3600)] {
        let window = Window { calls, length: Duration::from_secs(seconds) };
        let folder = tempfile::tempdir().unwrap();
        let lived = runtime().block_on(async {
            let mut lived = Life::begin(folder.path(), &[window]).await;
            while lived.true_now() < seconds * 40_000 {
                lived.wait_for_a_place().await;
                lived.call(5, 0.5).await;
            }
            lived
        });
        let allowed = f64::from(calls) * 40.0;
        let used = f64::from(u32::try_from(lived.seen.len()).unwrap());
        assert!(used >= allowed * 0.95, "{used} of {allowed} for {calls} in {seconds} s");
        assert!(lived.most_in(window.length) <= calls as usize);
    }
}

#[test]
fn a_clock_behind_the_newest_call_does_not_wait_for_it() {
    // The clock was a year ahead when we called; it is right again. The window passes all the same.
    let window = Window { calls: 1, length: Duration::from_secs(60) };
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut lived = Life::begin(folder.path(), &[window]).await;
        lived.machine.step(Timestamp(BEGINNING.0 + 31_536_000_000));
        lived.start().await;
        lived.call(5, 0.5).await;
        lived.machine.step(Timestamp(BEGINNING.0 + 1000));
        lived.start().await;
        assert_ne!(lived.permit(), Permit::Granted);
        assert!(lived.wait_for_a_place().await <= 60_001);
    });
}
