//! Who may import whom, as a table. Data flows one way; a newcomer reads here what a room may know of.
//!
//! Only what is compiled into the daemon counts: everything from the first `#[cfg(test)]` of a file on is passed over.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// What everybody may speak: no I/O, and nothing of ours behind it but each other.
const VOCABULARY: &[&str] =
    &["ids", "identity", "clock", "event", "action", "excerpt", "facts", "takeup", "numbering"];

/// A room, what it may import beside the vocabulary, and why where that surprises.
const TABLE: &[(&str, &[&str], &str)] = &[
    ("ids", &[], ""),
    ("identity", &[], ""),
    ("clock", &[], ""),
    ("event", &[], ""),
    ("action", &[], ""),
    ("facts", &[], ""),
    ("takeup", &[], ""),
    ("numbering", &[], ""),
    ("excerpt", &[], ""),
    ("aside", &[], ""),
    ("directory", &[], ""),
    ("group_info", &["directory"], "how long rosters lag, and which moment is before which"),
    ("brake", &[], ""),
    ("retry", &[], ""),
    ("welcome", &[], ""),
    ("limits", &["config"], "the windows are read as they are counted: one type, the configuration's"),
    ("policy", &["config"], "chains, links and limits of a run are the configuration's types"),
    ("config", &[], ""),
    ("kept", &[], ""),
    ("transport", &[], ""),
    ("fetch", &["aside", "config", "transport"], "of the configuration only what a secret is"),
    (
        "lists",
        &["aside", "config", "fetch", "kept", "store", "transport"],
        "a list may come from a URL; of the store only what the records of the local list are",
    ),
    ("wawp", &["transport"], ""),
    ("telemetry", &["store"], "only `store::EntryState` and the depths it shows; it never asks the store"),
    (
        "store",
        &["brake", "config", "directory", "group_info", "limits"],
        "rulings are applied where rows are; of the configuration only `Mode`",
    ),
    (
        "silence",
        &["config", "store", "telemetry", "wawp"],
        "of `wawp` what a registered webhook is, and the canary's name; it never calls",
    ),
    ("ingress", &["config", "silence", "store", "telemetry"], ""),
    (
        "subscriptions",
        &["aside", "config", "kept", "store", "transport"],
        "of the store only the record of a pushed subscription",
    ),
    (
        "payments",
        &["config", "ingress", "store", "telemetry"],
        "of the way in only how strangers' bodies and failures are bounded; of the store only what a notice is",
    ),
    (
        "pipeline",
        &[
            "aside",
            "brake",
            "config",
            "group_info",
            "lists",
            "policy",
            "silence",
            "store",
            "subscriptions",
            "telemetry",
            "wawp",
        ],
        "of `wawp` only the translation; never the delivery",
    ),
    (
        "delivery",
        &["config", "directory", "limits", "retry", "silence", "store", "telemetry", "wawp", "welcome"],
        "of `directory` only how long rosters lag; never the pipeline",
    ),
    (
        "herald",
        &["config", "retry", "store", "telemetry", "transport"],
        "of `telemetry` only what shortens numbers; it meets the delivery in the outbox",
    ),
    ("api", &["silence", "store", "telemetry"], "the running parts come in through its own trait"),
    ("lifecycle", &[], ""),
    ("simulator", &["transport"], "speaks the vendor's JSON itself: it must not share our client's mistakes"),
    (
        "app",
        &[
            "api",
            "aside",
            "config",
            "delivery",
            "herald",
            "ingress",
            "lifecycle",
            "limits",
            "lists",
            "payments",
            "pipeline",
            "policy",
            "silence",
            "store",
            "subscriptions",
            "telemetry",
            "transport",
            "wawp",
        ],
        "the composition root knows everybody, but neither simulator nor command line",
    ),
    (
        "cli",
        &[
            "api",
            "app",
            "config",
            "demo",
            "lists",
            "pipeline",
            "policy",
            "simulator",
            "store",
            "subscriptions",
            "telemetry",
        ],
        "`check` reads the files as the daemon does, `demo` and `simulate` run the simulator; of `pipeline` only which \
         groups a sweep looks at",
    ),
    (
        "demo",
        &["api", "app", "config", "policy", "simulator", "store", "telemetry"],
        "of `policy` the shipped ones",
    ),
    ("main", &[], "it is another crate and sees only `perimeterd::cli`"),
];

/// Rooms that may import only a part of another one.
const PARTS: &[(&str, &str, &[&str])] = &[
    ("pipeline", "wawp", &["translate"]),
    ("store", "config", &["Mode"]),
    ("limits", "config", &["Pacing", "Window"]),
    ("delivery", "directory", &["ROSTER_LAG"]),
    ("subscriptions", "store", &["Pushed"]),
    ("fetch", "config", &["Secret"]),
    ("payments", "ingress", &["Failures", "Unread", "read_bounded", "source_of"]),
    ("payments", "store", &["StoreError", "payments"]),
    ("lists", "store", &["LocalEntry", "LocalKind"]),
    ("cli", "pipeline", &["places"]),
    ("silence", "wawp", &["session", "translate"]),
];

