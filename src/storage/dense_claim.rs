//! What the footer of a dense file says.

use datafusion::parquet::file::metadata::{KeyValue, ParquetMetaData};
use serde::{Deserialize, Serialize};

/// Key under which a dense file says what it has: in its footer and in the log.
pub(super) const DENSE_KEY: &str = "tranchedb.dense";

/// Program name in the footers of our files, before its version.
pub(super) const CREATED_BY: &str = "tranchedb";

/// A dense file has every period of the file for every strategy: the row of strategy `s` and period `p` is `s x periods + p`.
///
/// A claim: whoever relies on it compares it with the rows that the file has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenseClaim {
    /// Number of strategies.
    pub strategies: usize,
    /// Number of periods.
    pub periods: usize,
    /// Context columns that have the same values, period by period, for every strategy.
    #[serde(default)]
    pub shared: Vec<String>,
}

impl DenseClaim {
    /// The claim as an entry of a footer.
    pub(super) fn entry(&self) -> KeyValue {
        KeyValue::new(DENSE_KEY.to_owned(), serde_json::to_string(self).ok())
    }

    /// The claim of a file's footer, if there is one.
    pub fn of_footer(metadata: &ParquetMetaData) -> Option<Self> {
        let entries = metadata.file_metadata().key_value_metadata()?;
        let text = entries.iter().find(|entry| entry.key == DENSE_KEY)?.value.as_ref()?;
        serde_json::from_str(text).ok()
    }
}

/// Whether the footer names this program as the writer of the file.
pub fn created_here(metadata: &ParquetMetaData) -> bool {
    let writer = metadata.file_metadata().created_by().and_then(|text| text.strip_prefix(CREATED_BY));
    writer.is_some_and(|version| version.starts_with(' '))
}
