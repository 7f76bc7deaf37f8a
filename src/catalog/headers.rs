//! CSV files that are read as one table must have the same columns in the same order: the reader joins columns by their place, so
//! a file with another order would give its values to the wrong columns.

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::{ListingOptions, ListingTableUrl};
use datafusion::execution::SessionState;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::error::{Error, SourceError};

/// First lines that are read at the same time.
const READ_AHEAD: usize = 16;
/// Longest first line: some 100,000 strategies with long names.
const MAX_HEADER_BYTES: usize = 16 << 20;

/// What gives the columns of a table their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// The files' first lines, which must then be equal.
    Inferred,
    /// The statement: files may name a column as they like, but none may have it in another place.
    Declared,
}

/// Checks that the files at `urls` can be read as one table.
///
/// Reads the first line of each, up to its end and no further, a few at a time; a single file and other formats are not touched.
///
/// # Errors
/// [`Error::Source`] naming two files and the first column that differs; or a file cannot be read.
pub(super) async fn require_same_headers(
    state: &SessionState,
    urls: &[ListingTableUrl],
    options: &ListingOptions,
    columns: Columns,
) -> DfResult<()> {
    let Some(format) = options.format.as_ref().downcast_ref::<CsvFormat>() else { return Ok(()) };
    if !format.has_header().unwrap_or(state.config_options().catalog.has_header) {
        return Ok(());
    }
    let Some(url) = urls.first() else { return Ok(()) };
    let store = state.runtime_env().object_store(url)?;
    let mut files: Vec<ObjectMeta> = Vec::new();
    for url in urls {
        let listed = url.list_all_files(state, store.as_ref(), &options.file_extension).await?;
        files.extend(listed.try_collect::<Vec<_>>().await?.into_iter().filter(|file| file.size > 0));
    }
    if files.len() < 2 {
        return Ok(());
    }
    // The order of a listing is the store's own; the error is to be the same every time.
    files.sort_by(|a, b| a.location.cmp(&b.location));
    let name = |file: &Path| format!("{}{file}", url.object_store().as_str()).trim_start_matches("file://").to_owned();
    let read = |file: ObjectMeta| {
        let store = Arc::clone(&store);
        async move { Ok::<_, DataFusionError>((first_record(&store, &file.location, format).await?, file.location)) }
    };
    let mut headers = futures::stream::iter(files.into_iter().map(read)).buffered(READ_AHEAD);
    let mut first: Option<(Vec<String>, Path)> = None;
    while let Some((header, file)) = headers.try_next().await? {
        let Some(header) = header else { continue };
        match &first {
            None => first = Some((header, file)),
            Some((expected, reference)) => {
                if let Some(place) = difference(expected, &header, columns) {
                    return Err(refusal((expected, &name(reference)), (&header, &name(&file)), place));
                }
            }
        }
    }
    Ok(())
}

/// The place (from 0) of the first column that keeps two files from being one table.
fn difference(expected: &[String], found: &[String], columns: Columns) -> Option<usize> {
    let at = |place: usize| (expected.get(place), found.get(place));
    let differs = |place: &usize| match (columns, at(*place)) {
        (_, (one, other)) if one == other => false,
        (Columns::Declared, (Some(one), Some(other))) => found.contains(one) || expected.contains(other),
        _ => true,
    };
    (0..expected.len().max(found.len())).find(differs)
}

fn refusal((expected, reference): (&[String], &str), (found, file): (&[String], &str), place: usize) -> DataFusionError {
    let column = |header: &[String]| header.get(place).map_or_else(|| "missing".to_owned(), |name| format!("'{name}'"));
    let mut reason = format!(
        "its columns differ from those of {reference}, and CSV files are read as one table by the place of their columns: column {} is {} \
         here and {} there",
        place + 1,
        column(found),
        column(expected)
    );
    let (mut one, mut other) = (expected.to_vec(), found.to_vec());
    one.sort_unstable();
    other.sort_unstable();
    if one == other {
        // Writing to a text never fails.
        let _ = write!(reason, " (the same columns in another order)");
    }
    let remedy = format!("join them by name: SELECT * FROM '{reference}' UNION ALL BY NAME SELECT * FROM '{file}'");
    Error::from(SourceError::new(file, reason).with_remedy(remedy)).into()
}

