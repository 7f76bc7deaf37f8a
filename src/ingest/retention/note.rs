//! What a commit says of its retention, in its note.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// Key of it in the note.
const RETENTION_NOTE: &str = "retention";

/// What a commit says of its retention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RetentionNote {
    /// The metrics table.
    pub(super) table: String,
    /// Column that ranks the strategies.
    pub(super) metric: String,
    /// Strategies of each group whose details are kept.
    pub(super) top: u64,
    /// Groups that lost details.
    pub(super) dropped: Vec<DroppedDetails>,
}

/// What one group lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DroppedDetails {
    /// Values of the group by the names of its columns.
    pub(super) group: Map<String, Value>,
    /// Rows of all tables of details.
    pub(super) rows: u64,
    /// Rows of the first of them.
    pub(super) trades: u64,
    /// Bytes of all of them as minified JSON.
    pub(super) bytes: u64,
}

impl RetentionNote {
    /// The note of a commit that says this.
    pub(super) fn to_note(&self) -> Result<Value> {
        Ok(json!({ RETENTION_NOTE: serde_json::to_value(self).map_err(|e| Error::Internal(e.to_string()))? }))
    }

    /// What the note of a commit says of a retention, if anything.
    pub(super) fn of_note(note: &Value) -> Option<Self> {
        serde_json::from_value(note.get(RETENTION_NOTE)?.clone()).ok()
    }
}
