//! Reads a request's body within its limits: size, time, speed, memory of all requests together,
//! and size again after decompression.
//!
//! The bytes as sent are kept beside the decompressed ones, because signatures are over what was
//! sent. Gzip is the only coding; nothing here looks into the body.

use std::future::poll_fn;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, StatusCode};
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::bounds::Bounds;
use super::problem::Problem;
use super::workers::Workers;

/// A body in memory, and its share of the memory for bodies until it is dropped.
#[derive(Debug)]
pub struct ReadBody {
    /// The bytes as sent.
    pub raw: Bytes,
    /// The bytes after decompression: the same ones where nothing was compressed.
    pub content: Bytes,
    /// Held for as long as the bytes are.
    pub memory: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the type admits, as sent or decompressed.
    #[error("the body is larger than this address accepts")]
    TooLarge,
    /// It did not come in time, or came too slowly.
    #[error("the body did not come in time")]
    TooSlow,
    /// The client went away, or broke the rules of its transfer coding.
    #[error("the body ended before it was complete")]
    Incomplete,
    /// All the memory for bodies is in use.
    #[error("too many bodies are being read at this moment")]
    NoMemory,
    /// A content coding other than gzip.
    #[error("the only content coding accepted is gzip")]
    UnsupportedCoding,
    /// Not what its content coding says it is.
    #[error("the body is not valid gzip")]
    MalformedCoding,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let detail = error.to_string();
        match error {
            BodyError::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
            BodyError::TooSlow => Self::new(StatusCode::REQUEST_TIMEOUT, detail),
            BodyError::Incomplete | BodyError::MalformedCoding => {
                Self::new(StatusCode::BAD_REQUEST, detail)
            }
            BodyError::NoMemory => Self::unavailable(detail),
            BodyError::UnsupportedCoding => Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail),
        }
    }
}

/// The memory that all bodies share, in bytes.
#[derive(Clone, Debug)]
pub struct BodyMemory {
    free: Arc<Semaphore>,
    all: usize,
}

impl BodyMemory {
    /// So many bytes, all free.
    pub fn new(bytes: usize) -> Self {
        let all = bytes.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.all - self.free.available_permits()
    }

    async fn take(
        &self,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Option<OwnedSemaphorePermit>, BodyError> {
        if bytes == 0 {
            return Ok(None);
        }
        let permits = u32::try_from(bytes).map_err(|_| BodyError::TooLarge)?;
        let free = Arc::clone(&self.free);
        match timeout_at(deadline, free.acquire_many_owned(permits)).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) | Err(_) => Err(BodyError::NoMemory),
        }
    }
}

/// Reads the whole of `body`, of which at most `most` bytes are accepted.
pub async fn read<B>(
    body: &mut B,
    headers: &HeaderMap,
    most: usize,
    memory: &BodyMemory,
    workers: &Workers,
    bounds: &Bounds,
) -> Result<ReadBody, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let start = Instant::now();
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > most as u64)
        || body.size_hint().lower() > most as u64
    {
        return Err(BodyError::TooLarge);
    }
    let coding = coding(headers);
    let mut held = None;
    let mut raw = Pieces::default();
    while !body.is_end_stream() {
        let deadline = deadline(start, raw.length(), bounds);
        let frame = timeout_at(
            deadline,
            poll_fn(|context| Pin::new(&mut *body).poll_frame(context)),
        );
        let frame = match frame.await.map_err(|_| BodyError::TooSlow)? {
            None => break,
            Some(Err(_)) => return Err(BodyError::Incomplete),
            Some(Ok(frame)) => frame,
        };
        // Trailers carry nothing that anybody reads.
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if raw.length() + piece.len() > most {
            return Err(BodyError::TooLarge);
        }
        merge(
            &mut held,
            memory
                .take(piece.len(), start + bounds.body_timeout)
                .await?,
        );
        raw.push(piece);
    }
    let raw = raw.into_bytes();
    let content = match coding {
        // A bare GET may well name a coding; there is nothing to decode.
        _ if raw.is_empty() => raw.clone(),
        Coding::Identity => raw.clone(),
        Coding::Gzip => {
            let room = memory.take(most, start + bounds.body_timeout).await?;
            let content = decompress(raw.clone(), most, workers).await?;
            merge(&mut held, shrunk(room, content.len()));
            content
        }
        Coding::Other => return Err(BodyError::UnsupportedCoding),
    };
    Ok(ReadBody {
        raw,
        content,
        memory: held,
    })
}

/// Takes the rest of a body that nobody wants, so that the sender gets to read the answer and can
/// use the connection again; gives up after a few seconds, which closes the connection.
pub async fn discard<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    /// What a sender can have under way on a fast network before it sees the answer.
    const LONGEST: Duration = Duration::from_secs(5);
    const MOST: usize = 256 * 1024 * 1024;
    let deadline = Instant::now() + LONGEST;
    let mut bytes = 0;
    while !body.is_end_stream() && bytes < MOST {
        let frame = timeout_at(
            deadline,
            poll_fn(|context| Pin::new(&mut body).poll_frame(context)),
        );
        match frame.await {
            Ok(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, Bytes::len),
            _ => return,
        }
    }
}

/// When the next piece has to be here: the bytes so far buy time at the slowest speed allowed.
fn deadline(start: Instant, received: usize, bounds: &Bounds) -> Instant {
    let bought = received as f64 / f64::from(bounds.body_bytes_per_second.max(1));
    let bought = bounds
        .body_grace
        .saturating_add(Duration::from_secs_f64(bought));
    start + bought.min(bounds.body_timeout)
}

/// A body as it comes: one piece mostly, which then needs no copy.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    all: BytesMut,
}

impl Pieces {
    fn length(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.length() == 0 {
            self.first = piece;
            return;
        }
        if !self.first.is_empty() {
            self.all.reserve(self.first.len() + piece.len());
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&piece);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() {
            self.first
        } else {
            self.all.freeze()
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Other,
}

fn coding(headers: &HeaderMap) -> Coding {
    let mut coding = Coding::Identity;
    for line in headers.get_all(CONTENT_ENCODING) {
        let Ok(line) = line.to_str() else {
            return Coding::Other;
        };
        for name in line
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            let next = match name.to_ascii_lowercase().as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                _ => return Coding::Other,
            };
            if coding != Coding::Identity {
                return Coding::Other;
            }
            coding = next;
        }
    }
    coding
}

/// Among the workers: a small body can decompress to a large one.
async fn decompress(raw: Bytes, most: usize, workers: &Workers) -> Result<Bytes, BodyError> {
    let work = move || {
        let mut content = Vec::with_capacity((raw.len() * 4).min(most));
        let mut decoder = flate2::bufread::MultiGzDecoder::new(&raw[..]).take(most as u64 + 1);
        decoder
            .read_to_end(&mut content)
            .map_err(|_| BodyError::MalformedCoding)?;
        if content.len() > most {
            return Err(BodyError::TooLarge);
        }
        Ok(content.into())
    };
    workers.run(work).await.unwrap_or(Err(BodyError::NoMemory))
}

fn merge(held: &mut Option<OwnedSemaphorePermit>, more: Option<OwnedSemaphorePermit>) {
    match (held.as_mut(), more) {
        (Some(held), Some(more)) => held.merge(more),
        (None, more) => *held = more,
        (Some(_), None) => {}
    }
}

/// What remains of `room` when only so many bytes are used.
fn shrunk(room: Option<OwnedSemaphorePermit>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    room?.split(bytes)
}

#[cfg(test)]
mod tests;
