//! Whatever an owner or a program does to a file, what is in force is a whole one, and the owner hears of it.

use super::*;
use std::{fs, io::Write as _};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// The lines of a file.
struct Names(Vec<String>);

impl Content for Names {
    fn entries(&self) -> usize {
        self.0.len()
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new(text: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path(), text).unwrap();
        place
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("names.txt")
    }

    fn open(&self) -> (KeptFile<Names>, Takeup) {
        KeptFile::open(self.rules(|| {}), NOW)
    }

    /// Every reading does something besides.
    fn rules(&self, on_reading: impl Fn() + Send + Sync + 'static) -> Rules<Names> {
        Rules {
            what: "names".into(),
            path: self.path(),
            kept: self.0.path().join("kept/names.txt"),
            max_shrink: 0.2,
            may_begin_empty: true,
            accept: "accept names".into(),
            parse: Box::new(move |file, path, _| {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(|error| format!("{}: {error}", path.display()))?;
                on_reading();
                match text.lines().find(|line| !line.starts_with("name")) {
                    Some(other) => Err(format!("`{other}` is no name")),
                    None => Ok(Names(text.lines().map(Into::into).collect())),
                }
            }),
        }
    }
}

fn text(names: std::ops::Range<usize>) -> String {
    names.map(|name| format!("name{name:03}\n")).collect()
}

fn in_force(file: &KeptFile<Names>) -> String {
    file.in_force()
        .map_or("nothing".into(), |held| held.value.0.iter().map(|name| format!("{name}\n")).collect())
}

/// Polls until the file has been judged or nothing can come any more.
fn settle(file: &KeptFile<Names>) -> Option<Takeup> {
    (0..=looks::PATIENT).find_map(|_| file.poll(NOW))
}

#[test]
fn a_file_written_over_byte_by_byte_is_never_half_in_force() {
    for pause in [1, 2, looks::SETTLED, looks::SETTLED + 1, looks::PATIENT - 1] {
        let (old, new) = (text(0..10), text(5..22));
        let place = Place::new(&old);
        let (file, _) = place.open();
        let mut writer = fs::File::create(place.path()).unwrap();
        let mut refusals = 0;
        for byte in new.bytes() {
            for _ in 0..pause {
                match file.poll(NOW) {
                    Some(Takeup::Refused { .. }) => refusals += 1,
                    Some(Takeup::Taken { detail, .. }) => panic!("pauses of {pause} looks: {detail}"),
                    None => {}
                }
                assert_eq!(in_force(&file), old, "pauses of {pause} looks");
            }
            writer.write_all(&[byte]).unwrap();
        }
        assert!(refusals <= 1, "one alert, not one for every byte: {refusals}");
        assert!(matches!(settle(&file), Some(Takeup::Taken { .. })), "pauses of {pause} looks");
        assert_eq!(in_force(&file), new);
        assert_eq!(file.waiting(), None);
    }
}

#[test]
fn a_file_that_changes_under_the_reading_is_read_again() {
    let place = Place::new(&text(0..10));
    let path = place.path();
    let (was_read, meddle) = (std::sync::atomic::AtomicUsize::new(0), text(0..12));
    let rules = place.rules(move || {
        // The second reading: the first edit.
        if was_read.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            fs::write(&path, &meddle).unwrap();
        }
    });
    let (file, _) = KeptFile::open(rules, NOW);
    fs::write(place.path(), text(0..11)).unwrap();
    assert!((0..looks::SETTLED).all(|_| file.poll(NOW).is_none()));
    assert_eq!(in_force(&file), text(0..10), "what was read is not what is there");
    assert!(matches!(settle(&file), Some(Takeup::Taken { .. })));
    assert_eq!(in_force(&file), text(0..12));
}

#[test]
fn what_is_lost_is_refused_with_its_reason_and_told_once() {
    let cut = text(0..9);
    let cases = [
        ("emptied", Some(String::new()), "is empty, it had 10 entries"),
        ("shrunk", Some(text(0..7)), "shrank from 10 to 7 entries, more than the 20 %"),
        ("cut off in a line", Some(cut[..cut.len() - 2].to_owned()), "breaks off: it has 9 entries of 10"),
        ("deleted", None, "is missing; put it back"),
        ("broken", Some(text(0..10) + "x\n"), "`x` is no name"),
    ];
    for (name, edit, why) in cases {
        let place = Place::new(&text(0..10));
        let (file, _) = place.open();
        match &edit {
            Some(text) => fs::write(place.path(), text).unwrap(),
            None => fs::remove_file(place.path()).unwrap(),
        }
        let told = settle(&file);
        assert!(
            matches!(&told, Some(Takeup::Refused { why: told, .. }) if told.contains(why)),
            "{name}: {told:?}"
        );
        assert_eq!(settle(&file), None, "{name}: said once");
        assert_eq!(in_force(&file), text(0..10), "{name}");
        let (again, told) = place.open();
        assert!(matches!(&told, Takeup::Refused { why: told, .. } if told.contains(why)), "{name}: {told:?}");
        assert_eq!(in_force(&again), text(0..10), "{name}: the kept copy");
        // As it was: in force without waiting for more of it.
        fs::write(place.path(), text(0..10)).unwrap();
        let told = (0..looks::SETTLED).find_map(|_| file.poll(NOW));
        assert!(matches!(told, Some(Takeup::Taken { .. })), "{name}: {told:?}");
        assert_eq!(file.waiting(), None, "{name}");
    }
}

