//! Lists in files: what the configuration says of them, and files as people leave them.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use gatepost::config::{Config, Problem};
use gatepost::gate::{Tables, expect};
use gatepost::list::{Format, Kind as Entries};
use gatepost::source::Watcher;
use gatepost::verdict::{Digest, Identity, Kind};
use tempfile::TempDir;

fn config(toml: &str) -> Config {
    Config::from_texts("", toml).unwrap_or_else(|problems| panic!("{problems}"))
}

fn errors(toml: &str) -> Vec<String> {
    match Config::from_texts("", toml) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.errors.iter().map(ToString::to_string).collect(),
    }
}

fn list(path: &Path, keys: &str) -> String {
    format!("[[list]]\nname = \"own\"\nfile = \"{}\"\n{keys}\n", path.display())
}

/// A file of this content, and what is told of it as a list of these keys: errors, else notices.
fn told(octets: &[u8], keys: &str) -> Result<Vec<String>, Vec<String>> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("own");
    fs::write(&path, octets).expect("a file");
    open(&path, keys)
}

fn open(path: &Path, keys: &str) -> Result<Vec<String>, Vec<String>> {
    let config = config(&list(path, keys));
    let shown = |problems: Vec<Problem>| {
        let folder = format!("{}/", path.parent().expect("a folder").display());
        problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    };
    Tables::open(&config, &Watcher::default(), &[]).map(|(_, notices)| shown(notices)).map_err(shown)
}

const PLAIN: &str = "format = \"plain\"\nkind = \"address\"";

#[test]
fn a_list_in_a_file_has_the_kind_of_its_format() {
    for (keys, kind, entries, identity) in [
        ("format = \"ip4set\"", Kind::Address, Entries::Address, Identity::Client),
        ("format = \"ip6trie\"\nkind = \"address\"", Kind::Address, Entries::Address, Identity::Client),
        ("format = \"dnset\"", Kind::Domain, Entries::Domain, Identity::Helo),
        ("format = \"generic\"\nkind = \"address\"", Kind::Address, Entries::Address, Identity::Client),
        (
            "format = \"plain\"\nkind = \"mailbox\"",
            Kind::Mailbox(Digest::Plain),
            Entries::Mailbox,
            Identity::Sender,
        ),
    ] {
        let config = config(&list(Path::new("/etc/gatepost/lists/own"), keys));
        let own = &config.additions.lists[0];
        let file = own.file.as_ref().expect("a file");
        assert_eq!((own.list.kind(), file.entries), (kind, entries), "{keys}");
        assert!(own.list.is_local() && own.identities.contains(identity), "{keys}");
        assert_eq!(config.files, [PathBuf::from("/etc/gatepost/lists/own")], "a reload reads it again");
    }
    let config = config(&list(Path::new("/x"), "format = \"ip4trie\""));
    assert_eq!(config.additions.lists[0].file.as_ref().expect("a file").format, Format::Ip4Trie);
}

#[test]
fn every_problem_of_a_list_in_a_file_is_told_with_its_place() {
    let toml = r#"
[[list]]
name = "a"
file = "lists/a"
format = "ip4sett"
[[list]]
name = "b"
file = "/lists/b"
zone = "b.example"
key_file = "/lists/key"
hash = "sha1-hex"
refusals = "127.0.0.255"
test = false
on_trouble = "tempfail"
[[list]]
name = "c"
file = "/lists/c"
format = "plain"
[[list]]
name = "d"
file = "/lists/d"
format = "ip4set"
kind = "domain"
[[list]]
name = "e"
zone = "e.example"
kind = "domain"
format = "dnset"
[[list]]
name = "f"
kind = "domain"
[[list]]
name = "g"
file = "/lists/g"
format = "plain"
kind = "addresses"
"#;
    let errors = errors(toml);
    let starts = [
        "gatepost.toml:4:8: list.a.file: the value is no absolute path",
        "gatepost.toml:5:10: list.a.format: ip4sett is no format of a list; did you mean ip4set?",
        "gatepost.toml:6:1: list.b.format: it does not say how the file is written; add format = \"plain\"",
        "gatepost.toml:9:8: list.b.zone: it is about lists in DNS, and this one is a file; remove it, or remove file",
        "gatepost.toml:10:12: list.b.key_file: ",
        "gatepost.toml:11:8: list.b.hash: ",
        "gatepost.toml:12:12: list.b.refusals: ",
        "gatepost.toml:13:8: list.b.test: ",
        "gatepost.toml:14:14: list.b.on_trouble: ",
        "gatepost.toml:15:1: list.c.kind: a plain file does not tell what its lines are",
        "gatepost.toml:23:8: list.d.kind: a file of the format ip4set has no entries of this kind; choose from address",
        "gatepost.toml:28:10: list.e.format: only a file has a format",
        "gatepost.toml:29:1: list.f.zone: it does not say where it is; add zone = \"list.example\", or file = ",
        "gatepost.toml:36:8: list.g.kind: addresses is no kind of list",
    ];
    super::begin(&errors, &starts);
}

