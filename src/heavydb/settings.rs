//! `SET heavydb.x = ...`: the options of the dialect as settings of a session.

use std::any::Any;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::{Result, config_datafusion_err};
use datafusion::execution::SessionState;
use datafusion_heavydb::{Options, SETTINGS};

/// The options of the dialect in a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeavySettings {
    /// The options.
    pub options: Options,
}

impl HeavySettings {
    /// The options that a session has set, else HeavyDB's defaults.
    pub fn of(state: &SessionState) -> Options {
        state.config().options().extensions.get::<Self>().map(|settings| settings.options.clone()).unwrap_or_default()
    }
}

impl ConfigExtension for HeavySettings {
    const PREFIX: &'static str = "heavydb";
}

impl ExtensionOptions for HeavySettings {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.options.set(key, value).map_err(|message| config_datafusion_err!("{message}"))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |setting: &datafusion_heavydb::Setting| ConfigEntry {
            key: format!("{}.{}", Self::PREFIX, setting.name),
            value: (setting.get)(&self.options),
            description: setting.description,
        };
        SETTINGS.iter().map(entry).collect()
    }
}
