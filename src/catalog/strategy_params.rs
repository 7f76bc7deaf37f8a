//! The derived table `strategy_params`: what the names of all strategies spell out.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use datafusion::catalog::{MemTable, TableProvider};

use crate::error::{Error, Result};
use crate::ingest::parse_strategy_params;
use crate::storage::{Root, StrategyTable};

/// The names in a register, in order.
pub(super) fn strategy_names(register: &RecordBatch) -> Vec<String> {
    register.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}

/// One row per strategy and parameter, over all strategy tables; columns `strategy`, `param`, `value_text`, `value`.
pub(super) async fn strategy_params(root: &Root) -> Result<Arc<dyn TableProvider>> {
    let (folders, _) = root.list().await?;
    let mut names = BTreeSet::new();
    for folder in folders.iter().filter(|name| !name.starts_with(['_', '.'])) {
        if let Some(table) = StrategyTable::open(root, folder, None).await?
            && let Some(register) = table.register().await?
        {
            names.extend(strategy_names(&register));
        }
    }
    let (mut strategy, mut param, mut text, mut value) = (vec![], vec![], vec![], vec![]);
    for name in &names {
        for found in parse_strategy_params(name) {
            strategy.push(name.as_str());
            param.push(found.param);
            text.push(found.value_text);
            value.push(found.value);
        }
    }
    let columns: [(&str, ArrayRef); 4] = [
        ("strategy", Arc::new(StringArray::from(strategy))),
        ("param", Arc::new(StringArray::from(param))),
        ("value_text", Arc::new(StringArray::from(text))),
        ("value", Arc::new(Float64Array::from(value))),
    ];
    let rows = RecordBatch::try_from_iter(columns).map_err(|e| Error::Internal(e.to_string()))?;
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
    Ok(Arc::new(table))
}
