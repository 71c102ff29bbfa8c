//! Connections: how many there may be, and how long one may do nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Accepts connections while there are fewer than allowed, and puts a time limit on writes.
#[derive(Clone)]
pub struct Bounded<A> {
    inner: A,
    places: Arc<Semaphore>,
    stall: Duration,
}

impl<A> Bounded<A> {
    /// At most `connections` at once, on each of which a write that gets no further for `stall` ends the connection.
    pub fn new(inner: A, connections: usize, stall: Duration) -> Self {
        Self { inner, places: Arc::new(Semaphore::new(connections.clamp(1, Semaphore::MAX_PERMITS))), stall }
    }
}

type Accepting<Stream, Service> = Pin<Box<dyn Future<Output = io::Result<(Stream, Service)>> + Send>>;

impl<A, S> Accept<TcpStream, S> for Bounded<A>
where
    A: Accept<Connection, S> + Clone + Send + Sync + 'static,
    A::Stream: Send,
    A::Service: Send,
    A::Future: Send,
    S: Send + 'static,
{
    type Stream = A::Stream;
    type Service = A::Service;
    type Future = Accepting<A::Stream, A::Service>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Self { inner, places, stall } = self.clone();
        Box::pin(async move {
            // A connection beyond the limit is closed: one that waited would look like a server that hangs.
            let permit = places.try_acquire_owned().map_err(|_| io::Error::other("too many connections"))?;
            // Events of a stream are small and must not wait for each other.
            stream.set_nodelay(true)?;
            inner.accept(Connection { stream, stall, stalled: None, silent: Some(Box::pin(sleep(stall))), _permit: permit }, service).await
        })
    }
}

/// A connection on which the first byte and every write have a time limit.
pub struct Connection {
    stream: TcpStream,
    stall: Duration,
    /// Runs while a write gets no further.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs until the first byte has come: what follows is limited by the parts that read it.
    silent: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// The result of a write, or an error if it has not got any further for too long.
    fn within<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.stall;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        match sleep.as_mut().poll(context) {
            Poll::Ready(()) => {
                sleep.as_mut().reset(Instant::now() + stall);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.silent = None;
        }
        let silent = self.silent.as_mut().filter(|_| read.is_pending());
        if silent.is_some_and(|silent| silent.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends nothing")));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(context, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.within(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
