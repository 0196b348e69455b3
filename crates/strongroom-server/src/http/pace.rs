//! Connections on which a request was refused with 429 are heard again after a pause.
//!
//! Under overload most of the processor's work can be refusals: each request that arrives alone costs a wake-up, a read, a
//! write and, on a busy core, two changes of threads. Whoever was told to come back later and does not is read in larger
//! pieces, so that its refusals are handled together. Nobody else's connection is touched.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::http::exchange::Outbound;

/// What the requests of a connection and its reading side tell each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    /// Whether a request was refused since the last pause; `None` where the connection is never paused.
    refused: Option<Arc<AtomicBool>>,
}

impl Pace {
    /// Pauses after refusals.
    pub(super) fn of_one_client() -> Self {
        Self { refused: Some(Arc::default()) }
    }

    /// Never pauses: others than the one who was refused would wait as well.
    pub(super) fn of_many_clients() -> Self {
        Self::default()
    }

    /// Takes notice of an answer on the connection.
    pub(super) fn note(&self, answer: &Outbound) {
        if answer.status() == StatusCode::TOO_MANY_REQUESTS
            && let Some(refused) = &self.refused
        {
            refused.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it pauses at all.
    #[cfg(test)]
    pub(super) fn pauses(&self) -> bool {
        self.refused.is_some()
    }

    fn take_refused(&self) -> bool {
        self.refused
            .as_ref()
            .is_some_and(|refused| refused.load(Ordering::Relaxed) && refused.swap(false, Ordering::Relaxed))
    }
}

/// A stream that is read at the pace of its connection.
pub(super) struct Paced<S> {
    stream: S,
    pace: Pace,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace, pause: None }
    }

    /// Ready when the stream may be read.
    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.pause.is_none() && self.pace.take_refused() {
            self.pause = Some(Box::pin(sleep(PAUSE)));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_pause(context));
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
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

/// Long enough for requests to gather, short enough that a refusal still comes within 50 ms.
pub(super) const PAUSE: Duration = Duration::from_millis(15);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;
    use crate::http::exchange::empty;

    const REFUSED: StatusCode = StatusCode::TOO_MANY_REQUESTS;

    /// A client that has sent three bytes, and the end where they arrive.
    async fn connection(pace: &Pace) -> (DuplexStream, Paced<DuplexStream>) {
        let (mut client, server) = duplex(64);
        client.write_all(b"abc").await.unwrap();
        (client, Paced::new(server, pace.clone()))
    }

    /// Whether the next byte can be read now.
    async fn is_heard(server: &mut Paced<DuplexStream>) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        poll_fn(|context| Poll::Ready(Pin::new(&mut *server).poll_read(context, &mut buffer).is_ready())).await
    }

    #[tokio::test]
    async fn who_was_refused_is_heard_after_a_pause_and_nobody_else_is() {
        for (pace, status, heard) in [
            (Pace::of_one_client(), REFUSED, false),
            (Pace::of_one_client(), StatusCode::FORBIDDEN, true),
            (Pace::of_many_clients(), REFUSED, true),
        ] {
            let (_client, mut server) = connection(&pace).await;
            assert!(is_heard(&mut server).await, "nothing was answered yet");
            pace.note(&empty(status));
            assert_eq!(is_heard(&mut server).await, heard, "{pace:?} {status}");
        }
    }

    #[tokio::test]
    async fn one_pause_is_for_all_refusals_before_it_and_answers_are_sent_meanwhile() {
        let pace = Pace::of_one_client();
        let (mut client, mut server) = connection(&pace).await;
        let began = Instant::now();
        (0..2).for_each(|_| pace.note(&empty(REFUSED)));
        assert!(!is_heard(&mut server).await);
        server.write_all(b"!").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'!');
        assert_eq!(server.read_u8().await.unwrap(), b'a');
        assert!(began.elapsed() >= PAUSE, "{:?}", began.elapsed());
        assert!(is_heard(&mut server).await && is_heard(&mut server).await, "the pause is over");
    }
}
