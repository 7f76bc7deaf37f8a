//! The session of a database: the one place that assembles it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, Session};
use datafusion::error::Result as DfResult;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_functions_finance::{RequireTimeOrder, SingleStage, StreamIndicators, StreamTimeOrder};
use datafusion_heavydb::tables::Database as HeavyTables;
use deltalake::delta_datafusion::DeltaTableFactory;
use deltalake::delta_datafusion::planner::DeltaExtensionPlanner;

use crate::catalog::{
    CATALOG, DirectorySchema, INFORMATION_SCHEMA, SCHEMA, SYSTEM_SCHEMA, SystemSchema, WideSchemaCache, information_schema,
    register_cache_functions,
};
use crate::config::{EngineConfig, SqlOptions};
use crate::error::{Error, Result};
use crate::exec::{
    CorrelationJoin, CorrelationPlanner, DevicePanels, QueryLog, QueryRecord, RelationFunctions, RunAggregate, RunCache, StrongestPairs,
    WideCorrelation, recorded, strategy_time_order,
};
use crate::heavydb::{HeavySettings, WithHeavyTables, register_table_functions};
use crate::storage::{DecodedTier, RemoteStores, YieldingPool};

/// The session of a database: catalog, functions, planning rules, memory and threads.
pub(super) fn session(
    config: &EngineConfig,
    directory: &Arc<DirectorySchema>,
    heavy_tables: &Arc<HeavyTables>,
    stores: &Arc<RemoteStores>,
) -> Result<SessionContext> {
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SYSTEM_SCHEMA, Arc::new(SystemSchema::new(Arc::clone(directory))))?;
    let decoded = Arc::new(DecodedTier::default());
    decoded.set_limit(config.decoded_tier_bytes());
    let runtime = runtime(config, &decoded, stores)?;
    decoded.reserve_from(&runtime.memory_pool);
    let mut state = SessionStateBuilder::new()
        .with_config(session_config(config)?.with_extension(Arc::clone(&decoded)).with_extension(Arc::new(stores.tiers().clone())))
        .with_runtime_env(runtime)
        .with_default_features()
        .with_query_planner(Arc::new(Planner))
        .with_relation_planners(vec![Arc::new(RelationFunctions)])
        .with_physical_optimizer_rules(physical_rules())
        .with_physical_optimizer_rule(Arc::new(SingleStage))
        .with_physical_optimizer_rule(Arc::new(StreamTimeOrder))
        .with_physical_optimizer_rule(Arc::new(StreamIndicators))
        .build();
    state.table_factories_mut().insert("DELTA".into(), Arc::new(DeltaTableFactory {}));
    datafusion_functions_finance::register_functions(&mut state)?;
    register_table_functions(&mut state);
    register_cache_functions(&mut state, stores, &decoded, directory)?;
    let ctx = SessionContext::new_with_state(state);
    let tables = Arc::clone(directory) as Arc<dyn SchemaProvider>;
    catalog.register_schema(SCHEMA, Arc::new(WithHeavyTables::new(tables, Arc::clone(heavy_tables), ctx.state_weak_ref())))?;
    catalog.register_schema(INFORMATION_SCHEMA, information_schema(ctx.state().catalog_list()))?;
    ctx.register_catalog(CATALOG, Arc::new(catalog));
    ctx.add_optimizer_rule(Arc::new(CorrelationJoin));
    ctx.add_analyzer_rule(Arc::new(RequireTimeOrder::new().with_lookup(strategy_time_order)));
    Ok(ctx)
}

/// DataFusion's physical rules with our own among them: that of the run operator after the one that answers from statistics alone, before
/// those that distribute and sort; that of many correlations when rows are distributed and stages of an aggregation are joined.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let after = |rules: &[Arc<dyn PhysicalOptimizerRule + Send + Sync>], name: &str| {
        rules.iter().position(|rule| rule.name() == name).map_or(0, |place| place + 1)
    };
    rules.insert(after(&rules, "aggregate_statistics"), Arc::new(RunAggregate));
    rules.insert(after(&rules, "FilterPushdown"), Arc::new(StrongestPairs));
    rules.insert(after(&rules, "CombinePartialFinalAggregate"), Arc::new(WideCorrelation));
    rules
}

/// Makes plans physical, with the operators of Delta tables and our own; that of a statement itself is counted.
#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> DfResult<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![DeltaExtensionPlanner::new(), Arc::new(CorrelationPlanner)]);
        let record = session.config().get_extension::<QueryRecord>().filter(|record| record.claim());
        let plan = planner.create_physical_plan(plan, session).await?;
        Ok(match record {
            Some(record) => recorded(plan, record),
            None => plan,
        })
    }
}

fn session_config(config: &EngineConfig) -> Result<SessionConfig> {
    let mut session = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        // The engine's own takes its place.
        .with_information_schema(false)
        .with_option_extension(SqlOptions {
            gpu: config.gpu,
            dialect: config.dialect,
            decoded_tier_bytes: config.decoded_tier_bytes(),
            memory_tier_bytes: config.memory_tier_bytes(),
            disk_tier_bytes: config.disk_tier_bytes(),
            max_staleness: config.tiers.max_staleness.unwrap_or_default(),
            ..SqlOptions::default()
        })
        .with_option_extension(HeavySettings::default())
        .with_extension(Arc::new(DevicePanels::default()))
        .with_extension(Arc::new(RunCache::default()))
        .with_extension(Arc::new(WideSchemaCache::default()))
        .with_extension(Arc::new(QueryLog::default()));
    if let Some(threads) = config.threads {
        if threads == 0 {
            return Err(Error::Usage("threads must be at least 1".into()));
        }
        session = session.with_target_partitions(threads);
    }
    let options = session.options_mut();
    options.sql_parser.collect_spans = true;
    // Sorted files stay sorted through a repartition: a merge of streams is cheaper than sorting anew, and needs no memory.
    options.optimizer.prefer_existing_sort = true;
    options.execution.listing_table_ignore_subdirectory = false;
    Ok(session)
}

fn runtime(config: &EngineConfig, decoded: &Arc<DecodedTier>, stores: &Arc<RemoteStores>) -> Result<Arc<RuntimeEnv>> {
    // A cached listing would hide files that were added or removed since.
    let mut builder = RuntimeEnvBuilder::new().with_object_store_registry(Arc::clone(stores) as _).with_object_list_cache_limit(0);
    if let Some(bytes) = config.memory_limit_bytes {
        builder = builder.with_memory_pool(Arc::new(YieldingPool::new(Arc::new(FairSpillPool::new(bytes)), decoded)));
    }
    Ok(Arc::new(builder.build()?))
}
