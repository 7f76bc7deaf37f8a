//! Output kept for later: in memory while it is small, in a temporary file when it grows.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes kept in memory before a file takes over.
const MEMORY_BYTES: usize = 4 << 20;

/// Bytes in the order they were written.
#[derive(Default)]
pub(crate) struct Spool {
    memory: Vec<u8>,
    file: Option<SpoolFile>,
}

struct SpoolFile {
    file: File,
    path: PathBuf,
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        // The directory is the system's own for temporary files: what cannot be removed is swept by it.
        drop(fs::remove_file(&self.path));
    }
}

impl SpoolFile {
    fn create() -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("tranchedb-output-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { file, path })
    }
}

impl Spool {
    /// Copies everything written so far to `out`.
    ///
    /// # Errors
    /// The temporary file cannot be read, or `out` refuses.
    pub(crate) fn copy_to(mut self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(spooled) = &mut self.file {
            spooled.file.seek(SeekFrom::Start(0))?;
            io::copy(&mut spooled.file, out)?;
        }
        out.write_all(&self.memory)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.memory.extend_from_slice(bytes);
        if self.memory.len() > MEMORY_BYTES {
            self.flush_to_file()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spool {
    fn flush_to_file(&mut self) -> io::Result<()> {
        let spooled = match &mut self.file {
            Some(spooled) => spooled,
            none => none.insert(SpoolFile::create()?),
        };
        spooled.file.write_all(&self.memory)?;
        self.memory.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_output_comes_back_in_order() {
        let mut spool = Spool::default();
        let mut expected = Vec::new();
        for i in 0..2_000_u32 {
            let piece = format!("{i:08}").repeat(512);
            spool.write_all(piece.as_bytes()).unwrap();
            expected.extend_from_slice(piece.as_bytes());
        }
        let path = spool.file.as_ref().map(|file| file.path.clone()).unwrap();
        let mut back = Vec::new();
        spool.copy_to(&mut back).unwrap();
        assert!(back == expected);
        assert!(!path.exists());
    }
}
