//! The engine: one database and the SQL session over it. The only place that assembles a session.

mod explanation;
mod parameters;
mod retention;
mod session;
mod statements;
mod tier_rules;
mod tiers;

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::catalog::SchemaProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion_functions_finance::reference::{self, Kind};
use datafusion_heavydb::Options as HeavyOptions;
use datafusion_heavydb::replay::report::Report;
use datafusion_heavydb::tables::{Database as HeavyTables, HeavySession};

use crate::catalog::{CATALOG, DirectorySchema, SCHEMA, Statement, TableKind, missing_file, parse_in, parse_table_name, unquoted_file};
use crate::config::{EngineConfig, SqlDialect, SqlOptions};
use crate::error::{Error, Position, QueryError, Result};
use crate::exec::{QueryLog, QueryStatus, RELATION_FUNCTIONS, takes_relations};
use crate::heavydb::{self, Explained, Finding, KeptSession, ReplayOptions, Replayed};
use crate::ingest::{self, GenerateReport, GenerateRequest, ImportContext, ImportReport, ImportRequest, Target};
use crate::storage::{RemoteStores, Root, undo_abandoned};
use session::session;
use statements::gives_rows_later;

pub use parameters::Parameters;

/// A database with its SQL session. Clones are cheap and share both.
#[derive(Clone)]
pub struct Engine {
    ctx: SessionContext,
    directory: Arc<DirectorySchema>,
    config: EngineConfig,
    /// What statements in HeavyDB's dialect made in memory.
    heavy_tables: Arc<HeavyTables>,
    heavy_session: Arc<KeptSession>,
    /// The object stores that were opened, and the tiers in front of them.
    stores: Arc<RemoteStores>,
}

/// What a statement gave.
#[derive(Debug)]
pub struct Done {
    /// Its rows, not yet read; without columns for a statement that has no result.
    pub frame: DataFrame,
    /// What the user should know beside the rows: that something has no effect, how many values were dropped.
    pub note: Option<String>,
}

impl Engine {
    /// Opens the database in a directory, or in a folder of an object store (`s3://bucket/db`); a missing one is an empty database, made at
    /// the first write.
    ///
    /// # Errors
    /// [`Error::Database`] when the place is a file or was written by a newer version; [`Error::Storage`] when it cannot be read, as in a
    /// bucket that is not there or without credentials; [`Error::Usage`] for a URL that no database can have.
    pub async fn open(location: &str) -> Result<Self> {
        Self::with_config(EngineConfig { location: Some(location.to_owned()), ..EngineConfig::default() }).await
    }

    /// A database that lives in memory as long as the engine.
    pub async fn in_memory() -> Result<Self> {
        Self::with_config(EngineConfig::default()).await
    }

    /// Opens a database with settings.
    ///
    /// # Errors
    /// As [`Engine::open`]; [`Error::Usage`] for settings that cannot be.
    pub async fn with_config(config: EngineConfig) -> Result<Self> {
        let config = tiers::with_file(config).await?;
        let stores = tiers::open(&config)?;
        let root = match &config.location {
            Some(location) => Root::locate(location, &stores).await?,
            None => Root::in_memory()?,
        };
        let locations = tiers::locations(&config, &root, &stores)?;
        let root = root.with_locations(locations);
        if let Err(error) = undo_abandoned(&root).await {
            // A directory that cannot be written is read all the same: readers pass over what was left.
            tracing::warn!(error = %error, "a change of several tables that was never finished is left");
        }
        let directory = Arc::new(DirectorySchema::new(root.clone()));
        let heavy_tables = Arc::new(HeavyTables::default());
        let ctx = session(&config, &directory, &heavy_tables, &stores)?;
        stores.register_database(&root);
        directory.attach(ctx.state_weak_ref());
        Ok(Self { ctx, directory, config, heavy_tables, heavy_session: Arc::default(), stores })
    }

    /// The DataFusion session: everything of DataFusion stays usable.
    pub fn context(&self) -> &SessionContext {
        &self.ctx
    }

