//! Tables of SQLite.

use std::os::unix::fs::PermissionsExt as _;

use caps::CapSet;
use rusqlite::Connection;

use super::*;

fn database(folder: &TempDir, name: &str, table: &str) -> (std::path::PathBuf, Connection) {
    let path = folder.path().join(name);
    let connection = Connection::open(&path).expect("a database");
    connection.execute_batch(table).expect("a table");
    for (key, value) in ENTRIES {
        connection.execute("INSERT INTO kvm VALUES (?1, ?2)", [key, value]).expect("an entry");
    }
    (path, connection)
}

#[tokio::test]
async fn a_table_says_what_a_text_says_as_it_is_now() {
    let folder = TempDir::new().expect("a folder");
    for (name, table) in [
        ("text", "CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)"),
        ("wal", "PRAGMA journal_mode = wal; CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)"),
    ] {
        let (path, connection) = database(&folder, name, table);
        let map = open(&format!("sqlite:{}", path.display())).expect("a table");
        says(&map).await;
        connection.execute("UPDATE kvm SET v = 'OK' WHERE k = 'connect:192.0.2'", []).expect("a change");
        assert_eq!(connect(&map, "192.0.2.8").await, Ok(Ruling::Allow));
        connection
            .execute("UPDATE kvm SET k = 'connect:2001:db8'  WHERE k LIKE '%ipv6%'", [])
            .expect("a change");
        assert!(matches!(connect(&map, "2001:db8::1").await, Ok(Ruling::Defer(_))), "any spelling");
        connection.execute("UPDATE kvm SET k = CAST(k AS BLOB), v = CAST(v AS BLOB)", []).expect("a change");
        assert_eq!(connect(&map, "192.0.2.8").await, Ok(Ruling::Allow), "keys of octets");
        connection.execute("UPDATE kvm SET v = NULL", []).expect("a change");
        assert!(matches!(connect(&map, "192.0.2.8").await, Err(Trouble::Value { .. })));
    }
}

#[tokio::test]
async fn of_two_spellings_of_one_key_that_of_gatepost_counts_whatever_their_order_in_the_table() {
    let folder = TempDir::new().expect("a folder");
    let spellings = ["connect:ipv6:2001:db8", "connect:2001:db8"];
    for (n, order) in [[0, 1], [1, 0]].into_iter().enumerate() {
        for table in ["CREATE TABLE kvm (k TEXT, v TEXT)", "CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)"] {
            let name = format!("{n}{}", table.len());
            let path = folder.path().join(name);
            let connection = Connection::open(&path).expect("a database");
            connection.execute_batch(table).expect("a table");
            for at in order {
                let value = ["OK", "REJECT"][at];
                connection
                    .execute("INSERT INTO kvm VALUES (?1, ?2)", [spellings[at], value])
                    .expect("an entry");
            }
            let map = open(&format!("sqlite:{}", path.display())).expect("a table");
            assert_eq!(connect(&map, "2001:db8::1").await, Ok(Ruling::Allow), "{order:?} {table}");
        }
    }
}

#[tokio::test]
async fn a_database_in_the_place_of_another_is_noticed_and_one_that_is_gone_told() {
    let folder = TempDir::new().expect("a folder");
    let table = "CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)";
    let (path, _) = database(&folder, "one", table);
    let map = open(&format!("sqlite:{}", path.display())).expect("a table");
    says(&map).await;
    let (other, connection) = database(&folder, "two", table);
    connection.execute("DELETE FROM kvm", []).expect("a change");
    drop(connection);
    fs::rename(other, &path).expect("another database");
    assert_eq!(connect(&map, "192.0.2.9").await, Ok(Ruling::Nothing));
    fs::remove_file(&path).expect("nothing");
    assert!(matches!(connect(&map, "192.0.2.9").await, Err(Trouble::Database(_))));
    fs::write(&path, "this is something else entirely").expect("a file");
    let trouble = connect(&map, "192.0.2.9").await.expect_err("no database");
    assert!(trouble.to_string().contains("not a database"), "{trouble}");
}

#[tokio::test]
async fn a_lock_and_a_table_without_an_index_cost_no_more_than_the_time_there_is() {
    let folder = TempDir::new().expect("a folder");
    let (path, connection) = database(&folder, "one", "CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)");
    let map = open(&format!("sqlite:{}", path.display())).expect("a table");
    connection.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
    let begun = Instant::now();
    assert!(matches!(connect(&map, "192.0.2.9").await, Err(Trouble::Temporary(_) | Trouble::Late(_))));
    assert!(begun.elapsed() < BUDGET * 3);
    // Three questions that waited for the lock, and the next one does not.
    assert!(connect(&map, "192.0.2.9").await.is_err());
    assert!(connect(&map, "192.0.2.9").await.is_err());
    assert_eq!(connect(&map, "192.0.2.9").await, Err(Trouble::Resting));
    connection.execute_batch("COMMIT").expect("no lock");
    let map = open(&format!("sqlite:{}", path.display())).expect("a table");
    assert_eq!(connect(&map, "192.0.2.9").await, Ok(Ruling::Allow));
    // A view that has no end.
    connection
            .execute_batch("CREATE VIEW endless AS WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n) SELECT 'x' || k AS k, 'OK' AS v FROM n")
            .expect("a view");
    let endless = sqlite_map(&path, "endless");
    let begun = Instant::now();
    let trouble = connect(&endless, "192.0.2.9").await.expect_err("no end");
    assert!(matches!(trouble, Trouble::Temporary(_) | Trouble::Late(_)), "{trouble}");
    assert!(begun.elapsed() < BUDGET * 3);
    // The thread is there for the next question.
    let trouble = connect(&endless, "192.0.2.9").await.expect_err("no end");
    assert!(matches!(trouble, Trouble::Temporary(_) | Trouble::Late(_)), "{trouble}");
}

