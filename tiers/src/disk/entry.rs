//! The form of one entry on disk: a header that says what it is, then the block's bytes.
//!
//! ```text
//! magic 8 | header length u32 | payload length u64 | payload CRC-32 u32 | block size u64 | block u64 | object size u64
//! | modified, µs u64 | origin, path, ETag, version: each u32 length + text (ETag and version with a leading 0 or 1)
//! | header CRC-32 u32 | payload
//! ```
//! All numbers are little-endian. The header's checksum covers everything before it; every byte of a file is covered by one of the two.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path as FilePath;

use bytes::Bytes;
use chrono::DateTime;
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::settings::MOST_BLOCK_BYTES;
use crate::versions::ObjectVersion;

const MAGIC: &[u8; 8] = b"OSTIERS1";
/// Bytes before the texts.
const FIXED: usize = 8 + 4 + 8 + 4 + 8 + 8 + 8 + 8;
/// Longest header that is taken for one; object stores allow paths of 1 KiB.
const MOST_HEADER: usize = 64 << 10;
/// File systems give out space in pages of this size.
const PAGE: u64 = 4096;

/// What an entry is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) origin: String,
    pub(crate) meta: ObjectMeta,
    pub(crate) block_bytes: u64,
    pub(crate) block: u64,
    payload_len: u64,
    payload_crc: u32,
}

/// Why an entry is not what it should be.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is not there.
    Missing,
    /// Its bytes are damaged, or it is of another block.
    Corrupt,
    /// The file system refused.
    Io(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            io::ErrorKind::UnexpectedEof => Self::Corrupt,
            _ => Self::Io(error),
        }
    }
}

impl Header {
    /// The header of a block; none where it would be too long. A time of modification that is not known is written as 1970.
    pub(crate) fn new(object: &ObjectVersion, block_bytes: u64, block: u64, payload: &[u8]) -> Option<Self> {
        let meta = object.meta.clone().unwrap_or_else(|| ObjectMeta {
            location: object.path.clone(),
            last_modified: DateTime::UNIX_EPOCH,
            size: object.size,
            e_tag: Some(object.version.clone()),
            version: None,
        });
        let (payload_len, payload_crc) = (payload.len() as u64, crc32fast::hash(payload));
        let header = Self { origin: object.label.to_string(), meta, block_bytes, block, payload_len, payload_crc };
        (header.encoded().len() <= MOST_HEADER).then_some(header)
    }

    /// Bytes that the entry takes on disk, in whole pages.
    pub(crate) fn charge(&self) -> u64 {
        (self.encoded().len() as u64 + self.payload_len).next_multiple_of(PAGE)
    }

    fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.payload_len.to_le_bytes());
        bytes.extend_from_slice(&self.payload_crc.to_le_bytes());
        let modified = self.meta.last_modified.timestamp_micros().cast_unsigned();
        for number in [self.block_bytes, self.block, self.meta.size, modified] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        push_text(&mut bytes, &self.origin);
        push_text(&mut bytes, self.meta.location.as_ref());
        for text in [&self.meta.e_tag, &self.meta.version] {
            bytes.push(u8::from(text.is_some()));
            push_text(&mut bytes, text.as_deref().unwrap_or_default());
        }
        let len = u32::try_from(bytes.len() + 4).unwrap_or(u32::MAX);
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header from the start of a file; the second figure is its length in bytes.
    fn read(file: &mut impl Read) -> Result<(Self, usize), Unreadable> {
        let mut bytes = vec![0; FIXED];
        file.read_exact(&mut bytes)?;
        let len = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize;
        if !bytes.starts_with(MAGIC) || !(FIXED + 4..=MOST_HEADER).contains(&len) {
            return Err(Unreadable::Corrupt);
        }
        bytes.resize(len, 0);
        file.read_exact(&mut bytes[FIXED..])?;
        let (covered, crc) = bytes.split_at(len - 4);
        if crc32fast::hash(covered).to_le_bytes() != crc {
            return Err(Unreadable::Corrupt);
        }
        let header = Self::decoded(covered).ok_or(Unreadable::Corrupt)?;
        Ok((header, len))
    }

    fn decoded(bytes: &[u8]) -> Option<Self> {
        let mut from = Decoder(bytes.get(12..)?);
        let payload_len = from.u64()?;
        let payload_crc = from.u32()?;
        let [block_bytes, block, size, modified] = [from.u64()?, from.u64()?, from.u64()?, from.u64()?];
        if block_bytes > MOST_BLOCK_BYTES || payload_len > block_bytes {
            return None;
        }
        let origin = from.text()?;
        let location = Path::parse(from.text()?).ok()?;
        let (e_tag, version) = (from.optional()?, from.optional()?);
        let last_modified = DateTime::from_timestamp_micros(modified.cast_signed())?;
        let meta = ObjectMeta { location, last_modified, size, e_tag, version };
        from.0.is_empty().then_some(Self { origin, meta, block_bytes, block, payload_len, payload_crc })
    }

    fn is_of(&self, object: &ObjectVersion, block: u64) -> bool {
        self.block == block && *self.origin == *object.label && self.meta.location == object.path && object.is_same(&self.meta)
    }
}

