//! Names and globs that choose columns.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

/// A list of column names and globs. A pattern fits the name it spells out and, as a glob, the names it describes; letter case counts.
#[derive(Debug)]
pub(crate) struct NamePatterns {
    names: Vec<String>,
    globs: GlobSet,
}

impl NamePatterns {
    /// Compiles the patterns that `option` was given.
    ///
    /// # Errors
    /// [`Error::Usage`] for a pattern that is no glob.
    pub(crate) fn try_new(option: &str, patterns: &[String]) -> Result<Self> {
        let usage = |e: globset::Error| Error::Usage(format!("{option}: {e}"));
        let mut globs = GlobSetBuilder::new();
        for pattern in patterns {
            // A name may hold '/', so a star has to cross it, and '\' is no escape.
            globs.add(GlobBuilder::new(pattern).literal_separator(false).backslash_escape(false).build().map_err(usage)?);
        }
        Ok(Self { names: patterns.to_vec(), globs: globs.build().map_err(usage)? })
    }

    /// No pattern at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// A pattern spells out this name.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    /// A pattern spells out or describes this name.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.names(name) || self.globs.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_globs_fit_with_their_letter_case() {
        let patterns = NamePatterns::try_new("--include", &["SENSEX * SL7?%".into(), "a[1]".into(), "{x,y}".into()]).unwrap();
        for name in ["SENSEX 1000-1100 SL71%", "SENSEX a/b SL79%", "a[1]", "a1", "x", "y"] {
            assert!(patterns.matches(name), "{name}");
        }
        for name in ["sensex 1000-1100 SL71%", "SENSEX 1000-1100 SL71%TP3%", "z"] {
            assert!(!patterns.matches(name), "{name}");
        }
        assert!(patterns.names("a[1]") && !patterns.names("a1"));
        assert!(matches!(NamePatterns::try_new("--include", &["[".into()]), Err(Error::Usage(_))));
    }
}
