//! Tables of SQLite.

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
