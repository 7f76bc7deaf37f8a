//! The list of tiers.

use std::fmt;
use std::str::FromStr;

/// One place where bytes may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Blocks in this process's memory.
    Memory,
    /// Blocks in a local directory.
    Disk,
    /// The object store that holds the truth.
    Origin,
}

/// An entry of [`TIERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierDescription {
    /// Which tier it is.
    pub tier: Tier,
    /// Its name in statistics, errors and statements.
    pub name: &'static str,
    /// What it holds, in one line.
    pub about: &'static str,
    /// Whether it has a byte limit and entries, and can be switched, cleared and limited.
    pub is_cache: bool,
}

/// All tiers in the order in which a read asks them. Names, rows of statistics and documentation derive from this list.
pub const TIERS: [TierDescription; 3] = [
    TierDescription { tier: Tier::Memory, name: "memory", about: "blocks in the memory of this process", is_cache: true },
    TierDescription { tier: Tier::Disk, name: "disk", about: "blocks in files of a local directory, kept over a restart", is_cache: true },
    TierDescription { tier: Tier::Origin, name: "origin", about: "the object store or directory that holds the truth", is_cache: false },
];

impl Tier {
    /// This tier's entry of [`TIERS`].
    pub fn description(self) -> &'static TierDescription {
        let [memory, disk, origin] = &TIERS;
        match self {
            Self::Memory => memory,
            Self::Disk => disk,
            Self::Origin => origin,
        }
    }

    /// The name in statistics, errors and statements: `memory`, `disk` or `origin`.
    pub fn name(self) -> &'static str {
        self.description().name
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = String;

    /// The tier of a name in any letter case; the error lists the names.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = TIERS.iter().find(|t| t.name.eq_ignore_ascii_case(text));
        found.map(|t| t.tier).ok_or_else(|| format!("no tier '{text}'; there are {}", TIERS.map(|t| t.name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_is_found_by_its_name_and_describes_itself() {
        for entry in TIERS {
            assert_eq!(entry.tier.description(), &entry);
            assert_eq!(entry.name.to_uppercase().parse::<Tier>(), Ok(entry.tier));
        }
        assert!("tape".parse::<Tier>().unwrap_err().contains("memory, disk, origin"));
    }
}
