//! Columns of wide files that earlier statements have found: putting together the schema of 25,000 columns takes a second.

use std::collections::VecDeque;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::listing::ListingTableUrl;
use object_store::ObjectMeta;
use parking_lot::Mutex;

use super::narrow::MANY_COLUMNS;

/// Tables whose columns are kept; the one that was opened first leaves first.
const MOST_TABLES: usize = 8;

/// Columns of tables of files, as long as no file has changed its size, time or tag and none has come or gone.
///
/// Belongs into the extensions of a session's configuration. Tables of fewer than 500 columns are not kept.
#[derive(Debug, Default)]
pub struct WideSchemaCache(Mutex<VecDeque<Known>>);

#[derive(Debug)]
struct Known {
    url: ListingTableUrl,
    files: Vec<ObjectMeta>,
    schema: SchemaRef,
}

impl WideSchemaCache {
    /// The columns of these files, if they are known.
    pub(super) fn get(&self, url: &ListingTableUrl, files: &[ObjectMeta]) -> Option<SchemaRef> {
        self.0.lock().iter().find(|known| known.url == *url && known.files == files).map(|known| SchemaRef::clone(&known.schema))
    }

    /// Keeps the columns of files, if there are many.
    pub(super) fn put(&self, url: &ListingTableUrl, files: Vec<ObjectMeta>, schema: &SchemaRef) {
        if schema.fields().len() < MANY_COLUMNS {
            return;
        }
        let mut tables = self.0.lock();
        tables.retain(|known| known.url != *url);
        tables.push_back(Known { url: url.clone(), files, schema: SchemaRef::clone(schema) });
        if tables.len() > MOST_TABLES {
            tables.pop_front();
        }
    }
}
