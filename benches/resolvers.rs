//! What a question to a name server on this host takes of whoever asks: by hickory-resolver over UDP, by the same over one
//! TCP connection that is kept, and by gatepost.
//!
//! `cargo bench --bench resolvers`; needs strace. What came of it stands in `docs/architecture.md`. The name server and each way of asking
//! have a process of their own (this binary with a port as the argument), so that nobody's time counts for another.

#[expect(dead_code, reason = "the other benchmarks use the rest of it")]
mod alone;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gatepost::dns::{Answer, Answers, Dns, Key, Settings, Source, Subject};
use gatepost::verdict::List;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use alone::{Failure, cpu, number};

const KEY: &str = "b3nchb3nchb3nchb3nchb3nchb";
const ZONE: &str = "zen.dq.spamhaus.net";

/// Questions of a round, those before that do not count, and how many wait at once.
const QUESTIONS: u64 = 20_000;
const WARM_UP: u64 = 2_000;
const AT_ONCE: u64 = 16;
const ROUNDS: usize = 7;

/// The ways of asking: word, and title in the table.
const WAYS: [(&str, &str); 4] = [
    ("udp", "hickory-resolver, UDP"),
    ("tcp", "hickory-resolver, one kept TCP connection"),
    ("own", "gatepost, with all that it does about a question"),
    ("table", "the same, answered from a table without any datagram"),
];

fn main() -> ExitCode {
    alone::begin("resolvers", one, all)
}

fn one(what: &str, port: usize) -> Result<u32, Failure> {
    if what == "server" {
        return serve();
    }
    let server = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?));
    let asker = match what {
        "udp" => Asker::Library(library(server, ConnectionConfig::udp())?),
        "tcp" => Asker::Library(library(server, ConnectionConfig::tcp())?),
        "own" => Asker::Own(own(server, Source::Resolver)?),
        "table" => Asker::Own(own(server, Source::Table(Arc::new(Nobody)))?),
        _ => return Err("no such way of asking".into()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(Arc::new(asker)))?;
    Ok(0)
}

fn all() -> Result<u32, Failure> {
    let mut server = Tethered(
        Command::new(std::env::current_exe()?).args(["server", "0"]).stdout(Stdio::piped()).spawn()?,
    );
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let port = line.trim();
    // The ways take turns.
    let mut rounds = [const { Vec::new() }; WAYS.len()];
    for _ in 0..ROUNDS {
        for ((way, _), rounds) in WAYS.iter().zip(&mut rounds) {
            let output =
                Command::new(std::env::current_exe()?).args([way, port]).stderr(Stdio::inherit()).output()?;
            let said = String::from_utf8(output.stdout)?;
            let figures: Vec<f64> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
            let figures: [f64; 3] = figures.try_into().map_err(|_| format!("{way}: {}", output.status))?;
            rounds.push(figures);
        }
    }
    println!("\n### A question to a name server on this host, {AT_ONCE} at once\n");
    println!("| asked by | µs CPU/question | spread | system calls | p50 µs | p99 µs |");
    println!("|---|---:|---:|---:|---:|---:|");
    for ((way, title), rounds) in WAYS.iter().zip(&rounds) {
        let [cpu, p50, p99] = [0, 1, 2].map(|place| {
            let mut figures: Vec<f64> = rounds.iter().map(|figures| figures[place]).collect();
            figures.sort_by(f64::total_cmp);
            figures
        });
        let middle = ROUNDS / 2;
        let (least, most) = (cpu[0], cpu[ROUNDS - 1]);
        let calls = calls(way, port)?;
        println!(
            "| {title} | {:.1} | {least:.1} – {most:.1} | {calls:.1} | {:.0} | {:.0} |",
            cpu[middle], p50[middle], p99[middle]
        );
    }
    Ok(0)
}

/// System calls of a question, counted by strace, under which everything is slow: so more is waiting at each look.
fn calls(way: &str, port: &str) -> Result<f64, Failure> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o", "/dev/stdout"]).arg(std::env::current_exe()?).args([way, port]);
    let output = strace.output().map_err(|error| format!("strace: {error}; is it installed?"))?;
    let summary = String::from_utf8(output.stdout)?;
    let total = summary.lines().find(|line| line.ends_with(" total"));
    // Share, seconds, microseconds a call, calls, errors if any, "total".
    let calls =
        total.and_then(|line| line.split_whitespace().nth(3)).ok_or("strace: no total in its summary")?;
    Ok(calls.parse::<f64>()? / number(WARM_UP + QUESTIONS))
}

/// A process that ends with the measurement.
struct Tethered(Child);

