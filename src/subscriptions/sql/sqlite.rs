//! SQLite: the file is opened for each question, to read only. That takes a fraction of a millisecond, and a file that
//! was replaced by another is seen at once.

use super::{
    Failed, MOST_ROWS, Query,
    row::{self, Cell, Row},
    said,
};
use crate::{aside, ids::Phone};
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags, params_from_iter, types::ValueRef};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub(super) struct Sqlite {
    pub(super) path: PathBuf,
    pub(super) query: Query,
    pub(super) timeout: Duration,
}

impl Sqlite {
    pub(super) async fn rows(&self, phone: Phone) -> Result<Vec<Row>, Failed> {
        let interrupt = Interrupt::default();
        let (path, query, timeout) = (self.path.clone(), self.query.clone(), self.timeout);
        let handle = Arc::clone(&interrupt.0);
        let work = move || ask(&path, &query, timeout, phone, &handle).map_err(|error| failed(&error));
        aside::run(work).await.unwrap_or(Err(Failed::Lost))
    }
}

/// Ends the query when nobody waits for it any more.
#[derive(Default)]
struct Interrupt(Arc<Mutex<Option<InterruptHandle>>>);

impl Drop for Interrupt {
    fn drop(&mut self) {
        if let Some(handle) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            handle.interrupt();
        }
    }
}

fn ask(
    path: &Path,
    query: &Query,
    timeout: Duration,
    phone: Phone,
    handle: &Mutex<Option<InterruptHandle>>,
) -> rusqlite::Result<Vec<Row>> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(db.get_interrupt_handle());
    db.busy_timeout(timeout)?;
    let mut statement = db.prepare(&query.text)?;
    let names: Vec<String> = statement.column_names().map(str::to_lowercase).collect();
    let mut answer = statement.query(params_from_iter(query.values(phone)))?;
    let mut rows = Vec::new();
    while let Some(row) = answer.next()? {
        let cells = names.iter().enumerate().map(|(at, name)| Ok((name.clone(), cell(row.get_ref(at)?))));
        rows.push(row::of(cells.collect::<rusqlite::Result<Vec<_>>>()?));
        if rows.len() > MOST_ROWS {
            break;
        }
    }
    Ok(rows)
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Nothing,
        ValueRef::Integer(number) => Cell::Whole(number),
        ValueRef::Real(number) => Cell::Fraction(number),
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map_or(Cell::Strange, |text| Cell::Text(text.to_owned()))
        }
        ValueRef::Blob(_) => Cell::Strange,
    }
}

fn failed(error: &rusqlite::Error) -> Failed {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => {
            Failed::Unreached("cannot be opened: there is no such file, or no right to read it")
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Failed::Unreached("is no SQLite file"),
        Some(ErrorCode::OperationInterrupted | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Failed::Slow
        }
        Some(ErrorCode::Unknown) | None => Failed::Refused(match error {
            // Of the query: no such table, no such column, a slip.
            rusqlite::Error::SqliteFailure(_, Some(message)) => said(message),
            rusqlite::Error::SqlInputError { msg, .. } => said(msg),
            _ => "it cannot be run".into(),
        }),
        Some(code) => Failed::Refused(format!("{code:?}")),
    }
}
