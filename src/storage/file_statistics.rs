//! Statistics of a data file as the log writes them, read for a few columns: a table may have very many files.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::table_change::ColumnRange;

/// What the log tells of some columns of a file.
#[derive(Debug, Default)]
pub(super) struct FileStatistics {
    rows: Option<u64>,
    min: HashMap<String, Value>,
    max: HashMap<String, Value>,
    nulls: HashMap<String, Value>,
}

impl FileStatistics {
    /// Reads the statistics of `columns`; what cannot be read tells nothing.
    pub(super) fn read(text: &str, columns: &[String]) -> Self {
        let mut text = serde_json::Deserializer::from_str(text);
        Whole { columns }.deserialize(&mut text).unwrap_or_default()
    }

    /// What is told of the values of a column.
    pub(super) fn range(&self, column: &str) -> ColumnRange {
        let value = |of: &HashMap<String, Value>| of.get(column).filter(|value| !value.is_null()).cloned();
        let nulls = value(&self.nulls).and_then(|nulls| nulls.as_u64());
        match (value(&self.min), value(&self.max), nulls) {
            (Some(min), Some(max), nulls) => ColumnRange::Between { min, max, has_null: nulls != Some(0) },
            (_, _, Some(nulls)) if Some(nulls) == self.rows => ColumnRange::Null,
            _ => ColumnRange::Unknown,
        }
    }
}

/// The object that holds all statistics of a file.
struct Whole<'a> {
    columns: &'a [String],
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = FileStatistics;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FileStatistics, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = FileStatistics;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("statistics of a file")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FileStatistics, A::Error> {
        let mut stats = FileStatistics::default();
        let figures = || Figures { columns: self.columns };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "numRecords" => stats.rows = map.next_value()?,
                "minValues" => stats.min = map.next_value_seed(figures())?,
                "maxValues" => stats.max = map.next_value_seed(figures())?,
                "nullCount" => stats.nulls = map.next_value_seed(figures())?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(stats)
    }
}

/// One figure of every column, of which some are wanted.
struct Figures<'a> {
    columns: &'a [String],
}

impl<'de> DeserializeSeed<'de> for Figures<'_> {
    type Value = HashMap<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Figures<'_> {
    type Value = HashMap<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a figure of every column")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = HashMap::new();
        while let Some(key) = map.next_key::<String>()? {
            match self.columns.contains(&key) {
                true => drop(found.insert(key, map.next_value()?)),
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statistics_tell_of_the_columns_that_are_asked_for() {
        let text = r#"{"numRecords":3,"minValues":{"a":"x","b":{"c":1},"n":1},"maxValues":{"a":"y","n":7},"nullCount":{"a":0,"n":1,"z":3},"tightBounds":true}"#;
        let columns = ["a", "n", "z", "b", "absent"].map(str::to_owned);
        let stats = FileStatistics::read(text, &columns);
        assert_eq!(stats.range("a"), ColumnRange::Between { min: json!("x"), max: json!("y"), has_null: false });
        assert_eq!(stats.range("n"), ColumnRange::Between { min: json!(1), max: json!(7), has_null: true });
        assert_eq!(stats.range("z"), ColumnRange::Null);
        assert_eq!(stats.range("b"), ColumnRange::Unknown);
        assert_eq!(stats.range("absent"), ColumnRange::Unknown);
    }

    #[test]
    fn statistics_that_cannot_be_read_tell_nothing() {
        for text in ["", "null", "{", r#"{"minValues":7}"#, r#"{"minValues":{"a":1}"#] {
            assert_eq!(FileStatistics::read(text, &["a".to_owned()]).range("a"), ColumnRange::Unknown, "{text}");
        }
    }
}
