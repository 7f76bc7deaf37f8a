//! Identity of a source file: the SHA-256 of its bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::records::open_source;
use crate::error::{Error, Result};

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// SHA-256 of the file's bytes, as 64 lower-case hexadecimal digits. Reads the file once, in constant memory.
///
/// # Errors
/// [`Error::Source`] where the file is missing, a directory or not readable.
pub fn file_sha256(path: &Path) -> Result<String> {
    let mut file: File = open_source(path)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer).map_err(|e| Error::storage(format!("reading {}", path.display()), e))? {
            0 => return Ok(hexadecimal(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_standard_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        assert_eq!(file_sha256(file.path()).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_missing_file_and_a_directory_are_source_errors() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(file_sha256(directory.path()), Err(Error::Source(_))));
        assert!(matches!(file_sha256(&directory.path().join("none.csv")), Err(Error::Source(_))));
    }
}