#[test]
fn what_is_no_file_is_refused_and_never_waited_for() {
    let make_pipe = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    };
    let place = Place::new(&text(0..10));
    let (file, _) = place.open();
    let (is_folder, endless) = (
        |path: &Path| fs::create_dir(path).unwrap(),
        |path: &Path| {
            std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        },
    );
    let others: [&dyn Fn(&Path); 3] = [&make_pipe, &is_folder, &endless];
    for make in others {
        fs::remove_file(place.path()).unwrap();
        make(&place.path());
        let told = settle(&file);
        let is_refused = |told: &Takeup| matches!(told, Takeup::Refused { why, .. } if why.contains("cannot be read (it is no regular file); put it back"));
        assert!(told.as_ref().is_some_and(is_refused), "{told:?}");
        assert_eq!(settle(&file), None, "said once");
        assert!(file.accept(NOW).is_err());
        let (again, told) = place.open();
        assert!(is_refused(&told), "{told:?}");
        assert_eq!((in_force(&file), in_force(&again)), (text(0..10), text(0..10)));
        if fs::remove_file(place.path()).is_err() {
            fs::remove_dir(place.path()).unwrap();
        }
        fs::write(place.path(), text(0..10)).unwrap();
        assert!(matches!(settle(&file), Some(Takeup::Taken { .. })));
    }
}

#[test]
fn half_of_a_line_at_a_start_waits_for_its_end() {
    let place = Place::new(&text(0..10));
    drop(place.open());
    // The line was begun so long before the start.
    let begin = |text: String, seconds: u64| {
        fs::write(place.path(), text).unwrap();
        let at =
            std::time::UNIX_EPOCH + std::time::Duration::from_millis(NOW.0.unsigned_abs() - seconds * 1000);
        fs::File::options().write(true).open(place.path()).unwrap().set_modified(at).unwrap();
    };
    begin(text(0..10) + "name01", 1);
    let (file, told) = place.open();
    assert!(matches!(&told, Takeup::Refused { why, .. } if why.contains("is being written")), "{told:?}");
    assert_eq!(in_force(&file), text(0..10));
    fs::write(place.path(), text(0..12)).unwrap();
    assert!(matches!(settle(&file), Some(Takeup::Taken { .. })));
    assert_eq!(in_force(&file), text(0..12));
    // One that has stood so for long is as it is meant.
    begin(text(0..12) + "name012", 60);
    let (file, told) = place.open();
    assert!(matches!(told, Takeup::Taken { .. }), "{told:?}");
    assert_eq!(in_force(&file), text(0..13));
}

#[test]
fn what_is_being_written_is_not_accepted() {
    let place = Place::new(&text(0..10));
    let (file, _) = place.open();
    assert!(!file.is_unsettled());
    fs::write(place.path(), text(0..3)).unwrap();
    assert!(file.is_unsettled(), "nobody has looked");
    file.poll(NOW);
    assert!(file.is_unsettled(), "it may go on");
    let why = file.accept(NOW).unwrap_err();
    assert!(why.ends_with("is being written; accept it when that is done"), "{why}");
    assert_eq!(in_force(&file), text(0..10));
    settle(&file);
    assert!(!file.is_unsettled());
    file.accept(NOW).unwrap();
    assert_eq!(in_force(&file), text(0..3));
}

#[test]
fn a_file_that_could_not_be_opened_is_taken_when_it_can_although_it_looks_the_same() {
    let place = Place::new(&text(0..10));
    let (file, _) = place.open();
    fs::write(place.path(), text(0..11)).unwrap();
    // As it is after a judgement that came while the machine had no descriptors left.
    let looks = Looks::of(&place.path());
    let why = "cannot be read (Too many open files)".to_owned();
    let mut state = file.lock();
    (0..looks::SETTLED).for_each(|_| state.watch.note(looks, false));
    (state.judged, state.was_shut) = (Some(looks), true);
    file.refused(why);
    drop(state);
    assert!(matches!(settle(&file), Some(Takeup::Taken { .. })));
    assert_eq!((in_force(&file), file.waiting()), (text(0..11), None));
}

