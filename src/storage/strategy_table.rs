//! A strategy table at one version, and a change that leads to the next.

use std::collections::{BTreeSet, HashMap};

use chrono::{Datelike, NaiveDate, Utc};
use datafusion::arrow::datatypes::Field;
use datafusion::arrow::ipc::reader::FileReader;
use datafusion::arrow::ipc::writer::FileWriter;
use datafusion::arrow::record_batch::RecordBatch;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake::kernel::{Action, Add, LogicalFileView, MetadataExt, Remove, StructType};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableBuilder};
use object_store::path::Path;
use parking_lot::Mutex;
use serde_json::Value;

use super::delta::{CHANGE_NOTE, NOTE_KEY, delta_error, landed_change, load_table};
use super::dense_claim::DENSE_KEY;
use super::{DenseFileWriter, FinishedFile, PartitionKey, Root, StrategyFileWriter, StrategyShape};
use crate::error::{Error, Result};

/// Table property that marks a strategy table.
const KIND_PROPERTY: &str = "tranchedb.kind";
/// Value of [`KIND_PROPERTY`].
const STRATEGY_KIND: &str = "strategies";
/// Table property that names the file with the strategies in source order, below the table's folder.
const REGISTER_PROPERTY: &str = "tranchedb.register";
/// Folder of the registers below the table's.
const REGISTER_FOLDER: &str = "_register";
/// The unit where nobody said one.
const UNIT_UNKNOWN: &str = "unknown";
/// Tag of files whose rows are in file order.
const SORTED_TAG: &str = "tranchedb.sorted";
/// Table property that holds the unit of `pnl`.
const UNIT_PROPERTY: &str = "tranchedb.unit";
/// Table property that tells what the files of the table held: `pnl` or `levels`.
const VALUES_PROPERTY: &str = "tranchedb.values";
/// Value of [`VALUES_PROPERTY`] where differences of equity levels are stored.
const VALUES_LEVELS: &str = "levels";

/// A strategy table at one version. Cheap to clone.
#[derive(Clone)]
pub struct StrategyTable {
    root: Root,
    name: String,
    delta: DeltaTable,
    shape: StrategyShape,
}

/// One data file of a table version.
#[derive(Debug, Clone)]
pub struct StrategyFile {
    /// Partition of all its rows.
    pub key: PartitionKey,
    /// Path in the object store.
    pub path: Path,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Last modification in milliseconds since 1970.
    pub modified_ms: i64,
    /// Rows, where the log tells.
    pub rows: Option<u64>,
    /// First and last date as days since 1970-01-01, where the log tells.
    pub dates: Option<(i32, i32)>,
    /// First and last strategy, where the log tells.
    pub strategies: Option<(String, String)>,
    /// Whether the rows are in file order: known of files that this engine wrote.
    pub sorted: bool,
    /// Whether every strategy of the file has every period of the file.
    pub dense: bool,
    remove: Remove,
}

impl StrategyTable {
    /// Opens the strategy table `name` at `version` or the newest; `None` when there is no table or it is of another kind.
    pub async fn open(root: &Root, name: &str, version: Option<u64>) -> Result<Option<Self>> {
        let delta = load_table(root, name, version).await?;
        delta.map_or(Ok(None), |delta| Self::of_delta(root, name, delta))
    }

    /// Takes an opened Delta table as a strategy table; `None` when it is of another kind.
    pub fn of_delta(root: &Root, name: &str, delta: DeltaTable) -> Result<Option<Self>> {
        let snapshot = delta.snapshot().map_err(|e| delta_error(name, e))?;
        if snapshot.metadata().configuration().get(KIND_PROPERTY).map(String::as_str) != Some(STRATEGY_KIND) {
            return Ok(None);
        }
        let shape = StrategyShape::of_table(&snapshot.snapshot().arrow_schema())
            .ok_or_else(|| Error::Database(format!("table '{name}' is marked as a strategy table and lacks its columns")))?;
        Ok(Some(Self { root: root.clone(), name: name.into(), delta, shape }))
    }

    /// Name of the table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its columns.
    pub fn shape(&self) -> &StrategyShape {
        &self.shape
    }

    /// Where it lies.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The Delta table below.
    pub fn delta(&self) -> &DeltaTable {
        &self.delta
    }

    /// Version of this state.
    pub fn version(&self) -> u64 {
        self.delta.version().unwrap_or_default()
    }

    /// Unit of `pnl` as stated at import (`currency:INR`, `percent`, ...), `unknown` where nothing was said.
    pub fn unit(&self) -> String {
        self.property(UNIT_PROPERTY).unwrap_or_else(|| UNIT_UNKNOWN.into())
    }

