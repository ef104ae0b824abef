//! `[subscriptions] source = "sql"`: which database is asked, what, and how.

mod address;
mod statement;

pub use address::{Database, DatabaseServer, Place};
pub use statement::{Dialect, Placeholder, Statement};

use super::{
    Secret,
    error::ConfigError,
    read::{Reader, Section},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Questions that a database is asked at once, unless `pool` says otherwise.
const POOL: usize = 4;
/// The most that `pool` may say: small servers have a hundred connections in all.
const LARGEST_POOL: u64 = 64;

/// The SQL source.
#[derive(Clone, Debug)]
pub struct Sql {
    /// The address; it may hold a password. [`Sql::database`] reads it.
    pub url: Secret,
    /// Where relative files are from.
    pub folder: PathBuf,
    /// The owner's query. [`Statement::parse`] reads it.
    pub query: String,
    /// Of one question.
    pub timeout: Duration,
    /// Connections, and so questions at once.
    pub pool: usize,
    /// Whether TLS is spoken whatever the address; `None`: with all but this machine.
    pub tls: Option<bool>,
    /// A file with the certificates that are trusted instead of the system's.
    pub tls_ca: Option<PathBuf>,
}

impl Sql {
    /// The database behind the address.
    ///
    /// # Errors
    /// A sentence, if the secret is not at hand or is no address; it repeats nothing of it.
    pub fn database(&self) -> Result<Database, String> {
        Database::parse(self.url.expose()?, &self.folder)
    }

    /// Whether TLS is spoken with a server there.
    pub fn speaks_tls(&self, place: &Place) -> bool {
        match place {
            Place::Socket(..) => false,
            Place::Host(..) => self.tls.unwrap_or(!place.is_local()),
        }
    }

    /// What must not show in a log line: the address, and the password in it.
    pub fn secrets(&self) -> Vec<Secret> {
        let password = match self.database() {
            Ok(Database::Server(server)) => server.password,
            _ => None,
        };
        password.into_iter().flat_map(|password| [self.url.clone(), password]).collect()
    }
}

/// The keys that only this source has.
pub(super) const KEYS: [&str; 4] = ["query", "pool", "tls", "tls_ca"];

/// Reads what the source needs. An address that is not at hand is told elsewhere; everything else is judged here.
pub(super) fn sql(read: &Reader<'_>, section: &mut Section) -> Result<Sql, ConfigError> {
    let (url_node, query_node) = (read.required(section, "url")?, read.required(section, "query")?);
    let url = read.secret(url_node.clone(), "url")?;
    let database = match url.expose() {
        Ok(text) => Some(Database::parse(text, read.folder).map_err(|why| read.at(&url_node, why))?),
        Err(_) => None,
    };
    let query = read.text(&query_node, "query")?;
    // Without the address nobody knows whose SQL it is; what Postgres reads is nearest to the standard.
    let dialect = database.as_ref().map_or(Dialect::Postgres, Database::dialect);
    Statement::parse(&query, dialect).map_err(|why| read.at(&query_node, why))?;
    let timeout = section.take("timeout").map(|node| read.positive_duration(&node, "timeout")).transpose()?;
    let pool = match section.take("pool") {
        None => POOL,
        Some(node) => match read.count(&node, "pool")? {
            pool if pool <= LARGEST_POOL => usize::try_from(pool).unwrap_or(POOL),
            _ => return Err(read.at(&node, format!("`pool` must be at most {LARGEST_POOL}"))),
        },
    };
    let tls = match section.take("tls") {
        None => None,
        Some(node) => match read.text(&node, "tls")?.as_str() {
            "verify" => Some(true),
            "disable" => Some(false),
            _ => return Err(read.at(&node, "`tls` must be \"verify\" or \"disable\"")),
        },
    };
    let tls_ca = match section.take("tls_ca") {
        None => None,
        Some(node) => {
            let path = read.path(&node, "tls_ca")?;
            certificates(&path).map_err(|why| read.at(&node, why))?;
            Some(path)
        }
    };
    // Without a password the address is no secret, and nothing to be warned of.
    let is_plain = url.is_plain()
        && !matches!(&database, Some(Database::Server(DatabaseServer { password: Some(_), .. })));
    let url = match url.expose() {
        Ok(text) if is_plain => Secret::new(text),
        _ => url,
    };
    let timeout = timeout.unwrap_or(Duration::from_secs(5));
    Ok(Sql { url, folder: read.folder.into(), query, timeout, pool, tls, tls_ca })
}

/// The certificates in a PEM file.
///
/// # Errors
/// A sentence, if it cannot be read or holds none.
pub fn certificates(path: &Path) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, String> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let bytes =
        std::fs::read(path).map_err(|error| format!("{} cannot be read ({error})", path.display()))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{} holds no certificate in PEM form", path.display())),
    }
}
