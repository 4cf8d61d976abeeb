//! What the controller sends over the stream: one JSON document a line.
//!
//! ```text
//! {"welcome":{"version":1,"session":"…"}}
//! {"begin":{"revision":{"epoch":7,"counter":12},"resumed":true}}
//! {"forget":["…",…]}
//! {"put":{"kind":"Route","name":"/shop/orders","content":{…}}}
//! {"remove":{"kind":"Customer","name":"shop/acme"}}
//! {"commit":{"revision":{"epoch":7,"counter":12}}}
//! {"ping":{}}
//! ```
//!
//! What stands between `begin` and `commit` is one revision, applied as a whole or not at all. JSON,
//! because entries hold free-form JSON and leave out what is not there, which a compact form could
//! not carry.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::entry::LARGEST_ENTRY;
use super::hash::{ContentHash, LENGTH};
use super::revision::Revision;

/// The version of the stream. Entries and fields may come without another one, because whoever does
/// not know one refuses that entry alone; another one means that nothing can be understood.
pub const PROTOCOL_VERSION: u32 = 1;

/// Bytes of one line: an entry and what stands around it.
pub const LONGEST_LINE: usize = LARGEST_ENTRY + (64 << 10);

/// Hashes in one `forget`.
pub const MOST_FORGOTTEN: usize = 10_000;

/// One line from the controller.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Frame {
    /// The first one: the pod is known and connected.
    Welcome(Welcome),
    /// A revision follows.
    Begin(Begin),
    /// The entries with these hashes are not there any more; only where a stream is resumed.
    Forget(Hashes),
    /// An entry is there, or is another one than before.
    Put(Put),
    /// An entry is not there any more.
    Remove(Name),
    /// The revision is complete.
    Commit(Commit),
    /// Nothing has changed.
    Ping(Ping),
}

/// The pod is known.
#[derive(Serialize, Deserialize)]
pub struct Welcome {
    /// [`PROTOCOL_VERSION`] of the controller.
    pub version: u32,
    /// What the pod shows with acknowledgements and reports, as long as this stream lasts, in
    /// place of its token. A secret, as text.
    pub session: String,
    /// The epoch of whoever leads.
    pub epoch: u64,
}

impl fmt::Debug for Welcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, epoch, .. } = self;
        write!(
            formatter,
            "Welcome {{ version: {version}, epoch: {epoch} }}"
        )
    }
}

/// A revision begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Which.
    pub revision: Revision,
    /// Whether it is the difference to all that the pod said it has, and not to what was sent
    /// before.
    pub resumed: bool,
}

/// A revision ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Which.
    pub revision: Revision,
}

/// An entry.
#[derive(Serialize, Deserialize)]
pub struct Put {
    /// Its kind.
    pub kind: String,
    /// Its name among those of its kind.
    pub name: String,
    /// What it holds.
    pub content: Box<RawValue>,
}

/// Holds secrets.
impl fmt::Debug for Put {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Put {{ kind: {:?} }}", self.kind)
    }
}

/// The name of an entry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// Its kind.
    pub kind: String,
    /// Its name among those of its kind.
    pub name: String,
}

/// The name may hold a token.
impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Name {{ kind: {:?} }}", self.kind)
    }
}

/// Nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {}

/// Hashes, written as one text: there may be a hundred thousand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes(pub Vec<ContentHash>);

impl Serialize for Hashes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|hash| *hash.bytes()).collect();
        serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("these are no hashes");
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| wrong())?;
        let (hashes, rest) = bytes.as_chunks::<LENGTH>();
        if !rest.is_empty() {
            return Err(wrong());
        }
        Ok(Self(
            hashes
                .iter()
                .copied()
                .map(ContentHash::from_bytes)
                .collect(),
        ))
    }
}

/// What a pod says first: the body of its request for the stream.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the pod.
    pub version: u32,
    /// The EventGateway it thinks it belongs to, as `namespace/name`. The token decides; two
    /// different ones are a mistake that is told.
    pub gateway: String,
    /// The pod's name; as with the gateway.
    pub pod: String,
    /// The revision that it has, if it has any.
    pub revision: Option<Revision>,
    /// What it has.
    pub hashes: Hashes,
}

/// A line that is not a frame. Nothing of it is shown: it may hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the controller sent something that is no frame of this version of the stream")]
pub struct NotAFrame;

impl Frame {
    /// The frame as a line.
    #[must_use]
    pub fn line(&self) -> Bytes {
        // Frames are structs of texts and numbers, which JSON can always carry.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line.into()
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(line: &[u8]) -> Result<Self, NotAFrame> {
        serde_json::from_slice(line).map_err(|_| NotAFrame)
    }
}

/// A `put` as a line.
pub(super) fn put_line(
    kind: &str,
    name: &str,
    content: String,
) -> Result<Bytes, serde_json::Error> {
    let content = RawValue::from_string(content)?;
    let frame = Frame::Put(Put {
        kind: kind.to_owned(),
        name: name.to_owned(),
        content,
    });
    Ok(frame.line())
}
