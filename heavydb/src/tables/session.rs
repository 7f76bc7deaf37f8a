//! Runs statements of the dialect.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err, plan_err};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement as SqlStatement;

use super::aggregates::many_aggregates;
use super::database::{Database, Entry, View};
use super::definition::{SPELLING, TableDefinition};
use super::headers::with_headers;
use super::load::{Loaded, load_values, target_places, with_defaults};
use super::narrow::{NAMED, whole_table};
use super::schema::session_over;
use super::statement::{Alteration, Statement};
use super::table::HeavyTable;
use super::values::insert_head;
use super::{alter, change, copy, foreign, show};
use crate::dialect::{Rewritten, rewrite};
use crate::options::Options;
use crate::planner::{cast_to_field, check_cuts, check_plan, check_types, meanings, resolve_subqueries};
use crate::refusal::Refusal;
use crate::types::heavy_type::{HeavyType, Kind};

/// Expressions of an `INSERT` that are planned together.
const EXPRESSIONS_OF_A_QUERY: usize = 500;

/// A session of the dialect: HeavyDB's statements over tables in memory and those of another session.
#[derive(Clone)]
pub struct HeavySession {
    context: SessionContext,
    database: Arc<Database>,
    options: Options,
}

/// What a statement did.
#[derive(Debug)]
pub struct Outcome {
    /// Its rows, not yet read; none for a statement that changes something.
    pub rows: Option<DataFrame>,
    /// The rules of the dialect that changed the text, then the meanings of HeavyDB that its functions, operators and casts have.
    pub rules: Vec<&'static str>,
    /// What a user should know: that a statement has no effect, how many values were dropped.
    pub note: Option<String>,
    /// Whether tables were changed.
    pub is_change: bool,
}

impl Outcome {
    fn changed(note: Option<String>) -> Self {
        Self { rows: None, rules: vec![], note, is_change: true }
    }
}

impl HeavySession {
    /// A session over the tables of `database`, then those of `base`, with its memory and threads.
    pub fn new(base: &SessionState, database: &Arc<Database>, options: &Options) -> Self {
        let state = session_over(base, database, options, 0);
        Self { context: SessionContext::new_with_state(state), database: Arc::clone(database), options: options.clone() }
    }

    /// DataFusion's session of the dialect.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Runs one statement. What it changes is done when this returns; rows are read from the outcome.
    ///
    /// # Errors
    /// What is wrong with the statement, or a [`Refusal`](crate::Refusal).
    pub async fn run(&self, text: &str) -> Result<Outcome> {
        match Statement::read(text)? {
            Statement::Query(text) => {
                let (plan, rules) = self.plan(&text).await?;
                let rows = self.context.execute_logical_plan(plan).await?;
                Ok(Outcome { rows: Some(rows), rules, note: None, is_change: false })
            }
            Statement::Explain(text) => {
                let (plan, rules) = self.plan(&text).await?;
                let rows = DataFrame::new(self.context.state(), plan).explain(false, false)?;
                Ok(Outcome { rows: Some(rows), rules, note: None, is_change: false })
            }
            Statement::Show(what) => self.rows(show::shown(&what, &self.database, &self.options)?),
            Statement::Noted(note) => Ok(Outcome { rows: None, rules: vec![], note: Some(note.into()), is_change: false }),
            other => self.change(text, other).await,
        }
    }

    async fn change(&self, text: &str, statement: Statement) -> Result<Outcome> {
        let note = match statement {
            Statement::CreateTable(definition) => self.create_table(*definition).await?,
            Statement::CreateView { name, query, if_not_exists, or_replace } => {
                self.create_view(name, query, if_not_exists, or_replace).await?
            }
            Statement::CreateForeign { definition, server } => self.create_foreign(*definition, server).await?,
            Statement::CreateServer { name, server, if_not_exists } => {
                self.database.add_server(&name, server, if_not_exists)?;
                None
            }
            Statement::DropServer { name, if_exists } => {
                self.database.remove_server(&name, if_exists)?;
                None
            }
            Statement::Refresh(names) => self.refresh(&names).await?,
            Statement::Insert => self.insert(text).await?,
            Statement::Change => Some(change::change_rows(self, text).await?),
            Statement::Copy { what, is_from: true, path, options } => copy::copy_from(self, &what.to_lowercase(), &path, &options).await?,
            Statement::Copy { what, is_from: false, path, options } => {
                let note = Some(copy::copy_to(self, &what, &path, &options).await?);
                return Ok(Outcome { is_change: false, ..Outcome::changed(note) });
            }
            other => self.change_definition(other).await?,
        };
        Ok(Outcome::changed(note))
    }

