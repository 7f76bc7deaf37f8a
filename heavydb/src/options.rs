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
    /// The name that `SHOW DATABASES` gives.
    pub database: String,
    /// The instant that `NOW()` gives, in seconds since 1970; `None` is the clock.
    pub now: Option<i64>,
    /// Whether plans are looked through for what HeavyDB takes otherwise.
    pub guards: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { null_div_by_zero: false, bigint_count: false, user: "admin".into(), database: "heavyai".into(), now: None, guards: true }
    }
}

/// One setting of [`Options`].
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name after `heavydb.`.
    pub name: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
    /// Its value as text; `None` where it has none.
    pub get: fn(&Options) -> Option<String>,
    /// Sets it, or tells the values that it may have.
    set: fn(&mut Options, &str) -> Result<(), &'static str>,
}

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "null_div_by_zero",
        description: "Whether x / 0 and x % 0 are NULL instead of an error.",
        get: |options| Some(options.null_div_by_zero.to_string()),
        set: |options, value| flag(value).map(|flag| options.null_div_by_zero = flag),
    },
    Setting {
        name: "bigint_count",
        description: "Whether COUNT is BIGINT instead of INTEGER.",
        get: |options| Some(options.bigint_count.to_string()),
        set: |options, value| flag(value).map(|flag| options.bigint_count = flag),
    },
    Setting {
        name: "user",
        description: "The name that CURRENT_USER gives.",
        get: |options| Some(options.user.clone()),
        set: |options, value| {
            value.clone_into(&mut options.user);
            Ok(())
        },
    },
    Setting {
        name: "database",
        description: "The name that SHOW DATABASES gives.",
        get: |options| Some(options.database.clone()),
        set: |options, value| {
            value.clone_into(&mut options.database);
            Ok(())
        },
    },
    Setting {
        name: "now",
        description: "The date and time that NOW() gives; the clock without it.",
        get: |options| {
            let instant = |seconds: i64| crate::replay::rows::Instant { value: seconds, unit: crate::replay::rows::Unit::Second(0) };
            options.now.map(|seconds| crate::replay::render::instant(instant(seconds)))
        },
        set: |options, value| {
            let instant = crate::types::literals::instant(value, datafusion::arrow::datatypes::TimeUnit::Second);
            instant.map(|instant| options.now = Some(instant)).ok_or("a date and time")
        },
    },
    Setting {
        name: "guards",
        description: "Whether plans are looked through for what HeavyDB takes otherwise; answers without it are best effort.",
        get: |options| Some(options.guards.to_string()),
        set: |options, value| flag(value).map(|flag| options.guards = flag),
    },
];

fn flag(value: &str) -> Result<bool, &'static str> {
    match value.to_lowercase().as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err("true or false"),
    }
}

impl Options {
    /// Sets an option by its name.
    ///
    /// # Errors
    /// No such option, or no such value; the message names what there is.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
            return Err(format!("there is no option heavydb.{name}: there are {}", names.join(", ")));
        };
        (setting.set)(self, value).map_err(|values| format!("heavydb.{name} is {values}, not '{value}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_keeps_what_it_is_given() {
        let mut options = Options::default();
        for (name, value) in
            [("null_div_by_zero", "true"), ("bigint_count", "true"), ("user", "me"), ("database", "d"), ("guards", "false")]
        {
            options.set(name, value).unwrap();
            let setting = SETTINGS.iter().find(|setting| setting.name == name).unwrap();
            assert_eq!((setting.get)(&options).as_deref(), Some(value), "{name}");
        }
        options.set("now", "2024-03-01 09:30:00").unwrap();
        assert_eq!(options.now, Some(1_709_285_400));
        assert!(SETTINGS.iter().any(|setting| (setting.get)(&options).as_deref() == Some("2024-03-01 09:30:00")));
        assert!(options.set("now", "soon").unwrap_err().contains("date and time") && options.set("nu", "1").unwrap_err().contains("user"));
    }
}
