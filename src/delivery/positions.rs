//! A set of sequence numbers in chunks of 4,096: the form in which a subscription's undelivered
//! events stand in the state store and, until the router has read them again, in memory.
//!
//! A dense chunk is a bitmap (one bit an event), a sparse one a list (two bytes an event), so that
//! neither a million undelivered events in a row nor one in a thousand costs much to write.

use std::collections::BTreeMap;

/// Sequence numbers in one chunk. A power of two; a chunk's bitmap has 512 bytes.
pub(super) const CHUNK: u64 = 4096;

/// Above this a bitmap is shorter than a list.
const LONGEST_LIST: usize = 256;

const LIST: u8 = 0;
const BITMAP: u8 = 1;

/// The number of the chunk that `sequence` is in.
pub(super) fn chunk_of(sequence: u64) -> u64 {
    sequence / CHUNK
}

/// The stored form of one chunk; `None` if it is empty. The sequences are ascending, without
/// repetition, and of one chunk.
pub(super) fn encode(sequences: &[u64]) -> Option<Vec<u8>> {
    if sequences.is_empty() {
        return None;
    }
    let offsets = sequences.iter().map(|sequence| sequence % CHUNK);
    if sequences.len() <= LONGEST_LIST {
        let mut bytes = Vec::with_capacity(1 + 2 * sequences.len());
        bytes.push(LIST);
        for offset in offsets {
            bytes.extend_from_slice(&(offset as u16).to_le_bytes());
        }
        return Some(bytes);
    }
    let mut bytes = vec![0; 1 + (CHUNK / 8) as usize];
    bytes[0] = BITMAP;
    for offset in offsets {
        bytes[1 + (offset / 8) as usize] |= 1 << (offset % 8);
    }
    Some(bytes)
}

/// Reads the stored form of chunk number `chunk`, ascending; `None` if it is damaged.
pub(super) fn decode(chunk: u64, bytes: &[u8]) -> Option<Vec<u64>> {
    let base = chunk.checked_mul(CHUNK)?;
    let (tag, rest) = bytes.split_first()?;
    match *tag {
        LIST if rest.len().is_multiple_of(2) => {
            let sequences: Vec<u64> = rest
                .chunks_exact(2)
                .map(|pair| base + u64::from(u16::from_le_bytes([pair[0], pair[1]])))
                .collect();
            let ascending = sequences.is_sorted_by(|a, b| a < b);
            let inside = sequences.last().is_none_or(|last| chunk_of(*last) == chunk);
            (ascending && inside).then_some(sequences)
        }
        BITMAP if rest.len() as u64 == CHUNK / 8 => Some(
            (0..CHUNK)
                .filter(|offset| rest[(offset / 8) as usize] & (1 << (offset % 8)) != 0)
                .map(|offset| base + offset)
                .collect(),
        ),
        _ => None,
    }
}

/// Undelivered events as read from the state store. Chunks stay in their stored form; the one
/// that is being asked about is unpacked.
#[derive(Debug, Default)]
pub(super) struct Positions {
    chunks: BTreeMap<u64, Vec<u8>>,
    unpacked: Option<(u64, Vec<u64>)>,
}

