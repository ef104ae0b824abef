//! Postgres: one round trip a question, in a transaction that can only read.
//!
//! Nothing is set that outlives the transaction, so a connection pooler in between cannot carry it to others, and no
//! statement is prepared by name. The number is sent as text and becomes whatever the column is. Rows come back as JSON:
//! the server itself writes dates, numbers and its owner's types down the one way that everybody reads.

use super::{
    Failed, MOST_ROWS, Query,
    row::{self, Cell, Row},
    said, trust,
};
use crate::{
    config::{DatabaseServer, Place, Sql},
    ids::Phone,
};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value as Json;
use std::{error::Error, fmt, time::Duration};
use tokio_postgres::{
    NoTls,
    config::SslMode,
    error::SqlState,
    types::{Format, IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

pub(super) struct Postgres {
    pool: Pool,
    query: Query,
    /// Begins the transaction that the query runs in.
    begin: String,
}

impl Postgres {
    pub(super) fn new(server: &DatabaseServer, sql: &Sql, query: &Query) -> Result<Self, String> {
        let mut config = tokio_postgres::Config::new();
        match &server.place {
            Place::Host(host, port) => config.host(host).port(*port),
            Place::Socket(folder, port) => config.host_path(folder).port(*port),
        };
        config.user(&server.user).dbname(&server.name).application_name("perimeterd");
        if let Some(password) = &server.password {
            config.password(password.expose()?);
        }
        // A server that is gone without a word is noticed while nobody asks, and a question to it in time.
        config
            .connect_timeout(sql.timeout)
            .tcp_user_timeout(sql.timeout)
            .keepalives_idle(Duration::from_secs(30));
        let manage = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if sql.speaks_tls(&server.place) {
            config.ssl_mode(SslMode::Require);
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(trust::trusted(sql)?);
            let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            Manager::from_config(config, tokio_postgres_rustls::MakeRustlsConnect::new(tls), manage)
        } else {
            config.ssl_mode(SslMode::Disable);
            Manager::from_config(config, NoTls, manage)
        };
        let pool = Pool::builder(manager).max_size(sql.pool).build();
        let text = format!(
            "SELECT row_to_json(answer)::text FROM (\n{}\n) AS answer LIMIT {}",
            query.text,
            MOST_ROWS + 1
        );
        let millis = sql.timeout.as_millis().clamp(1, i32::MAX as u128);
        Ok(Self {
            pool: pool.map_err(|_| "the pool cannot be made".to_owned())?,
            query: Query { text, places: query.places.clone() },
            begin: format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {millis}"),
        })
    }

    pub(super) async fn rows(&self, phone: Phone) -> Result<Vec<Row>, Failed> {
        let lent = Lent(Some(self.pool.get().await.map_err(|error| unreached(&error))?));
        let Some(client) = &lent.0 else { return Err(Failed::Lost) };
        let values: Vec<AsText> = self.query.values(phone).map(AsText).collect();
        let values: Vec<(&(dyn ToSql + Sync), Type)> =
            values.iter().map(|value| (value as &(dyn ToSql + Sync), Type::UNKNOWN)).collect();
        // All three go out at once, in this order, and the server does them one after another. Were the first refused,
        // the transaction would be broken and the query with it.
        let (begun, rows, ended) = tokio::join!(
            biased;
            client.batch_execute(&self.begin),
            client.query_typed(&self.query.text, &values),
            client.batch_execute("ROLLBACK"),
        );
        begun.map_err(|error| failed(&error))?;
        let rows = rows.map_err(|error| failed(&error));
        if ended.is_ok() {
            lent.give_back();
        }
        rows?.iter().map(read).collect()
    }
}

/// A connection in use. One that is dropped in the middle of a question is closed: the next to use it would have to
/// wait for the answer to the last.
struct Lent(Option<Object>);

impl Lent {
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}

/// A value that the server reads as it would read a literal: a number for a number's column, a text for a text's.
#[derive(Debug)]
struct AsText(String);

impl ToSql for AsText {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn read(answer: &tokio_postgres::Row) -> Result<Row, Failed> {
    let json = answer.try_get::<_, Option<&str>>(0).ok().flatten().map(serde_json::from_str);
    let Some(Ok(Columns(columns))) = json else {
        return Err(Failed::Unreadable("with a row that cannot be read".into()));
    };
    Ok(row::of(columns))
}

/// The columns of a row in their order, two of the same name included.
struct Columns(Vec<(String, Cell)>);

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reading)
    }
}

/// Reads [`Columns`].
struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Columns;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a row")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut row: M) -> Result<Columns, M::Error> {
        let mut columns = Vec::new();
        while let Some((name, value)) = row.next_entry::<String, Json>()? {
            columns.push((name, Cell::from(&value)));
        }
        Ok(Columns(columns))
    }
}

fn unreached(error: &PoolError) -> Failed {
    match error {
        PoolError::Backend(error) => failed(error),
        PoolError::Closed => Failed::Unreached("is closed"),
        _ => Failed::Unreached("cannot be reached"),
    }
}

fn failed(error: &tokio_postgres::Error) -> Failed {
    if let Some(why) = trust::refusal(error) {
        return Failed::Unreached(why);
    }
    if error.source().is_some_and(|source| source.to_string() == "server does not support TLS") {
        return Failed::Unreached(trust::NO_TLS);
    }
    let Some(refusal) = error.as_db_error() else {
        return if error.is_closed() { Failed::Lost } else { Failed::Unreached("cannot be reached") };
    };
    let code = refusal.code();
    // The server is going down, or somebody ended the connection.
    if [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN].contains(code) {
        return Failed::Lost;
    }
    if *code == SqlState::QUERY_CANCELED {
        return Failed::Slow;
    }
    // Of these classes the message speaks of the query, the login or the server; of others it may hold a value.
    let speaks =
        ["08", "25", "28", "3D", "42", "53", "57"].iter().any(|class| code.code().starts_with(class));
    let message = if speaks { said(refusal.message()) } else { "its message may hold a number".into() };
    let what = format!("{message} (SQLSTATE {})", code.code());
    if code.code().starts_with("22") { Failed::Unfit(what) } else { Failed::Refused(what) }
}
