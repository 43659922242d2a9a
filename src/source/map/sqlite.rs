//! A table of SQLite, asked by a thread of its own.
//!
//! The database is only read, and always as it is now: nothing of it is kept. A file that is replaced is opened anew. Nobody waits
//! longer than they said, whatever lock another program holds.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Moment};

use rusqlite::ffi::SQLITE_READONLY_ROLLBACK;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, params_from_iter};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Trouble;
use crate::list::Fault;
use crate::list::access::Table;
use crate::smtp::{excerpt, printable};
use crate::source::file::{self, Identity};

/// How long a lock of another program is waited for: half of what a question has.
const BUSY: Duration = Duration::from_millis(250);
/// How long it may take to see whether a database has the table.
const LOOK: Duration = Duration::from_secs(5);
/// Questions that wait for the thread. Each takes some 20 microseconds, or the others are late anyway.
const WAITING: usize = 256;
/// Octets of the longest value or row that is read at all.
const LENGTH: i32 = 1 << 20;
/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 1_000;
/// Octets of an error that are shown.
const SHOWN: usize = 300;
/// What SQLite has no words for.
const CLOSED: &str = "it is in WAL mode, and no program has it open";

/// The database of one map.
pub(super) struct Database {
    table: Table,
    /// Started with the first question: threads that are older than the process' sandbox would not be in it.
    thread: Mutex<Option<SyncSender<Question>>>,
}

struct Question {
    /// Spellings of one key.
    keys: Vec<String>,
    end: Moment,
    answer: oneshot::Sender<Result<Option<Vec<u8>>, Trouble>>,
}

impl Database {
    /// Looks whether the database has the table, and closes it again.
    pub(super) fn open(table: &Table) -> Result<Self, Fault> {
        file::regular(&table.path)?;
        let mut open = Open::new(table).map_err(|error| fault(&error, table))?;
        let end = Moment::now() + LOOK;
        open.find(&[String::new()], end).map_err(|error| {
            if closed(&error, &table.path) { closed_fault(table) } else { fault(&error, table) }
        })?;
        Ok(Self::unseen(table))
    }

    /// One that was not looked at.
    pub(super) fn unseen(table: &Table) -> Self {
        Self { table: table.clone(), thread: Mutex::default() }
    }

    /// What the table has for the first of these keys that it has.
    pub(super) async fn ask(&self, keys: Vec<String>, end: Instant) -> Result<Option<Vec<u8>>, Trouble> {
        let (answer, said) = oneshot::channel();
        let end = Moment::now() + end.saturating_duration_since(Instant::now());
        self.put(Question { keys, end, answer })?;
        said.await.unwrap_or_else(|_| Err(Trouble::Database("its thread has ended".to_owned())))
    }

    fn put(&self, mut question: Question) -> Result<(), Trouble> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*thread {
            match sender.try_send(question) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err(Trouble::Busy),
                Err(TrySendError::Disconnected(back)) => question = back,
            }
        }
        let (sender, questions) = sync_channel(WAITING);
        // There is room for the first.
        let _ = sender.try_send(question);
        let table = self.table.clone();
        std::thread::Builder::new()
            .name("sqlite".to_owned())
            .spawn(move || serve(&table, &questions))
            .map_err(|error| Trouble::Database(error.to_string()))?;
        *thread = Some(sender);
        Ok(())
    }
}

/// Answers until nobody can ask any more.
fn serve(table: &Table, questions: &Receiver<Question>) {
    let mut open: Option<Open> = None;
    for question in questions {
        if question.answer.is_closed() || question.end <= Moment::now() {
            continue;
        }
        let answer = answer(table, &mut open, &question);
        if matches!(answer, Err(Trouble::Database(_))) {
            open = None;
        }
        // Nobody waits for it any more, or somebody does.
        let _ = question.answer.send(answer);
    }
}

fn answer(table: &Table, open: &mut Option<Open>, question: &Question) -> Result<Option<Vec<u8>>, Trouble> {
    let seen = Identity::at(&table.path)
        .map_err(|error| Trouble::Database(printable(error.to_string().as_bytes(), SHOWN)))?;
    if open.as_ref().is_some_and(|open| seen.replaces(&open.identity)) {
        *open = None;
    }
    let open = match open {
        Some(open) => open,
        None => open.insert(Open::new(table).map_err(|error| trouble(&error))?),
    };
    open.find(&question.keys, question.end).map_err(|error| {
        if closed(&error, &table.path) { Trouble::Database(CLOSED.to_owned()) } else { trouble(&error) }
    })
}

/// A database that is open.
struct Open {
    connection: Connection,
    identity: Identity,
    /// `SELECT`, up to the keys.
    query: String,
    /// The column of keys, in quotes.
    key: String,
    /// When the question in work has to end.
    end: Arc<Mutex<Moment>>,
}

