//! Where results go: standard output, a file that appears whole or not at all, a file that grows, or a buffer that is printed later.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::failure::{Failure, Result};
use super::spool::Spool;
use super::terminal;
use crate::error::Error;

/// A destination of results.
pub(crate) enum Output {
    /// The terminal or a pipe.
    Stdout(BufWriter<io::Stdout>),
    /// A file that appears when everything is written.
    Whole(WholeFile),
    /// A file that every result is added to at once.
    Growing(BufWriter<File>),
    /// Kept until it is its turn to be printed.
    Spooled(Spool),
}

impl Output {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Output::Stdout(BufWriter::with_capacity(1 << 16, io::stdout()))
    }

    /// A file that appears under its name only by [`Output::commit`].
    ///
    /// # Errors
    /// The directory is missing or cannot be written.
    pub(crate) fn whole_file(path: &Path) -> Result<Self> {
        WholeFile::create(path).map(Output::Whole)
    }

    /// A file that is emptied now and takes every result as it comes.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn growing_file(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| cannot_write(path, error))?;
        Ok(Output::Growing(BufWriter::new(file)))
    }

    /// Columns and colours of the terminal where this output is one.
    pub(crate) fn terminal(&self) -> (Option<usize>, bool) {
        match self {
            Output::Stdout(_) => (terminal::width(), terminal::colours()),
            Output::Spooled(_) => (terminal::width(), terminal::colours()),
            Output::Whole(_) | Output::Growing(_) => (None, false),
        }
    }

    /// Whether what is written here is seen at once, so that a progress display would be in its way.
    pub(crate) fn is_seen_at_once(&self) -> bool {
        matches!(self, Output::Stdout(_)) && terminal::width().is_some()
    }

    /// Puts the file in its place; other destinations are flushed.
    ///
    /// # Errors
    /// The disk is full, or the pipe is closed.
    pub(crate) fn commit(self) -> Result<()> {
        match self {
            Output::Whole(file) => file.commit(),
            mut other => Ok(other.flush()?),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Stdout(out) => out.write(bytes),
            Output::Whole(file) => file.out.write(bytes),
            Output::Growing(out) => out.write(bytes),
            Output::Spooled(spool) => spool.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Stdout(out) => out.flush(),
            Output::Whole(file) => file.out.flush(),
            Output::Growing(out) => out.flush(),
            Output::Spooled(spool) => spool.flush(),
        }
    }
}

/// A file written under another name beside its place; dropped without [`WholeFile::commit`], it leaves nothing behind.
pub(crate) struct WholeFile {
    out: BufWriter<File>,
    aside: Aside,
    place: PathBuf,
}

/// Removes the unfinished file, unless it was put in its place.
struct Aside(Option<PathBuf>);

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing better can be done about a file that cannot be removed.
            drop(fs::remove_file(path));
        }
    }
}

impl WholeFile {
    fn create(place: &Path) -> Result<Self> {
        if place.is_dir() {
            return Err(Failure::usage(format!("-o {} is a directory, not a file", place.display())));
        }
        let name = place.file_name().ok_or_else(|| Failure::usage(format!("-o {} names no file", place.display())))?;
        let mut unfinished = std::ffi::OsString::from(".");
        unfinished.push(name);
        unfinished.push(format!(".{}.unfinished", std::process::id()));
        let path = place.with_file_name(unfinished);
        let file = File::create_new(&path).map_err(|error| cannot_write(place, error))?;
        Ok(Self { out: BufWriter::with_capacity(1 << 16, file), aside: Aside(Some(path)), place: place.to_owned() })
    }

    fn commit(mut self) -> Result<()> {
        self.out.flush().and_then(|()| self.out.get_ref().sync_all()).map_err(|error| cannot_write(&self.place, error))?;
        if let Some(path) = &self.aside.0 {
            fs::rename(path, &self.place).map_err(|error| cannot_write(&self.place, error))?;
        }
        self.aside.0 = None;
        Ok(())
    }
}

fn cannot_write(path: &Path, error: io::Error) -> Failure {
    Failure::Engine(Error::storage(format!("cannot write {}", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_only_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.csv");
        let mut output = Output::whole_file(&path).unwrap();
        output.write_all(b"a\n").unwrap();
        assert!(!path.exists());
        drop(output);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);

        let mut output = Output::whole_file(&path).unwrap();
        output.write_all(b"b\n").unwrap();
        output.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "b\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_is_no_output_file() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Output::whole_file(directory.path()).err().map(|failure| failure.exit_code()), Some(2));
        assert_eq!(Output::whole_file(&directory.path().join("no/r.csv")).err().map(|failure| failure.exit_code()), Some(1));
    }
}
