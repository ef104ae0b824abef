//! What decisions lose while a list of ten million numbers is read again, and what such a list takes of the daemon's memory.

use crate::{events::Events, house::House, join_to_removal, millis, quantiles, show};
use perimeterd::simulator::Simulator;
use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// Numbers on the list.
const ENTRIES: u64 = 10_000_000;
/// Joins for one figure.
const JOINS: usize = 200;

pub(crate) fn reload(gateway: SocketAddr, simulator: &Simulator) {
    let mut house = House::new(gateway, "enforce", 0);
    let (_, ready) = house.spawn();
    let bare = house.memory().resident;
    house.stop();

    let lists = ["one.txt", "other.txt"].map(|name| house.path(name));
    for (first, path) in (0..).zip(&lists) {
        write_list(path, first * 3);
    }
    put(&lists[0], &house);
    let (_, ready_with) = house.spawn();
    let per_entry = |kib: u64| kib.saturating_sub(bare) as f64 * 1024.0 / ENTRIES as f64;
    let resident = per_entry(house.memory().resident);
    show(
        "start to READY=1, ten million listed",
        &format!("{} ({} without)", millis(ready_with), millis(ready)),
        "3 s",
    );
    show("  resident for an entry", &format!("{resident:.2} B"), "16 B");

    let mut events = Events::new();
    let before = join_to_removal(&house, simulator, &mut events, JOINS);
    house.forget_peak();
    let done = AtomicBool::new(false);
    let (during, reloads) = std::thread::scope(|scope| {
        let (writer_house, lists, done) = (&house, &lists, &done);
        let writer = scope.spawn(move || {
            let mut reloads = 0;
            while !done.load(Ordering::SeqCst) {
                reloads += 1;
                put(&lists[reloads % 2], writer_house);
                writer_house.until_taken("blacklist scrapers", reloads + 1);
            }
            reloads
        });
        let during = join_to_removal(writer_house, simulator, &mut events, JOINS);
        done.store(true, Ordering::SeqCst);
        (during, writer.join().expect("the list is taken"))
    });
    let peak = per_entry(house.memory().peak);
    let after = join_to_removal(&house, simulator, &mut events, JOINS);
    show("join to remove call, before", &quantiles(&before), "-");
    show(&format!("  while it is reloaded, {reloads} times"), &quantiles(&during), "as before");
    show("  after", &quantiles(&after), "-");
    show("  peak for an entry meanwhile", &format!("{peak:.2} B"), "32 B");
}

/// Puts a list in the place of the one that is there, whole.
fn put(list: &Path, house: &House) {
    let aside = house.path("aside.txt");
    fs::hard_link(list, &aside).expect("the folder takes links");
    fs::rename(aside, house.path("blacklist.txt")).expect("the folder takes files");
}

fn write_list(path: &Path, first: u64) {
    let mut file = BufWriter::new(File::create(path).expect("the folder takes files"));
    for n in 0..ENTRIES {
        let n = n * 7_368_787 % ENTRIES;
        writeln!(file, "+923{}", 100_000_000 + n * 83 + first).expect("the disk has room");
    }
    file.into_inner().expect("the disk has room").sync_all().expect("the disk has room");
}