#[test]
fn every_wrong_line_of_a_file_is_told_with_its_number() {
    let errors = told(b"192.0.2.1\n# fine\nspam\n192.0.2.0/33\n198.51.100.0/24\n", PLAIN).expect_err("wrong");
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors[0].starts_with("own:3: list.own.file: \"spam\": "), "{errors:#?}");
    assert!(errors[1].starts_with("own:4: list.own.file: \"192.0.2.0/33\": "), "{errors:#?}");
    let many = "spam\n".repeat(1_000);
    let errors = told(many.as_bytes(), PLAIN).expect_err("wrong");
    assert!(
        errors.len() < 30 && errors.last().is_some_and(|last| last.ends_with("and 980 more")),
        "{errors:#?}"
    );
}

#[test]
fn files_as_programs_leave_them_are_read_or_told() {
    let marked = told("\u{feff}192.0.2.1\r\n".as_bytes(), PLAIN).expect("from another system");
    assert!(marked.len() == 1 && marked[0].contains("byte order mark"), "{marked:?}");
    assert_eq!(told(b"# nothing\n", PLAIN).map(|notices| notices.len()), Ok(1), "an empty list is strange");
    for (octets, format, cause) in [
        (&b"192.0.2.1\n192.0.2.2\0\n"[..], "ip4set", "own:2: "),
        (b"192.0.2.1\n\x1b[2J\n", "ip4set", "own:2: "),
        (b"", "ip4set", "own: "),
        (b"<!DOCTYPE html>\n<p>Not found\n", "ip4set", "own"),
        (&vec![b'x'; 10 << 20], "dnset", "own:1: "),
    ] {
        let errors = told(octets, &format!("format = \"{format}\"")).expect_err(cause);
        assert!(errors[0].starts_with(cause) && errors[0].len() < 400, "{errors:#?}");
    }
    // Half a line at the end cannot be told from a whole one where it is an entry, but it can where it is none.
    let errors = told(b"192.0.2.1\n192.0.", PLAIN).expect_err("half a line");
    assert!(errors[0].starts_with("own:2: "), "{errors:#?}");
}

#[test]
fn what_is_no_readable_file_is_told_with_what_it_is() {
    let folder = TempDir::new().expect("a folder");
    let missing = open(&folder.path().join("own"), PLAIN).expect_err("missing");
    assert!(missing[0].starts_with("own: list.own.file: cannot be read: No such file"), "{missing:?}");
    let below = folder.path().join("below");
    fs::create_dir(&below).expect("a folder");
    let directory = open(&below, PLAIN).expect_err("no file");
    assert!(directory[0].contains("this is a directory, not a file"), "{directory:?}");
}

#[test]
fn a_file_outside_of_the_sandbox_is_not_even_tried() {
    let config = config(&list(Path::new("/lists/own"), PLAIN));
    let errors = Tables::open(&config, &Watcher::default(), &["/etc/gatepost".into()]).expect_err("outside");
    assert_eq!(
        errors[0].to_string(),
        "gatepost.toml:3:8: list.own.file: the file cannot be read before a restart; the sandbox of this process \
         reads below /etc/gatepost only; restart it: systemctl restart gatepost"
    );
}