impl Positions {
    /// Takes over the stored chunks; each is known to decode.
    pub fn new(chunks: BTreeMap<u64, Vec<u8>>) -> Self {
        Self {
            chunks,
            unpacked: None,
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.unpacked.is_none()
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        let packed: usize = self
            .chunks
            .values()
            .map(|bytes| match bytes.split_first() {
                Some((&LIST, rest)) => rest.len() / 2,
                Some((_, rest)) => rest.iter().map(|byte| byte.count_ones() as usize).sum(),
                None => 0,
            })
            .sum();
        packed + self.unpacked.as_ref().map_or(0, |(_, all)| all.len())
    }

    /// The lowest one that is at least `from`.
    pub fn next(&mut self, from: u64) -> Option<u64> {
        let mut chunk = chunk_of(from);
        loop {
            self.unpack(chunk);
            if let Some((number, sequences)) = &self.unpacked
                && *number == chunk
            {
                let at = sequences.partition_point(|sequence| *sequence < from);
                if let Some(found) = sequences.get(at) {
                    return Some(*found);
                }
            }
            let packed = self.chunks.range(chunk + 1..).next().map(|(next, _)| *next);
            let unpacked = self.unpacked.as_ref().map(|(number, _)| *number);
            chunk = packed
                .into_iter()
                .chain(unpacked.filter(|number| *number > chunk))
                .min()?;
        }
    }

    /// Takes `sequence` out; whether it was there.
    pub fn remove(&mut self, sequence: u64) -> bool {
        self.unpack(chunk_of(sequence));
        let Some((_, sequences)) = self
            .unpacked
            .as_mut()
            .filter(|(number, _)| *number == chunk_of(sequence))
        else {
            return false;
        };
        let Ok(at) = sequences.binary_search(&sequence) else {
            return false;
        };
        sequences.remove(at);
        if sequences.is_empty() {
            self.unpacked = None;
        }
        true
    }

    /// What is left of one chunk, ascending.
    pub fn chunk(&mut self, chunk: u64) -> Vec<u64> {
        match &self.unpacked {
            Some((number, sequences)) if *number == chunk => sequences.clone(),
            _ => self
                .chunks
                .get(&chunk)
                .and_then(|bytes| decode(chunk, bytes))
                .unwrap_or_default(),
        }
    }

    fn unpack(&mut self, chunk: u64) {
        if self
            .unpacked
            .as_ref()
            .is_some_and(|(number, _)| *number == chunk)
        {
            return;
        }
        let Some(bytes) = self.chunks.remove(&chunk) else {
            return;
        };
        if let Some((number, sequences)) = self.unpacked.take()
            && let Some(bytes) = encode(&sequences)
        {
            self.chunks.insert(number, bytes);
        }
        self.unpacked = decode(chunk, &bytes)
            .filter(|sequences| !sequences.is_empty())
            .map(|sequences| (chunk, sequences));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn positions(all: &BTreeSet<u64>) -> Positions {
        let mut chunks: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for sequence in all {
            chunks
                .entry(chunk_of(*sequence))
                .or_default()
                .push(*sequence);
        }
        Positions::new(
            chunks
                .into_iter()
                .map(|(chunk, sequences)| (chunk, encode(&sequences).unwrap()))
                .collect(),
        )
    }

    proptest! {
        #[test]
        fn a_chunk_reads_back_as_it_was_written(
            chunk in 0u64..1_000_000,
            offsets in prop::collection::btree_set(0..CHUNK, 1..1000),
        ) {
            let sequences: Vec<u64> = offsets.iter().map(|offset| chunk * CHUNK + offset).collect();
            prop_assert_eq!(decode(chunk, &encode(&sequences).unwrap()), Some(sequences));
        }

        #[test]
        fn damaged_chunks_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            decode(3, &bytes);
        }

        #[test]
        fn it_behaves_as_a_set(
            all in prop::collection::btree_set(0u64..30_000, 0..600),
            asked in prop::collection::vec((0u64..30_000, any::<bool>()), 0..200),
        ) {
            let mut model = all.clone();
            let mut set = positions(&all);
            for (sequence, remove) in asked {
                if remove {
                    prop_assert_eq!(set.remove(sequence), model.remove(&sequence));
                } else {
                    prop_assert_eq!(set.next(sequence), model.range(sequence..).next().copied());
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.is_empty(), model.is_empty());
                let chunk = chunk_of(sequence);
                let expected: Vec<u64> =
                    model.range(chunk * CHUNK..(chunk + 1) * CHUNK).copied().collect();
                prop_assert_eq!(set.chunk(chunk), expected);
            }
        }
    }
}