    /// The settings of this engine.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Parses a text of any number of statements in the session's dialect.
    ///
    /// # Errors
    /// [`Error::Query`] with the position in `text`.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>> {
        self.parse_next(text, &mut self.dialect())
    }

    /// Parses one of several texts that are run one after another; `dialect` goes from text to text, for any of them may change it.
    ///
    /// # Errors
    /// As [`Engine::parse`].
    pub fn parse_next(&self, text: &str, dialect: &mut SqlDialect) -> Result<Vec<Statement>> {
        parse_in(text, dialect)
    }

    /// The SQL that statements of this session are written in.
    pub fn dialect(&self) -> SqlDialect {
        // A copy of the whole state would take longer than a short statement.
        let state = self.ctx.state_ref();
        let state = state.read();
        state.config().options().extensions.get::<SqlOptions>().map_or(self.config.dialect, |options| options.dialect)
    }

    /// A session that speaks HeavyDB's dialect over the tables of this database and those that its statements made in memory.
    pub fn heavydb(&self, options: &HeavyOptions) -> HeavySession {
        HeavySession::new(&self.ctx.state(), &self.heavy_tables, options)
    }

    /// Plans one statement. What changes the database or writes files (`COPY`) is done when this returns; rows of a query are read
    /// from the result.
    ///
    /// # Errors
    /// [`Error::Query`] with the position in the whole text that was parsed, where it is known.
    pub async fn run(&self, statement: &Statement, parameters: &Parameters) -> Result<DataFrame> {
        Ok(self.run_noted(statement, parameters).await?.frame)
    }

    /// As [`Engine::run`], with what the statement has to say beside its rows.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn run_noted(&self, statement: &Statement, parameters: &Parameters) -> Result<Done> {
        let record = self.extension::<QueryLog>().unwrap_or_default().begin(&statement.text);
        // Rows may be read long after this returns, or never.
        let outcome = match self.run_command(statement, parameters).await {
            Err(Error::Query(query)) => Err(Error::Query(Box::new(self.explained(*query, statement).await))),
            Ok(done) if gives_rows_later(&statement.command) && !done.frame.schema().fields().is_empty() => Ok(done.recorded(&record)),
            other => {
                record.planned(None);
                other.inspect(|_| record.ended(QueryStatus::Done, None))
            }
        };
        outcome.inspect_err(|error| record.ended(QueryStatus::Failed, Some(error.to_string())))
    }

    /// What the session carries along.
    fn extension<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.ctx.state_ref().read().config().get_extension::<T>()
    }

    /// What the session has set.
    fn options(&self) -> SqlOptions {
        let state = self.ctx.state_ref();
        let state = state.read();
        state.config().options().extensions.get::<SqlOptions>().cloned().unwrap_or_default()
    }

    fn one_column(&self, name: &str, column: ArrayRef) -> Result<DataFrame> {
        let batch = RecordBatch::try_from_iter([(name, column)]).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(self.ctx.read_batch(batch)?)
    }

    /// Runs one statement of SQL text.
    ///
    /// # Errors
    /// [`Error::Usage`] when the text is not exactly one statement, else as [`Engine::run`].
    pub async fn sql(&self, sql: &str) -> Result<DataFrame> {
        match self.parse(sql)?.as_slice() {
            [statement] => self.run(statement, &Parameters::new()).await,
            statements => Err(Error::Usage(format!("expected one statement, found {}", statements.len()))),
        }
    }

    /// Imports a file into a strategy table, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Source`] when the file is refused, [`Error::Conflict`] when it contradicts the table.
    pub async fn import(&self, request: &ImportRequest) -> Result<ImportReport> {
        let table = parse_table_name(&request.table)?;
        self.check_strategy_name(&table).await?;
        let request = ImportRequest { table, ..request.clone() };
        if !request.dry_run {
            undo_abandoned(self.directory.root()).await?;
        }
        ingest::import(&self.import_context(), &request).await
    }

    /// Runs the statements of HeavyDB logs and scripts and compares the rows with HeavyDB's; `each` sees every query, `results` takes our
    /// rows, one JSON line a query.
    ///
    /// Tables that the statements make live in memory for this replay alone; those of this database can be read.
    ///
    /// # Errors
    /// Inputs and expectations that cannot be read, and a setup that fails. A query that fails or differs is a row of the report.
    pub async fn replay(
        &self,
        options: &ReplayOptions,
        results: Option<Box<dyn std::io::Write + Send>>,
        each: impl FnMut(Replayed<'_>) + Send,
    ) -> Result<Report> {
        self.directory.refresh().await?;
        let mut report = heavydb::replay(self.ctx.state(), Arc::default(), options, results, each).await?;
        // A report of hours is worth more than its copy.
        if let Err(error) = heavydb::keep_replay(self.directory.root(), &report).await {
            report.notes.push(format!("not kept in system.replay_results: {error}"));
        }
        Ok(report)
    }

    /// Replays the inputs up to one query and explains it.
    ///
    /// # Errors
    /// As [`Engine::replay`]; [`Error::Usage`] where no query has the id.
    pub async fn explain_replay(&self, options: &ReplayOptions, id: &str) -> Result<Explained> {
        self.directory.refresh().await?;
        heavydb::explain(self.ctx.state(), Arc::default(), options, id).await
    }

    /// What the statements of scripts in HeavyDB's dialect would meet; nothing of them is run.
    ///
    /// # Errors
    /// A script that cannot be read.
    pub async fn check_heavydb(&self, files: &[std::path::PathBuf]) -> Result<Vec<Finding>> {
        self.directory.refresh().await?;
        heavydb::check(&self.ctx.state(), files).await
    }

    /// Makes deterministic data, into a table or a file.
    ///
    /// # Errors
    /// [`Error::Usage`] for counts that cannot be, [`Error::Conflict`] when the table has other rows.
    pub async fn generate(&self, request: &GenerateRequest) -> Result<GenerateReport> {
        let mut request = request.clone();
        if let Target::Table(name) = &request.target {
            let name = parse_table_name(name)?;
            self.check_strategy_name(&name).await?;
            undo_abandoned(self.directory.root()).await?;
            request.target = Target::Table(name);
        }
        ingest::generate(&self.import_context(), &request).await
    }

    /// A strategy table may be made under a free name or extended; anything else of that name is left alone.
    async fn check_strategy_name(&self, name: &str) -> Result<()> {
        match self.directory.kind(name).await? {
            None | Some(TableKind::Strategies) => Ok(()),
            Some(kind) => Err(Error::Conflict(format!("'{name}' exists already ({kind}) and is no strategy table: choose another name"))),
        }
    }

    fn import_context(&self) -> ImportContext<'_> {
        ImportContext { ctx: &self.ctx, root: self.directory.root(), memory_limit_bytes: self.config.memory_limit_bytes }
    }

    /// Names of all tables and views of the database, in order.
    ///
    /// # Errors
    /// [`Error::Storage`] when the directory cannot be listed.
    pub async fn table_names(&self) -> Result<Vec<String>> {
        self.directory.refresh().await?;
        let mut names = SchemaProvider::table_names(self.directory.as_ref());
        names.extend(self.heavy_tables.entries().into_iter().map(|(name, _)| name));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Tables and views that statements in HeavyDB's dialect made in memory.
    pub fn heavy_tables(&self) -> &Arc<HeavyTables> {
        &self.heavy_tables
    }

    /// The schema over the database directory.
    pub fn directory(&self) -> &DirectorySchema {
        &self.directory
    }

    /// Adds place and near names to a failed query.
    async fn explained(&self, mut query: QueryError, statement: &Statement) -> QueryError {
        let Some(error) = &query.source else { return query };
        if query.position.is_none() {
            query.position = span_of(error);
        }
        explanation::name_few_columns(&mut query);
        explanation::speak_sql(&mut query, statement);
        if let Some(page) = unknown_function(&query.message).and_then(reference::page)
            && page.kind == Kind::Window
        {
            query.message = format!("{} works over a window and needs OVER", page.name);
            query.hint = Some(format!("write {}", page.signature()));
        }
        if let Some(name) = unknown_function(&query.message).filter(|name| takes_relations(name)) {
            query.hint = Some(format!("write SELECT * FROM {name}(...)"));
            query.message = format!("{name} gives rows: it stands in FROM");
        }
        if let Some(name) = explanation::unknown_table_function(&query.message).map(str::to_owned) {
            let state = self.ctx.state();
            let known = RELATION_FUNCTIONS.iter().map(|function| function.name).chain(state.table_functions().keys().map(String::as_str));
            let known: Vec<String> = known.map(str::to_owned).collect();
            query.message = format!("there is no table function '{name}'");
            query.hint = Some(match near(&name.to_lowercase(), &known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are {}", known.join(", ")),
            });
        }
        if let Some(missing) = missing_table(&query.message)
            && query.hint.is_none()
            && let Ok(names) = self.table_names().await
        {
            let near = near(missing.name(), &names).map(|name| format!("did you mean '{name}'?"));
            let (message, hint) = match &missing {
                Missing::Own(name) => missing_file(name),
                Missing::Elsewhere(name) => unquoted_file(name).map(|hint| (format!("there is no table '{name}'"), Some(hint))),
            }
            .unwrap_or_else(|| (format!("there is no table '{}'", missing.name()), Some(self.tables_hint(&names))));
            (query.message, query.hint) = (message, near.or(hint));
        }
        query
    }

    fn tables_hint(&self, names: &[String]) -> String {
        match (names.len(), &self.config.location) {
            (0, Some(place)) if !self.directory.root().is_remote() && !std::path::Path::new(place).exists() => {
                format!("the directory '{place}' does not exist")
            }
            (0, _) => {
                "the database has no tables yet: `tranchedb import FILE --into NAME` makes one; a file is a table by its quoted path".into()
            }
            (1..=12, _) => format!("tables: {}", names.join(", ")),
            (more, _) => format!("{more} tables: SHOW TABLES lists them"),
        }
    }
}