    async fn change_definition(&self, statement: Statement) -> Result<Option<String>> {
        match statement {
            Statement::Drop { names, is_view, if_exists } => self.database.remove(&names, is_view, if_exists)?,
            Statement::Truncate(name) => {
                let table = self.database.table(&name)?;
                table.check_writable()?;
                table.truncate();
            }
            Statement::Rename(pairs) => self.rename(&pairs)?,
            Statement::Alter { table, change: Alteration::RenameTable(new) } => self.rename(&[(table, new)])?,
            Statement::Alter { table, change } => return alter::alter_table(self, &table, change).await,
            Statement::Comment { table, column, text } => alter::comment(self, &table, column.as_deref(), text)?,
            Statement::Optimize(name) => {
                self.database.table(&name)?.batches()?;
                return Ok(Some("tables in memory need no OPTIMIZE".into()));
            }
            _ => return plan_err!("a statement of two kinds"),
        }
        Ok(None)
    }

    /// Names of the session below stay theirs.
    fn rename(&self, pairs: &[(String, String)]) -> Result<()> {
        for (_, new) in pairs {
            let name = new.to_lowercase();
            if self.database.find(&name).is_none() && self.context.table_exist(name.as_str())? {
                return plan_err!("'{new}' exists already");
            }
        }
        self.database.rename(pairs)
    }

    fn rows(&self, batch: RecordBatch) -> Result<Outcome> {
        Ok(Outcome { rows: Some(self.context.read_batch(batch)?), rules: vec![], note: None, is_change: false })
    }

    /// The tables of the dialect.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Plans a query, its columns under the names that HeavyDB shows, and tells the rules that fired.
    ///
    /// # Errors
    /// As [`HeavySession::run`].
    pub async fn plan(&self, text: &str) -> Result<(LogicalPlan, Vec<&'static str>)> {
        let Rewritten { statement, mut rules, meanings: called, named, aliases } = rewrite(text, &self.options)?;
        let table = |name: &str| self.database.table(name).ok();
        let direct = match whole_table(&statement, table)? {
            Some(plan) => Some(plan),
            None => many_aggregates(&statement, &self.context.state_ref().read(), table)?,
        };
        let plan = match direct {
            Some(plan) => plan,
            None => NAMED.scope(named.map(Arc::new), Box::pin(self.plan_rewritten(statement))).await?,
        };
        let used = meanings(&plan)?.into_iter().filter(|meaning| !called.contains(meaning) && !rules.contains(meaning));
        rules.extend(called.iter().copied().chain(used).collect::<Vec<_>>());
        Ok((with_headers(plan, &aliases)?, rules))
    }

    /// Plans a query that is rewritten already.
    ///
    /// # Errors
    /// As [`HeavySession::run`].
    pub async fn plan_rewritten(&self, statement: sqlparser::ast::Statement) -> Result<LogicalPlan> {
        let state = self.context.state();
        let plan = state.statement_to_plan(SqlStatement::Statement(Box::new(statement))).await?;
        let plan = if self.options.guards { check_plan(plan)? } else { plan };
        let plan = resolve_subqueries(&self.context, plan).await?;
        if !self.options.guards {
            return Ok(plan);
        }
        let plan = check_types(&state, plan)?;
        check_cuts(&self.context, &plan).await?;
        Ok(plan)
    }

    /// The options of the dialect.
    pub fn options(&self) -> &Options {
        &self.options
    }

    async fn create_table(&self, definition: TableDefinition) -> Result<Option<String>> {
        if self.context.table_exist(definition.name.as_str())? || self.database.find(&definition.name).is_some() {
            return if definition.if_not_exists { Ok(None) } else { plan_err!("table '{}' already exists", definition.spelling) };
        }
        let mut rows = Vec::new();
        let mut keeps_positions = true;
        let mut definition = definition;
        if let Some(query) = definition.query.take() {
            let (frame, is_ordered) = self.rows_to_store(&query).await?;
            keeps_positions = is_ordered;
            let fields: Vec<Field> = frame.schema().fields().iter().map(|field| stored_field(field)).collect::<Result<_>>()?;
            let mut names = HashSet::new();
            if let Some(twice) = fields.iter().find(|field| !names.insert(field.name().clone())) {
                return plan_err!("column '{}' comes twice: names are the same in any case", twice.name());
            }
            definition.schema = Arc::new(Schema::new(fields));
            definition.options.retain(|(name, _)| !matches!(name.as_str(), "use_shared_dictionaries" | "force_geo_compression"));
            definition.check_columns()?;
            rows = self.converted(frame, &definition.schema).await?;
        }
        definition.check_columns()?;
        self.added(definition, &rows, keeps_positions)
    }

