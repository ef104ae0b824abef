//! Blacklists at full size: memory, loading and look-up of ten million numbers, beside a plain `HashSet<String>`.
//!
//! `cargo bench --bench lists` prints a table; a number after `--` is another count of entries. Every row is a process of
//! its own, so that its memory is its own, and each is run three times; the median is shown. The lists are read, judged,
//! kept and asked as the daemon does it, through `ListBook`. What decisions lose while a list is loaded is a part of the
//! other benchmark: `cargo bench --bench daemon -- reload`.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use perimeterd::{
    clock::Timestamp,
    config,
    facts::Lookup,
    ids::{Person, Phone},
    lists::{ListBook, read_list},
    takeup::Takeup,
};
use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, File},
    hint::black_box,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

const RUNS: usize = 3;
/// Look-ups for one figure.
const LOOK_UPS: u64 = 1_000_000;
/// Prefixes beside the numbers.
const PREFIXES: u64 = 50_000;
const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [row, entries, folder] = &words[..] {
        return run(row, entries.parse().expect("a count"), Path::new(folder));
    }
    let entries: u64 = words.first().map_or(10_000_000, |word| word.parse().expect("a count of entries"));
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
    write_list(&folder.path().join("list.txt"), entries, 0);
    println!("{entries} numbers in a text file; each figure is the median of {RUNS} runs\n");
    println!("{:<34}{:>8}{:>11}{:>11}{:>9}{:>9}", "", "load s", "B/entry", "peak B", "hit ns", "miss ns");
    for (row, name) in ROWS {
        let runs: Vec<Vec<f64>> =
            (0..RUNS).map(|_| in_a_process_of_its_own(row, entries, folder.path())).collect();
        let medians = (0..runs[0].len()).map(|column| median(runs.iter().map(|run| run[column])));
        let mut line = format!("{name:<34}");
        for (figure, (width, digits)) in medians.zip([(8, 2), (11, 2), (11, 2), (9, 0), (9, 0)]) {
            let figure = if figure.is_nan() { "-".into() } else { format!("{figure:.digits$}") };
            write!(line, "{figure:>width$}").expect("a string takes everything");
        }
        println!("{line}");
    }
}

const ROWS: [(&str, &str); 6] = [
    ("plain", "HashSet<String>"),
    ("set", "blacklist, read alone"),
    ("first", "blacklist, first start"),
    ("again", "blacklist, later start"),
    ("reload", "blacklist, reload of another list"),
    ("prefixes", "blacklist and 50,000 prefixes"),
];