/// The rows of a statement that has no result, over a session without anything: to copy that of the engine takes longer than to insert a
/// row.
fn nothing() -> Result<DataFrame> {
    static NOTHING: LazyLock<SessionState> = LazyLock::new(|| SessionStateBuilder::new().build());
    Ok(DataFrame::new(NOTHING.clone(), LogicalPlanBuilder::empty(false).build()?))
}

/// Where DataFusion says the trouble is.
fn span_of(error: &DataFusionError) -> Option<Position> {
    let start = error.diagnostic()?.span?.start;
    (start.line > 0).then_some(Position { line: start.line, column: start.column })
}

/// A table that planning did not find.
enum Missing {
    /// A name in the schema of this database, which may mean a file.
    Own(String),
    /// A name with another schema, as it was typed or completed.
    Elsewhere(String),
}

impl Missing {
    fn name(&self) -> &str {
        let (Self::Own(name) | Self::Elsewhere(name)) = self;
        name
    }
}

/// The table that planning did not find, from DataFusion's message.
fn missing_table(message: &str) -> Option<Missing> {
    let (name, _) = message.split_once("table '")?.1.split_once("' not found")?;
    let own = name.strip_prefix(CATALOG).and_then(|rest| rest.strip_prefix('.')?.strip_prefix(SCHEMA)?.strip_prefix('.'));
    Some(own.map_or_else(|| Missing::Elsewhere(name.to_owned()), |own| Missing::Own(own.to_owned())))
}

