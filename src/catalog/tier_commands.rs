//! The statements of tiers, read token by token, and what they do.
//!
//! ```text
//! ALTER TABLE t SET TIER 'cold' WHERE year < 2023 [DRY RUN]
//! ALTER TABLE t SET TIER 'hot' [DRY RUN]
//! APPLY TIER RULES [FOR t] [DRY RUN]
//! REFRESH TABLE t
//! REFRESH TABLE 's3://bucket/path'
//! ```

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use datafusion::common::plan_datafusion_err;
use datafusion::datasource::listing::ListingTable;
use datafusion::error::DataFusionError;
use object_store::path::Path;
use serde_json::json;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;
use url::Url;

use super::directory::{DirectorySchema, TableKind};
use super::parser::{Command, dry_run, is_word, plain_name, plan_error, word};
use super::tier_choice::ChosenFiles;
use crate::error::{Error, Result};
use crate::storage::{HOT, Movement, RemoteStores, Root, move_files};

/// Reads a statement of tiers; `None` when the next statement is another one, and then no token is consumed.
pub(super) fn parse_tiers(sql: &mut Parser<'_>) -> Result<Option<Command>, DataFusionError> {
    if ["APPLY", "TIER", "RULES"].iter().enumerate().all(|(place, expected)| is_word(sql, place, expected)) {
        (0..3).for_each(|_| drop(sql.next_token()));
        let table = if word(sql, "FOR") { Some(plain_name(&sql.parse_object_name(false)?)?) } else { None };
        return Ok(Some(Command::ApplyTierRules { table, dry_run: dry_run(sql)? }));
    }
    if is_word(sql, 0, "REFRESH") && is_word(sql, 1, "TABLE") {
        (0..2).for_each(|_| drop(sql.next_token()));
        let name = match &sql.peek_token_ref().token {
            Token::SingleQuotedString(url) => url.clone(),
            _ => return Ok(Some(Command::Refresh { name: plain_name(&sql.parse_object_name(false)?)? })),
        };
        sql.next_token();
        return Ok(Some(Command::Refresh { name }));
    }
    let sets = [(0, "ALTER"), (1, "TABLE"), (3, "SET"), (4, "TIER")].iter().all(|(place, expected)| is_word(sql, *place, expected));
    if !sets {
        return Ok(None);
    }
    sql.expect_keywords(&[Keyword::ALTER, Keyword::TABLE])?;
    let table = plain_name(&sql.parse_object_name(false)?)?;
    (0..2).for_each(|_| drop(sql.next_token()));
    let tier = match sql.next_token().token {
        Token::SingleQuotedString(name) => name,
        _ => return Err(plan_error("SET TIER needs the name of a location, or 'hot': ALTER TABLE t SET TIER 'cold' WHERE year < 2023")),
    };
    let condition = if sql.parse_keyword(Keyword::WHERE) { Some(Box::new(sql.parse_expr()?)) } else { None };
    Ok(Some(Command::SetTier { table, tier, condition, dry_run: dry_run(sql)? }))
}

/// What a movement did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierMove {
    /// The table.
    pub table: String,
    /// Name of the location, or `hot`.
    pub tier: String,
    /// Files that moved.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that stay because some of their rows may not match.
    pub skipped_files: u64,
}

impl TierMove {
    /// Movements as rows; with the names of their tables, or without.
    ///
    /// # Errors
    /// [`Error::Internal`], if the columns did not fit.
    pub fn to_batch(moves: &[Self], with_tables: bool) -> Result<RecordBatch> {
        let texts = |text: fn(&Self) -> &str| Arc::new(moves.iter().map(|one| Some(text(one))).collect::<StringArray>()) as ArrayRef;
        let numbers = |number: fn(&Self) -> u64| Arc::new(moves.iter().map(|one| Some(number(one))).collect::<UInt64Array>()) as ArrayRef;
        let columns = [
            ("table_name", texts(|one| &one.table)),
            ("tier", texts(|one| &one.tier)),
            ("files", numbers(|one| one.files)),
            ("bytes", numbers(|one| one.bytes)),
            ("skipped_files", numbers(|one| one.skipped_files)),
        ];
        RecordBatch::try_from_iter(columns.into_iter().skip(usize::from(!with_tables))).map_err(|e| Error::Internal(e.to_string()))
    }
}

/// Says what is wrong with the name of a tier.
///
/// # Errors
/// [`Error::Usage`] with the names that there are.
pub fn check_tier(root: &Root, table: &str, tier: &str) -> Result<()> {
    if tier == HOT || root.locations().url(tier).is_some() {
        return Ok(());
    }
    let names: Vec<_> = std::iter::once(HOT).chain(root.locations().names()).collect();
    Err(Error::Usage(format!(
        "table '{table}': there is no tier '{tier}' for its files; there are {}\nhint: name a location in tranchedb.toml: [locations.{tier}] with its url",
        names.join(", ")
    )))
}

