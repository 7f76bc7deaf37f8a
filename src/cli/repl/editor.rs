//! `\e`: a statement in the editor of the user's choice.

use std::path::PathBuf;
use std::process::Command;

use crate::cli::failure::{Failure, Result};
use crate::error::Error;

/// Opens `text` in `$VISUAL`, `$EDITOR` or `vi`, and gives back what was saved, without blanks at the end.
///
/// # Errors
/// The editor cannot be started, or ends with a failure; nothing is changed then.
pub(super) fn edit(text: &str) -> Result<String> {
    let chosen = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()));
    let chosen = chosen.unwrap_or_else(|| "vi".to_owned());
    let file = Scratch::create(text)?;
    let mut words = chosen.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(&file.0).status();
    let status = status.map_err(|error| Failure::usage(format!("cannot start {program}: {error}\nhint: set EDITOR to your editor")))?;
    if !status.success() {
        return Err(Failure::usage(format!("{program} failed ({status}); the statement is unchanged")));
    }
    let edited =
        std::fs::read_to_string(&file.0).map_err(|error| Failure::Engine(Error::storage("cannot read the edited statement", error)))?;
    Ok(edited.trim_end().to_owned())
}

/// A file that goes when it is no longer needed.
struct Scratch(PathBuf);

impl Scratch {
    fn create(text: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tranchedb-edit-{}.sql", std::process::id()));
        std::fs::write(&path, text).map_err(|error| Failure::Engine(Error::storage("cannot write the statement to edit", error)))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It lies in the system's directory for temporary files, which sweeps it if this fails.
        drop(std::fs::remove_file(&self.0));
    }
}
