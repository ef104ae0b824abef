//! Opening the file: the lock beside it, its connections and their settings, the schema and its migrations.

use super::{SqliteStore, checkpoint::Checkpointer, readers::Readers, writer::Writer};
use crate::{clock::Clock, store::StoreError};
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

mod embedded {
    refinery::embed_migrations!("src/store/migrations");
}

/// Connections for look-ups.
const READERS: usize = 2;
/// The first SQLite without the WAL-reset bug, which needs a second connection to strike: ours checkpoints.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Opens the store, making file and folder where they are missing. Holds the file for itself until it is dropped:
/// a second opening is refused with [`StoreError::Locked`].
pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<SqliteStore, StoreError> {
    let version = rusqlite::version_number();
    if version < OLDEST_SQLITE {
        return Err(StoreError::Broken(format!(
            "SQLite {version} can damage files; 3.51.3 or newer is needed"
        )));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| cannot("make the folder of", path, &error))?;
    }
    let lock = lock(path)?;
    let mut db = connect(path, 4096)?;
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    db.execute_batch("PRAGMA journal_size_limit = 16777216; PRAGMA wal_autocheckpoint = 0;")?;
    migrate(&mut db, &path.display().to_string())?;
    let checkpoints = connect(path, 256)?;
    let checkpointer = Checkpointer::start(checkpoints)
        .map_err(|error| StoreError::Unavailable(format!("no thread for it: {error}")))?;
    let readers = (0..READERS).map(|_| connect_for_reading(path)).collect::<Result<_, _>>()?;
    Ok(SqliteStore {
        writer: Writer::start(db, checkpointer)?,
        readers: Readers::new(readers),
        clock,
        alert_bell: Arc::default(),
        _lock: Some(lock),
    })
}

/// A database of this process alone, with the schema.
pub(super) fn in_memory() -> Result<Connection, StoreError> {
    let mut db = Connection::open_in_memory()?;
    settle_in(&db, 4096)?;
    migrate(&mut db, "the store in memory")?;
    Ok(db)
}

fn cannot(what: &str, path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("cannot {what} {}: {error}", path.display()))
}

/// The operating system takes the lock back when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(|error| cannot("open", &name, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(cannot("lock", &name, &error)),
    }
}

fn connect(path: &Path, cache_kib: i32) -> Result<Connection, StoreError> {
    let db = Connection::open(path)?;
    settle_in(&db, cache_kib)?;
    db.pragma_update(None, "synchronous", "full")?;
    Ok(db)
}

fn connect_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    settle_in(&db, 1024)?;
    Ok(db)
}

fn settle_in(db: &Connection, cache_kib: i32) -> Result<(), StoreError> {
    db.set_prepared_statement_cache_capacity(256);
    // Else a statement is planned anew whenever a bound value might have led to another plan: a quarter of all work.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.pragma_update(None, "cache_size", -cache_kib)?;
    db.pragma_update(None, "temp_store", "memory")?;
    Ok(())
}

fn migrate(db: &mut Connection, file: &str) -> Result<(), StoreError> {
    let runner = embedded::migrations::runner();
    let known = runner.get_migrations().iter().map(|migration| migration.version()).max().unwrap_or(0);
    let found = schema_version(db)?;
    let (known, found) = (u32::try_from(known).unwrap_or(0), u32::try_from(found).unwrap_or(u32::MAX));
    if found > known {
        return Err(StoreError::NewerSchema { file: file.to_owned(), found, known });
    }
    if found < known {
        runner.run(db).map_err(|error| {
            StoreError::Broken(format!("its schema cannot be brought up to date: {error}"))
        })?;
    }
    Ok(())
}

fn schema_version(db: &Connection) -> Result<i64, StoreError> {
    let history = "SELECT count(*) FROM sqlite_master WHERE name = 'refinery_schema_history'";
    if db.query_row(history, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";
    Ok(db.query_row(newest, [], |row| row.get(0))?)
}