/// Moves the chosen files that are not there yet to a tier, by the statement of this text; without a text nothing moves, and what would is told.
///
/// # Errors
/// [`Error::Usage`] for a tier that is not there, else as [`move_files`].
pub async fn move_chosen(root: &Root, table: &str, tier: &str, chosen: ChosenFiles, statement: Option<&str>) -> Result<TierMove> {
    check_tier(root, table, tier)?;
    let is_there = |location: Option<&str>| location.unwrap_or(HOT) == tier;
    let elsewhere: Vec<_> = chosen.whole.iter().filter(|file| !is_there(file.location())).collect();
    let mut done = TierMove { table: table.into(), tier: tier.into(), files: 0, bytes: 0, skipped_files: chosen.partly };
    match statement {
        None => (done.files, done.bytes) = (elsewhere.len() as u64, elsewhere.iter().map(|file| file.size_bytes).sum()),
        Some(text) => {
            let paths: HashSet<String> = elsewhere.iter().map(|file| file.path.clone()).collect();
            let moved = move_files(root, Movement { table, paths, tier, note: json!({ "sql": text, "tier": tier }) }).await?;
            (done.files, done.bytes) = (moved.files, moved.bytes);
        }
    }
    Ok(done)
}

/// Forgets what the tiers know and hold of a table's files, or of what lies at a URL: the next query asks their store. Returns the blocks
/// that were dropped. Tables in directories are always asked.
///
/// # Errors
/// [`Error::Query`] for a table that is not there, [`Error::Usage`] for a URL of no store.
pub async fn refresh(schema: &DirectorySchema, stores: &RemoteStores, name: &str) -> Result<u64> {
    if name.contains("://") {
        let url = Url::parse(name).map_err(|e| Error::Usage(format!("REFRESH TABLE '{name}': {e}")))?;
        let dropped = forget(stores, &url)?;
        return dropped.ok_or_else(|| Error::Usage(format!("REFRESH TABLE '{name}': there is no store for {}://", url.scheme())));
    }
    let (kind, table) = schema.find(name).await?.ok_or_else(|| plan_datafusion_err!("table '{name}' not found"))?;
    let urls: Vec<String> = match (kind, table.downcast_ref::<ListingTable>()) {
        (TableKind::Strategies | TableKind::Delta, _) => vec![schema.root().table_url(name)?.to_string()],
        (_, Some(files)) => files.table_paths().iter().map(|path| path.as_str().to_owned()).collect(),
        _ => vec![],
    };
    let mut dropped = 0;
    for url in urls {
        let url = Url::parse(&url).map_err(|e| Error::Internal(format!("URL {url} of table '{name}': {e}")))?;
        dropped += forget(stores, &url)?.unwrap_or_default();
    }
    Ok(dropped)
}

/// The blocks that were dropped of what lies at a URL; `None` where it is of no remote store.
fn forget(stores: &RemoteStores, url: &Url) -> Result<Option<u64>> {
    let Some(store) = stores.open(url)? else { return Ok((url.scheme() == "file").then_some(0)) };
    let path = Path::from_url_path(url.path()).map_err(|e| Error::Usage(format!("{url}: {e}")))?;
    Ok(Some(if path.as_ref().is_empty() { store.invalidate_all() } else { store.invalidate(&path) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse;

    fn command(text: &str) -> Command {
        parse(text).expect("parses").remove(0).command
    }

    #[test]
    fn statements_of_tiers_are_read() {
        let Command::SetTier { table, tier, condition, dry_run } = command("alter table Trades set tier 'cold' where year < 2023 dry run;")
        else {
            panic!("no movement")
        };
        let condition = condition.map(|condition| condition.to_string());
        assert_eq!((table.as_str(), tier.as_str(), condition.as_deref(), dry_run), ("trades", "cold", Some("year < 2023"), true));
        assert!(
            matches!(command("ALTER TABLE \"T\" SET TIER 'hot'"), Command::SetTier { table, condition: None, dry_run: false, .. } if table == "T")
        );
        assert!(matches!(command("REFRESH TABLE Bars"), Command::Refresh { name } if name == "bars"));
        assert!(matches!(command("refresh table 's3://b/x.parquet';"), Command::Refresh { name } if name == "s3://b/x.parquet"));
        assert!(matches!(command("APPLY TIER RULES"), Command::ApplyTierRules { table: None, dry_run: false }));
        assert!(
            matches!(command("apply tier rules for t dry run"), Command::ApplyTierRules { table: Some(table), dry_run: true } if table == "t")
        );
    }

    #[test]
    fn what_is_no_statement_of_tiers_is_refused_with_its_place() {
        for text in [
            "ALTER TABLE t SET TIER",
            "ALTER TABLE t SET TIER cold",
            "ALTER TABLE t SET TIER 'cold' year < 2023",
            "ALTER TABLE t SET TIER 'cold' WHERE",
            "ALTER TABLE t SET TIER 'cold' DRY",
            "APPLY TIER RULES t",
            "APPLY TIER",
        ] {
            let refused = parse(text).expect_err(text);
            assert!(matches!(&refused, crate::error::Error::Query(query) if query.position.is_some()), "{text}: {refused:?}");
        }
    }
}
