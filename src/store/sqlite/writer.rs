//! The one writer: a thread that takes all waiting requests, commits them together and answers each after the commit.
//!
//! A request is a closure over the connection. It runs in a savepoint of its own, so a failing one takes back its own
//! changes and nothing else. Checkpoints belong to [`super::checkpoint`]; this thread makes one only when the write-ahead
//! log has grown beyond its bound.

use super::{checkpoint::Checkpointer, in_line::Hand};
use crate::store::StoreError;
use rusqlite::Connection;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the thread before callers wait too.
const QUEUE: usize = 4096;
/// Requests committed together at most.
const BATCH: usize = 512;

/// A request while it is under way.
trait Request: Send {
    /// Does the work; `false` if it failed and its changes must be taken back.
    fn run(&mut self, db: &Connection) -> bool;
    /// Whether its changes need a savepoint to be taken back (a single statement takes back its own).
    fn needs_savepoint(&self) -> bool;
    /// Answers: what it came to, or why the commit failed.
    fn answer(self: Box<Self>, commit: Result<(), &str>);
}

struct Work<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    single_statement: bool,
}

impl<T, F> Request for Work<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, db: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(db));
        matches!(self.result, Some(Ok(_)))
    }

    fn needs_savepoint(&self) -> bool {
        !self.single_statement
    }

    fn answer(self: Box<Self>, commit: Result<(), &str>) {
        let result = match (commit, self.result) {
            (Ok(()), Some(result)) => result,
            (Err(_), Some(Err(error))) => Err(error),
            (Err(why), _) => Err(StoreError::Unavailable(why.into())),
            (Ok(()), None) => Err(StoreError::Broken("a request was never run".into())),
        };
        // Nobody listens any more: the caller gave up waiting. The work is done all the same.
        let _ = self.reply.send(result);
    }
}

/// The way to the writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Request>>>,
    thread: Option<JoinHandle<()>>,
    /// Instead of both: a hand that does the work at once.
    in_line: Option<Hand>,
}

impl std::fmt::Debug for dyn Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request")
    }
}

impl Writer {
    /// Starts the thread. It owns the connection until the last request is answered.
    pub(super) fn start(db: Connection, checkpointer: Checkpointer) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || serve(&db, requests, checkpointer))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), in_line: None })
    }

    /// No thread at all.
    pub(super) fn in_line(hand: Hand) -> Self {
        Self { queue: None, thread: None, in_line: Some(hand) }
    }

    /// Runs `work` in a transaction and answers once it is durable.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(work, false).await
    }

    /// As [`Writer::run`], for work that changes the database by a single statement.
    pub(super) async fn run_single<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(work, true).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        single_statement: bool,
    ) -> Result<T, StoreError> {
        if let Some(hand) = &self.in_line {
            return hand.write(work, single_statement).await;
        }
        let gone = || StoreError::Unavailable("its writer has stopped".into());
        let (reply, answer) = oneshot::channel();
        let request = Work { work: Some(work), result: None, reply, single_statement };
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.send(Box::new(request)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    /// Lets the thread finish what is queued, and waits for it: after this the file is closed.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(db: &Connection, mut requests: mpsc::Receiver<Box<dyn Request>>, checkpointer: Checkpointer) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let Some(first) = requests.blocking_recv() else { break };
        batch.push(first);
        while batch.len() < BATCH {
            match requests.try_recv() {
                Ok(request) => batch.push(request),
                Err(_) => break,
            }
        }
        commit(db, &mut batch);
        if checkpointer.wrote() {
            // The background's passive checkpoints never caught up; between two transactions one does.
            let _ = db.execute_batch("PRAGMA wal_checkpoint(PASSIVE)");
        }
    }
    drop(checkpointer);
}

/// One piece of work in a transaction of its own.
pub(super) fn commit_alone<T: Send + 'static>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    single_statement: bool,
) -> Result<T, StoreError> {
    let (reply, mut answer) = oneshot::channel();
    commit(db, &mut vec![Box::new(Work { work: Some(work), result: None, reply, single_statement })]);
    answer.try_recv().unwrap_or_else(|_| Err(StoreError::Broken("a request was never answered".into())))
}

