//! What a session of the dialect may choose.

/// Settings of the dialect; the defaults are those of a HeavyDB server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Options {
    /// Whether `x / 0` and `x % 0` are NULL instead of an error, as with the server flag `null-div-by-zero`.
    pub null_div_by_zero: bool,
    /// The name that `CURRENT_USER` gives.
    pub user: String,
    /// The instant that `NOW()` gives, in seconds since 1970; `None` is the clock.
    pub now: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { null_div_by_zero: false, user: "admin".into(), now: None }
    }
}
