//! Runs statements of the dialect.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::{Result, internal_datafusion_err, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement as SqlStatement;

use super::database::{Database, Entry, View};
use super::definition::TableDefinition;
use super::load::{load_values, target_places, with_defaults};
use super::schema::session_over;
use super::statement::{Alteration, Statement};
use super::table::HeavyTable;
use super::values::insert_head;
use super::{alter, change, show};
use crate::dialect::{Rewritten, rewrite};
use crate::options::Options;
use crate::planner::{cast_to_field, check_plan, resolve_subqueries};
use crate::refusal::Refusal;
use crate::types::heavy_type::HeavyType;

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
    /// The rules of the dialect that changed the text.
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
            Statement::CreateView { name, query, if_not_exists } => self.create_view(name, query, if_not_exists).await?,
            Statement::Insert => self.insert(text).await?,
            Statement::Change => Some(change::change_rows(self, text).await?),
            Statement::Drop { names, is_view, if_exists } => self.drop(&names, is_view, if_exists)?,
            Statement::Truncate(name) => {
                self.database.table(&name)?.truncate();
                None
            }
            Statement::Rename(pairs) => {
                self.database.rename(&pairs)?;
                None
            }
            Statement::Alter { table, change: Alteration::RenameTable(new) } => {
                self.database.rename(&[(table, new)])?;
                None
            }
            Statement::Alter { table, change } => {
                alter::alter_table(self, &table, change).await?;
                None
            }
            Statement::Copy { .. } => return plan_err!("COPY is not there yet"),
            _ => return plan_err!("a statement of two kinds"),
        };
        Ok(Outcome::changed(note))
    }

    fn rows(&self, batch: RecordBatch) -> Result<Outcome> {
        Ok(Outcome { rows: Some(self.context.read_batch(batch)?), rules: vec![], note: None, is_change: false })
    }

    /// The tables of the dialect.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Plans a query and tells the rules that fired.
    ///
    /// # Errors
    /// As [`HeavySession::run`].
    pub async fn plan(&self, text: &str) -> Result<(LogicalPlan, Vec<&'static str>)> {
        let Rewritten { statement, rules } = rewrite(text, &self.options)?;
        Ok((self.plan_rewritten(statement).await?, rules))
    }

    /// Plans a query that is rewritten already.
    ///
    /// # Errors
    /// As [`HeavySession::run`].
    pub async fn plan_rewritten(&self, statement: sqlparser::ast::Statement) -> Result<LogicalPlan> {
        let plan = self.context.state().statement_to_plan(SqlStatement::Statement(Box::new(statement))).await?;
        let plan = if self.options.guards { check_plan(plan)? } else { plan };
        resolve_subqueries(&self.context, plan).await
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
        let mut definition = definition;
        if let Some(query) = definition.query.take() {
            let (plan, _) = self.plan(&query).await?;
            let frame = self.context.execute_logical_plan(plan).await?;
            let fields: Vec<Field> = frame.schema().fields().iter().map(|field| stored_field(field)).collect::<Result<_>>()?;
            definition.schema = Arc::new(Schema::new(fields));
            rows = self.converted(frame, &definition.schema).await?;
        }
        let name = definition.name.clone();
        let table = HeavyTable::new(definition);
        let note = appended(&table, &rows)?;
        if !self.database.add(&name, Entry::Table(Arc::new(table))) {
            return plan_err!("table '{name}' already exists");
        }
        Ok(note)
    }

    async fn create_view(&self, spelling: String, query: String, if_not_exists: bool) -> Result<Option<String>> {
        let name = spelling.to_lowercase();
        if self.database.find(&name).is_some() {
            return if if_not_exists { Ok(None) } else { plan_err!("'{spelling}' already exists") };
        }
        // A view that cannot be planned is refused when it is made.
        self.plan(&query).await?;
        self.database.add(&name, Entry::View(Arc::new(View { spelling, query })));
        Ok(None)
    }

    fn drop(&self, names: &[String], is_view: bool, if_exists: bool) -> Result<Option<String>> {
        for name in names {
            if !self.database.remove(name, is_view)? && !if_exists {
                return plan_err!("{} '{name}' does not exist", if is_view { "view" } else { "table" });
            }
        }
        Ok(None)
    }

    async fn insert(&self, text: &str) -> Result<Option<String>> {
        let Some(head) = insert_head(text) else { return plan_err!("expected INSERT INTO table [(columns)] VALUES (...) or a query") };
        let table = self.database.table(&head.table)?;
        if head.is_values
            && let Some(batch) = load_values(text, &head, table.definition())?
        {
            return appended(&table, &[batch]);
        }
        // Expressions among the values, or a query.
        let start = if head.is_values { text[..head.body].len() - "VALUES".len() } else { head.body };
        let (plan, _) = self.plan(&text[start..]).await?;
        let frame = self.context.execute_logical_plan(plan).await?;
        let places = target_places(&head.columns, table.definition())?;
        if frame.schema().fields().len() != places.len() {
            return plan_err!("{} values for {} columns", frame.schema().fields().len(), places.len());
        }
        let target = Schema::new(places.iter().map(|place| table.definition().schema.field(*place).clone()).collect::<Vec<_>>());
        let batches = self.converted(frame, &target).await?;
        let batches = batches.iter().map(|batch| with_defaults(batch, &places, table.definition()));
        appended(&table, &batches.collect::<Result<Vec<_>>>()?)
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

/// Adds rows to a table and says what was dropped.
fn appended(table: &HeavyTable, batches: &[RecordBatch]) -> Result<Option<String>> {
    let dropped = batches.iter().map(|batch| table.append(batch)).sum::<Result<usize>>()?;
    Ok((dropped > 0).then(|| format!("{dropped} texts found no place in a dictionary of 8 or 16 bits and are NULL, as in HeavyDB")))
}

/// The column that `CREATE TABLE ... AS` makes of one of its query.
fn stored_field(field: &Field) -> Result<Field> {
    match HeavyType::of(field) {
        Some(heavy) => Ok(heavy.field(field.name(), true)),
        None => Err(Refusal::new(format!("column {}", field.name()), format!("HeavyDB has no type {}", field.data_type())).into()),
    }
}
