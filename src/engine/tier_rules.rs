//! Files of tables between tiers, as the engine offers it: statements, and the same by calls.

use datafusion::logical_expr::LogicalPlan;
use deltalake::DeltaTable;

use super::parameters::bind;
use super::{Done, Engine, Parameters};
use crate::catalog::{Command, TierMove, age_condition, check_tier, chosen_files, move_chosen, tier_condition};
use crate::error::{Error, Result};
use crate::storage::load_table;

impl Engine {
    /// Moves files of a table by the rules of the configuration: those of which every row is older than the rule says. Nothing moves
    /// by itself. A dry run only tells what would move.
    ///
    /// # Errors
    /// [`Error::Usage`] for a table without a rule, or without a date; else as a movement by statement.
    pub async fn apply_tier_rules(&self, table: Option<&str>, dry_run: bool) -> Result<Vec<TierMove>> {
        let rules = self.config.tables.iter().filter_map(|(name, config)| {
            let (location, age) = config.move_to.as_ref().zip(config.older_than)?;
            Some((name.as_str(), location.as_str(), age, config.date_column.as_deref()))
        });
        let rules: Vec<_> = rules.filter(|(name, ..)| table.is_none_or(|table| table == *name)).collect();
        if let (Some(table), true) = (table, rules.is_empty()) {
            return Err(Error::Usage(format!(
                "table '{table}' has no rule\nhint: move_to = \"cold\" and older_than = \"2 years\" in [tables.{table}] of tranchedb.toml"
            )));
        }
        let mut moves = Vec::new();
        for (name, location, age, date_column) in rules {
            // A rule may be there before its table.
            let delta = match load_table(self.directory.root(), name, None).await? {
                Some(delta) => delta,
                None if table.is_none() => continue,
                None => return Err(not_a_table(name)),
            };
            let condition = age_condition(name, &delta, age, date_column)?;
            let chosen = chosen_files(&self.ctx.state(), name, &delta, Some(condition))?;
            let statement = (!dry_run).then_some("APPLY TIER RULES");
            moves.push(move_chosen(self.directory.root(), name, location, chosen, statement).await?);
        }
        Ok(moves)
    }

    pub(super) async fn run_tiers(&self, command: &Command, text: &str, parameters: &Parameters) -> Result<Done> {
        let (moves, with_tables) = match command {
            Command::SetTier { table: name, tier, condition, dry_run } => {
                let root = self.directory.root();
                check_tier(root, name, tier)?;
                let table = self.movable(name).await?;
                let state = self.ctx.state();
                let condition = match condition {
                    Some(condition) => match bind(tier_condition(&state, name, &table, condition)?, parameters)? {
                        LogicalPlan::Filter(filter) => Some(filter.predicate),
                        _ => return Err(Error::Internal("a condition was planned as something else".into())),
                    },
                    None => None,
                };
                let chosen = chosen_files(&state, name, &table, condition)?;
                (vec![move_chosen(root, name, tier, chosen, (!dry_run).then_some(text)).await?], false)
            }
            Command::ApplyTierRules { table, dry_run } => (self.apply_tier_rules(table.as_deref(), *dry_run).await?, true),
            _ => return Err(Error::Internal("a statement of tiers was expected".into())),
        };
        Ok(Done { frame: self.ctx.read_batch(TierMove::to_batch(&moves, with_tables)?)?, note: None })
    }

    async fn movable(&self, name: &str) -> Result<DeltaTable> {
        load_table(self.directory.root(), name, None).await?.ok_or_else(|| not_a_table(name))
    }
}

fn not_a_table(name: &str) -> Error {
    Error::Usage(format!("'{name}' is not a table that this database made: only files of its own tables move between tiers"))
}
