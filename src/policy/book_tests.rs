//! The policy book: an edit is taken whole or not at all.

use super::{ChainSpec, LoadSpec, PolicyBook};
use crate::{
    config::{ChainLink, ScriptLimits},
    takeup::Takeup,
};
use std::{fs, path::PathBuf};

const GOOD: &str = "fn on_join(member, group) { group.welcome(member); }";
const BETTER: &str = "fn on_join(member, group) { member.admit(\"all are welcome\"); }";
const BAD: &str = "fn on_join(member, group) { group.wellcome(member); }";

struct House {
    dir: tempfile::TempDir,
}

impl House {
    fn new(policy: &str) -> Self {
        let house = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(house.dir.path().join("policies")).unwrap();
        house.edit(policy);
        house
    }

    fn edit(&self, policy: &str) {
        fs::write(self.file(), policy).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("policies/p.rhai")
    }

    fn open(&self) -> (PolicyBook, Vec<Takeup>) {
        let links = vec![ChainLink { policy: "p".into(), observe: false }];
        let chain = ChainSpec { block: "club".into(), links, params: serde_json::Map::new() };
        let spec = LoadSpec {
            dir: self.dir.path().join("policies"),
            chains: vec![chain],
            limits: ScriptLimits::default(),
        };
        PolicyBook::open(spec, self.dir.path().join("data/kept/policies"))
    }
}

/// Looks until an edit has stood still for two looks.
fn settle(book: &PolicyBook) -> Vec<Takeup> {
    let mut told = book.poll();
    told.extend(book.poll());
    told
}

fn is_refused(told: &[Takeup]) -> bool {
    matches!(told, [Takeup::Refused { .. }])
}

fn is_taken(told: &[Takeup]) -> bool {
    matches!(told, [Takeup::Taken { .. }])
}

#[test]
fn a_good_edit_is_taken_once_it_stands_still() {
    let house = House::new(GOOD);
    let (book, told) = house.open();
    assert!(is_taken(&told), "{told:?}");
    let before = book.current().unwrap().hash().to_owned();
    house.edit(BETTER);
    assert_eq!(book.poll(), [], "not in the same moment: it may be half-written");
    assert!(is_taken(&book.poll()));
    assert_ne!(book.current().unwrap().hash(), before);
    assert_eq!(book.generation(), 2);
    assert_eq!(settle(&book), []);
}

#[test]
fn a_bad_edit_is_refused_once_and_the_last_good_set_stays() {
    let house = House::new(GOOD);
    let (book, _) = house.open();
    let before = book.current().unwrap().hash().to_owned();
    house.edit(BAD);
    let told = settle(&book);
    assert!(is_refused(&told), "{told:?}");
    assert!(book.refused().unwrap().starts_with("policies/p.rhai:1:35: "), "{:?}", book.refused());
    assert_eq!(book.current().unwrap().hash(), before);
    assert_eq!(settle(&book), []);
    fs::remove_file(house.file()).unwrap();
    assert!(is_refused(&settle(&book)), "a missing file is another content");
    house.edit(GOOD);
    assert!(is_taken(&settle(&book)));
    assert_eq!((book.refused(), book.generation()), (None, 1));
}

#[test]
fn a_start_with_bad_files_uses_the_last_good_copy() {
    let house = House::new(GOOD);
    // Tests of a policy that no chain names are left out, of the copy as well.
    let (folder, tests) = (house.dir.path().join("policies"), "fn test_p() { on_join(\"p\", #{}); }\n");
    fs::create_dir_all(folder.join("tests")).unwrap();
    fs::write(folder.join("other.rhai"), GOOD).unwrap();
    fs::write(folder.join("tests/all.rhai"), format!("{tests}fn test_q() {{ on_join(\"other\", #{{}}); }}"))
        .unwrap();
    let good = house.open().0.current().unwrap().hash().to_owned();
    house.edit(BAD);
    let (book, told) = house.open();
    assert!(matches!(told.as_slice(), [Takeup::Taken { .. }, Takeup::Refused { .. }]), "{told:?}");
    assert_eq!(book.current().unwrap().hash(), good);
    assert!(book.refused().is_some());
    house.edit(BETTER);
    assert!(is_taken(&settle(&book)));
    let copies = fs::read_dir(house.dir.path().join("data/kept/policies")).unwrap().count();
    assert_eq!(copies, 2, "one copy and the pointer to it");
}

#[test]
fn without_any_good_set_nothing_is_in_force() {
    let house = House::new(BAD);
    let (book, told) = house.open();
    assert!(is_refused(&told));
    assert!(book.current().is_none());
    house.edit(GOOD);
    assert!(is_taken(&settle(&book)));
    assert!(book.current().is_some());
}

#[test]
fn a_broken_file_that_no_chain_uses_refuses_nothing() {
    let house = House::new(GOOD);
    let (book, _) = house.open();
    for file in ["other.rhai", "lib/other.rhai", "tests/other.rhai"] {
        let path = house.dir.path().join("policies").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "fn (").unwrap();
        assert_eq!(settle(&book), [], "{file}");
    }
    assert_eq!((book.refused(), book.generation()), (None, 1));
}
