//! The daemon measured from outside: the release binary as a child, real HTTP, real disk, fsync on.
//!
//! `cargo bench --bench daemon` prints a table of figures beside the aims. The load generator, the simulator and the
//! daemon share this machine's cores, so each figure has a baseline of the same run beside it: a bare axum that stores
//! nothing, and a bare append with `fdatasync`. Nothing is asserted: a slow machine is no failure. Words after `--`
//! choose parts, e.g. `cargo bench --bench daemon -- acks removal`.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod baseline;
mod events;
mod house;
mod load;
mod reload;

use events::Events;
use house::House;
use load::Measured;
use perimeterd::simulator::{Addressing, Options, Role, Simulator};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often each figure is taken; the median is shown.
const RUNS: usize = 3;
/// Webhooks in one run at full speed.
const BURST: usize = 50_000;
/// Joins in one run that are decided as well.
const JOINS: usize = 20_000;
/// Connections of the gateway at full speed.
const CONNECTIONS: usize = 64;
/// One webhook in so many is about somebody who does not pay and is (in observe mode) removed.
const LAPSED_EVERY: usize = 10;

fn main() {
    if std::env::args().nth(1).as_deref() == Some(baseline::ARGUMENT) {
        return baseline::serve();
    }
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|word| part.starts_with(word.as_str()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (gateway, simulator) = gateway();
    println!("webhooks are signed with HMAC-SHA512; {CONNECTIONS} connections; median of {RUNS} runs\n");
    for (part, measure) in PARTS {
        if wanted(part) {
            measure(gateway, &simulator);
        }
    }
}

type Part = fn(SocketAddr, &Simulator);
const PARTS: [(&str, Part); 7] = [
    ("baseline", |_, _| baselines()),
    ("startup", |gateway, _| start_up(gateway)),
    ("acks", |gateway, _| acks(gateway)),
    ("paced", |gateway, _| paced(gateway)),
    ("joins", |gateway, _| joins(gateway)),
    ("removal", removal),
    ("reload", reload::reload),
];

/// The simulator on a thread of its own.
fn gateway() -> (SocketAddr, Simulator) {
    let mut options = Options::default();
    options.session.instance_id = house::INSTANCE.into();
    options.session.token = house::ACCESS.into();
    let simulator = Simulator::new(options, Arc::new(perimeterd::clock::SystemClock::new()));
    for group in events::guarded() {
        simulator.add_group(&group, "Club", Addressing::Phone, Role::Admin);
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket can be asked not to block");
    let address = listener.local_addr().expect("it is bound");
    let serving = simulator.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            serving.serve(listener).await.expect("the simulator serves");
        });
    });
    (address, simulator)
}

fn baselines() {
    let bare = baseline::Bare::spawn();
    let runs = (0..RUNS).map(|_| load::burst(bare.address, &Events::new().unguarded(BURST), CONNECTIONS));
    let runs: Vec<Measured> = runs.collect();
    show("bare axum, nothing stored", &format!("{:.0}/s", median(runs.iter().map(Measured::rate))), "-");
    let took = load::paced(bare.address, &Events::new().unguarded(5_000), 1_000).took;
    show("bare axum at 1000/s", &quantiles(&took), "-");
    let syncs = baseline::appends(Duration::from_secs(2));
    show("append 4 KiB + fdatasync", &quantiles(&syncs), "-");
}

