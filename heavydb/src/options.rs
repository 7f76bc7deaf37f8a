//! What a session of the dialect may choose.

/// Settings of the dialect; the defaults are those of a HeavyDB server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Options {
    /// Whether `x / 0` and `x % 0` are NULL instead of an error, as with the server flag `null-div-by-zero`.
    pub null_div_by_zero: bool,
    /// Whether `COUNT` is BIGINT instead of INTEGER, where it fails above 2^31 - 1.
    pub bigint_count: bool,
    /// The name that `CURRENT_USER` gives.
    pub user: String,
    /// The instant that `NOW()` gives, in seconds since 1970; `None` is the clock.
    pub now: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { null_div_by_zero: false, bigint_count: false, user: "admin".into(), now: None }
    }
}

impl Options {
    /// Sets an option by its name.
    ///
    /// # Errors
    /// No such option, or no such value; the message names what there is.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let flag = |value: &str| match value.to_lowercase().as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ => Err(format!("heavydb.{name} is true or false, not '{value}'")),
        };
        match name {
            "null_div_by_zero" => self.null_div_by_zero = flag(value)?,
            "bigint_count" => self.bigint_count = flag(value)?,
            "user" => value.clone_into(&mut self.user),
            "now" => {
                let instant = crate::types::literals::instant(value, datafusion::arrow::datatypes::TimeUnit::Second);
                self.now = Some(instant.ok_or_else(|| format!("heavydb.now is a date and time, not '{value}'"))?);
            }
            _ => return Err(format!("there is no option heavydb.{name}: there are null_div_by_zero, bigint_count, user, now")),
        }
        Ok(())
    }
}
