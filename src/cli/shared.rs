//! `blacklist preview` and `blacklist publish`: what other communities' lists would do here, and lists of our own for others.

use super::{Context, blacklist, door::Daemon, print};
use crate::{
    clock::{Timestamp, parse_duration},
    config::{Config, Secret},
    ids::{Jid, Phone},
    lists::{
        self,
        shared::{Document, Draft, Either, HashKey, Own, Published, Signer, publish},
    },
};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The daemon's own list's name in `--from`.
const LOCAL: &str = "local";

#[derive(Args)]
pub(super) struct Preview {
    /// Its name in the configuration
    name: String,
}

impl Preview {
    pub(super) async fn run(self, context: &Context, config: &Config) -> anyhow::Result<ExitCode> {
        let daemon = Daemon::find(config).await?;
        let daemon = daemon.ok_or_else(|| {
            anyhow!("no daemon runs, and only it knows who is inside and what the chains say\n  start it with `perimeterd serve`")
        })?;
        let answer = daemon.get(&["blacklist", &self.name, "preview"]).await?;
        if context.json {
            print::json(&answer);
            return Ok(ExitCode::SUCCESS);
        }
        let members = answer["members"].as_array().map(Vec::as_slice).unwrap_or_default();
        let touched = members.iter().filter(|member| member["touched"] == true).count();
        print::line(&format!(
            "shared list {}, version {}, trust {}: names {} of those who are inside, touches {touched}",
            self.name,
            answer["version"],
            print::text(&answer, "/trust"),
            members.len()
        ));
        print::table(&members.iter().map(member).collect::<Vec<_>>());
        if let Some(hidden) = answer["hidden"].as_u64().filter(|hidden| *hidden > 0) {
            print::line(&format!(
                "{hidden} others hide their number: whether it names them is known once the number is"
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn member(row: &Value) -> Vec<String> {
    let who = [print::text(row, "/phone"), print::text(row, "/lid")];
    vec![
        print::text(row, "/subject"),
        who.into_iter().find(|id| !id.is_empty()).unwrap_or_default(),
        print::text(row, "/name"),
        print::text(row, "/fate"),
        print::text(row, "/reason"),
    ]
}

#[derive(Args)]
pub(super) struct Publish {
    /// Under which name
    #[arg(long, required_unless_present = "new_key")]
    name: Option<String>,
    /// Into which folder: NAME.list and NAME.list.minisig
    #[arg(long, value_name = "DIR", required_unless_present = "new_key")]
    out: Option<PathBuf>,
    /// The minisign secret key that signs it
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Make that key first (and its public one beside it, and the hash key if its file is not there)
    #[arg(long)]
    new_key: bool,
    /// The file with the secret key's password, if it has one
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Which of your own blacklists, `local` for the daemon's own list; all if none is named
    #[arg(long, value_name = "LIST", num_args = 1..)]
    from: Vec<String>,
    /// Publish keyed hashes instead of numbers, under the key in this file
    #[arg(long, value_name = "FILE")]
    hash_key_file: Option<PathBuf>,
    /// Its version [default: one more than the one in the folder]
    #[arg(long)]
    version: Option<u64>,
    /// Who you are, for those who read it [default: the list's name]
    #[arg(long)]
    publisher: Option<String>,
    /// Why entries that are no longer on your lists are taken back
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,
    /// How long subscribers may rely on it
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    lasts: String,
}

impl Publish {
    pub(super) async fn run(self, context: &Context, config: &Config) -> anyhow::Result<ExitCode> {
        if self.new_key {
            self.make_keys()?;
        }
        let signer = self.signer()?;
        let public = signer.verifier().text().to_owned();
        let (Some(name), Some(out)) = (&self.name, &self.out) else {
            if context.json {
                print::json(&json!({ "public_key": public }));
            } else {
                print::line(&format!("subscribers need: public_key = \"{public}\""));
            }
            return Ok(ExitCode::SUCCESS);
        };
        if name.is_empty() || name.contains(['/', '\\', '.']) {
            bail!("a list's name must not hold `/`, `\\` or `.`");
        }
        let path = out.join(format!("{name}.list"));
        let before = before(&path, &signer)?;
        let key = self.hash_key()?;
        let now = context.clock.now();
        let (own, left_out) = self.own(context, config, now).await?;
        let draft = Draft {
            name: name.clone(),
            publisher: self.publisher.clone().unwrap_or_else(|| name.clone()),
            version: self.version,
            key: key.as_ref(),
            own,
            before: before.as_ref(),
            because: self.because.clone(),
            lasts: parse_duration(&self.lasts).map_err(|why| anyhow!("--lasts: {why}"))?,
            now,
        };
        let Published { document, added, retracted } = publish(draft).map_err(|why| anyhow!("{why}"))?;
        self.refuse_accident(before.as_ref(), retracted, config)?;
        let text = document.text();
        let version = document.header.version;
        let signature = signer.sign(text.as_bytes(), &format!("{name} version {version}"));
        let signature = signature.map_err(|why| anyhow!("it cannot be signed: {why}"))?;
        fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
        let signature_path = out.join(format!("{name}.list.minisig"));
        write_both([(&path, text.as_bytes()), (&signature_path, signature.as_bytes())])
            .with_context(|| format!("{} cannot be written", path.display()))?;
        let facts = json!({
            "list": path, "signature": signature_path, "version": version, "entries": document.entries().len(),
            "added": added, "retracted": retracted, "left_out": left_out, "public_key": public
        });
        said(context, &facts);
        Ok(ExitCode::SUCCESS)
    }

    /// A list of our own that was cut short would have every subscriber let people back in.
    fn refuse_accident(
        &self,
        before: Option<&Document>,
        retracted: usize,
        config: &Config,
    ) -> anyhow::Result<()> {
        let listed = before.map_or(0, |before| before.entries().len());
        let most = config.lists.max_shrink;
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
        let is_much = retracted as f64 > most * listed as f64;
        if is_much && self.because.is_none() {
            bail!(
                "{retracted} of {listed} entries would be taken back, more than the {:.0} % of `max_shrink`\n  if that is \
                 meant, say why: --because TEXT",
                most * 100.0
            );
        }
        Ok(())
    }

    fn make_keys(&self) -> anyhow::Result<()> {
        let (secret, public) = Signer::invent().map_err(|why| anyhow!("no key can be made: {why}"))?;
        write_secret(&self.key_file, &secret)?;
        let beside = self.key_file.with_extension("pub");
        fs::write(&beside, public).with_context(|| format!("{} cannot be written", beside.display()))?;
        match &self.hash_key_file {
            Some(path) if !path.exists() => {
                write_secret(path, &Secret::invent().map_err(|why| anyhow!("no key can be made: {why}"))?)
            }
            _ => Ok(()),
        }
    }

    fn signer(&self) -> anyhow::Result<Signer> {
        let place = self.key_file.display();
        let text = fs::read_to_string(&self.key_file)
            .with_context(|| format!("{place} cannot be read; make one with --new-key"))?;
        let password = self.password_file.as_ref().map(|path| {
            let text = fs::read_to_string(path);
            text.with_context(|| format!("{} cannot be read", path.display()))
        });
        let password = password.transpose()?.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        Signer::new(&text, password).map_err(|why| anyhow!("{place}: {why}"))
    }

    fn hash_key(&self) -> anyhow::Result<Option<HashKey>> {
        let Some(path) = &self.hash_key_file else { return Ok(None) };
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        HashKey::new(&text).map(Some).map_err(|why| anyhow!("{}: {why}", path.display()))
    }

    /// Whom our own lists name, the local one among them, and how many entries name no single person. Who is spared by an
    /// exception here is not published.
    async fn own(
        &self,
        context: &Context,
        config: &Config,
        now: Timestamp,
    ) -> anyhow::Result<(Vec<Own>, usize)> {
        let all = config.blacklists.iter().map(|list| list.name.as_str());
        let all: Vec<&str> = all.chain([LOCAL]).collect();
        let named: Vec<&str> = self.from.iter().map(String::as_str).collect();
        let names = if named.is_empty() { all } else { named };
        let local = local_entries(context, config).await?;
        let (exceptions, local): (Vec<_>, Vec<_>) =
            local.into_iter().partition(|entry| entry["kind"] == "exception");
        let (mut own, mut left_out) = (Vec::new(), 0);
        for name in names {
            if name == LOCAL {
                let people = local.iter().filter_map(local_entry);
                let before = own.len();
                own.extend(people);
                left_out += local.len() - (own.len() - before);
                continue;
            }
            let list = lists::read_list(config, name).map_err(|why| anyhow!("{why}"))?;
            left_out += list.len() - list.people();
            own.extend(lists::shared::own_entries(&list, now));
        }
        let spared: Vec<&str> = exceptions.iter().filter_map(|entry| entry["entry"].as_str()).collect();
        own.retain(|own| !is_spared(own, &spared));
        Ok((own, left_out))
    }
}

/// The local list, by the running daemon or from the store.
async fn local_entries(context: &Context, config: &Config) -> anyhow::Result<Vec<Value>> {
    if Daemon::find(config).await?.is_none() && !config.store.path.exists() {
        return Ok(Vec::new());
    }
    let told = blacklist::told(context, config).await?;
    let entries = told["local"].as_array().cloned().unwrap_or_default();
    if told["local_entries"].as_u64().is_some_and(|all| all > entries.len() as u64) {
        bail!(
            "the local list is too long to be published; put its entries into a file and name it under [[blacklists]]"
        );
    }
    Ok(entries)
}

/// Whether an exception names that number or LID, or a number's beginning or country.
fn is_spared(own: &Own, exceptions: &[&str]) -> bool {
    let (spelled, country) = match own.whom {
        Either::Phone(phone) => {
            (phone.e164(), crate::numbering::country_of(phone).map(|code| format!("@{code}")))
        }
        Either::Lid(lid) => (lid.jid(), None),
    };
    exceptions.iter().any(|entry| {
        *entry == spelled
            || country.as_deref() == Some(entry)
            || entry.strip_suffix('*').is_some_and(|start| spelled.starts_with(start))
    })
}

/// An entry of the local list as it is shown; `None` if it names no single person.
fn local_entry(entry: &Value) -> Option<Own> {
    let whom = match Jid::parse(entry["entry"].as_str()?) {
        Some(Jid::Lid(lid)) => Either::Lid(lid),
        _ => Either::Phone(Phone::parse(entry["entry"].as_str()?)?),
    };
    let reason = entry["reason"].as_str().map(str::to_owned);
    Some(Own { whom, reason, expires_at: entry["expires_at"].as_i64().map(Timestamp) })
}

/// What was published.
fn said(context: &Context, facts: &Value) {
    if context.json {
        return print::json(facts);
    }
    let [list, version, entries, added, retracted, left_out, public] =
        ["list", "version", "entries", "added", "retracted", "left_out", "public_key"]
            .map(|key| print::text(facts, &format!("/{key}")));
    print::line(&format!(
        "{list}: version {version}, {entries} entries, {added} new, {retracted} taken back"
    ));
    if left_out != "0" {
        print::line(&format!("{left_out} prefixes and countries were left out: a shared list names people"));
    }
    print::line(&format!("subscribers need: public_key = \"{public}\""));
}

/// The version before, if there is one; it must be signed by the same key.
fn before(path: &Path, signer: &Signer) -> anyhow::Result<Option<Document>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".minisig");
    let signature = fs::read_to_string(&beside).unwrap_or_default();
    let read = signer.verifier().verify(text.as_bytes(), &signature).and_then(|()| Document::parse(&text));
    read.map(Some).map_err(|why| {
        anyhow!(
            "the version before, {}, is not one of yours: {why}\n  move it away to begin anew, or use the key it was signed with",
            path.display()
        )
    })
}

/// Nobody else may read it; one that is there is never overwritten.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = made.with_context(|| format!("{} cannot be made", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))
}

/// Both are ready before either is in its place.
fn write_both(files: [(&PathBuf, &[u8]); 2]) -> io::Result<()> {
    let ready = files.map(|(path, bytes)| {
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok::<_, io::Error>((file, path))
    });
    let [list, signature] = ready;
    let (list, signature) = (list?, signature?);
    list.0.persist(list.1)?;
    signature.0.persist(signature.1)?;
    Ok(())
}
