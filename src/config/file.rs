//! `tranchedb.toml`: tiers, locations and the rules of tables, kept with a database.
//!
//! ```toml
//! [tiers]
//! memory = "256MiB"
//! disk = "10GiB"
//! directory = "cache"
//! decoded = "512MiB"
//! serve_stale_on_error = false
//! max_staleness = "30s"
//!
//! [locations.cold]
//! url = "s3://archive/tranchedb"
//!
//! [tables.trades]
//! tiers = ["memory"]
//! move_to = "cold"
//! older_than = "2 years"
//! date_column = "date"
//! ```
//!
//! Relative paths are relative to the file. Whatever is said elsewhere (command line, environment, [`EngineConfig`]) comes before the file.
//! It holds no credentials.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::{EngineConfig, LEAST_TIER_BYTES, SECRET_WORDS, TableConfig, parse_duration, parse_size_or_none};
use crate::error::{Error, Position, Result};

/// Name of the file in the directory of a database.
pub const CONFIG_FILE: &str = "tranchedb.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sections {
    tiers: TierSection,
    locations: BTreeMap<Spanned<String>, LocationSection>,
    tables: BTreeMap<Spanned<String>, TableSection>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TierSection {
    memory: Option<Spanned<String>>,
    disk: Option<Spanned<String>>,
    directory: Option<Spanned<PathBuf>>,
    decoded: Option<Spanned<String>>,
    serve_stale_on_error: Option<bool>,
    max_staleness: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocationSection {
    url: Spanned<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TableSection {
    tiers: Option<Vec<Spanned<String>>>,
    move_to: Option<Spanned<String>>,
    older_than: Option<Spanned<String>>,
    date_column: Option<String>,
}

/// What is checked by those who know it: names and URLs of locations.
#[derive(Debug, Clone, Copy)]
pub struct LocationChecks {
    /// Says why a location cannot have a name.
    pub name: fn(&str) -> Result<(), String>,
    /// Gives the URL as it is used, or says why it cannot be one.
    pub url: fn(&str) -> Result<Url, String>,
}

/// The text of a configuration file, and where it comes from.
#[derive(Debug)]
pub struct ConfigText<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// What it says.
    pub text: &'a str,
    /// The directory that relative paths in it are relative to; `None` where there is no such directory.
    pub directory: Option<&'a Path>,
}

impl EngineConfig {
    /// These settings, completed by what a configuration file says.
    ///
    /// # Errors
    /// [`Error::Usage`] with file, line, column and remedy for what the file cannot say.
    pub fn with_file(mut self, file: &ConfigText<'_>, checks: LocationChecks) -> Result<Self> {
        let sections: Sections = toml::from_str(file.text).map_err(|error| file.malformed(&error))?;
        file.tiers(&sections.tiers, &mut self)?;
        for (name, location) in &sections.locations {
            let url = file.location(name, location, checks)?;
            self.locations.entry(name.get_ref().clone()).or_insert(url);
        }
        for (name, table) in &sections.tables {
            let known = |location: &str| self.locations.contains_key(location);
            let table = file.table(name, table, &known, self.locations.keys())?;
            self.tables.entry(name.get_ref().clone()).or_insert(table);
        }
        Ok(self)
    }
}

impl ConfigText<'_> {
    fn tiers(&self, section: &TierSection, config: &mut EngineConfig) -> Result<()> {
        let limit = |text: &Option<Spanned<String>>, least: usize| text.as_ref().map(|text| self.size(text, least)).transpose();
        let (memory, disk) = (limit(&section.memory, LEAST_TIER_BYTES)?, limit(&section.disk, LEAST_TIER_BYTES)?);
        let decoded = limit(&section.decoded, 0)?;
        let directory = section.directory.as_ref().map(|path| self.path(path)).transpose()?;
        let read = |text: &Spanned<String>| parse_duration(text.get_ref()).map_err(|reason| self.refused(text.span(), &reason, ""));
        let max_staleness = section.max_staleness.as_ref().map(read).transpose()?;
        let tiers = &mut config.tiers;
        tiers.memory_bytes = tiers.memory_bytes.or(memory);
        tiers.disk_bytes = tiers.disk_bytes.or(disk);
        tiers.directory = tiers.directory.take().or(directory);
        tiers.serve_stale_on_error |= section.serve_stale_on_error.unwrap_or_default();
        tiers.max_staleness = tiers.max_staleness.or(max_staleness);
        config.decoded_tier_bytes = config.decoded_tier_bytes.or(decoded);
        Ok(())
    }

    fn size(&self, text: &Spanned<String>, least: usize) -> Result<usize> {
        let bytes = parse_size_or_none(text.get_ref()).map_err(|reason| self.refused(text.span(), &reason, ""))?;
        if bytes > 0 && bytes < least {
            let reason = format!("a limit of {bytes} bytes is below one block of {least}");
            return Err(self.refused(text.span(), &reason, "give more, or \"0\" for no such tier"));
        }
        Ok(bytes)
    }

    fn path(&self, path: &Spanned<PathBuf>) -> Result<PathBuf> {
        match self.directory {
            Some(directory) => Ok(directory.join(path.get_ref())),
            None if path.get_ref().is_absolute() => Ok(path.get_ref().clone()),
            None => Err(self.refused(
                path.span(),
                "a relative path, and the file lies in no directory of this machine",
                "give an absolute path",
            )),
        }
    }

    fn location(&self, name: &Spanned<String>, location: &LocationSection, checks: LocationChecks) -> Result<String> {
        let refused = |span: Range<usize>, reason: String| self.refused(span, &reason, "");
        (checks.name)(name.get_ref()).map_err(|reason| refused(name.span(), reason))?;
        let (text, span) = (location.url.get_ref(), location.url.span());
        let url = match text.contains("://") || text.starts_with("file:") {
            true => text.clone(),
            false => {
                let path = self.path(&Spanned::new(span.clone(), PathBuf::from(text)))?;
                let path = std::path::absolute(&path).map_err(|e| refused(span.clone(), format!("'{text}' is no path: {e}")))?;
                let url = Url::from_directory_path(&path).map_err(|()| refused(span.clone(), format!("'{text}' is no path")))?;
                url.to_string()
            }
        };
        (checks.url)(&url).map(|url| url.to_string()).map_err(|reason| refused(span, reason))
    }

    fn table<'l>(
        &self,
        name: &Spanned<String>,
        section: &TableSection,
        is_location: &dyn Fn(&str) -> bool,
        locations: impl Iterator<Item = &'l String>,
    ) -> Result<TableConfig> {
        if let Some(tier) = section.tiers.iter().flatten().find(|tier| !TableConfig::TIERS.contains(&tier.get_ref().as_str())) {
            let reason = format!("there is no tier '{}' that a table can be read through", tier.get_ref());
            return Err(self.refused(tier.span(), &reason, &format!("there are {}", TableConfig::TIERS.join(", "))));
        }
        if let Some(location) = section.move_to.as_ref().filter(|location| !is_location(location.get_ref())) {
            let known = locations.map(String::as_str).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { String::new() } else { format!(", or take one of {known}") };
            let remedy = format!("name it: [locations.{}] with its url{known}", location.get_ref());
            return Err(self.refused(location.span(), &format!("there is no location '{}'", location.get_ref()), &remedy));
        }
        let age = |text: &Spanned<String>| text.get_ref().parse().map_err(|reason: String| self.refused(text.span(), &reason, ""));
        let older_than = section.older_than.as_ref().map(age).transpose()?;
        if section.move_to.is_some() != older_than.is_some() {
            let reason = "a rule needs both, move_to and older_than";
            return Err(self.refused(name.span(), reason, "move_to = \"NAME OF A LOCATION\" and older_than = \"2 years\""));
        }
        Ok(TableConfig {
            tiers: section.tiers.as_ref().map(|tiers| tiers.iter().map(|tier| tier.get_ref().clone()).collect()),
            move_to: section.move_to.as_ref().map(|location| location.get_ref().clone()),
            older_than,
            date_column: section.date_column.clone(),
        })
    }

    /// What the reader of the format refuses. Its own rendering would quote the line, and so what somebody may have put there.
    fn malformed(&self, error: &toml::de::Error) -> Error {
        let span = error.span().unwrap_or_default();
        let key = self.text.get(span.clone()).unwrap_or_default();
        let message = error.message().lines().next().unwrap_or_default();
        if message.starts_with("unknown field") && SECRET_WORDS.iter().any(|word| key.to_lowercase().contains(word)) {
            let remedy = "take it out of the file: credentials come from the environment (AWS_..., GOOGLE_..., AZURE_...)";
            return self.refused(span, "a credential, which this file never holds", remedy);
        }
        let remedy = match message {
            unknown if unknown.starts_with("unknown field") => "keys are written as the list says",
            kind if kind.starts_with("invalid type") => "sizes, times, names and paths are texts in quotes, switches are true or false",
            missing if missing.starts_with("missing field") => "add it",
            _ => "keys are written name = \"value\", sections [name]",
        };
        self.refused(span, message, remedy)
    }

    fn refused(&self, span: Range<usize>, reason: &str, remedy: &str) -> Error {
        let Position { line, column } = self.position(span.start);
        let hint = if remedy.is_empty() { String::new() } else { format!("\nhint: {remedy}") };
        Error::Usage(format!("{}, line {line}, column {column}: {reason}{hint}", self.name))
    }

    fn position(&self, byte: usize) -> Position {
        let before = self.text.get(..byte).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Position { line: before.matches('\n').count() as u64 + 1, column: before[line_start..].chars().count() as u64 + 1 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Age;

    fn read(text: &str) -> Result<EngineConfig> {
        let checks = LocationChecks {
            name: |name| if name == "hot" { Err("'hot' is a tier of its own".into()) } else { Ok(()) },
            url: |url| Url::parse(url).map_err(|e| e.to_string()),
        };
        let file = ConfigText { name: "db/tranchedb.toml", text, directory: Some(Path::new("/data/db")) };
        EngineConfig::default().with_file(&file, checks)
    }

    #[test]
    fn a_file_says_what_nothing_else_says() {
        let text = "[tiers]\nmemory = \"64MiB\"\ndisk = \"0\"\ndirectory = \"cache\"\ndecoded = \"1MB\"\nserve_stale_on_error = true\nmax_staleness = \"90s\"\n\
                    [locations.cold]\nurl = \"s3://archive/db\"\n[locations.near]\nurl = \"../near\"\n\
                    [tables.trades]\ntiers = [\"memory\"]\nmove_to = \"cold\"\nolder_than = \"2 years\"\ndate_column = \"day\"\n";
        let config = read(text).unwrap();
        assert_eq!(
            (config.tiers.memory_bytes, config.tiers.disk_bytes, config.decoded_tier_bytes),
            (Some(64 << 20), Some(0), Some(1_000_000))
        );
        assert_eq!(config.tiers.directory.as_deref(), Some(Path::new("/data/db/cache")));
        assert!(config.tiers.serve_stale_on_error);
        assert_eq!(config.tiers.max_staleness, Some(Duration::from_secs(90)));
        assert_eq!(config.locations["cold"], "s3://archive/db");
        assert!(config.locations["near"].starts_with("file:///data/") && config.locations["near"].ends_with("near/"));
        let trades = &config.tables["trades"];
        assert_eq!((trades.move_to.as_deref(), trades.date_column.as_deref()), (Some("cold"), Some("day")));
        assert_eq!(trades.older_than, Some(Age { months: 24, days: 0 }));
        assert_eq!(trades.tiers.as_deref(), Some(["memory".to_owned()].as_slice()));

        let typed = EngineConfig { decoded_tier_bytes: Some(7), ..EngineConfig::default() };
        let checks = LocationChecks { name: |_| Ok(()), url: |url| Url::parse(url).map_err(|e| e.to_string()) };
        let file = ConfigText { name: "f", text, directory: Some(Path::new("/")) };
        assert_eq!(typed.with_file(&file, checks).unwrap().decoded_tier_bytes, Some(7), "what was typed comes first");
    }

    #[test]
    fn what_a_file_cannot_say_is_told_with_place_and_remedy() {
        for (text, place, parts) in [
            ("[tiers]\nmemry = \"1GiB\"\n", "line 2, column 1", ["unknown field", "memory"]),
            ("[tiers]\nmemory = 5\n", "line 2, column 10", ["invalid type", "in quotes"]),
            ("[tiers]\n  memory = \"1000\"\n", "line 2, column 12", ["below one block", "\"0\""]),
            ("[tiers]\ndisk = \"9XB\"\n", "line 2, column 8", ["no size", "GiB"]),
            ("[tiers]\nmax_staleness = \"soon\"\n", "line 2, column 17", ["'soon'", "30s"]),
            ("[locations.hot]\nurl = \"s3://a\"\n", "line 1, column 12", ["'hot'", "tier"]),
            ("[locations.cold]\nurl = \"s3://a\"\nsecret_key = \"x\"\n", "line 3, column 1", ["a credential", "environment"]),
            ("[tables.t]\nmove_to = \"cold\"\nolder_than = \"1 day\"\n", "line 2, column 11", ["no location 'cold'", "[locations.cold]"]),
            ("[tables.t]\ntiers = [\"memory\", \"tape\"]\n", "line 2, column 20", ["no tier 'tape'", "memory, disk"]),
            ("[locations.c]\nurl = \"s3://a\"\n[tables.t]\nmove_to = \"c\"\n", "line 3, column 9", ["needs both", "older_than"]),
            (
                "[locations.c]\nurl = \"s3://a\"\n[tables.t]\nmove_to = \"c\"\nolder_than = \"old\"\n",
                "line 5, column 14",
                ["'old'", "2 years"],
            ),
            ("[tiers\nmemory = \"1GiB\"\n", "line 1", ["", "[name]"]),
        ] {
            let message = read(text).expect_err(text).to_string();
            assert!(message.starts_with(&format!("db/tranchedb.toml, {place}")), "{text}: {message}");
            assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
        }
    }

    #[test]
    fn a_credential_is_never_repeated() {
        for text in [
            "[tiers]\naws_secret_access_key = \"hidden\"\n",
            "[locations.c]\nurl = \"s3://a\"\ntoken = \"hidden\"\n",
            "password = \"hidden\"\n",
        ] {
            let message = read(text).expect_err(text).to_string();
            assert!(message.contains("environment") && !message.contains("hidden"), "{message}");
        }
    }
}