    /// The rows of a query on their way into a table, and whether they come in the order of the query's tables.
    async fn rows_to_store(&self, query: &str) -> Result<(DataFrame, bool)> {
        let (plan, _) = self.plan(query).await?;
        let is_ordered = keeps_order(&plan)?;
        let session = if is_ordered { self.in_order() } else { self.clone() };
        Ok((session.context.execute_logical_plan(plan).await?, is_ordered))
    }

    /// Adds a table with its rows.
    fn added(&self, definition: TableDefinition, rows: &[RecordBatch], keeps_positions: bool) -> Result<Option<String>> {
        let name = definition.name.clone();
        let table = HeavyTable::new(definition);
        let note = table.append_all(rows)?;
        if !keeps_positions {
            table.lose_positions();
        }
        if !self.database.add(&name, Entry::Table(Arc::new(table))) {
            return plan_err!("table '{name}' already exists");
        }
        Ok(note)
    }

    async fn create_foreign(&self, mut definition: TableDefinition, server: Option<String>) -> Result<Option<String>> {
        if self.context.table_exist(definition.name.as_str())? || self.database.find(&definition.name).is_some() {
            return if definition.if_not_exists { Ok(None) } else { plan_err!("table '{}' already exists", definition.spelling) };
        }
        let server = server.map(|name| self.database.server(&name)).transpose()?;
        let Some(files) = definition.files.take() else { return plan_err!("a foreign table without files") };
        let files = foreign::located(&files, server.as_ref());
        definition.check_columns()?;
        let rows = copy::load_foreign(self, &definition.schema, &files.path, &files.options).await?;
        definition.files = Some(files);
        self.added(definition, &rows, true)
    }

    /// Reads the files of foreign tables again; where one cannot be read, all tables stay as they are.
    async fn refresh(&self, names: &[String]) -> Result<Option<String>> {
        let mut read = Vec::new();
        for name in names {
            let table = self.database.table(name)?;
            let Some(files) = &table.definition().files else { return plan_err!("'{name}' is no foreign table") };
            let rows = copy::load_foreign(self, &table.definition().schema, &files.path, &files.options).await?;
            let anew = HeavyTable::new(table.definition().clone());
            anew.append_all(&rows)?;
            read.push(anew);
        }
        read.into_iter().for_each(|table| self.database.put(table));
        Ok(None)
    }

    async fn create_view(&self, spelling: String, query: String, if_not_exists: bool, or_replace: bool) -> Result<Option<String>> {
        let name = spelling.to_lowercase();
        match self.database.find(&name) {
            Some(Entry::View(_)) if or_replace => {}
            Some(_) if if_not_exists => return Ok(None),
            Some(_) => return plan_err!("'{spelling}' already exists"),
            None if self.context.table_exist(name.as_str())? => return plan_err!("'{spelling}' already exists"),
            None => {}
        }
        // A view that cannot be planned is refused when it is made.
        self.plan(&query).await?;
        self.database.replace(&name, Entry::View(Arc::new(View { spelling, query })));
        Ok(None)
    }

    async fn insert(&self, text: &str) -> Result<Option<String>> {
        let Some(head) = insert_head(text) else { return plan_err!("expected INSERT INTO table [(columns)] VALUES (...) or a query") };
        let table = self.database.table(&head.table)?;
        table.check_writable()?;
        if head.is_values {
            let loaded = load_values(text, &head, table.definition())?;
            let values = self.evaluated(&loaded, table.definition()).await?;
            return table.append_all(&[loaded.finish(&values, table.definition())?]);
        }
        let (frame, is_ordered) = self.rows_to_store(&text[head.body..]).await?;
        let places = target_places(&head.columns, table.definition())?;
        if frame.schema().fields().len() != places.len() {
            return plan_err!("{} values for {} columns", frame.schema().fields().len(), places.len());
        }
        let target = Schema::new(places.iter().map(|place| table.definition().schema.field(*place).clone()).collect::<Vec<_>>());
        let batches = self.converted(frame, &target).await?;
        let batches = batches.iter().map(|batch| with_defaults(batch, &places, table.definition()));
        let note = table.append_all(&batches.collect::<Result<Vec<_>>>()?)?;
        if !is_ordered {
            table.lose_positions();
        }
        Ok(note)
    }