#[test]
fn an_expectation_meets_the_file_unless_it_says_something_else() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("own");
    fs::write(&path, "192.0.2.1 :3:\n").expect("a file");
    let expect = |name: &str, client: &str, more: &str, decision: &str| {
        format!("[[expect]]\nname = \"{name}\"\nclient = \"{client}\"\n{more}\ndecision = \"{decision}\"\n")
    };
    let policy = [
        list(&path, "format = \"ip4set\"\nanswers = { spam = \"127.0.0.3\", dynamic = \"127.0.0.10\" }"),
        "[[rule]]\nname = \"own\"\nlist = \"own\"\ncodes = \"spam\"\naction = \"reject\"\n".to_owned(),
        expect("the file", "192.0.2.1", "", "reject"),
        expect("not in the file", "192.0.2.2", "", "accept"),
        expect("stated", "192.0.2.2", "answers = { own = \"127.0.0.3\" }", "reject"),
        expect("stated otherwise", "192.0.2.1", "answers = { own = \"127.0.0.10\" }", "accept"),
        expect("stated of another", "192.0.2.1", "answers = { \"own 192.0.2.9\" = \"127.0.0.3\" }", "accept"),
    ];
    let config = config(&policy.concat());
    let (tables, _) = Tables::open(&config, &Watcher::default(), &[]).expect("a good file");
    expect::check(&config, &tables).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(
        tables.states().map(|(list, state)| (list.name(), state.entries)).collect::<Vec<_>>(),
        [("own", 1)]
    );
}

#[test]
fn an_expectation_asks_no_map_key_by_key_and_needs_no_runtime() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let server = UnixListener::bind(path("socket")).expect("a socket");
    server.set_nonblocking(true).expect("a socket that does not wait");
    fs::write(path("access"), "Connect:192.0.2.1 REJECT\n").expect("a file");
    let policy = |decision: &str| {
        format!(
            "[access]\nmap = [\"socketmap:unix:{}:access\", \"text:{}\"]\n[enforce]\nstage = \"connect\"\n\
             [[expect]]\nname = \"known\"\nclient = \"192.0.2.1\"\nrecipient = \"b@mail.example\"\n\
             decision = \"{decision}\"\n[[expect]]\nname = \"unknown\"\nclient = \"192.0.2.2\"\n\
             decision = \"accept\"\n",
            path("socket"),
            path("access")
        )
    };
    let check = |decision| {
        let config = config(&policy(decision));
        let (tables, _) = Tables::open(&config, &Watcher::default(), &[]).expect("good maps");
        let told = expect::check(&config, &tables).err().unwrap_or_default();
        told.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let wrong =
        ["gatepost.toml:5:1: expect.known: accept is expected, but it is reject at rcpt by rule access; \
         mend the rules or the expectation; gatepost explain shows such a session"];
    // As at a start, before there is a runtime, and as at a reload.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for _within in [None, Some(runtime.enter())] {
        assert_eq!(check("reject"), [""; 0]);
        assert_eq!(check("accept"), wrong);
    }
    let asked = server.accept().err().map(|error| error.kind());
    assert_eq!(asked, Some(ErrorKind::WouldBlock), "nobody asked the server");
}

#[test]
fn a_file_that_did_not_change_is_not_read_again_for_another_configuration() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("own");
    fs::write(&path, "192.0.2.1\n").expect("a file");
    let watcher = Watcher::default();
    let open = |keys: &str| {
        let config = config(&list(&path, keys));
        let (tables, _) = Tables::open(&config, &watcher, &[]).expect("a good file");
        tables.find(config.additions.lists[0].list).expect("its table").clone()
    };
    let one = open(PLAIN);
    let other = open(&format!("title = \"Other\"\n{PLAIN}"));
    assert!(std::sync::Arc::ptr_eq(&one, &other), "the same table");
    let as_set = open("format = \"ip4set\"");
    assert!(!std::sync::Arc::ptr_eq(&one, &as_set), "read in another way");
    // Broken meanwhile: what is in use stays, and a reload tells.
    fs::write(&path, "192.0.2.1\nspam\n").expect("a file");
    let config = config(&list(&path, PLAIN));
    let errors = Tables::open(&config, &watcher, &[]).expect_err("broken");
    assert!(errors[0].to_string().contains("/own:2: list.own.file: \"spam\""), "{errors:#?}");
    assert_eq!(one.state().entries, 1);
}