#[test]
fn where_the_copy_is_damaged_nothing_is_taken_for_a_first_list_in_silence() {
    let place = Place::new(&text(0..10));
    let kept = place.0.path().join("kept/names.txt");
    drop(place.open());
    for (name, edit, told_why) in
        [("emptied", Some(""), "names nobody"), ("missing", None, "is missing; put it back")]
    {
        fs::write(&kept, "name000\n\0\0\0\0").unwrap();
        match edit {
            Some(text) => fs::write(place.path(), text).unwrap(),
            None => fs::remove_file(place.path()).unwrap(),
        }
        let (file, told) = place.open();
        let Takeup::Refused { why, .. } = told else { panic!("{name}: {told:?}") };
        assert!(
            why.contains(told_why) && why.contains("its last good copy could not be read"),
            "{name}: {why}"
        );
        assert!(file.in_force().is_none(), "{name}");
    }
    fs::write(place.path(), text(0..3)).unwrap();
    let (file, told) = place.open();
    let Takeup::Taken { flaw: Some(flaw), .. } = told else { panic!("it has to be told: {told:?}") };
    assert!(flaw.contains("whether it shrank is not known"), "{flaw}");
    assert_eq!(in_force(&file), text(0..3));
    assert!(matches!(place.open().1, Takeup::Taken { flaw: None, .. }), "the copy was made anew");
}

#[test]
fn what_a_death_in_the_middle_of_a_copy_has_left_is_gone_with_the_next_one() {
    let place = Place::new(&text(0..10));
    let left = std::sync::Arc::new(Mutex::new(Vec::new()));
    let (folder, seen) = (place.0.path().join("kept"), left.clone());
    let rules = place.rules(move || {
        let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|file| file.path());
        seen.lock().unwrap().extend(files);
    });
    let _file = KeptFile::open(rules, NOW);
    let half = left.lock().unwrap().pop().unwrap();
    fs::write(&half, "name0").unwrap();
    fs::write(place.path(), text(0..11)).unwrap();
    let (again, _) = place.open();
    assert_eq!(in_force(&again), text(0..11));
    let files: Vec<_> = fs::read_dir(place.0.path().join("kept")).unwrap().flatten().collect();
    assert_eq!(files.len(), 1, "no leftovers: {files:?}");
    assert_eq!(fs::read_to_string(place.0.path().join("kept/names.txt")).unwrap(), text(0..11));
}

#[test]
fn a_copy_that_cannot_be_kept_is_told() {
    let place = Place::new(&text(0..10));
    let (file, _) = place.open();
    let folder = place.0.path().join("kept");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "in the way").unwrap();
    fs::write(place.path(), text(0..11)).unwrap();
    let told = settle(&file);
    let Some(Takeup::Taken { flaw: Some(flaw), .. }) = &told else { panic!("{told:?}") };
    assert!(flaw.contains("no copy could be kept in") && flaw.contains("save the file again"), "{flaw}");
    assert_eq!(in_force(&file), text(0..11), "in force all the same");
}

#[test]
fn a_file_without_an_end_of_its_last_line_is_as_good_as_another() {
    let whole = text(0..10);
    let place = Place::new(whole.trim_end());
    let (file, _) = place.open();
    assert_eq!(in_force(&file), whole);
    fs::write(place.path(), text(0..9).trim_end()).unwrap();
    assert!(matches!(settle(&file), Some(Takeup::Taken { .. })), "this owner's lines never end");
    fs::write(place.path(), text(0..9)).unwrap();
    settle(&file);
    fs::write(place.path(), text(0..12).trim_end()).unwrap();
    assert!((0..looks::SETTLED).all(|_| file.poll(NOW).is_none()), "somebody may be writing that line");
    assert!(matches!(settle(&file), Some(Takeup::Taken { .. })), "nothing is lost");
    assert_eq!(in_force(&file), text(0..12));
}

#[test]
fn a_rename_brings_a_whole_file_at_once() {
    let place = Place::new(&text(0..10));
    let (file, _) = place.open();
    for names in [11, 12, 13] {
        let other = place.0.path().join("other");
        fs::write(&other, text(0..names)).unwrap();
        fs::rename(&other, place.path()).unwrap();
        let told = (0..looks::SETTLED).find_map(|_| file.poll(NOW));
        assert!(matches!(told, Some(Takeup::Taken { .. })), "{names}: {told:?}");
        assert_eq!(in_force(&file), text(0..names));
    }
}

#[test]
fn a_file_that_is_its_kept_copy_replaces_nothing() {
    let place = Place::new(&text(0..10));
    let (file, _) = place.open();
    assert!(file.take_replaced().is_none(), "there was nothing before");
    let (file, _) = place.open();
    let (held, replaced) = (file.in_force().unwrap(), file.take_replaced().unwrap());
    assert_eq!(held.digest, replaced.digest);
    assert!(file.take_replaced().is_none(), "once");
    fs::write(place.path(), text(0..11)).unwrap();
    let (file, _) = place.open();
    assert_eq!(file.take_replaced().unwrap().value.0.len(), 10, "the kept copy");
}