    /// The values of the expressions of an `INSERT ... VALUES`, an array of one value each.
    async fn evaluated(&self, loaded: &Loaded<'_>, definition: &TableDefinition) -> Result<Vec<ArrayRef>> {
        let mut values = Vec::with_capacity(loaded.expressions.len());
        for some in loaded.expressions.chunks(EXPRESSIONS_OF_A_QUERY) {
            let texts: Vec<String> = some.iter().enumerate().map(|(number, (_, _, text))| format!("{text} AS \"v{number}\"")).collect();
            let (plan, _) = self.plan(&format!("SELECT {}", texts.join(", "))).await?;
            let frame = self.context.execute_logical_plan(plan).await?;
            let fields = some.iter().enumerate().map(|(number, (_, place, _))| {
                let field = loaded.field(*place, definition);
                field.clone().with_name(format!("v{number}")).with_nullable(true)
            });
            let batches = self.converted(frame, &Schema::new(fields.collect::<Vec<_>>())).await?;
            let row = batches.into_iter().find(|batch| batch.num_rows() == 1 && batch.num_columns() == some.len());
            let Some(row) = row else { return plan_err!("an expression of VALUES has not one value") };
            values.extend(row.columns().iter().map(Arc::clone));
        }
        Ok(values)
    }

    /// The same session on one thread, where rows keep their order.
    pub(super) fn in_order(&self) -> Self {
        let state = self.context.state();
        let config = state.config().clone().with_target_partitions(1).with_create_default_catalog_and_schema(false);
        let state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
        Self { context: SessionContext::new_with_state(state), ..self.clone() }
    }

    /// The rows of a query in the types of a table's columns, place by place, by the casts of the dialect.
    pub(super) async fn converted(&self, frame: DataFrame, target: &Schema) -> Result<Vec<RecordBatch>> {
        let columns = frame.schema().columns();
        let casts = columns
            .into_iter()
            .zip(target.fields())
            .map(|(column, field)| Ok(cast_to_field(datafusion::logical_expr::Expr::Column(column), field)?.alias(field.name())));
        let casts = casts.collect::<Result<Vec<_>>>()?;
        let batches = frame.select(casts)?.collect().await?;
        let schema = Arc::new(target.clone());
        let stored = batches.into_iter().map(|batch| {
            RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).map_err(|e| match batch.num_columns() {
                0 => internal_datafusion_err!("no columns"),
                _ => e.into(),
            })
        });
        stored.collect()
    }
}

/// Whether a plan on one thread gives its rows in the order of its tables, or in one that it names.
fn keeps_order(plan: &LogicalPlan) -> Result<bool> {
    let is_sorted = matches!(plan, LogicalPlan::Sort(_));
    let mut keeps = true;
    plan.apply_with_subqueries(|node| {
        keeps &= matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Limit(_)
                | LogicalPlan::Values(_)
                | LogicalPlan::EmptyRelation(_)
                | LogicalPlan::Union(_)
        );
        Ok(if keeps { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(is_sorted || keeps)
}

/// The column that `CREATE TABLE ... AS` makes of one of its query.
fn stored_field(field: &Field) -> Result<Field> {
    match HeavyType::of(field) {
        Some(HeavyType { kind: Kind::Geometry(_), .. }) => {
            Err(Refusal::new(format!("column {}", field.name()), "geometries may be kept in a table, but no query uses them").into())
        }
        Some(heavy) => {
            let stored = heavy.field(&field.name().to_lowercase(), true);
            let mut metadata = stored.metadata().clone();
            let spelling = field.metadata().get(SPELLING).filter(|spelling| spelling.to_lowercase() == field.name().to_lowercase());
            metadata.insert(SPELLING.into(), spelling.unwrap_or_else(|| field.name()).clone());
            Ok(stored.with_metadata(metadata))
        }
        None => Err(Refusal::new(format!("column {}", field.name()), format!("HeavyDB has no type {}", field.data_type())).into()),
    }
}
