//! The SQL source: the owner's own query, asked of his database for one person.
//!
//! It keeps nothing: `cache` stands before it. The number is bound, never spliced in; every connection only reads; the
//! server is told the time-out as well where it can be. Addresses, passwords and values of rows never reach an error:
//! what a server says is told only where it speaks of the query, and with numbers shortened.

mod mysql;
mod postgres;
mod row;
mod sqlite;
mod trust;

use super::{
    cache::{NoAnswer, Respondent},
    words::Words,
};
use crate::{
    config::{
        Database, DatabaseServer, Dialect, Placeholder, Sql, Statement, SubscriptionSource, Subscriptions,
    },
    facts::Subscription,
    ids::Phone,
    numbering,
};
use async_trait::async_trait;
use jiff::tz::TimeZone;
use row::Row;
use std::{sync::Arc, time::Duration};

/// The name of the source in evidence.
const SOURCE: &str = "subscription database";
/// A person has a handful of subscriptions; beyond this the query names the wrong people.
const MOST_ROWS: usize = 100;

/// A database that is asked for one person.
pub(super) struct SqlSource {
    /// What is asked; why nothing can be otherwise.
    asked: Result<Asked, String>,
    timeout: Duration,
    words: Arc<Words>,
    time_zone: TimeZone,
}

enum Asked {
    Postgres(postgres::Postgres),
    MySql(mysql::MySql),
    Sqlite(sqlite::Sqlite),
}

/// The owner's query as the server wants it, and what is bound.
#[derive(Clone)]
struct Query {
    text: String,
    places: Vec<Placeholder>,
}

impl Query {
    fn values(&self, phone: Phone) -> impl Iterator<Item = String> + '_ {
        self.places.iter().map(move |place| match place {
            Placeholder::Phone => phone.e164(),
            Placeholder::Digits => phone.digits(),
        })
    }
}

/// Why there are no rows.
enum Failed {
    /// The server is not there, or takes no connections.
    Unreached(&'static str),
    /// A connection that was there broke off. It may have been dead for long: it is worth another.
    Lost,
    /// It refused the query, for whomever it is asked.
    Refused(String),
    /// It refused this number.
    Unfit(String),
    /// It gave up, or we did.
    Slow,
    /// The answer has a shape that nobody can read.
    Unreadable(String),
}

impl From<Failed> for NoAnswer {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unreached(what) => Self::Source(format!("the {SOURCE} {what}")),
            Failed::Lost => Self::Source(format!("the {SOURCE} broke off its answer")),
            Failed::Refused(what) => Self::Source(format!("the {SOURCE} refused the query: {what}")),
            Failed::Unfit(what) => Self::Answer(format!("the {SOURCE} refused the number: {what}")),
            Failed::Slow => Self::Source(format!("the {SOURCE} did not answer in time")),
            Failed::Unreadable(what) => Self::Answer(format!("the {SOURCE} answered {what}")),
        }
    }
}

impl SqlSource {
    /// The source, and how many questions it takes at once; `None` if the configuration names another source.
    /// Connects to nothing.
    pub(super) fn new(
        config: &Subscriptions,
        words: Arc<Words>,
        time_zone: TimeZone,
    ) -> Option<(Self, usize)> {
        let SubscriptionSource::Sql(sql) = &config.source else { return None };
        let source = Self { asked: Asked::open(sql), timeout: sql.timeout, words, time_zone };
        Some((source, sql.pool))
    }
}

impl Asked {
    fn open(sql: &Sql) -> Result<Self, String> {
        let database = sql.database()?;
        let (text, places) = Statement::parse(&sql.query, database.dialect())?.bound();
        let query = Query { text, places };
        match &database {
            Database::File(path) => {
                Ok(Self::Sqlite(sqlite::Sqlite { path: path.clone(), query, timeout: sql.timeout }))
            }
            Database::Server(server @ DatabaseServer { dialect: Dialect::MySql, .. }) => {
                mysql::MySql::new(server, sql, query).map(Self::MySql)
            }
            Database::Server(server) => postgres::Postgres::new(server, sql, &query).map(Self::Postgres),
        }
    }

    async fn rows(&self, phone: Phone) -> Result<Vec<Row>, Failed> {
        match self.try_rows(phone).await {
            Err(Failed::Lost) => self.try_rows(phone).await,
            rows => rows,
        }
    }

    async fn try_rows(&self, phone: Phone) -> Result<Vec<Row>, Failed> {
        match self {
            Self::Postgres(postgres) => postgres.rows(phone).await,
            Self::MySql(mysql) => mysql.rows(phone).await,
            Self::Sqlite(sqlite) => sqlite.rows(phone).await,
        }
    }
}

#[async_trait]
impl Respondent for SqlSource {
    fn name(&self) -> &'static str {
        SOURCE
    }

    async fn ask(&self, phone: Phone) -> Result<Subscription, NoAnswer> {
        let asked = self
            .asked
            .as_ref()
            .map_err(|why| NoAnswer::Source(format!("the {SOURCE} cannot be asked: {why}")))?;
        let rows = tokio::time::timeout(self.timeout, asked.rows(phone)).await;
        let rows = rows.unwrap_or(Err(Failed::Slow))?;
        if rows.len() > MOST_ROWS {
            let what =
                format!("with more than {MOST_ROWS} rows for one person; does `query` ask for that person?");
            return Err(Failed::Unreadable(what).into());
        }
        row::judge(&rows, phone, &self.words, &self.time_zone).map_err(|what| Failed::Unreadable(what).into())
    }
}

/// What a server says of the query, for a log: bounded, and without numbers.
fn said(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    numbering::shortened(&line).chars().take(200).collect()
}
