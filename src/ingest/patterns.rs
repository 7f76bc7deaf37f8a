//! Names and globs that choose columns.

use std::collections::HashMap;

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

    /// The first pattern that fits none of the names.
    pub(crate) fn first_unused<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Option<&str> {
        let spelled: HashMap<&str, usize> = self.names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let mut used = vec![false; self.names.len()];
        for name in names {
            spelled.get(name).into_iter().for_each(|&at| used[at] = true);
            self.globs.matches(name).into_iter().for_each(|at| used[at] = true);
        }
        used.iter().position(|used| !used).map(|at| self.names[at].as_str())
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

    #[test]
    fn a_pattern_that_fits_nothing_is_found() {
        let patterns = NamePatterns::try_new("--exclude", &["a[1]".into(), "S*".into(), "x".into()]).unwrap();
        assert_eq!(patterns.first_unused(["a[1]", "S1", "x"]), None);
        assert_eq!(patterns.first_unused(["S1", "S2", "a1"]), Some("x"));
        assert_eq!(patterns.first_unused(["x"]), Some("a[1]"));
    }
}
