//! Where the owner's database is: `postgres://`, `mysql://`, `mariadb://`, `sqlite:path`.
//!
//! The text may hold a password: no sentence here repeats any of it.

use super::Dialect;
use crate::config::Secret;
use percent_encoding::percent_decode_str;
use std::path::{Path, PathBuf};

/// A database that was named.
#[derive(Clone, Debug)]
pub enum Database {
    /// A server.
    Server(DatabaseServer),
    /// An SQLite file.
    File(PathBuf),
}

/// A server, and who asks it.
#[derive(Clone, Debug)]
pub struct DatabaseServer {
    /// What it speaks.
    pub dialect: Dialect,
    /// Where it listens.
    pub place: Place,
    /// Who asks.
    pub user: String,
    /// His password, if the server wants one.
    pub password: Option<Secret>,
    /// The database's name.
    pub name: String,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the network.
    Host(String, u16),
    /// On a unix socket: the socket for MySQL, its folder and port for Postgres.
    Socket(PathBuf, u16),
}

impl Place {
    /// Whether what is said stays on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Socket(..) => true,
            Self::Host(host, _) => {
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl Database {
    /// Reads an address; relative files are from `folder`.
    ///
    /// # Errors
    /// A sentence, without the address.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains('?') {
                return Err(
                    "`url` must name a file, like \"sqlite:shop.db\", without anything behind it".into()
                );
            }
            return Ok(Self::File(folder.join(path)));
        }
        let kinds = "`url` must begin with postgres://, mysql://, mariadb:// or sqlite:";
        let (dialect, port) = match text.split_once("://").map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => (Dialect::Postgres, 5432),
            Some("mysql" | "mariadb") => (Dialect::MySql, 3306),
            _ => return Err(kinds.into()),
        };
        let url = url::Url::parse(text).map_err(|_| {
            "`url` cannot be read; special characters in a password are percent-encoded, like %40 for @"
                .to_owned()
        })?;
        server(&url, dialect, port).map(Self::Server)
    }

    /// Whose SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Server(server) => server.dialect,
            Self::File(_) => Dialect::Sqlite,
        }
    }
}

fn server(url: &url::Url, dialect: Dialect, port: u16) -> Result<DatabaseServer, String> {
    let host = decoded(url.host_str().unwrap_or_default())?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port().unwrap_or(port);
    let mut socket = host.starts_with('/').then(|| PathBuf::from(&host));
    let mut user = decoded(url.username())?;
    for (key, value) in url.query_pairs() {
        match (&*key, &*value) {
            ("host", path) if dialect == Dialect::Postgres && path.starts_with('/') => {
                socket = Some(path.into())
            }
            ("socket", path) if dialect == Dialect::MySql && path.starts_with('/') => {
                socket = Some(path.into())
            }
            ("user", name) => user = name.to_owned(),
            // What TLS comes to is said by `tls`; these ask for no less.
            ("sslmode" | "ssl-mode", mode)
                if !matches!(&*mode.to_lowercase(), "disable" | "disabled" | "allow") => {}
            ("sslmode" | "ssl-mode", _) => {
                return Err(
                    "`url` asks to go without TLS; take that out and write `tls = \"disable\"`".into()
                );
            }
            (key, _) => {
                let key: String =
                    key.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(20).collect();
                return Err(format!("`url` has a parameter `{key}` that means nothing here; take it out"));
            }
        }
    }
    let name = decoded(url.path().trim_start_matches('/'))?;
    if name.is_empty() || user.is_empty() {
        return Err("`url` must name a user and a database, like postgres://user@host/database".into());
    }
    let place = match socket {
        Some(path) => Place::Socket(path, port),
        None if host.is_empty() => return Err("`url` must name a host".into()),
        None => Place::Host(host, port),
    };
    let password = url.password().map(decoded).transpose()?.map(Secret::new);
    Ok(DatabaseServer { dialect, place, user, password, name })
}

fn decoded(text: &str) -> Result<String, String> {
    let read = percent_decode_str(text).decode_utf8();
    read.map(|text| text.into_owned()).map_err(|_| "`url` has bytes that are not text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Database, String> {
        Database::parse(text, Path::new("/etc/guard"))
    }

    fn server(text: &str) -> DatabaseServer {
        match parse(text) {
            Ok(Database::Server(server)) => server,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn addresses_are_read_as_owners_have_them() {
        let shop = server("postgres://anna:p%40ss@db.example:6432/shop?sslmode=require");
        assert_eq!(shop.place, Place::Host("db.example".into(), 6432));
        assert_eq!((&*shop.user, &*shop.name), ("anna", "shop"));
        assert_eq!(shop.password.unwrap().expose(), Ok("p@ss"));
        for (text, place, local) in [
            ("mysql://wp@10.0.0.5/wordpress", Place::Host("10.0.0.5".into(), 3306), false),
            ("mariadb://wp@localhost/wordpress", Place::Host("localhost".into(), 3306), true),
            ("postgres://a@[::1]/b", Place::Host("::1".into(), 5432), true),
            (
                "postgres:///b?host=/run/postgresql&user=a",
                Place::Socket("/run/postgresql".into(), 5432),
                true,
            ),
            ("postgresql://a@%2Frun%2Fpg:5433/b", Place::Socket("/run/pg".into(), 5433), true),
            ("mysql://a@localhost/b?socket=/run/m.sock", Place::Socket("/run/m.sock".into(), 3306), true),
        ] {
            let read = server(text);
            assert_eq!((read.place.is_local(), read.place), (local, place), "{text}");
        }
        let Ok(Database::File(path)) = parse("sqlite:shop.db") else { panic!() };
        assert_eq!(path, Path::new("/etc/guard/shop.db"));
        let Ok(Database::File(path)) = parse("sqlite:///srv/shop.db") else { panic!() };
        assert_eq!(path, Path::new("/srv/shop.db"));
    }

    #[test]
    fn a_refused_address_is_not_repeated() {
        for (text, sentence) in [
            ("oracle://s3cret@h/d", "must begin with"),
            ("s3cret", "must begin with"),
            ("postgres://a:s3cret@:x/d", "cannot be read"),
            ("postgres://a:s3cret@h", "a user and a database"),
            ("postgres://:s3cret@h/d", "a user and a database"),
            ("postgres://a:s3cret@h/d?sslmode=disable", "tls = \"disable\""),
            ("postgres://a:s3cret@h/d?options=s3cret", "`options`"),
            ("mysql://a:s3cret@h/d?host=/run", "`host`"),
            ("sqlite:", "must name a file"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(sentence) && !why.contains("s3cret"), "{text}: {why}");
        }
    }

    #[test]
    fn a_password_does_not_show_in_a_debug_line() {
        assert!(!format!("{:?}", parse("postgres://a:s3cret@h/d")).contains("s3cret"));
    }
}