/// The function that planning did not find, from DataFusion's message. It looks for window functions only where there is `OVER`.
fn unknown_function(message: &str) -> Option<&str> {
    message.split_once("Invalid function '")?.1.split_once('\'').map(|(name, _)| name)
}

/// The name most like `wanted`, if any is near enough.
fn near<'a>(wanted: &str, names: &'a [String]) -> Option<&'a str> {
    let likeness = |name: &&String| (strsim::jaro_winkler(wanted, name) * 1000.0) as u32;
    names.iter().max_by_key(likeness).filter(|name| likeness(name) > 800).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_misspelt_table_is_answered_with_the_near_name() {
        let engine = Engine::in_memory().await.expect("engine");
        engine.sql("CREATE TABLE strategies AS SELECT 1 AS x").await.expect("table");
        let Err(error) = engine.sql("SELECT * FROM stragies").await else { panic!("found a table that is not there") };
        assert!(error.to_string().contains("did you mean 'strategies'?"), "{error}");
    }

    #[tokio::test]
    async fn an_indicator_without_over_is_answered_with_its_call() {
        let engine = Engine::in_memory().await.expect("engine");
        for sql in ["SELECT EMA(x, 12) FROM (VALUES (1.0)) AS t(x)", "SELECT 1 AS a ORDER BY ema(1.0, 3)"] {
            let Err(error) = engine.sql(sql).await else { panic!("{sql} was planned") };
            let text = error.to_string();
            assert!(text.contains("ema works over a window and needs OVER"), "{text}");
            assert!(text.contains("hint: write ema(x, n [, seed = 'sma']) OVER (ORDER BY time)"), "{text}");
        }
        let Err(error) = engine.sql("SELECT emma(1.0)").await else { panic!("found a function that is not there") };
        assert!(error.to_string().contains("Invalid function 'emma'"), "{error}");
    }
}
