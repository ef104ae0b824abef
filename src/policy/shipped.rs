//! The policies that come with the program: their scripts, templates and tests, as files to be written somewhere.

use include_dir::{Dir, include_dir};
use std::path::Path;

const POLICIES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/policies");

/// Every shipped file by its path relative to a policies folder.
pub fn shipped() -> impl Iterator<Item = (&'static Path, &'static [u8])> {
    let mut files = Vec::new();
    let mut folders = vec![&POLICIES];
    while let Some(folder) = folders.pop() {
        files.extend(folder.files().map(|file| (file.path(), file.contents())));
        folders.extend(folder.dirs());
    }
    files.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_come_with_their_templates_and_tests() {
        let paths: Vec<_> = shipped().map(|(path, _)| path.to_string_lossy()).collect();
        for wanted in ["subscribers.rhai", "templates/how-to-join.txt", "tests/subscribers.rhai", "README.md"]
        {
            assert!(paths.iter().any(|path| path == wanted), "{wanted} is not in {paths:?}");
        }
    }
}
