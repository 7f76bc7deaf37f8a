//! Values for the `$name` parameters of statements.

use std::collections::BTreeMap;

use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;

use crate::error::{Error, Result};

/// Values for the `$name` parameters of statements, typed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, ScalarValue>);

impl Parameters {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds `$name`.
    pub fn set(&mut self, name: impl Into<String>, value: ScalarValue) {
        self.0.insert(name.into(), value);
    }

    /// Takes the value of `$name` away; whether there was one.
    pub fn unset(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Names and values in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ScalarValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether no name is bound.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a parameter.
    pub(super) fn value(&self, name: &str) -> Result<ScalarValue> {
        self.0.get(name).cloned().ok_or_else(|| unbound(&[&format!("${name}")]))
    }

    /// The value of a parameter that says a version.
    pub(super) fn version(&self, name: &str) -> Result<u64> {
        match self.0.get(name) {
            None => Err(unbound(&[&format!("${name}")])),
            Some(ScalarValue::Int64(Some(number))) if *number >= 0 => Ok(number.unsigned_abs()),
            Some(ScalarValue::UInt64(Some(number))) => Ok(*number),
            Some(other) => Err(Error::Usage(format!(
                "VERSION AS OF ${name} needs a whole number from 0, and ${name} is {other} ({})",
                other.data_type()
            ))),
        }
    }

    /// A value from text: `null`, `true`, `12`, `1.5`, `2024-01-31`, `2024-01-31 09:15:00`; anything else, and what is in single
    /// quotes, is text.
    pub fn parse_value(text: &str) -> ScalarValue {
        let trimmed = text.trim();
        if let Some(inner) = trimmed.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            return ScalarValue::Utf8(Some(inner.replace("''", "'")));
        }
        match trimmed.to_lowercase().as_str() {
            "null" => return ScalarValue::Null,
            "true" => return ScalarValue::Boolean(Some(true)),
            "false" => return ScalarValue::Boolean(Some(false)),
            _ => {}
        }
        if let Ok(integer) = trimmed.parse::<i64>() {
            return ScalarValue::Int64(Some(integer));
        }
        let numeric = trimmed.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        if let (true, Ok(number)) = (numeric, trimmed.parse::<f64>()) {
            return ScalarValue::Float64(Some(number));
        }
        if let Ok(date) = chrono::NaiveDate::parse_from_str(trimmed, "%Y-%m-%d") {
            return ScalarValue::Date32(Some(datafusion::arrow::datatypes::Date32Type::from_naive_date(date)));
        }
        for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"] {
            if let Ok(at) = chrono::NaiveDateTime::parse_from_str(trimmed, format) {
                return ScalarValue::TimestampMicrosecond(Some(at.and_utc().timestamp_micros()), None);
            }
        }
        ScalarValue::Utf8(Some(text.to_owned()))
    }
}

/// A plan with the values of its parameters.
///
/// # Errors
/// [`Error::Usage`] that names those without a value.
pub(super) fn bind(plan: LogicalPlan, parameters: &Parameters) -> Result<LogicalPlan> {
    let wanted = plan.get_parameter_names().map_err(Error::from)?;
    if wanted.is_empty() {
        return Ok(plan);
    }
    let bound = |name: &String| {
        parameters.0.get(name.trim_start_matches('$')).map(|value| (name.trim_start_matches('$').to_owned(), value.clone().into()))
    };
    let missing: Vec<&str> = wanted.iter().filter(|name| bound(name).is_none()).map(String::as_str).collect();
    if !missing.is_empty() {
        let mut missing = missing;
        missing.sort_unstable();
        return Err(unbound(&missing));
    }
    let values = wanted.iter().filter_map(bound).collect();
    Ok(plan.with_param_values(ParamValues::Map(values))?)
}

fn unbound(names: &[&str]) -> Error {
    Error::Usage(format!("no value for {}\nhint: bind it with -p name=value, in a program with Parameters::set", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_values_get_the_type_they_look_like() {
        let cases = [
            ("12", ScalarValue::Int64(Some(12))),
            ("1.5", ScalarValue::Float64(Some(1.5))),
            ("2024-01-31", ScalarValue::Date32(Some(19753))),
            ("TRUE", ScalarValue::Boolean(Some(true))),
            ("null", ScalarValue::Null),
            ("'12'", ScalarValue::Utf8(Some("12".into()))),
            ("inf", ScalarValue::Utf8(Some("inf".into()))),
            ("'; DROP TABLE t", ScalarValue::Utf8(Some("'; DROP TABLE t".into()))),
        ];
        for (text, value) in cases {
            assert_eq!(Parameters::parse_value(text), value, "{text}");
        }
    }
}