    /// What the files of the table held: `pnl`, or `levels` where `pnl` is their differences; none where no import said it.
    pub fn values(&self) -> Option<String> {
        self.property(VALUES_PROPERTY)
    }

    fn property(&self, key: &str) -> Option<String> {
        let snapshot = self.delta.snapshot().ok()?;
        snapshot.metadata().configuration().get(key).cloned()
    }

    /// Data files of this version, by partition, then by first date and strategy.
    pub fn files(&self) -> Result<Vec<StrategyFile>> {
        let snapshot = self.delta.snapshot().map_err(|e| delta_error(&self.name, e))?;
        let folder = self.root.table_path(&self.name);
        let mut files = snapshot.log_data().iter().map(|view| StrategyFile::of_view(&folder, view)).collect::<Result<Vec<_>>>()?;
        files.sort_by(|a, b| (a.key, a.dates, &a.strategies, &a.path).cmp(&(b.key, b.dates, &b.strategies, &b.path)));
        Ok(files)
    }

    /// The strategies in source order with the import that brought each: columns `strategy`, `import_id`. The row number
    /// is the ordinal. Strategies that came by SQL are absent.
    pub async fn register(&self) -> Result<Option<RecordBatch>> {
        let Some(path) = self.property(REGISTER_PROPERTY) else { return Ok(None) };
        let path = self.root.table_path(&self.name).join(REGISTER_FOLDER).join(path);
        let bytes = self.root.read(&path).await?.ok_or_else(|| Error::Database(format!("table '{}' lost its file {path}", self.name)))?;
        let damaged = |e| Error::storage(format!("reading {path}"), e);
        let mut reader = FileReader::try_new(std::io::Cursor::new(bytes), None).map_err(damaged)?;
        reader.next().transpose().map_err(damaged)
    }
}

impl StrategyFile {
    fn of_view(folder: &Path, view: LogicalFileView) -> Result<Self> {
        let partition = view.partition_values_map();
        let number = |name: &str| partition.get(name).cloned().flatten().and_then(|text| text.parse().ok());
        let year = number("year").ok_or_else(|| Error::Database(format!("file {} has no year", view.path())))?;
        let stats: Value = view.stats().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null);
        let text = |end: &str, column: &str| stats[end][column].as_str().map(str::to_owned);
        let day = |end: &str| text(end, "date").and_then(|d| day_number(&d));
        let path = view.object_store_path().parts().fold(folder.clone(), |path, part| path.join(part));
        Ok(Self {
            key: PartitionKey { year, month: number("month") },
            path,
            size_bytes: view.size().unsigned_abs(),
            modified_ms: view.modification_time(),
            rows: stats["numRecords"].as_u64(),
            dates: day("minValues").zip(day("maxValues")),
            strategies: text("minValues", "strategy").zip(text("maxValues", "strategy")),
            sorted: has_tag(&view, SORTED_TAG),
            dense: stats["numRecords"].as_u64().is_some_and(|rows| dense_rows(&view) == Some(rows)),
            remove: view.remove_action(true),
        })
    }

    /// Whether rows of the two date and strategy ranges may lie in this file.
    pub fn may_hold(&self, dates: (i32, i32), strategies: Option<(&str, &str)>) -> bool {
        let in_dates = self.dates.is_none_or(|(first, last)| first <= dates.1 && dates.0 <= last);
        let in_names = match (&self.strategies, strategies) {
            (Some((first, last)), Some((low, high))) => first.as_str() <= high && low <= last.as_str(),
            _ => true,
        };
        in_dates && in_names
    }
}

/// Whether the file carries the tag.
#[expect(deprecated, reason = "the log offers no other access to a file's tags")]
fn has_tag(view: &LogicalFileView, tag: &str) -> bool {
    view.add_action().tags.is_some_and(|tags| tags.contains_key(tag))
}

/// Rows that a dense file must have, from its tag: strategies times periods.
#[expect(deprecated, reason = "the log offers no other access to a file's tags")]
fn dense_rows(view: &LogicalFileView) -> Option<u64> {
    let tags = view.add_action().tags?;
    let (strategies, periods) = tags.get(DENSE_KEY)?.as_ref()?.split_once('x')?;
    strategies.parse::<u64>().ok()?.checked_mul(periods.parse().ok()?)
}

fn day_number(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.num_days_from_ce() - 719_163)
}

