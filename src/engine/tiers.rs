//! The tiers of an engine: opened as the configuration says, changed as a session says, counted for every query.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::common::Result as DfResult;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use object_store_tiers::{Figure, ReadFigures, Settings, TIERS, Tier, Tiers};

use crate::config::{CONFIG_FILE, ConfigText, EngineConfig, LocationChecks, SqlOptions};
use crate::error::{Error, Result};
use crate::storage::{DecodedTier, Locations, QueryStores, RemoteStores, Root, check_location_name, location_url};

/// The settings completed by the configuration file: the one they name, or that of the database, if there is one.
///
/// # Errors
/// [`Error::Usage`] for a file that is not there or says what cannot be, with its place.
pub(super) async fn with_file(config: EngineConfig) -> Result<EngineConfig> {
    let checks = LocationChecks { name: check_location_name, url: location_url };
    if let Some(path) = &config.config_file {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| Error::Usage(format!("configuration file {name} cannot be read: {e}")))?;
        let path = std::path::absolute(path).map_err(|e| Error::storage(format!("finding {name}"), e))?;
        return config.with_file(&ConfigText { name: &name, text: &text, directory: path.parent() }, checks);
    }
    let Some(location) = &config.location else { return Ok(config) };
    // What the tiers are is yet to be read.
    let without = Settings { memory_limit_bytes: 0, origin_timeout: config.origin_timeout(), ..Settings::default() };
    let tiers = Tiers::open(without).map_err(|error| Error::Usage(error.to_string()))?;
    let stores = Arc::new(RemoteStores::new(tiers, &config.store_options, config.origin_timeout())?);
    let Some((name, content, directory)) = Root::read_beside(location, &stores, CONFIG_FILE).await? else { return Ok(config) };
    let text = std::str::from_utf8(&content).map_err(|e| Error::Usage(format!("configuration file {name} is not UTF-8: {e}")))?;
    config.with_file(&ConfigText { name: &name, text, directory: directory.as_deref() }, checks)
}

/// The places where files of tables may lie outside of the database.
///
/// # Errors
/// [`Error::Usage`] for a name or a place that cannot be.
pub(super) fn locations(config: &EngineConfig, root: &Root, stores: &RemoteStores) -> Result<Locations> {
    let urls = config.locations.iter().map(|(name, url)| (name.as_str(), url.as_str()));
    let mut locations = Locations::try_new(urls, root.url(), stores)?;
    for (table, said) in &config.tables {
        let Some(names) = &said.tiers else { continue };
        let tiers = names.iter().map(|name| name.parse()).collect::<Result<Vec<Tier>, String>>();
        locations.set_tiers(table, &tiers.map_err(|reason| Error::Usage(format!("table '{table}': {reason}")))?);
    }
    Ok(locations)
}

/// Opens the tiers.
///
/// # Errors
/// [`Error::Usage`] for limits below one block, or a cache directory that cannot be used.
pub(super) fn open(config: &EngineConfig) -> Result<Arc<RemoteStores>> {
    let mut settings = Settings {
        memory_limit_bytes: config.memory_tier_bytes() as u64,
        serve_stale_on_error: config.tiers.serve_stale_on_error,
        origin_timeout: config.origin_timeout(),
        ..Settings::default()
    };
    if let Some(directory) = &config.tiers.directory {
        settings = settings.with_disk(directory, config.disk_tier_bytes() as u64);
    }
    let tiers = Tiers::open(settings).map_err(|error| Error::Usage(error.to_string()))?;
    let stores = RemoteStores::new(tiers, &config.store_options, config.origin_timeout())?;
    stores.set_max_staleness(config.tiers.max_staleness.unwrap_or_default());
    Ok(Arc::new(stores))
}

/// What has a limit that a session may change.
pub(super) struct Limited<'a> {
    pub(super) stores: &'a RemoteStores,
    pub(super) decoded: Option<Arc<DecodedTier>>,
    /// Whether there is a place for the disk tier.
    pub(super) has_directory: bool,
}

/// Sets the limits of the tiers as the session says; those that stay are left alone.
///
/// # Errors
/// [`Error::Usage`] for a limit below one block, or a disk tier without a directory.
pub(super) fn apply(limited: &Limited<'_>, before: &SqlOptions, options: &SqlOptions) -> Result<()> {
    if options.disk_tier_bytes != before.disk_tier_bytes && !limited.has_directory {
        return Err(Error::Usage("the disk tier has no directory: start with --cache-dir DIR, or TRANCHEDB_CACHE_DIR=DIR".into()));
    }
    let limits = [
        (Tier::Memory, before.memory_tier_bytes, options.memory_tier_bytes),
        (Tier::Disk, before.disk_tier_bytes, options.disk_tier_bytes),
    ];
    for (tier, _, bytes) in limits.into_iter().filter(|(_, before, after)| before != after) {
        limited.stores.tiers().set_limit(tier, bytes as u64).map_err(|error| Error::Usage(error.to_string()))?;
    }
    if let Some(decoded) = &limited.decoded {
        decoded.set_limit(options.decoded_tier_bytes);
    }
    limited.stores.set_max_staleness(options.max_staleness);
    Ok(())
}

/// The session's state for one statement over remote stores: it sees one version of each object, and its reads are counted.
pub(super) fn for_statement(state: SessionState, stores: &Arc<QueryStores>) -> SessionState {
    let registry = Arc::clone(stores) as Arc<dyn ObjectStoreRegistry>;
    let runtime = RuntimeEnv { object_store_registry: registry, ..state.runtime_env().as_ref().clone() };
    let mut state = SessionStateBuilder::new_from_existing(state).with_runtime_env(Arc::new(runtime)).build();
    state.config_mut().set_extension(Arc::clone(stores.figures()));
    state
}

/// What a query has read from each tier, as one more row of `EXPLAIN ANALYZE`.
pub(super) fn explained(figures: &ReadFigures, like: &RecordBatch) -> DfResult<RecordBatch> {
    let line = |tier: Tier| {
        let figure = |figure| figures.get(tier, figure);
        match tier {
            Tier::Origin => {
                format!("{}: requests={}, bytes={}", tier.name(), figure(Figure::Requests), figure(Figure::BytesRead))
            }
            _ => format!(
                "{}: hits={}, misses={}, waits={}, bytes={}, stale_served={}",
                tier.name(),
                figure(Figure::Hits),
                figure(Figure::Misses),
                figure(Figure::Waits),
                figure(Figure::BytesRead),
                figure(Figure::StaleServed)
            ),
        }
    };
    let text = TIERS.iter().map(|described| line(described.tier)).collect::<Vec<_>>().join("\n");
    let columns = [StringArray::from(vec!["Tiers"]), StringArray::from(vec![text])];
    Ok(RecordBatch::try_new(like.schema(), columns.into_iter().map(|column| Arc::new(column) as _).collect())?)
}
