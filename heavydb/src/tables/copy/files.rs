//! The files that a path names.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use flate2::bufread::MultiGzDecoder;
use regex::Regex;

use super::options::{FileOrder, ImportOptions};
use crate::refusal::Refusal;

const BUFFER_BYTES: usize = 1 << 18;

/// The files of a path: a file, all files below a folder, or a pattern with `*`, `?` and `[...]`.
///
/// # Errors
/// No file; folders that cannot be read; a [`Refusal`] for remote files.
pub(super) fn files(path: &str, options: &ImportOptions) -> Result<Vec<PathBuf>> {
    let local = path.strip_prefix("file://").unwrap_or(path);
    if local.contains("://") {
        return Err(Refusal::new(format!("COPY FROM '{path}'"), "only files of this machine are read: copy the file here first").into());
    }
    let mut found = Vec::new();
    let named = Path::new(local);
    if named.is_file() {
        found.push(named.to_owned());
    } else if named.is_dir() {
        below(named, &mut found)?;
    } else {
        for place in matches(local)? {
            if place.is_dir() { below(&place, &mut found)? } else { found.push(place) }
        }
    }
    if let Some(filter) = &options.path_filter {
        found.retain(|file| filter.is_match(&file.to_string_lossy()));
    }
    if found.is_empty() {
        return exec_err!("no file matches '{path}'");
    }
    sort(&mut found, options)?;
    Ok(found)
}

fn unreadable(path: &Path, error: &io::Error) -> DataFusionError {
    DataFusionError::Execution(format!("reading {}: {error}", path.display()))
}

/// Every file below a folder.
fn below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if path.is_dir() { below(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

/// What matches a pattern, part by part of the path.
fn matches(path: &str) -> Result<Vec<PathBuf>> {
    let start = if path.starts_with('/') { PathBuf::from("/") } else { PathBuf::new() };
    let mut places = vec![start];
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        if part.contains(['*', '?', '[']) {
            let wanted = name_pattern(part)?;
            for place in &places {
                let folder = if place.as_os_str().is_empty() { Path::new(".") } else { place.as_path() };
                let Ok(entries) = fs::read_dir(folder) else { continue };
                let names = entries.flatten().map(|entry| entry.file_name());
                next.extend(names.filter(|name| wanted.is_match(&name.to_string_lossy())).map(|name| place.join(name)));
            }
        } else {
            next.extend(places.iter().map(|place| place.join(part)).filter(|place| place.exists()));
        }
        places = next;
    }
    Ok(places)
}

fn name_pattern(part: &str) -> Result<Regex> {
    let mut text = String::from("(?s)^");
    let mut in_set = false;
    for character in part.chars() {
        match character {
            '*' if !in_set => text.push_str(".*"),
            '?' if !in_set => text.push('.'),
            '!' if in_set && text.ends_with('[') => text.push('^'),
            '[' | ']' => {
                in_set = character == '[';
                text.push(character);
            }
            '-' | '^' if in_set => text.push(character),
            other => text.push_str(&regex::escape(&other.to_string())),
        }
    }
    text.push('$');
    Regex::new(&text).or_else(|_| plan_err!("'{part}' is no pattern of file names"))
}

fn sort(files: &mut [PathBuf], options: &ImportOptions) -> Result<()> {
    files.sort();
    let groups = |file: &PathBuf| -> String {
        let path = file.to_string_lossy();
        let captures = options.sort_regex.as_ref().and_then(|regex| regex.captures(&path));
        captures.map(|captures| captures.iter().skip(1).flatten().map(|group| group.as_str()).collect()).unwrap_or_default()
    };
    match options.order {
        FileOrder::Path => {}
        FileOrder::Modified => {
            let mut dated = Vec::with_capacity(files.len());
            for file in files.iter() {
                let modified = fs::metadata(file).and_then(|data| data.modified()).map_err(|error| unreadable(file, &error))?;
                dated.push((modified, file.clone()));
            }
            dated.sort();
            files.iter_mut().zip(dated).for_each(|(file, (_, next))| *file = next);
        }
        FileOrder::Regex | FileOrder::RegexNumber if options.sort_regex.is_none() => {
            return plan_err!("file_sort_order_by='regex' needs the option file_sort_regex");
        }
        FileOrder::Regex => files.sort_by_cached_key(groups),
        FileOrder::RegexNumber => files.sort_by_cached_key(|file| groups(file).parse::<u64>().unwrap_or(u64::MAX)),
    }
    Ok(())
}

/// Opens a file for reading, unpacked if it is gzip, behind a byte order mark of UTF-8.
///
/// # Errors
/// A file that cannot be read; a [`Refusal`] for zip, tar and other archives and for UTF-16.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    let failed = |error: io::Error| unreadable(path, &error);
    let refused = |what: &str, way: &str| Err(Refusal::new(format!("{} ({what})", path.display()), way).into());
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(failed)?);
    let head = file.fill_buf().map_err(failed)?;
    let is_gzip = head.starts_with(&[0x1f, 0x8b]);
    if head.starts_with(b"PK\x03\x04") {
        return refused("a zip archive", "unpack it with `unzip`, then read the files");
    }
    if head.starts_with(b"7z\xbc\xaf") || head.starts_with(b"Rar!") || head.starts_with(b"BZh") || head.starts_with(b"\xfd7zXZ") {
        return refused("an archive", "unpack it, or pack it with gzip");
    }
    let unpacked: Box<dyn Read + Send> = if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, unpacked);
    let head = reader.fill_buf().map_err(failed)?;
    if head.get(257..262) == Some(b"ustar") {
        return refused("a tar archive", "unpack it with `tar -x`, then read the files");
    }
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return refused("UTF-16", "convert the file with `iconv -f UTF-16 -t UTF-8`");
    }
    if head.starts_with(&[0xef, 0xbb, 0xbf]) {
        reader.consume(3);
    }
    Ok(Box::new(reader))
}
