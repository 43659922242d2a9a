//! The sockets below the resolver library.
//!
//! hickory-resolver writes, sends, matches and reads the messages. Set here is what its own sockets leave
//! open: one datagram per try, connected UDP sockets, TCP responses held against the question, and silence
//! in the log.

use std::future::{Future, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use hickory_resolver::config::{ConnectionConfig, ProtocolConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::{
    DnsUdpSocket, RuntimeProvider, Spawn, TokioHandle, TokioRuntimeProvider, TokioTime,
};
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsExchange, DnsExchangeSend, DnsHandle};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, Query, ResponseCode};
use hickory_resolver::{ConnectionProvider, PoolContext};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The connections to one name server.
#[derive(Clone)]
pub(super) struct Wire {
    /// The whole address: the resolver's own configuration would lose an IPv6 scope.
    server: SocketAddr,
    sockets: Sockets,
}

impl Wire {
    pub(super) fn to(server: SocketAddr) -> Self {
        Self { server, sockets: Sockets::default() }
    }
}

impl ConnectionProvider for Wire {
    type Conn = Line;
    type FutureConn = Boxed<Result<Line, NetError>>;
    type RuntimeProvider = Sockets;

    fn new_connection(
        &self,
        _: IpAddr,
        config: &ConnectionConfig,
        pool: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let (server, sockets, options) = (self.server, self.sockets.clone(), &pool.options);
        match config.protocol {
            ProtocolConfig::Udp => {
                let exchange = UdpClientStream::builder(server, sockets)
                    .with_timeout(Some(options.timeout))
                    .with_os_port_selection(options.os_port_selection)
                    // The datagram itself. Left alone, the library sends it again after a time of its own.
                    .with_max_retries(1)
                    .exchange();
                Ok(Box::pin(ready(Ok(Line(exchange)))))
            }
            ProtocolConfig::Tcp => {
                let (timeout, active) = (options.timeout, options.max_active_requests);
                let exchange = TcpClientStream::exchange(server, None, timeout, Some(active), sockets);
                Ok(Box::pin(async move { exchange.await.map(Line) }))
            }
        }
    }

    fn runtime_provider(&self) -> &Sockets {
        &self.sockets
    }
}

/// A connection on which a response to another question is passed over.
///
/// The library does that for datagrams. On a TCP connection it looks at identifiers only.
#[derive(Clone)]
pub(super) struct Line(DnsExchange<Sockets>);

impl DnsHandle for Line {
    type Response = Responses;
    type Runtime = Sockets;

    fn send(&self, request: DnsRequest) -> Responses {
        Responses { asked: request.queries.clone(), stream: self.0.send(request) }
    }
}

/// The responses to one question.
pub(super) struct Responses {
    asked: Vec<Query>,
    stream: DnsExchangeSend<Sockets>,
}

impl Responses {
    fn belongs(&self, response: &DnsResponse) -> bool {
        // An error may come without the question.
        let is_error = !matches!(response.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
        response.queries == self.asked || response.queries.is_empty() && is_error
    }
}

impl Stream for Responses {
    type Item = Result<DnsResponse, NetError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.stream.poll_next_unpin(cx)) {
                Some(Ok(response)) if !self.belongs(&response) => {}
                response => return Poll::Ready(response),
            }
        }
    }
}

/// Makes sockets on the present tokio runtime.
#[derive(Clone, Default)]
pub(super) struct Sockets(TokioRuntimeProvider);

impl RuntimeProvider for Sockets {
    type Handle = Silent;
    type Timer = TokioTime;
    type Udp = Socket;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Silent {
        Silent(self.0.create_handle())
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        local: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Boxed<io::Result<Self::Tcp>> {
        self.0.connect_tcp(server, local, timeout)
    }

    fn bind_udp(&self, local: SocketAddr, peer: SocketAddr) -> Boxed<io::Result<Socket>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(local).await?;
            // The kernel drops what comes from elsewhere, and reports at once when nobody listens.
            socket.connect(peer).await?;
            Ok(Socket { socket, peer })
        })
    }
}

/// A UDP socket for one question.
pub(super) struct Socket {
    socket: UdpSocket,
    peer: SocketAddr,
}

impl DnsUdpSocket for Socket {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        octets: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut octets = ReadBuf::new(octets);
        ready!(self.socket.poll_recv(cx, &mut octets))?;
        Poll::Ready(Ok((octets.filled().len(), self.peer)))
    }

    /// Unlike the polling sibling, this one hears of errors too: that nobody listens, for one.
    fn recv_from<'a: 'f, 'b: 'f, 'f>(
        &'a self,
        octets: &'b mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<(usize, SocketAddr)>> + Send + 'f>>
    where
        Self: 'f,
    {
        Box::pin(async move { Ok((self.socket.recv(octets).await?, self.peer)) })
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, octets: &[u8], _: SocketAddr) -> Poll<io::Result<usize>> {
        self.socket.poll_send(cx, octets)
    }
}

/// Runs the library's background tasks where they cannot log.
#[derive(Clone)]
pub(super) struct Silent(TokioHandle);

impl Spawn for Silent {
    fn spawn_bg(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn_bg(silently(task));
    }
}

/// What the library would log holds queried names, and with them the key: it goes nowhere, whatever log
/// is set up.
pub(super) fn silently<F: Future>(task: F) -> impl Future<Output = F::Output> {
    task.with_subscriber(Dispatch::none())
}