/// A change of a strategy table that is being prepared: files are written, then one commit makes them visible.
///
/// Dropping it without [`commit`](Self::commit) leaves the table as it was; [`abandon`](Self::abandon) also removes what
/// was written.
pub struct StrategyChange {
    root: Root,
    name: String,
    base: Option<StrategyTable>,
    shape: StrategyShape,
    /// Context columns that the new rows bring.
    incoming: Vec<Field>,
    /// Paths of all files that were opened, finished or not.
    opened: Mutex<Vec<String>>,
    added: Vec<FinishedFile>,
    removed: Vec<StrategyFile>,
    written_strategies: BTreeSet<String>,
    register: Option<RecordBatch>,
    register_file: Option<String>,
    unit: Option<String>,
    values: Option<String>,
}

impl StrategyChange {
    /// A change of an existing table that keeps its columns.
    pub fn of(table: StrategyTable) -> Self {
        let (root, name, shape) = (table.root.clone(), table.name.clone(), table.shape.clone());
        Self::new(root, name, Some(table), shape)
    }

    fn new(root: Root, name: String, base: Option<StrategyTable>, shape: StrategyShape) -> Self {
        Self {
            incoming: shape.context().to_vec(),
            root,
            name,
            base,
            shape,
            opened: Mutex::new(vec![]),
            added: vec![],
            removed: vec![],
            written_strategies: BTreeSet::new(),
            register: None,
            register_file: None,
            unit: None,
            values: None,
        }
    }

    /// A change on top of `base`, or of a table to be created; `shape` is that of the rows to come.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the shapes cannot be one table.
    pub async fn begin(root: &Root, name: &str, base: Option<StrategyTable>, shape: &StrategyShape) -> Result<Self> {
        if base.is_none() {
            root.claim_folder(name).await?;
        }
        let whole = base.as_ref().map_or_else(|| Ok(shape.clone()), |table| table.shape.union(shape))?;
        Ok(Self { incoming: shape.context().to_vec(), ..Self::new(root.clone(), name.to_owned(), base, whole) })
    }

    /// Shape of the table after the change: every file is written in it.
    pub fn shape(&self) -> &StrategyShape {
        &self.shape
    }

    /// Context columns that the new rows bring; the others of the table are not theirs to change.
    pub fn incoming(&self) -> &[Field] {
        &self.incoming
    }

    /// The table before the change, if it exists.
    pub fn base(&self) -> Option<&StrategyTable> {
        self.base.as_ref()
    }

    /// Opens a new file in a partition.
    pub fn file(&self, key: PartitionKey) -> Result<StrategyFileWriter> {
        let path = format!("{}/part-{}.zstd.parquet", key.folder(), uuid::Uuid::new_v4());
        self.opened.lock().push(path.clone());
        StrategyFileWriter::try_new(&self.root, &self.name, &self.shape, key, path)
    }

    /// Opens a new file in a partition that holds every period of `periods` (as [`DenseFileWriter::try_new`] takes them) for every strategy.
    pub fn dense_file(&self, key: PartitionKey, periods: &RecordBatch) -> Result<DenseFileWriter> {
        let path = format!("{}/part-{}.zstd.parquet", key.folder(), uuid::Uuid::new_v4());
        self.opened.lock().push(path.clone());
        DenseFileWriter::try_new(&self.root, &self.name, &self.shape, (key, path), periods)
    }

    /// Takes a finished file into the next version. A file without rows is left out.
    pub fn add(&mut self, mut file: FinishedFile) {
        if file.rows > 0 {
            self.written_strategies.append(&mut file.names);
            self.added.push(file);
        }
    }

    /// Takes a file of rows that were there before, or are counted already, into the next version: its strategies are not written anew.
    pub fn add_rewritten(&mut self, mut file: FinishedFile) {
        file.names.clear();
        self.add(file);
    }

    /// Takes a written file back and removes it.
    pub async fn withdraw(&mut self, file: &FinishedFile) -> Result<()> {
        self.added.retain(|kept| kept.path != file.path);
        self.root.remove(&self.added_path(file)).await
    }

    /// Names of all strategies whose rows the change brought, ascending.
    pub fn written_strategies(&self) -> impl Iterator<Item = &str> {
        self.written_strategies.iter().map(String::as_str)
    }

    /// Where the table lies.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Takes a file of the base out of the next version.
    pub fn remove(&mut self, file: StrategyFile) {
        self.removed.push(file);
    }

    /// Replaces the register of strategies (columns as [`StrategyTable::register`] gives them).
    pub fn set_register(&mut self, register: RecordBatch) {
        self.register = Some(register);
    }