/// The first record of a file; `None` where it holds only blank lines.
async fn first_record(store: &Arc<dyn ObjectStore>, file: &Path, format: &CsvFormat) -> DfResult<Option<Vec<String>>> {
    let failed = |e: object_store::Error| DataFusionError::ObjectStore(Box::new(e));
    let bytes = store.get(file).await.map_err(failed)?.into_stream().map_err(failed).boxed();
    let mut chunks = FileCompressionType::from(format.options().compression).convert_stream(bytes)?;
    let mut read = Vec::new();
    while let Some(chunk) = chunks.try_next().await? {
        // Only a chunk with an end of line can complete the record: each byte is parsed once, save for lines within quotes.
        let may_end = chunk.iter().any(|byte| matches!(byte, b'\n' | b'\r') || Some(*byte) == format.options().terminator);
        read.extend_from_slice(&chunk);
        if may_end
            && let (Some(record), end) = parse(&read, format)?
            && end < read.len()
        {
            return Ok(Some(record));
        }
        if read.len() > MAX_HEADER_BYTES {
            let reason = format!("the first line is longer than {} MiB", MAX_HEADER_BYTES >> 20);
            return Err(Error::from(SourceError::new(format!("/{file}"), reason).with_remedy("is it a CSV file?")).into());
        }
    }
    Ok(parse(&read, format)?.0)
}

/// The first record of a text, and where it ends.
fn parse(text: &[u8], format: &CsvFormat) -> DfResult<(Option<Vec<String>>, usize)> {
    let terminator = format.options().terminator.map_or(csv::Terminator::CRLF, csv::Terminator::Any);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(format.delimiter())
        .quote(format.quote())
        .escape(format.escape())
        .comment(format.options().comment)
        .terminator(terminator)
        .from_reader(text);
    let mut record = csv::ByteRecord::new();
    let found = reader.read_byte_record(&mut record).map_err(|e| DataFusionError::External(Box::new(e)))?;
    let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
    let names = record.iter().map(|name| String::from_utf8_lossy(name).into_owned());
    Ok((found.then(|| names.collect()), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(header: &str) -> Vec<String> {
        header.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn declared_columns_may_be_named_anew_but_not_moved() {
        let cases = [
            ("d,a,b", "d,a,b", None, None),
            ("d,a,b", "d,b,a", Some(1), Some(1)),
            ("d,a,b", "D,A,B", Some(0), None),
            ("d,a,b", "d,x,a", Some(1), Some(1)),
            ("d,a,b", "d,a", Some(2), Some(2)),
            ("d,a", "d,a,b", Some(2), Some(2)),
        ];
        for (one, other, inferred, declared) in cases {
            assert_eq!(difference(&names(one), &names(other), Columns::Inferred), inferred, "{one} {other}");
            assert_eq!(difference(&names(one), &names(other), Columns::Declared), declared, "{one} {other}");
        }
    }

    #[test]
    fn a_record_is_read_to_its_own_end() {
        let csv = CsvFormat::default();
        assert_eq!(parse(b"a,\"b\nc\"\r\n1,2\n", &csv).unwrap(), (Some(vec!["a".into(), "b\nc".into()]), 8));
        assert_eq!(parse(b"\xEF\xBB\xBFa,b", &csv).unwrap().0, Some(names("a,b")));
        assert_eq!(parse(b"\n\n", &csv).unwrap().0, None);
        let semicolons = CsvFormat::default().with_delimiter(b';').with_comment(Some(b'#'));
        assert_eq!(parse(b"# about\na;b\n", &semicolons).unwrap().0, Some(names("a,b")));
    }
}
