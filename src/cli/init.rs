//! `init DIR`: a folder with everything a first start needs: configuration in observe mode, secrets, the shipped policies,
//! empty lists. It never overwrites anything.

use super::{Context, print};
use crate::{
    config::{self, Secret},
    policy,
};
use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

const CONFIG: &str = include_str!("init.toml");
const SCRAPERS: &str = "# One entry a line: a number (+4915112345678), a prefix (+92*), a country (@PK), a LID (77001@lid).\n\
    # After it, if you like: reason=scraper expires=2027-01-31\n";
const ALLOWLIST: &str = "# Who is never removed: one number a line, as in blacklists/scrapers.txt.\n";
/// With one row, because an empty file is refused; the number is one that nobody has.
const SUBSCRIPTIONS: &str = "phone,status,plan,expires_at\n+447700900000,active,example,2099-12-31\n";

#[derive(Args)]
pub(super) struct Init {
    /// The folder; made if it is not there
    dir: PathBuf,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let dir = std::path::absolute(&self.dir).context("the folder's path cannot be read")?;
        let webhook_secret = make(&dir)?;
        tell(context, &dir, &webhook_secret);
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes the folder; answers the webhook's secret.
fn make(dir: &Path) -> anyhow::Result<String> {
    let webhook_secret = invent()?;
    let mut files = vec![
        (PathBuf::from("perimeterd.toml"), CONFIG.as_bytes().to_vec()),
        ("admin-token".into(), invent()?.into_bytes()),
        ("webhook-secret".into(), webhook_secret.clone().into_bytes()),
        ("blacklists/scrapers.txt".into(), SCRAPERS.into()),
        ("allowlist.txt".into(), ALLOWLIST.into()),
        ("subscriptions.csv".into(), SUBSCRIPTIONS.into()),
        ("examples/perimeterd.toml".into(), config::defaults_text().into()),
    ];
    let shipped = policy::shipped();
    files.extend(shipped.map(|(path, content)| (Path::new("policies").join(path), content.to_vec())));
    if let Some((taken, _)) = files.iter().find(|(path, _)| dir.join(path).exists()) {
        return Err(anyhow!(
            "{} exists already; nothing was written\n  give an empty folder",
            dir.join(taken).display()
        ));
    }
    for (path, content) in &files {
        write(&dir.join(path), content)?;
    }
    make_folder(&dir.join("data"))?;
    Ok(webhook_secret)
}

/// Writes a new file that only its owner can read.
fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    make_folder(path.parent().unwrap_or(Path::new(".")))?;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("the folder {} cannot be made", path.display()))
}

fn invent() -> anyhow::Result<String> {
    Secret::invent().map_err(anyhow::Error::msg)
}

fn tell(context: &Context, dir: &Path, secret: &str) {
    let config = dir.join("perimeterd.toml");
    let path = format!("/webhooks/main?secret={secret}");
    if context.json {
        print::json(&json!({"config": config, "webhook_path": path}));
        return;
    }
    print::line(&format!("made {}\n", dir.display()));
    print::line("next:");
    print::line(&format!("  1. in {} put your instance_id, public_url and the group's id", config.display()));
    print::line("  2. put your members into subscriptions.csv, and: export WAWP_ACCESS_TOKEN=…");
    print::line("  3. register this webhook with Wawp, for the group events and messages:");
    print::line(&format!("       https://YOUR-HOST{path}"));
    print::line(&format!(
        "  4. perimeterd --config {0} check && perimeterd --config {0} serve",
        config.display()
    ));
    print::line("it only observes until you write mode = \"enforce\" under [[groups]]");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_init_makes_is_good_private_and_only_observes() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("guard");
        make(&dir).unwrap();
        let words = [("WAWP_ACCESS_TOKEN".to_owned(), "token".to_owned())];
        let config = config::load(Some(&dir.join("perimeterd.toml")), words).unwrap();
        assert_eq!(config.secret_problems(), Vec::<String>::new());
        assert!(config.groups.iter().all(|group| group.mode == config::Mode::Observe));
        assert!(config.server.admin_token.is_some());
        let set = policy::load(&policy::LoadSpec::of(&config));
        assert!(set.is_ok(), "{:?}", set.err());
        let mode = fs::metadata(dir.join("admin-token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn init_never_overwrites() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("allowlist.txt"), "+4915112345678").unwrap();
        let refused = make(home.path()).unwrap_err();
        assert!(refused.to_string().contains("allowlist.txt exists already"));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