impl Open {
    fn new(table: &Table) -> rusqlite::Result<Self> {
        // Taken before: should another file take its place now, the next look finds that.
        let identity =
            Identity::at(&table.path).map_err(|_| rusqlite::Error::InvalidPath(table.path.clone()))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&table.path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LENGTH)?;
        // A view may not call what only its author wants called.
        connection.execute_batch("PRAGMA query_only = 1; PRAGMA trusted_schema = 0;")?;
        let end = Arc::new(Mutex::new(Moment::now() + LOOK));
        let clock = Arc::clone(&end);
        connection.progress_handler(
            STEPS,
            Some(move || Moment::now() >= *clock.lock().unwrap_or_else(PoisonError::into_inner)),
        )?;
        // The names are letters, digits and _.
        let Table { table, key, value, .. } = table;
        let key = format!("\"{table}\".\"{key}\"");
        let query = format!("SELECT \"{table}\".\"{value}\" FROM \"{table}\" WHERE {key} IN ");
        Ok(Self { connection, identity, query, key, end })
    }

    /// The end of a query for so many keys: of rows for several of them that of the first counts.
    fn choice(&self, keys: usize) -> String {
        let places = |n: usize| format!("?{n},CAST(?{n} AS BLOB)");
        let all: Vec<String> = (1..=keys).map(places).collect();
        let ranks: Vec<String> =
            (1..=keys).map(|n| format!("WHEN {} IN ({}) THEN {n}", self.key, places(n))).collect();
        format!("({}) ORDER BY CASE {} END LIMIT 1", all.join(","), ranks.join(" "))
    }

    /// What the table has for the first of these keys that it has, as text or as octets.
    fn find(&mut self, keys: &[String], end: Moment) -> rusqlite::Result<Option<Vec<u8>>> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        let query = format!("{}{}", self.query, self.choice(keys.len()));
        let mut statement = self.connection.prepare(&query)?;
        statement
            .query_row(params_from_iter(keys), |row| {
                Ok(match row.get_ref(0)? {
                    ValueRef::Text(text) => text.to_vec(),
                    ValueRef::Blob(octets) => octets.to_vec(),
                    ValueRef::Integer(number) => number.to_string().into_bytes(),
                    // Neither is a value; it will be told as that.
                    ValueRef::Null | ValueRef::Real(_) => Vec::new(),
                })
            })
            .optional()
    }
}

fn said(error: &rusqlite::Error) -> String {
    excerpt(error.to_string().as_bytes(), SHOWN)
}

/// Whether a question failed since SQLite would have to make the files of WAL mode beside the database, which is for programs that
/// may write there.
fn closed(error: &rusqlite::Error, path: &Path) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => !cut_off(error),
        // What the directory says where its file system is mounted to be read.
        Some(ErrorCode::CannotOpen) => {
            let is_missing = |ending: &str| {
                let mut beside = path.as_os_str().to_owned();
                beside.push(ending);
                matches!(Path::new(&beside).try_exists(), Ok(false))
            };
            path.exists() && (is_missing("-wal") || is_missing("-shm"))
        }
        _ => false,
    }
}

/// Whether a change has to be taken back before anybody can read.
fn cut_off(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_READONLY_ROLLBACK)
}

fn closed_fault(table: &Table) -> Fault {
    let path = printable(table.path.to_string_lossy().as_bytes(), SHOWN);
    let remedy = format!(
        "let the program that writes it keep it open, or end WAL mode: sqlite3 {path} 'PRAGMA journal_mode = DELETE'"
    );
    Fault::whole(format!("cannot be read: {CLOSED}"), remedy)
}

fn trouble(error: &rusqlite::Error) -> Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Trouble::Temporary("another program has locked it".to_owned())
        }
        Some(ErrorCode::OperationInterrupted) => {
            Trouble::Temporary("a key took too long; let the table have an index of its keys".to_owned())
        }
        _ if cut_off(error) => {
            Trouble::Database("a change was cut off; let the program that writes it open it".to_owned())
        }
        _ => Trouble::Database(said(error)),
    }
}

fn fault(error: &rusqlite::Error, table: &Table) -> Fault {
    let shown = |name: &str| excerpt(name.as_bytes(), SHOWN);
    let Table { path, table, key, value } = table;
    let (table, key, value) = (shown(table), shown(key), shown(value));
    let path = printable(path.to_string_lossy().as_bytes(), SHOWN);
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "name a file of SQLite".to_owned(),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "let the account of gatepost read it, and if it is in WAL mode, the files -wal and -shm beside it"
                .to_owned()
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "let the other program end what it does".to_owned()
        }
        _ if cut_off(error) => "a change was cut off; let the program that writes it open it".to_owned(),
        Some(ErrorCode::OperationInterrupted) => {
            format!(
                "let the table have an index: sqlite3 {path} 'CREATE INDEX access_keys ON {table}({key})'"
            )
        }
        Some(ErrorCode::Unknown) => {
            format!("look at it with: sqlite3 {path} 'SELECT {key}, {value} FROM {table} LIMIT 1'")
        }
        _ => format!("look at it with: sqlite3 {path} 'PRAGMA integrity_check'"),
    };
    Fault::whole(format!("cannot be read: {}", said(error)), remedy)
}