    /// States what the files of the table hold: `pnl` or `levels`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the table was made of the other kind: levels stored as P&L would look like any other values.
    pub fn set_values(&mut self, values: &str) -> Result<()> {
        let name = &self.name;
        match self.base.as_ref().and_then(StrategyTable::values) {
            Some(before) if before == values => Ok(()),
            Some(before) if before == VALUES_LEVELS => Err(Error::Conflict(format!(
                "table '{name}' was made from equity levels and holds their differences\nhint: --values levels says that this file holds levels too; profit and loss goes into another table"
            ))),
            Some(_) => Err(Error::Conflict(format!(
                "table '{name}' was made from profit and loss, and this file holds equity levels\nhint: import the levels into another table, or leave --values levels out if the file holds profit and loss"
            ))),
            None => {
                self.values = Some(values.to_owned());
                Ok(())
            }
        }
    }

    /// Whether the change gives a unit to rows of the table that had none.
    pub fn gives_unit(&self) -> bool {
        self.base.is_some() && self.unit.is_some()
    }

    /// States the unit of `pnl`; `unknown` leaves that of the table.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the table's rows have another unit.
    pub fn set_unit(&mut self, unit: &str) -> Result<()> {
        let before = self.base.as_ref().map(StrategyTable::unit).filter(|before| before != UNIT_UNKNOWN);
        match before {
            Some(before) if unit != UNIT_UNKNOWN && before != unit => {
                Err(Error::Conflict(format!("the values of table '{}' are {before}, the new ones {unit}: use another table", self.name)))
            }
            Some(_) => Ok(()),
            None if self.base.is_some() && unit == UNIT_UNKNOWN => Ok(()),
            None => {
                self.unit = Some(unit.to_owned());
                Ok(())
            }
        }
    }

    /// Files written so far.
    pub fn added(&self) -> &[FinishedFile] {
        &self.added
    }

    /// Path of a written file in the object store.
    pub fn added_path(&self, file: &FinishedFile) -> Path {
        self.file_path(&file.path)
    }

    /// Makes the change the next version of the table, all at once; `note` is kept in the log. Returns the version.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another writer was first: then the table is as that writer left it, and what was written
    /// for this change is gone.
    pub async fn commit(mut self, mut note: Value) -> Result<u64> {
        let id = uuid::Uuid::new_v4().to_string();
        note[CHANGE_NOTE] = Value::from(id.as_str());
        match self.try_commit(note).await {
            Ok(version) => Ok(version),
            // What follows a commit (a checkpoint) may fail after the version is there; then its files must stay.
            Err(error) => match landed_change(&self.root, &self.name, self.base.as_ref().map(StrategyTable::version), &id).await {
                Ok(Some(version)) => Ok(version),
                Ok(None) => self.abandon_after(error).await,
                Err(_) => Err(error),
            },
        }
    }

    async fn try_commit(&mut self, note: Value) -> Result<u64> {
        self.root.initialise().await?;
        let properties = self.next_properties().await?;
        let adds: Vec<Action> = self.added.iter().map(|file| Action::Add(add_action(file))).collect();
        match &self.base {
            None => self.create(adds, properties, note).await,
            Some(base) => self.extend(base, adds, properties, note).await,
        }
    }

    /// Removes what was written for this change.
    pub async fn abandon(self) -> Result<()> {
        let opened = self.opened.lock().clone();
        let register = self.register_file.iter().map(|file| self.register_path(file));
        for path in opened.iter().map(|file| self.file_path(file)).chain(register) {
            self.root.remove(&path).await?;
        }
        let is_table = load_table(&self.root, &self.name, None).await?.is_some();
        if self.base.is_none() && !is_table {
            self.root.release_folder(&self.name).await?;
        }
        let folders = opened.iter().filter_map(|file| file.rsplit_once('/')).map(|(folder, _)| self.file_path(folder));
        let own = [self.file_path("_delta_log"), self.root.table_path(&self.name).join(REGISTER_FOLDER)];
        folders.chain(own).for_each(|folder| self.root.prune(&folder));
        Ok(())
    }

    /// [`Self::abandon`] after a failure, which stays the one that is told.
    pub async fn abandon_after<T>(self, error: Error) -> Result<T> {
        let name = self.name.clone();
        if let Err(left) = self.abandon().await {
            tracing::warn!(table = name, error = %left, "files of a change that did not come about are left; VACUUM removes them");
        }
        Err(error)
    }

    fn file_path(&self, file: &str) -> Path {
        file.split('/').fold(self.root.table_path(&self.name), |path, part| path.join(part))
    }