impl Drop for Tethered {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

enum Asker {
    Library(Box<TokioResolver>),
    Own(Arc<Dns>),
}

impl Asker {
    /// Asks about the client with this number, on which no list has an entry.
    async fn ask(&self, client: u32) -> Result<(), Failure> {
        let ip = Ipv4Addr::from_bits(client);
        match self {
            Self::Library(resolver) => {
                let [a, b, c, d] = ip.octets();
                let name = Name::from_ascii(format!("{d}.{c}.{b}.{a}.{KEY}.{ZONE}."))?;
                match resolver.lookup(name, RecordType::A).await {
                    Err(error) if error.is_nx_domain() => Ok(()),
                    other => Err(format!("{ip}: {other:?}").into()),
                }
            }
            Self::Own(dns) => {
                let mut ticket = dns.ask(List::ZEN, Subject::Ip(IpAddr::V4(ip)));
                let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
                match ticket.wait(deadline).await.answer {
                    Answer::NotListed => Ok(()),
                    other => Err(format!("{ip}: {other:?}").into()),
                }
            }
        }
    }
}

/// The library as it comes, but for its cache, its second question at the same time, and its limit of questions on one connection.
fn library(server: SocketAddr, mut connection: ConnectionConfig) -> Result<Box<TokioResolver>, Failure> {
    connection.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    options.num_concurrent_reqs = 1;
    options.max_active_requests = 4_096;
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
    let provider = TokioRuntimeProvider::default();
    Ok(Box::new(TokioResolver::builder_with_config(config, provider).with_options(options).build()?))
}

fn own(server: SocketAddr, source: Source) -> Result<Arc<Dns>, Failure> {
    let settings = Settings { servers: vec![server], ..Settings::default() };
    Ok(Dns::new(settings, Some(Key::new(KEY)?), source))
}

/// A table in which nobody is listed.
struct Nobody;

impl Answers for Nobody {
    fn answer(&self, _: &str) -> Vec<Ipv4Addr> {
        Vec::new()
    }
}

/// Prints microseconds of CPU for a question, and half and 99 of a hundred waiting times in microseconds.
async fn measure(asker: Arc<Asker>) -> Result<(), Failure> {
    // 8.0.0.0/8: addresses that may be asked about.
    let next = Arc::new(AtomicU64::new(0x0800_0000));
    ask_all(&asker, &next, WARM_UP).await?;
    let begun = cpu()?;
    let mut waits = ask_all(&asker, &next, QUESTIONS).await?;
    let each = (cpu()? - begun) * 1e6 / number(QUESTIONS);
    waits.sort_unstable();
    let at = |share: usize| waits[waits.len() * share / 100].as_secs_f64() * 1e6;
    println!("{each} {} {}", at(50), at(99));
    Ok(())
}

/// Asks so many questions, each of them new, and tells how long each waited.
async fn ask_all(
    asker: &Arc<Asker>,
    next: &Arc<AtomicU64>,
    questions: u64,
) -> Result<Vec<Duration>, Failure> {
    let end = next.load(Ordering::Relaxed) + questions;
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (asker, next) = (Arc::clone(asker), Arc::clone(next));
        askers.spawn(async move {
            let mut waits = Vec::new();
            loop {
                let client = next.fetch_add(1, Ordering::Relaxed);
                if client >= end {
                    return Ok::<_, Failure>(waits);
                }
                let begun = Instant::now();
                asker.ask(u32::try_from(client)?).await?;
                waits.push(begun.elapsed());
            }
        });
    }
    let mut waits = Vec::new();
    for part in askers.join_all().await {
        waits.extend(part?);
    }
    Ok(waits)
}

/// The name server: nobody is listed. Prints its port.
fn serve() -> Result<u32, Failure> {
    let tcp = TcpListener::bind(("127.0.0.1", 0))?;
    let udp = UdpSocket::bind(tcp.local_addr()?)?;
    println!("{}", udp.local_addr()?.port());
    thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            // It ends with the connection.
            thread::spawn(move || answer_stream(stream));
        }
    });
    let mut question = [0; 1_500];
    loop {
        let (length, client) = udp.recv_from(&mut question)?;
        udp.send_to(&answer(&question[..length])?, client)?;
    }
}

fn answer_stream(stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut questions = BufReader::new(stream.try_clone()?);
    let mut answers = stream;
    loop {
        let mut length = [0; 2];
        questions.read_exact(&mut length)?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        questions.read_exact(&mut question)?;
        let answer = answer(&question)?;
        answers.write_all(&[&u16::try_from(answer.len())?.to_be_bytes(), &answer[..]].concat())?;
    }
}

fn answer(question: &[u8]) -> Result<Vec<u8>, Failure> {
    let question = Message::from_vec(question)?;
    let mut answer = Message::response(question.id, question.op_code);
    answer.metadata.response_code = ResponseCode::NXDomain;
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(question.queries.first().ok_or("no question")?.clone());
    let zone = Name::from_ascii(format!("{ZONE}."))?;
    let soa = SOA::new(zone.clone(), zone.clone(), 1, 3_600, 600, 86_400, 60);
    answer.add_authority(Record::from_rdata(zone, 60, RData::SOA(soa)));
    Ok(answer.to_vec()?)
}
