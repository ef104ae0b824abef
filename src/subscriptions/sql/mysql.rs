//! MySQL and MariaDB: connections whose every transaction can only read, in UTC.

use super::{
    Failed, MOST_ROWS, Query,
    row::{self, Cell, Row},
    said, trust,
};
use crate::{
    clock::Timestamp,
    config::{DatabaseServer, Place, Sql},
    ids::Phone,
};
use jiff::civil;
use mysql_async::{
    Column, Conn, DriverError, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, SslOpts, Value,
    consts::ColumnType, prelude::Queryable,
};
use std::{sync::Arc, time::Duration};

/// A connection that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(300);

pub(super) struct MySql {
    pool: Pool,
    query: Query,
}

impl MySql {
    pub(super) fn new(server: &DatabaseServer, sql: &Sql, query: Query) -> Result<Self, String> {
        let pool = PoolConstraints::new(0, sql.pool).unwrap_or_default();
        let pool = PoolOpts::default()
            .with_constraints(pool)
            .with_inactive_connection_ttl(IDLE)
            .with_ttl_check_interval(IDLE / 10)
            .with_reset_connection(false);
        let mut opts = OptsBuilder::default()
            .user(Some(&server.user))
            .db_name(Some(&server.name))
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .setup(setup(sql.timeout))
            .pool_opts(pool);
        if let Some(password) = &server.password {
            opts = opts.pass(Some(password.expose()?));
        }
        opts = match &server.place {
            Place::Host(host, port) => opts.ip_or_hostname(host).tcp_port(*port),
            Place::Socket(path, _) => opts.socket(Some(path.to_string_lossy())),
        };
        if sql.speaks_tls(&server.place) {
            let trusted = trust::trusted(sql)?.into_iter().map(|certificate| certificate.to_vec().into());
            let ssl = SslOpts::default().with_disable_built_in_roots(true).with_root_certs(trusted.collect());
            opts = opts.ssl_opts(ssl);
        }
        Ok(Self { pool: Pool::new(opts), query })
    }

    /// A connection that is dropped in the middle of a question is closed by its pool.
    pub(super) async fn rows(&self, phone: Phone) -> Result<Vec<Row>, Failed> {
        let mut conn = self.pool.get_conn().await.map_err(|error| failed(&error))?;
        self.ask(&mut conn, phone).await.map_err(|error| match error {
            mysql_async::Error::Io(_) => Failed::Lost,
            error => failed(&error),
        })
    }

    async fn ask(&self, conn: &mut Conn, phone: Phone) -> mysql_async::Result<Vec<Row>> {
        let values = self.query.values(phone).map(|text| Value::Bytes(text.into_bytes())).collect();
        let mut answer = conn.exec_iter(&*self.query.text, Params::Positional(values)).await?;
        let mut rows = Vec::new();
        while let Some(row) = answer.next().await? {
            let columns: Arc<[Column]> = row.columns();
            let cells = columns.iter().zip(row.unwrap_raw());
            rows.push(row::of(
                cells.map(|(column, value)| (column.name_str().into_owned(), cell(column, value))),
            ));
            if rows.len() > MOST_ROWS {
                break;
            }
        }
        Ok(rows)
    }
}

/// What every new connection is told. The comments are read by the one server and not by the other: the limit on a
/// statement has another name and another unit in each.
fn setup(timeout: Duration) -> Vec<String> {
    let (seconds, millis) = (timeout.as_secs_f64().max(0.001), timeout.as_millis().max(1));
    vec![
        "SET SESSION TRANSACTION READ ONLY".into(),
        format!(
            "SET SESSION time_zone = '+00:00', SESSION sql_select_limit = {} \
             /*M!100101 , SESSION max_statement_time = {seconds} */ \
             /*!50708 , SESSION max_execution_time = {millis} */",
            MOST_ROWS + 1
        ),
    ]
}

fn cell(column: &Column, value: Option<Value>) -> Cell {
    match value {
        None | Some(Value::NULL) => Cell::Nothing,
        Some(Value::Bytes(bytes)) => String::from_utf8(bytes).map_or(Cell::Strange, Cell::Text),
        Some(Value::Int(number)) => Cell::Whole(number),
        Some(Value::UInt(number)) => i64::try_from(number).map_or(Cell::Strange, Cell::Whole),
        Some(Value::Float(number)) => Cell::Fraction(number.into()),
        Some(Value::Double(number)) => Cell::Fraction(number),
        // What MySQL writes where there is no date.
        Some(Value::Date(0, 0, 0, ..)) => Cell::Nothing,
        Some(Value::Date(year, month, day, hour, minute, second, _)) => {
            let small = |number: u8| i8::try_from(number).unwrap_or(-1);
            let year = i16::try_from(year).unwrap_or(-1);
            let day = civil::Date::new(year, small(month), small(day));
            let time = civil::Time::new(small(hour), small(minute), small(second), 0);
            let (Ok(day), Ok(time)) = (day, time) else { return Cell::Strange };
            match column.column_type() {
                ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => Cell::Day(day),
                // The connection is in UTC, and this type alone is a moment.
                ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_TIMESTAMP2 => {
                    moment(day.to_datetime(time))
                }
                _ => Cell::Local(day.to_datetime(time)),
            }
        }
        Some(Value::Time(..)) => Cell::Strange,
    }
}

fn moment(utc: civil::DateTime) -> Cell {
    let zoned = utc.to_zoned(jiff::tz::TimeZone::UTC);
    zoned.map_or(Cell::Strange, |zoned| Cell::Moment(Timestamp(zoned.timestamp().as_millisecond())))
}

fn failed(error: &mysql_async::Error) -> Failed {
    if let Some(why) = trust::refusal(error) {
        return Failed::Unreached(why);
    }
    let refusal = match error {
        mysql_async::Error::Server(refusal) => refusal,
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            return Failed::Unreached(trust::NO_TLS);
        }
        mysql_async::Error::Io(_) | mysql_async::Error::Driver(_) => {
            return Failed::Unreached("cannot be reached");
        }
        _ => return Failed::Lost,
    };
    // Somebody ended the connection: as he does, and found to be so.
    if [1927, 1053, 4031].contains(&refusal.code) {
        return Failed::Lost;
    }
    // MariaDB's limit on a statement, MySQL's, and a statement that somebody ended.
    if [1969, 3024, 1317].contains(&refusal.code) {
        return Failed::Slow;
    }
    let speaks = ["08", "25", "28", "42"].iter().any(|class| refusal.state.starts_with(class));
    let message = if speaks { said(&refusal.message) } else { "its message may hold a number".into() };
    let what = format!("{message} (error {}, SQLSTATE {})", refusal.code, refusal.state);
    if refusal.state.starts_with("22") { Failed::Unfit(what) } else { Failed::Refused(what) }
}