/// Commits the whole batch, unless the database itself ends the transaction: then what ran so far has failed and the
/// rest gets a transaction of its own.
fn commit(db: &Connection, batch: &mut Vec<Box<dyn Request>>) {
    while !batch.is_empty() {
        if let Err(error) = statement(db, "BEGIN IMMEDIATE") {
            return answer_all(batch.drain(..), Err(&error.to_string()));
        }
        let mut ran = 0;
        for request in batch.iter_mut() {
            ran += 1;
            run_one(db, request.as_mut());
            if db.is_autocommit() {
                break;
            }
        }
        let committed = if db.is_autocommit() {
            Err("the transaction was given up by the database".to_owned())
        } else {
            statement(db, "COMMIT").map_err(|error| error.to_string())
        };
        if committed.is_err() && !db.is_autocommit() {
            let _ = statement(db, "ROLLBACK");
        }
        answer_all(batch.drain(..ran), committed.as_ref().map(|_| ()).map_err(String::as_str));
    }
}

fn run_one(db: &Connection, request: &mut dyn Request) {
    if !request.needs_savepoint() {
        request.run(db);
        return;
    }
    let begun = statement(db, "SAVEPOINT request").is_ok();
    let fine = request.run(db);
    if begun && !db.is_autocommit() {
        if !fine {
            let _ = statement(db, "ROLLBACK TO request");
        }
        let _ = statement(db, "RELEASE request");
    }
}

fn answer_all(requests: impl Iterator<Item = Box<dyn Request>>, commit: Result<(), &str>) {
    for request in requests {
        request.answer(commit);
    }
}

fn statement(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<Result<usize, StoreError>>;

    fn request(batch: &mut Vec<Box<dyn Request>>, sql: &'static str) -> Answer {
        let (reply, answer) = oneshot::channel();
        let work = move |db: &Connection| {
            db.execute("INSERT INTO t VALUES ('first half of ' || ?)", [sql])?;
            Ok(db.execute(sql, [])?)
        };
        batch.push(Box::new(Work { work: Some(work), result: None, reply, single_statement: false }));
        answer
    }

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (text TEXT NOT NULL)").unwrap();
        db
    }

    fn stored(db: &Connection) -> i64 {
        db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_failing_request_takes_back_its_own_changes_only() {
        let db = database();
        let mut batch = Vec::new();
        let mut before = request(&mut batch, "INSERT INTO t VALUES ('a')");
        let mut wrong = request(&mut batch, "INSERT INTO t VALUES (NULL)");
        let mut behind = request(&mut batch, "INSERT INTO t VALUES ('b')");
        commit(&db, &mut batch);
        assert!(before.try_recv().unwrap().is_ok() && behind.try_recv().unwrap().is_ok());
        assert!(matches!(wrong.try_recv().unwrap(), Err(StoreError::Broken(_))));
        assert_eq!(stored(&db), 4);
    }

    #[test]
    fn a_full_disk_loses_nothing_that_was_answered() {
        let db = database();
        db.execute_batch("PRAGMA max_page_count = 20").unwrap();
        let mut batch = Vec::new();
        let mut small = request(&mut batch, "INSERT INTO t VALUES ('a')");
        let mut large = request(&mut batch, "INSERT INTO t VALUES (hex(zeroblob(1000000)))");
        let mut behind = request(&mut batch, "INSERT INTO t VALUES ('b')");
        commit(&db, &mut batch);
        assert!(matches!(large.try_recv().unwrap(), Err(StoreError::Unavailable(_))));
        let answered = [small.try_recv().unwrap(), behind.try_recv().unwrap()];
        let durable = 2 * answered.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(stored(&db), i64::try_from(durable).unwrap(), "{answered:?}");
        assert!(answered[1].is_ok(), "the next request finds room again");
    }

    #[test]
    fn a_commit_that_fails_fails_every_request_of_it() {
        let db = database();
        db.execute_batch(
            "PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
        )
        .unwrap();
        let mut batch = Vec::new();
        let mut fine = request(&mut batch, "INSERT INTO t VALUES ('a')");
        let mut orphan = request(&mut batch, "INSERT INTO child VALUES (7)");
        commit(&db, &mut batch);
        for answer in [fine.try_recv().unwrap(), orphan.try_recv().unwrap()] {
            assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        }
        assert_eq!(stored(&db), 0);
        let mut batch = Vec::new();
        let mut next = request(&mut batch, "INSERT INTO t VALUES ('b')");
        commit(&db, &mut batch);
        assert!(next.try_recv().unwrap().is_ok(), "the writer goes on");
    }
}
