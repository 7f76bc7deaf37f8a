//! The session of the dialect that an engine keeps from statement to statement.

use std::fmt;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::execution::SessionState;
use datafusion_heavydb::tables::{Database, HeavySession};
use parking_lot::Mutex;

use super::settings::HeavySettings;

/// A session, made anew when what it was made from has changed: to make one takes longer than to insert a row.
#[derive(Default)]
pub struct KeptSession(Mutex<Option<(MadeFrom, HeavySession)>>);

/// What of the engine's session goes into one of the dialect.
struct MadeFrom {
    /// Changed options are other options: they are shared until then.
    options: Arc<ConfigOptions>,
    catalogs: Vec<String>,
    table_functions: usize,
}

impl MadeFrom {
    fn of(state: &SessionState) -> Self {
        Self {
            options: Arc::clone(state.config_options()),
            catalogs: state.catalog_list().catalog_names(),
            table_functions: state.table_functions().len(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.options, &other.options) && self.catalogs == other.catalogs && self.table_functions == other.table_functions
    }
}

impl fmt::Debug for KeptSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptSession").finish_non_exhaustive()
    }
}

impl KeptSession {
    /// The session of the dialect over the engine's, with the options that it has set.
    pub fn over(&self, state: &SessionState, tables: &Arc<Database>) -> HeavySession {
        let current = MadeFrom::of(state);
        let mut kept = self.0.lock();
        match &*kept {
            Some((made_from, session)) if made_from.is(&current) => session.clone(),
            _ => {
                let session = HeavySession::new(state, tables, &HeavySettings::of(state));
                *kept = Some((current, session.clone()));
                session
            }
        }
    }
}
