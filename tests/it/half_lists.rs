//! However a list is rewritten, cut or lost while the daemon runs: what is in force is a whole one, old or new, and the
//! operator hears of each.

use crate::harness::{Bench, Setup};
use std::{io::Write as _, ops::Range, time::Duration};

const OLD: Range<u64> = 4915100000100..4915100000140;
const NEW: Range<u64> = 4915100000120..4915100000170;
const ON_BOTH: u64 = OLD.end - 1;
const LAST: u64 = NEW.end - 1;

fn text(numbers: Range<u64>) -> String {
    numbers.map(|number| format!("+{number} reason=harvests\n")).collect()
}

async fn start() -> Bench {
    Bench::start(Setup { chain: r#"["blacklist"]"#, blacklist: text(OLD), ..Setup::default() }).await
}

async fn entries(bench: &Bench) -> u64 {
    let lists = bench.api("blacklist").await;
    let list = lists["lists"].as_array().unwrap().iter().find(|list| list["name"] == "scrapers").unwrap();
    list["entries"].as_u64().unwrap()
}

async fn is_listed(bench: &Bench, number: u64) -> bool {
    bench.api(&format!("blacklist/%2B{number}")).await["state"] == "listed"
}

/// The alerts of a kind.
async fn alerts(bench: &Bench, kind: &str) -> Vec<String> {
    let alerts = bench.api("alerts").await;
    let all = alerts["alerts"].as_array().unwrap_or_else(|| panic!("{alerts}"));
    let of_kind = all.iter().filter(|alert| alert["kind"] == kind);
    of_kind.filter_map(|alert| alert["text"].as_str().map(Into::into)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_rewritten_in_place_byte_by_byte_is_old_until_it_is_new() {
    let bench = start().await;
    let path = bench.path("blacklist.txt");
    let writing = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::create(path).unwrap();
        for (at, byte) in text(NEW).bytes().enumerate() {
            file.write_all(&[byte]).unwrap();
            // A slow program, which pauses where a line ends: there the half would look like a whole.
            let pauses = byte == b'\n' && at % 5 == 0;
            std::thread::sleep(Duration::from_millis(if pauses { 900 } else { 1 }));
        }
    });
    let mut seen = vec![];
    while !writing.is_finished() {
        seen.push((entries(&bench).await, is_listed(&bench, ON_BOTH).await));
    }
    writing.await.unwrap();
    assert!(seen.iter().all(|seen| *seen == (40, true)), "never a part of it: {seen:?}");
    bench.until("the new one is in force", async || entries(&bench).await == 50).await;
    assert!(is_listed(&bench, LAST).await);
    bench
        .until("nothing is refused any more", async || {
            bench.metric("perimeterd_refused{what=\"blacklist scrapers\"}").await == 0.0
        })
        .await;
}

/// Writes the old list over with the new one, a line in 60 ms.
fn write_slowly(path: std::path::PathBuf) -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::create(path).unwrap();
        for line in text(NEW).lines() {
            writeln!(file, "{line}").unwrap();
            std::thread::sleep(Duration::from_millis(60));
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_in_the_middle_of_the_writing_hurry_nothing() {
    let bench = start().await;
    let writing = write_slowly(bench.path("blacklist.txt"));
    let mut seen = vec![];
    while !writing.is_finished() {
        bench.signal("HUP");
        seen.push(entries(&bench).await);
    }
    writing.await.unwrap();
    assert!(seen.len() > 50 && seen.iter().all(|entries| *entries == 40), "never a part of it: {seen:?}");
    bench.until("the new one is in force", async || entries(&bench).await == 50).await;
    assert_eq!(alerts(&bench, "refused").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn accepting_in_the_middle_of_the_writing_takes_the_whole() {
    let bench = start().await;
    let writing = write_slowly(bench.path("blacklist.txt"));
    let accepting = bench.command(&["blacklist", "accept", "scrapers"]);
    let (said, seen) = tokio::join!(
        async {
            let accepting = tokio::task::spawn_blocking(move || {
                let mut accepting = accepting;
                accepting.output().unwrap()
            });
            accepting.await.unwrap()
        },
        async {
            let mut seen = vec![];
            while !writing.is_finished() {
                seen.push(entries(&bench).await);
            }
            seen
        }
    );
    assert!(seen.iter().all(|entries| *entries == 40), "never a part of it: {seen:?}");
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    let is_whole =
        said.contains("50 entries") || said.contains("is being written; accept it when that is done");
    assert!(is_whole, "{said}");
    bench.until("the new one is in force", async || entries(&bench).await == 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_emptied_or_lost_is_never_in_force_and_told_each_time() {
    let bench = start().await;
    let whole = text(OLD);
    let megabyte = format!("{whole}+4915100000199 reason={}\n", "x".repeat(1 << 20));
    // How it is spoilt, and a word of what is told.
    let edits: [(&str, Option<&str>, &str); 7] = [
        ("emptied", Some(""), "is empty, it had 40 entries"),
        ("cut in a line", Some(&whole[..whole.len() - 20]), "breaks off: it has 40 entries of 40"),
        ("cut at half", Some(&whole[..whole.len() / 2]), "shrank from 40 to"),
        ("a megabyte of a line", Some(&megabyte), "blacklist.txt:41:1: the line is longer than 4096 bytes"),
        ("another kind of file", Some("<html><p>Not found</p></html>\n"), "blacklist.txt:1:"),
        ("deleted", None, "is missing; put it back"),
        ("not text", Some("\u{0}\u{1}\u{2}\n"), "blacklist.txt:1:1"),
    ];
    for (name, edit, told) in edits {
        match edit {
            Some(text) => std::fs::write(bench.path("blacklist.txt"), text).unwrap(),
            None => std::fs::remove_file(bench.path("blacklist.txt")).unwrap(),
        }
        bench
            .until(&format!("{name} is told"), async || {
                alerts(&bench, "refused").await.iter().any(|text| text.contains(told))
            })
            .await;
        assert!(bench.log().contains(told), "{name}");
        assert_eq!((entries(&bench).await, is_listed(&bench, OLD.start).await), (40, true), "{name}");
        let told = bench.api("blacklist").await.to_string();
        assert!(told.contains("the last good one stays in force: 40 entries"), "{name}: {told}");
    }
    // One that takes its place by a rename is whole.
    std::fs::write(bench.path("other.txt"), text(NEW)).unwrap();
    std::fs::rename(bench.path("other.txt"), bench.path("blacklist.txt")).unwrap();
    bench.until("the new one is in force", async || entries(&bench).await == 50).await;
    assert!(bench.log().contains("50 entries, before 40"));
    assert!(is_listed(&bench, LAST).await && !is_listed(&bench, OLD.start).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_the_place_of_a_list_holds_up_nothing() {
    let mut bench = start().await;
    std::fs::remove_file(bench.path("blacklist.txt")).unwrap();
    assert!(
        std::process::Command::new("mkfifo").arg(bench.path("blacklist.txt")).status().unwrap().success()
    );
    let told = "cannot be read (it is no regular file); put it back";
    bench
        .until("it is told", async || alerts(&bench, "refused").await.iter().any(|text| text.contains(told)))
        .await;
    assert_eq!((entries(&bench).await, is_listed(&bench, ON_BOTH).await), (40, true));
    bench.write("allowlist.txt", &format!("+{ON_BOTH}\n"));
    bench
        .until("other lists are followed", async || {
            bench.api(&format!("blacklist/%2B{ON_BOTH}")).await["state"] == "allowlisted"
        })
        .await;
    let (status, said, _) = bench.run(&["check"]);
    assert!(!status.success() && said.contains(told), "{said}");
    bench.kill();
    bench.spawn();
    bench.ready().await;
    assert_eq!((entries(&bench).await, is_listed(&bench, OLD.start).await), (40, true), "the kept copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_told_with_its_number_and_left_out_where_that_is_configured() {
    let setup = Setup {
        chain: r#"["blacklist"]"#,
        blacklist: text(OLD),
        config_extra: "[lists]\nbad_lines = \"skip\"\n".into(),
        ..Setup::default()
    };
    let bench = Bench::start(setup).await;
    bench.write("blacklist.txt", &(text(OLD) + "+49x\n+4915100000140\nnobody\n"));
    bench.until("the rest is in force", async || entries(&bench).await == 41).await;
    assert!(is_listed(&bench, 4915100000140).await);
    let told = alerts(&bench, "skipped").await;
    let [told] = &told[..] else { panic!("one alert: {told:?}") };
    assert!(told.contains("blacklist.txt:41:1: ") && told.contains("one more line is broken"), "{told}");
    let (status, told, _) = bench.run(&["check"]);
    assert!(status.success() && told.contains("broken lines are left out"), "a warning: {told}");
    assert_eq!(alerts(&bench, "refused").await, [""; 0]);
}
