//! TCP, IPv6 and Unix sockets.

use std::os::unix::fs::PermissionsExt as _;

use gatepost::server::Listen;
use tokio::net::{TcpStream, UnixStream};

use super::{Limits, Served, Wire, greeting, packet};

#[tokio::test]
async fn one_server_listens_on_several_sockets_of_all_kinds() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("milter.sock");
    let endpoint = format!("local:{}", path.display());
    let served =
        Served::at(&["inet:0@127.0.0.1", "inet6:0@::1", "inet:0@localhost", &endpoint], Limits::default());
    let mut served_on = 0;
    for listen in &served.listens {
        let octets = [greeting(), packet(b'M', b"<refuse>\0")].concat();
        let codes = match listen {
            Listen::Inet { port, .. } => Wire::dial(*port).await.exchange(&octets, 4).await,
            Listen::Inet6 { port, .. } => {
                let stream = TcpStream::connect(("::1", *port)).await.expect("IPv6");
                Wire::new(stream).exchange(&octets, 4).await
            }
            Listen::Unix(path) => {
                let mode = std::fs::metadata(path).expect("a socket file").permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
                Wire::new(UnixStream::connect(path).await.expect("a socket")).exchange(&octets, 4).await
            }
        };
        assert_eq!(codes, "Occy", "{listen}");
        served_on += 1;
    }
    assert_eq!(served_on, 4);
}

#[tokio::test]
async fn several_runtimes_share_the_sockets_of_one_server() {
    let sockets = "inet:0@127.0.0.1".parse::<Listen>().expect("an endpoint").bind(0).expect("a port");
    let &Listen::Inet { port, .. } = sockets[0].listen() else { unreachable!("it is TCP") };
    let server = gatepost::server::Server::new(super::Puppet, Limits::default());
    let sockets = std::sync::Arc::new(sockets);
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (server, sockets) = (server.clone(), sockets.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(server.serve(&sockets)).expect("served");
            })
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(Wire::dial(port).await.exchange(&greeting(), 3).await, "Occ");
    }
    server.drain();
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert_eq!((server.tally().served, server.tally().open), (20, 0));
}