/// Writes an entry; the file must be new.
pub(crate) fn write(path: &FilePath, header: &Header, payload: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(&header.encoded())?;
    file.write_all(payload)
}

/// Reads an entry that must be of this block, and checks every byte of it.
pub(crate) fn read(path: &FilePath, object: &ObjectVersion, block: u64) -> Result<Bytes, Unreadable> {
    let mut file = File::open(path)?;
    let (header, _) = Header::read(&mut file)?;
    if !header.is_of(object, block) {
        return Err(Unreadable::Corrupt);
    }
    let mut payload = Vec::with_capacity(header.payload_len as usize + 1);
    file.take(header.payload_len + 1).read_to_end(&mut payload)?;
    if payload.len() as u64 != header.payload_len || crc32fast::hash(&payload) != header.payload_crc {
        return Err(Unreadable::Corrupt);
    }
    Ok(Bytes::from(payload))
}

/// Reads an entry's header and compares the length of the file with it.
pub(crate) fn read_header(path: &FilePath) -> Result<Header, Unreadable> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let (header, header_len) = Header::read(&mut file)?;
    if header_len as u64 + header.payload_len != len { Err(Unreadable::Corrupt) } else { Ok(header) }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let len = self.u32()? as usize;
        String::from_utf8(self.take(len)?.to_vec()).ok()
    }

    fn optional(&mut self) -> Option<Option<String>> {
        let is_some = self.take(1)?[0] == 1;
        let text = self.text()?;
        Some(is_some.then_some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> (tempfile::TempDir, std::path::PathBuf, std::sync::Arc<ObjectVersion>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        let object = ObjectVersion::for_test("a/b c", 25);
        let header = Header::new(&object, 10, 2, b"hello").unwrap();
        write(&path, &header, b"hello").unwrap();
        assert_eq!(read_header(&path).unwrap(), header);
        (folder, path, object)
    }

    #[test]
    fn an_entry_is_read_back_and_is_only_of_its_own_block() {
        let (_folder, path, object) = entry();
        assert_eq!(read(&path, &object, 2).unwrap(), "hello");
        assert!(matches!(read(&path, &object, 1), Err(Unreadable::Corrupt)));
        assert!(matches!(read(&path, &ObjectVersion::for_test("a/b", 25), 2), Err(Unreadable::Corrupt)));
        assert!(matches!(read(&path.with_extension("x"), &object, 2), Err(Unreadable::Missing)));
    }

    #[test]
    fn any_flipped_bit_and_any_missing_or_added_byte_is_found() {
        let (_folder, path, object) = entry();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, &damaged).unwrap();
            assert!(matches!(read(&path, &object, 2), Err(Unreadable::Corrupt)), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(matches!(read(&path, &object, 2), Err(Unreadable::Corrupt)), "cut at {at}");
            assert!(read_header(&path).is_err(), "cut at {at}");
        }
        std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert!(matches!(read(&path, &object, 2), Err(Unreadable::Corrupt)));
    }
}
