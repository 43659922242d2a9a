//! The TCP connections below the resolver library.
//!
//! hickory-resolver writes, sends, matches and reads the messages on them. Set here is what it leaves open:
//! responses held against the question, and silence in the log. No datagram goes this way.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use hickory_resolver::config::{ConnectionConfig, ProtocolConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::{RuntimeProvider, Spawn, TokioHandle, TokioRuntimeProvider, TokioTime};
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::xfer::{DnsExchange, DnsExchangeSend, DnsHandle};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, Query, ResponseCode};
use hickory_resolver::{ConnectionProvider, PoolContext};
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
    type Conn = Connection;
    type FutureConn = Boxed<Result<Connection, NetError>>;
    type RuntimeProvider = Sockets;

    fn new_connection(
        &self,
        _: IpAddr,
        config: &ConnectionConfig,
        pool: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let (server, sockets, options) = (self.server, self.sockets.clone(), &pool.options);
        match config.protocol {
            ProtocolConfig::Udp => Err("datagrams do not go this way".into()),
            ProtocolConfig::Tcp => {
                let (timeout, active) = (options.timeout, options.max_active_requests);
                let exchange = TcpClientStream::exchange(server, None, timeout, Some(active), sockets);
                Ok(Box::pin(async move { exchange.await.map(Connection) }))
            }
        }
    }

    fn runtime_provider(&self) -> &Sockets {
        &self.sockets
    }
}

/// A connection on which a response to another question is passed over: the library looks at identifiers only.
#[derive(Clone)]
pub(super) struct Connection(DnsExchange<Sockets>);

impl DnsHandle for Connection {
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
    type Udp = <TokioRuntimeProvider as RuntimeProvider>::Udp;
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

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Boxed<io::Result<Self::Udp>> {
        self.0.bind_udp(local, server)
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