/// Crates that only some rooms may touch.
const CRATES: &[(&str, &[&str])] = &[
    // The store's own file, and an owner's that is asked who pays.
    ("rusqlite", &["store", "subscriptions"]),
    ("tokio_postgres", &["subscriptions"]),
    ("mysql_async", &["subscriptions"]),
    ("rhai", &["policy"]),
    (
        "reqwest",
        &[
            "transport",
            "fetch",
            "wawp",
            "subscriptions",
            "herald",
            "app",
            "cli",
            "simulator",
            "demo",
            "config",
        ],
    ),
    ("governor", &["delivery", "ingress"]),
];

/// The pure rooms: no runtime, no database, no HTTP.
const PURE: &[&str] = &[
    "directory",
    "group_info",
    "policy",
    "limits",
    "brake",
    "retry",
    "welcome",
    "ids",
    "identity",
    "event",
    "action",
    "facts",
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The room a file is in: the first part of its path.
fn room(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_string()
}

/// The part of a file that is compiled into the daemon, without comments.
fn code(path: &Path) -> String {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    if name == "tests" || name.ends_with("_tests") {
        return String::new();
    }
    let text = std::fs::read_to_string(path).unwrap();
    let daemon = text.split("#[cfg(test)]").next().unwrap_or_default();
    daemon.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// What follows every `crate::`, groups opened: `["store::Row", "store::Store", "ids::Phone"]`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        open(&code[at + "crate::".len()..], "", &mut found);
    }
    found
}

/// Reads one path or group of paths; answers how many bytes it took.
fn open(text: &str, prefix: &str, found: &mut BTreeSet<String>) -> usize {
    if !text.starts_with('{') {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
        let path = &text[..end];
        if text[end..].starts_with('{') && path.ends_with("::") {
            return end + open(&text[end..], &format!("{prefix}{path}"), found);
        }
        if !path.is_empty() {
            found.insert(format!("{prefix}{path}"));
        }
        return end;
    }
    let mut at = 1;
    while let Some(next) = text[at..].chars().next() {
        match next {
            '}' => return at + 1,
            c if c.is_alphanumeric() || c == '_' => at += open(&text[at..], prefix, found).max(1),
            c => at += c.len_utf8(),
        }
    }
    at
}

/// Every file's room and what it imports.
fn all() -> Vec<(PathBuf, String, BTreeSet<String>)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<_> = sources(&src)
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap().to_path_buf();
            (inside.clone(), room(&inside), imports(&code(&path)))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_import_is_in_the_table() {
    let allowed: BTreeMap<&str, &[&str]> = TABLE.iter().map(|(room, may, _)| (*room, *may)).collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, from, imports) in all().into_iter().filter(|(_, room, _)| room != "lib") {
        let Some(may) = allowed.get(from.as_str()) else {
            wrong.push(format!("{}: the room `{from}` is not in the table", path.display()));
            continue;
        };
        for import in imports {
            let to = import.split("::").next().unwrap_or_default();
            seen += 1;
            if to != from && !VOCABULARY.contains(&to) && !may.contains(&to) {
                wrong.push(format!("{}: `{from}` must not import `{import}`", path.display()));
            }
        }
    }
    assert!(seen > 300, "the imports are not found any more: {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_in_the_table_is_idle() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, from, imports) in all() {
        let rooms = imports.iter().filter_map(|import| import.split("::").next());
        used.entry(from).or_default().extend(rooms.map(str::to_string));
    }
    // The demo is being built: it may use less than it may.
    for (room, may, _) in TABLE.iter().filter(|(room, ..)| *room != "demo") {
        for other in *may {
            let uses = used.get(*room).is_some_and(|used| used.contains(*other));
            assert!(uses, "`{room}` no longer imports `{other}`: take it out of the table");
        }
    }
}

#[test]
fn of_some_rooms_only_a_part_is_imported() {
    let parts: BTreeMap<(&str, &str), &[&str]> =
        PARTS.iter().map(|(from, to, part)| ((*from, *to), *part)).collect();
    for (path, from, imports) in all() {
        for import in imports {
            let mut words = import.split("::");
            let to = words.next().unwrap_or_default();
            let Some(part) = parts.get(&(from.as_str(), to)) else { continue };
            let word = words.next().unwrap_or_default();
            assert!(part.contains(&word), "{}: of `{to}` only {part:?}, not `{import}`", path.display());
        }
    }
}

#[test]
fn crates_stay_in_their_rooms_and_the_brains_are_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&src) {
        let inside = path.strip_prefix(&src).unwrap();
        let (from, code) = (room(inside), code(&path));
        for (name, rooms) in CRATES {
            let used = code.contains(&format!("{name}::"));
            assert!(
                !used || rooms.contains(&from.as_str()),
                "{}: `{name}` has no place here",
                inside.display()
            );
        }
        if PURE.contains(&from.as_str()) {
            for outside in ["tokio::", "reqwest::", "rusqlite::", "axum::"] {
                assert!(!code.contains(outside), "{}: pure, yet it uses {outside}", inside.display());
            }
        }
    }
}

#[test]
fn files_stay_of_a_size_that_can_be_read() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&src) {
        let text = std::fs::read_to_string(&path).unwrap();
        let daemon = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        // The store's interface is one list of promises; in two files it would be half a contract each.
        let most = if path.ends_with("store/mod.rs") { 700 } else { 500 };
        let is_tests = path.file_stem().is_some_and(|name| name.to_string_lossy().ends_with("tests"));
        assert!(is_tests || daemon <= most, "{}: {daemon} lines are two ideas", path.display());
        assert!(text.lines().count() <= 700, "{}: too long with its tests", path.display());
    }
}
