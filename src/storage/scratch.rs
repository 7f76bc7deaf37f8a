//! A nameless file for values that do not fit into the memory budget: written once in order, read anywhere, gone with its owner.

use std::fs::File;
use std::io::Write;

use crate::error::{Error, Result};

/// Values converted to bytes at a time.
const BUFFER_VALUES: usize = 8192;

/// A scratch file of f64 values in the system's temporary directory.
///
/// It has no name, or goes when it is closed: even a killed process leaves nothing behind.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    file: File,
    values: u64,
}

impl ScratchFile {
    /// Creates an empty scratch file.
    ///
    /// # Errors
    /// [`Error::Storage`] when the temporary directory cannot be written.
    pub(crate) fn try_new() -> Result<Self> {
        let created = tempfile::tempfile();
        let file = created.map_err(|e| Error::storage(format!("creating a scratch file in {}", std::env::temp_dir().display()), e))?;
        Ok(Self { file, values: 0 })
    }

    /// Number of values written.
    pub(crate) fn len(&self) -> u64 {
        self.values
    }

    /// Appends values.
    ///
    /// # Errors
    /// [`Error::Storage`], as when the disk is full.
    pub(crate) fn append(&mut self, values: &[f64]) -> Result<()> {
        let mut bytes = Vec::with_capacity(BUFFER_VALUES.min(values.len()) * 8);
        for piece in values.chunks(BUFFER_VALUES) {
            bytes.clear();
            piece.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
            self.file
                .write_all(&bytes)
                .map_err(|e| Error::storage(format!("writing a scratch file in {}", std::env::temp_dir().display()), e))?;
        }
        self.values += values.len() as u64;
        Ok(())
    }

    /// Reads `out.len()` values from position `start`, using `bytes` as working space.
    ///
    /// # Errors
    /// [`Error::Storage`] when the file cannot be read.
    pub(crate) fn read_at(&self, start: u64, out: &mut [f64], bytes: &mut Vec<u8>) -> Result<()> {
        bytes.resize(out.len() * 8, 0);
        read_exact_at(&self.file, bytes, start * 8).map_err(|e| Error::storage("reading the scratch file", e))?;
        for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *value = f64::from_le_bytes(*bytes);
        }
        Ok(())
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => {
                bytes = &mut bytes[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_anywhere_with_their_bits() {
        let values: Vec<f64> = (0..20_000).map(|i| if i % 7 == 0 { f64::NAN } else { f64::from(i) * -0.1 }).collect();
        let mut scratch = ScratchFile::try_new().unwrap();
        scratch.append(&values[..9_000]).unwrap();
        scratch.append(&values[9_000..]).unwrap();
        assert_eq!(scratch.len(), 20_000);
        let (mut out, mut bytes) = (vec![0.0; 5_000], vec![]);
        scratch.read_at(8_500, &mut out, &mut bytes).unwrap();
        assert!(out.iter().zip(&values[8_500..]).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert!(scratch.read_at(19_999, &mut out, &mut bytes).is_err());
    }
}
