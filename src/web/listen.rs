//! Connections of the HTTP door: a bounded number of them, TLS if it is configured, one deadline for each head and one for
//! each write that makes no progress. A slow client holds its own connection, and nothing else.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::WebState;
use super::addresses::AddressTable;
use super::guard::ConnectionState;
use crate::limits::{WEB_BUFFER_BYTES, WEB_CONNECTIONS_MAX};

/// How long a head may take, also the first one of an idle connection.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// A client that takes nothing for this long is gone.
const WRITE_STALLS: Duration = Duration::from_secs(30);
/// How long a client may take to end a connection of which it has read everything.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Over TLS the client may end first, for this long.
const CLIENT_ENDS_WITHIN: Duration = Duration::from_secs(2);
/// Nothing wakes us when the last byte is acknowledged: it is looked at this often.
const ACKNOWLEDGED_AGAIN: Duration = Duration::from_millis(2);

/// Accepts until the node stops. Beyond the bound connections wait in the socket.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    web: Arc<WebState>,
) {
    let room = Arc::new(Semaphore::new(WEB_CONNECTIONS_MAX));
    let addresses = AddressTable::default();
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, from)) => {
                // One address may not take the room of all others.
                let Some(address) = addresses.take(from.ip()) else { continue };
                let (tls, router, state) = (tls.clone(), router.clone(), Arc::clone(&web));
                web.services.door.spawn(async move {
                    serve(stream, tls, router, state).await;
                    drop((permit, address));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the HTTP door cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router, web: Arc<WebState>) {
    let Ok(local) = stream.local_addr() else { return };
    // Small answers must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    match tls {
        None => exchange(stream, local, router, web).await,
        Some(tls) => {
            let stopped = web.services.door.stopped();
            let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream));
            tokio::select! {
                () = stopped => {}
                done = handshake => {
                    if let Ok(Ok(stream)) = done {
                        exchange(stream, local, router, web.clone()).await;
                    }
                }
            }
        }
    }
}

/// Answers the requests of one connection.
async fn exchange<S>(stream: S, local: SocketAddr, router: Router, web: Arc<WebState>)
where
    S: AsyncRead + AsyncWrite + OverTcp + Unpin + Send + 'static,
{
    let state = ConnectionState::new(local.ip());
    let for_requests = state.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(for_requests.clone());
        let answering = TowerToHyperService::new(router.clone()).call(request);
        let answering: Answering = Box::pin(answering);
        answering
    });
    let io = TokioIo::new(PacedStream { inner: stream, stalled: None });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(WEB_BUFFER_BYTES)
        .serve_connection(io, service);
    let mut stopped = pin!(web.services.door.stopped());
    let mut is_stopping = false;
    let served = std::future::poll_fn(|cx| {
        if !is_stopping && stopped.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    });
    if served.await.is_err() {
        return;
    }
    let mut stream = connection.into_parts().io.into_inner();
    let ended = tokio::time::timeout(END_WITHIN, end(&mut stream)).await;
    if let Some(position) = state.take_owed()
        && matches!(ended, Ok(Ok(())))
    {
        position.taken(&web).await;
    }
}

/// A stream over TCP.
trait OverTcp {
    /// The end of the stream is a message of its own, which a client that closes leaves unread.
    const ENDS_BY_MESSAGE: bool;
    fn tcp(&mut self) -> &mut TcpStream;
}

impl OverTcp for TcpStream {
    const ENDS_BY_MESSAGE: bool = false;
    fn tcp(&mut self) -> &mut TcpStream {
        self
    }
}

impl OverTcp for TlsStream<TcpStream> {
    const ENDS_BY_MESSAGE: bool = true;
    fn tcp(&mut self) -> &mut TcpStream {
        self.get_mut().0
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<axum::body::Body>, Infallible>> + Send>>;

/// Ends our side and waits for the other one. If the client left anything unread, or was gone before everything had come,
/// its kernel sends a reset: an error.
async fn end<S: AsyncRead + AsyncWrite + OverTcp + Unpin>(stream: &mut PacedStream<S>) -> io::Result<()> {
    // A message of the end would lie unread with a client that closes now: its kernel would answer with a reset.
    if !S::ENDS_BY_MESSAGE || tokio::time::timeout(CLIENT_ENDS_WITHIN, read_to_end(stream)).await.is_err() {
        stream.shutdown().await?;
        read_to_end(stream).await?;
    }
    let tcp = stream.inner.tcp();
    // Below TLS, for the same reason. It fails if both sides have ended already.
    let _ = tcp.shutdown().await;
    acknowledged(tcp).await
}

async fn read_to_end<S: AsyncRead + Unpin>(stream: &mut PacedStream<S>) -> io::Result<()> {
    let mut rest = [0; 1024];
    loop {
        match stream.read(&mut rest).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Many clients end the connection below TLS without a word.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Waits until the kernel of the client has acknowledged everything up to our end, or has reset the connection. An end
/// alone proves nothing: a client that was killed early sends one before the rest of the answer arrives.
async fn acknowledged(tcp: &TcpStream) -> io::Result<()> {
    // A connection that both sides have ended, and that is acknowledged, is no connection any more.
    while tcp.peer_addr().is_ok() {
        tokio::time::sleep(ACKNOWLEDGED_AGAIN).await;
    }
    tcp.take_error()?.map_or(Ok(()), Err)
}

/// A stream on which a write that makes no progress for too long is an error.
struct PacedStream<S> {
    inner: S,
    /// Since when nothing could be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> PacedStream<S> {
    fn paced<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_STALLS)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.paced(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.paced(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        self.paced(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.paced(cx, poll)
    }
}