/// A map that was not looked at.
fn sqlite_map(path: &Path, table: &str) -> Map {
    let location: Location = format!("sqlite:{}?table={table}", path.display()).parse().expect("a location");
    let Location::Sqlite(table) = &location else { panic!("a table") };
    let kind = Kind::Sqlite(Database::unseen(table));
    Map::new(&location, Options::default(), kind)
}

#[test]
fn what_is_no_table_is_told_with_a_remedy() {
    let folder = TempDir::new().expect("a folder");
    let (path, _) = database(&folder, "one", "CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)");
    let shown = path.display();
    let said = refused(&format!("sqlite:{shown}?table=access"));
    assert!(said.contains("no such table: access") && said.contains("look at it with: sqlite3"), "{said}");
    let said = refused(&format!("sqlite:{shown}?key=name"));
    assert!(said.contains("no such column: kvm.name"), "{said}");
    for column in ["table", "key", "value"] {
        let said = refused(&format!("sqlite:{shown}?{column}=abcdefghij0123456789klmnop"));
        assert!(
            said.contains("no such ") && !said.contains("abc"),
            "what looks like a key is not shown: {said}"
        );
    }
    let other = folder.path().join("other");
    fs::write(&other, "Connect:192.0.2 OK\n".repeat(100)).expect("a file");
    assert!(refused(&format!("sqlite:{}", other.display())).contains("name a file of SQLite"));
    assert!(refused(&format!("sqlite:{}", folder.path().display())).contains("this is a directory"));
    assert!(refused("sqlite:/nonexistent/m").contains("create it"));
}

/// What an account sees that may not write into the folder: root may, but for a thread without its capabilities.
fn where_nobody_writes<T: Send>(folder: &TempDir, act: impl AsyncFnOnce() -> T + Send) -> T {
    let mode = |mode| fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("a mode");
    mode(0o555);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let act = || {
        caps::clear(None, CapSet::Effective).expect("no capability");
        runtime.block_on(act())
    };
    let told = std::thread::scope(|scope| scope.spawn(act).join().expect("an end"));
    mode(0o755);
    told
}

#[test]
fn a_database_in_wal_mode_that_no_program_has_open_is_told_with_a_remedy_that_helps() {
    let folder = TempDir::new().expect("a folder");
    let (path, connection) =
        database(&folder, "one", "PRAGMA journal_mode = wal; CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)");
    drop(connection);
    let location = format!("sqlite:{}", path.display());
    let (at_start, later) = where_nobody_writes(&folder, async || {
        (refused(&location), connect(&sqlite_map(&path, "kvm"), "192.0.2.9").await)
    });
    assert!(at_start.contains("it is in WAL mode, and no program has it open"), "{at_start}");
    let remedy = format!("sqlite3 {} 'PRAGMA journal_mode = DELETE'", path.display());
    assert!(at_start.contains(&remedy), "{at_start}");
    let later = later.expect_err("no files beside it").to_string();
    assert_eq!(later, "it cannot be read: it is in WAL mode, and no program has it open");
    let connection = Connection::open(&path).expect("a database");
    connection
        .query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0))
        .expect("another mode");
    drop(connection);
    where_nobody_writes(&folder, async || says(&open(&location).expect("a table")).await);
}

#[test]
fn a_database_whose_last_change_was_cut_off_waits_for_the_program_that_writes_it() {
    let folder = TempDir::new().expect("a folder");
    let (path, connection) = database(&folder, "one", "CREATE TABLE kvm (k TEXT PRIMARY KEY, v TEXT)");
    // So that the change is written before it is committed.
    connection
        .execute_batch("PRAGMA cache_size = 1; CREATE TABLE more (octets BLOB); BEGIN; INSERT INTO more VALUES (zeroblob(200000))")
        .expect("half a change");
    for ending in ["", "-journal"] {
        let [from, to] = ["one", "two"].map(|name| folder.path().join(format!("{name}{ending}")));
        fs::copy(from, to).expect("what a power cut leaves");
    }
    let path = path.with_file_name("two");
    let location = format!("sqlite:{}", path.display());
    let (at_start, later) = where_nobody_writes(&folder, async || {
        (refused(&location), connect(&sqlite_map(&path, "kvm"), "192.0.2.9").await)
    });
    assert!(at_start.contains("a change was cut off; let the program that writes it open it"), "{at_start}");
    assert!(later.expect_err("a change").to_string().contains("a change was cut off"));
    Connection::open(&path)
        .and_then(|connection| connection.query_row("SELECT count(*) FROM kvm", [], |_| Ok(())))
        .expect("a database");
    where_nobody_writes(&folder, async || says(&open(&location).expect("a table")).await);
}