    fn register_path(&self, file: &str) -> Path {
        self.root.table_path(&self.name).join(REGISTER_FOLDER).join(file)
    }

    /// Table properties that change with this commit.
    async fn next_properties(&mut self) -> Result<Vec<(&'static str, String)>> {
        let mut properties = Vec::new();
        if let Some(register) = &self.register {
            let file = format!("{}.arrow", uuid::Uuid::new_v4());
            self.root.write(&self.register_path(&file), ipc_bytes(register)?).await?;
            properties.push((REGISTER_PROPERTY, file.clone()));
            self.register_file = Some(file);
        }
        if let Some(unit) = &self.unit {
            properties.push((UNIT_PROPERTY, unit.clone()));
        }
        if let Some(values) = &self.values {
            properties.push((VALUES_PROPERTY, values.clone()));
        }
        Ok(properties)
    }

    async fn create(&self, adds: Vec<Action>, properties: Vec<(&'static str, String)>, note: Value) -> Result<u64> {
        let failed = |e| delta_error(&self.name, e);
        let url = self.root.table_url(&self.name)?;
        let builder =
            DeltaTableBuilder::from_url(url.clone()).map_err(failed)?.with_storage_backend(self.root.table_store(&self.name), url);
        let fixed = [(KIND_PROPERTY, STRATEGY_KIND), ("delta.enableExpiredLogCleanup", "false")];
        let fixed = fixed.into_iter().map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
        let all = fixed.chain(properties.into_iter().map(|(key, value)| (key.to_owned(), Some(value))));
        let commit = CommitProperties::default().with_max_retries(0).with_metadata([(NOTE_KEY.to_owned(), note)]);
        let table = builder
            .build()
            .map_err(failed)?
            .create()
            .with_table_name(&self.name)
            .with_columns(self.shape.delta_fields()?)
            .with_partition_columns(self.shape.partition_columns())
            .with_raise_if_key_not_exists(false)
            .with_configuration(all)
            .with_actions(adds)
            .with_save_mode(SaveMode::ErrorIfExists)
            .with_commit_properties(commit)
            .await
            .map_err(failed)?;
        Ok(table.version().unwrap_or_default())
    }

    async fn extend(
        &self,
        base: &StrategyTable,
        mut actions: Vec<Action>,
        properties: Vec<(&'static str, String)>,
        note: Value,
    ) -> Result<u64> {
        let failed = |e| delta_error(&self.name, e);
        let state = base.delta.snapshot().map_err(failed)?;
        actions.extend(self.removed.iter().map(|file| Action::Remove(file.remove.clone())));
        if !properties.is_empty() || self.shape != base.shape {
            let schema = StructType::try_new(self.shape.delta_fields()?).map_err(|e| failed(e.into()))?;
            let mut metadata = state.metadata().clone().with_schema(&schema).map_err(|e| failed(e.into()))?;
            for (key, value) in properties {
                metadata = metadata.add_config_key(key.into(), value).map_err(|e| failed(e.into()))?;
            }
            actions.push(Action::Metadata(metadata));
        }
        let mode = if self.removed.is_empty() { SaveMode::Append } else { SaveMode::Overwrite };
        let partition_by = Some(self.shape.partition_columns().into_iter().map(str::to_owned).collect());
        let properties = CommitProperties::default().with_max_retries(0).with_metadata([(NOTE_KEY.to_owned(), note)]);
        let commit = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(
                Some(state as &dyn TableReference),
                base.delta.log_store(),
                DeltaOperation::Write { mode, partition_by, predicate: None },
            )
            .await
            .map_err(failed)?;
        Ok(commit.version())
    }
}

fn add_action(file: &FinishedFile) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: file.key.values().into_iter().map(|(name, value)| (name.to_owned(), Some(value.to_string()))).collect(),
        size: file.size_bytes as i64,
        modification_time: Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(file.stats.clone()),
        tags: Some(tags(file)),
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

fn tags(file: &FinishedFile) -> HashMap<String, Option<String>> {
    let dense = file.dense.map(|(strategies, periods)| (DENSE_KEY.to_owned(), Some(format!("{strategies}x{periods}"))));
    dense.into_iter().chain([(SORTED_TAG.to_owned(), Some("true".to_owned()))]).collect()
}

fn ipc_bytes(batch: &RecordBatch) -> Result<Vec<u8>> {
    let internal = |e: datafusion::arrow::error::ArrowError| Error::Internal(format!("encoding the register: {e}"));
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).map_err(internal)?;
    writer.write(batch).map_err(internal)?;
    writer.into_inner().map_err(internal)
}