fn start_up(gateway: SocketAddr) {
    let (mut answers, mut readies, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    let mut house = House::new(gateway, "observe", 0);
    for run in 0..11 {
        let (answer, ready) = house.spawn();
        // The first start makes the database; it is told apart.
        if run == 0 {
            show("first start to /readyz 200", &millis(answer), "-");
        } else {
            answers.push(answer);
            readies.push(ready);
        }
        if run % 4 == 3 {
            std::thread::sleep(Duration::from_secs(2));
            idle.push(house.memory());
        }
        house.stop();
    }
    show("start to /readyz 200", &millis(middle(&mut answers)), "50 ms");
    show("start to READY=1", &millis(middle(&mut readies)), "50 ms");
    idle.sort_by_key(|memory| memory.resident);
    show("memory idle", &idle[idle.len() / 2].to_string(), "15 MB");
}

fn acks(gateway: SocketAddr) {
    let (mut runs, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let mut house = House::new(gateway, "observe", 0);
        house.spawn();
        let before = house.cpu();
        runs.push(load::burst(house.address(), &Events::new().unguarded(BURST), CONNECTIONS));
        costs.push((house.cpu() - before).as_secs_f64() * 1e6 / BURST as f64);
    }
    report("acks, events of other groups", &runs, "25000/s");
    show("  CPU of the daemon", &format!("{:.0} us per webhook", median(costs.into_iter())), "-");
}

fn paced(gateway: SocketAddr) {
    for (what, guarded) in [("acks at 1000/s, other groups", false), ("acks at 1000/s, joins decided", true)]
    {
        let mut took = Vec::new();
        for _ in 0..RUNS {
            let mut house = House::new(gateway, "observe", JOINS);
            house.spawn();
            let mut events = Events::new();
            let requests = if guarded { events.joins(5_000) } else { events.unguarded(5_000) };
            took.extend(load::paced(house.address(), &requests, 1_000).took);
        }
        show(what, &quantiles(&took), "p99 2 ms");
    }
}

fn joins(gateway: SocketAddr) {
    let (mut runs, mut decided, mut costs, mut memory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let mut house = House::new(gateway, "observe", JOINS);
        house.spawn();
        let before = house.cpu();
        let started = Instant::now();
        runs.push(load::burst(house.address(), &Events::new().joins(JOINS), CONNECTIONS));
        memory.push(house.memory());
        house.until_decided(JOINS);
        decided.push(JOINS as f64 / started.elapsed().as_secs_f64());
        costs.push((house.cpu() - before).as_secs_f64() * 1e6 / JOINS as f64);
        memory.push(house.memory());
    }
    report("acks while deciding", &runs, "-");
    show("joins decided and committed", &format!("{:.0}/s", median(decided.into_iter())), "10000/s");
    show("  CPU of the daemon", &format!("{:.0} us per join", median(costs.into_iter())), "-");
    memory.sort_by_key(|memory| memory.resident);
    show("memory under load, most", &memory[memory.len() - 1].to_string(), "-");
}

/// From the post of a join to the removal's arrival at the gateway, one at a time.
fn removal(gateway: SocketAddr, simulator: &Simulator) {
    let mut house = House::new(gateway, "enforce", 0);
    house.spawn();
    let mut events = Events::new();
    join_to_removal(&house, simulator, &mut events, 20);
    let took = join_to_removal(&house, simulator, &mut events, 200);
    show("join to remove call, idle queue", &quantiles(&took), "p99 10 ms");
}

fn join_to_removal(house: &House, simulator: &Simulator, events: &mut Events, runs: usize) -> Vec<Duration> {
    let group = events::guarded().remove(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut line = load::Line::open(house.address());
    let removals = |world: &perimeterd::simulator::World| {
        world.calls().iter().filter(|call| call.is(perimeterd::action::Class::Remove)).count()
    };
    let mut took = Vec::new();
    for _ in 0..runs {
        let (person, request) = events.lapsed_join(&group);
        simulator.seat(&group, &[person], Role::Participant);
        let before = simulator.with(|world| removals(world));
        let posted = Instant::now();
        line.send(&request);
        line.receive();
        let came = simulator.wait_for(|world| removals(world) > before, Duration::from_secs(20));
        assert!(runtime.block_on(came), "somebody who does not pay is removed");
        took.push(posted.elapsed());
        house.until_settled();
        std::thread::sleep(Duration::from_millis(10));
    }
    took
}

fn report(what: &str, runs: &[Measured], aim: &str) {
    show(what, &format!("{:.0}/s", median(runs.iter().map(Measured::rate))), aim);
    let took: Vec<Duration> = runs.iter().flat_map(|run| run.took.iter().copied()).collect();
    show("  time to the 202 at that speed", &quantiles(&took), "-");
}

fn show(what: &str, figure: &str, aim: &str) {
    println!("{what:<34} {figure:<44} aim {aim}");
}

fn quantiles(took: &[Duration]) -> String {
    let mut sorted = took.to_vec();
    sorted.sort();
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    format!("p50 {}, p99 {}", millis(at(0.5)), millis(at(0.99)))
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn middle(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