fn in_a_process_of_its_own(row: &str, entries: u64, folder: &Path) -> Vec<f64> {
    let own = std::env::current_exe().expect("Linux tells");
    let told = Command::new(own).args([row, &entries.to_string()]).arg(folder).output().expect("it runs");
    assert!(told.status.success(), "{row}: {}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8_lossy(&told.stdout)
        .split_whitespace()
        .map(|figure| figure.parse().expect("a figure"))
        .collect()
}

/// Measures one row and prints its figures.
fn run(row: &str, entries: u64, folder: &Path) {
    let list = folder.join("list.txt");
    let before = memory("VmRSS");
    let share = |bytes: f64| (bytes - before) / entries as f64;
    let figures = if row == "plain" {
        let (set, seconds) = timed(|| plain(&list));
        let (resident, peak) = (share(memory("VmRSS")), share(memory("VmHWM")));
        [
            seconds,
            resident,
            peak,
            pace(|n| set.contains(&format!("+{}", number(n)))),
            pace(|n| !set.contains(&format!("+{}", number(n) + 1))),
        ]
    } else {
        let house = house(row, entries, folder);
        let config = config::load(Some(&house.join("perimeterd.toml")), []).expect("a good configuration");
        if row == "set" {
            let (set, seconds) = timed(|| read_list(&config, "scrapers").expect("a good list"));
            let (resident, peak) = (share(memory("VmRSS")), share(memory("VmHWM")));
            let listed = |number: u64| set.find(person(number), NOW).is_some();
            let paces = [pace(|n| listed(number(n))), pace(|n| !listed(number(n) + 1))];
            return print(&[seconds, resident, peak, paces[0], paces[1]]);
        }
        let ((book, takeups), seconds) = timed(|| ListBook::open(&config, house.join("kept"), NOW));
        assert!(matches!(&takeups[..], [Takeup::Taken { .. }]), "{takeups:?}");
        let (mut seconds, mut resident, mut peak) = (seconds, share(memory("VmRSS")), share(memory("VmHWM")));
        if row == "reload" {
            // Another one in its place, while the peak of the first load is forgotten.
            fs::write("/proc/self/clear_refs", "5").expect("Linux forgets");
            write_list(&house.join("new.txt"), entries, 7);
            fs::rename(house.join("new.txt"), house.join("list.txt")).expect("the folder takes files");
            seconds = std::iter::repeat_with(|| timed(|| book.poll(NOW)))
                .find_map(|(takeups, seconds)| (!takeups.is_empty()).then_some(seconds))
                .unwrap_or(f64::NAN);
            (resident, peak) = (share(memory("VmRSS")), share(memory("VmHWM")));
            [seconds, resident, peak, f64::NAN, f64::NAN]
        } else {
            let listed = |number: u64| {
                matches!(book.blacklist(person(number), NOW), Lookup::Known { value: Some(_), .. })
            };
            [seconds, resident, peak, pace(|n| listed(number(n))), pace(|n| !listed(number(n) + 1))]
        }
    };
    print(&figures);
}

fn print(figures: &[f64]) {
    println!("{}", figures.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
}

fn person(number: u64) -> Person {
    Person::of_phone(Phone::from_u64(number).expect("a number"))
}

/// The n-th number: ten digits behind one of five country codes, every number even.
fn number(n: u64) -> u64 {
    const CODES: [u64; 5] = [49, 33, 44, 92, 55];
    CODES[(n % 5) as usize] * 10_000_000_000 + 1_000_000_000 + (n / 5) * 2_246
}

/// In an order that is nobody's.
fn shuffled(entries: u64) -> impl Iterator<Item = u64> {
    (0..entries).map(move |n| n * 7_368_787 % entries)
}

fn write_list(path: &Path, entries: u64, first: u64) {
    let mut file = BufWriter::new(File::create(path).expect("the folder takes files"));
    for n in shuffled(entries) {
        writeln!(file, "+{}", number(n + first)).expect("the disk has room");
    }
    file.into_inner().expect("the disk has room").sync_all().expect("the disk has room");
}

/// A folder with a configuration; the kept copy is there for a later start.
fn house(row: &str, entries: u64, folder: &Path) -> PathBuf {
    let house = folder.join(row);
    if row != "again" {
        let _ = fs::remove_dir_all(&house);
    }
    fs::create_dir_all(&house).expect("the folder takes folders");
    let list = house.join("list.txt");
    fs::copy(folder.join("list.txt"), &list).expect("the disk has room");
    if row == "prefixes" {
        let mut file = fs::OpenOptions::new().append(true).open(&list).expect("it is there");
        let prefixes: String = (0..PREFIXES)
            .map(|n| format!("+{}*\n", 81 * 10_u64.pow(2 + (n % 5) as u32) * 1_000 + n))
            .collect();
        file.write_all(prefixes.as_bytes()).expect("the disk has room");
    }
    let text = "[[sessions]]\nname = \"m\"\ninstance_id = \"A\"\naccess_token = \"t\"\nwebhook_secret = \"s\"\n\
                [[blacklists]]\nname = \"scrapers\"\npath = \"list.txt\"\n";
    fs::write(house.join("perimeterd.toml"), text).expect("the folder takes files");
    if row == "again" && !house.join("kept").exists() {
        // A start before this one; its copy is what is measured.
        in_a_process_of_its_own("first", entries, folder);
        fs::rename(folder.join("first/kept"), house.join("kept")).expect("the folder takes folders");
    }
    house
}

fn plain(path: &Path) -> HashSet<String> {
    let lines = BufReader::new(File::open(path).expect("it is there")).lines();
    lines.map(|line| line.expect("it is text")).collect()
}

/// Nanoseconds of this processor for one look-up that must say yes, of numbers all over the list.
fn pace(is_so: impl Fn(u64) -> bool) -> f64 {
    let entries: u64 = std::env::args().filter_map(|word| word.parse().ok()).next().expect("a count");
    let asked: Vec<u64> = (0..LOOK_UPS).map(|n| n * 6_700_417 % entries).collect();
    let spent = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let before = spent();
    let found = asked.iter().filter(|n| black_box(is_so(**n))).count();
    let took = spent() - before;
    assert_eq!(found as u64, LOOK_UPS, "every answer is right");
    took / LOOK_UPS as f64
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let value = work();
    (value, started.elapsed().as_secs_f64())
}

/// Bytes of this process.
fn memory(what: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with(what)).expect("Linux tells");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a figure");
    kib * 1024.0
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
