//! What the text of a statement says without a parser: its identity, its kind, its secrets.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};

/// What a statement does, told by its first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Gives rows that can be compared: SELECT, WITH, VALUES, TABLE.
    Query,
    /// Changes tables or their rows: CREATE, INSERT, COPY … FROM, UPDATE, DELETE, TRUNCATE, ALTER, …
    Change,
    /// Writes rows to a file: `COPY (…) TO`.
    Export,
    /// Changes the session alone: SET, USE, ALTER SESSION.
    Session,
    /// Answers about the system or a plan: SHOW, DESCRIBE, EXPLAIN.
    Show,
    /// Users, rights, databases, the server: GRANT, CREATE USER, KILL, …
    Administration,
    /// None of these: the dialect will say what is wrong with it.
    Other,
}

const QUERIES: &[&str] = &["SELECT", "WITH", "VALUES", "TABLE"];
const CHANGES: &[&str] = &[
    "CREATE", "DROP", "ALTER", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "RENAME", "OPTIMIZE", "VALIDATE", "COMMENT", "RESTORE", "REFRESH",
];
const SESSIONS: &[&str] = &["SET", "RESET", "USE"];
const SHOWS: &[&str] = &["SHOW", "DESCRIBE", "DESC", "EXPLAIN"];
const ADMINISTRATION: &[&str] = &["GRANT", "REVOKE", "REASSIGN", "KILL", "DUMP", "ARCHIVE", "CLEAR", "PAUSE", "RESUME"];
/// The objects whose CREATE, ALTER and DROP touch no table.
const ADMINISTERED: &[&str] = &["USER", "ROLE", "DATABASE", "POLICY", "SYSTEM", "SESSION_ADMIN", "MODEL"];

impl Kind {
    /// The kind of a statement. Comments, hints and opening parentheses before the first word are passed over.
    ///
    /// ```
    /// # use datafusion_heavydb::replay::input::Kind;
    /// assert_eq!(Kind::of("-- nightly\n(SELECT 1)"), Kind::Query);
    /// assert_eq!(Kind::of("COPY (SELECT * FROM t) TO 't.csv'"), Kind::Export);
    /// assert_eq!(Kind::of("copy t from 't.csv'"), Kind::Change);
    /// assert_eq!(Kind::of("ALTER SESSION SET EXECUTOR_DEVICE='CPU'"), Kind::Session);
    /// ```
    pub fn of(sql: &str) -> Self {
        let mut rest = sql;
        let first = next_word(&mut rest);
        let is = |list: &[&str], word: &str| list.iter().any(|entry| entry.eq_ignore_ascii_case(word));
        match first {
            word if is(QUERIES, word) => Self::Query,
            word if word.eq_ignore_ascii_case("COPY") => copy_kind(rest),
            word if is(SESSIONS, word) => Self::Session,
            word if is(SHOWS, word) => Self::Show,
            word if is(ADMINISTRATION, word) => Self::Administration,
            word if is(CHANGES, word) => match next_word(&mut rest) {
                object if object.eq_ignore_ascii_case("SESSION") => Self::Session,
                object if is(ADMINISTERED, object) && !word.eq_ignore_ascii_case("INSERT") => Self::Administration,
                _ => Self::Change,
            },
            _ => Self::Other,
        }
    }
}

/// `COPY (query) TO` and `COPY t TO` write files, `COPY t [(columns)] FROM` reads them.
fn copy_kind(rest: &str) -> Kind {
    if rest.trim_start().starts_with('(') {
        return Kind::Export;
    }
    let mut quote = None;
    let mut depth = 0_usize;
    for (at, byte) in rest.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 && byte.is_ascii_whitespace() => {
                let mut tail = &rest[at..];
                match next_word(&mut tail) {
                    word if word.eq_ignore_ascii_case("TO") => return Kind::Export,
                    word if word.eq_ignore_ascii_case("FROM") => return Kind::Change,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    Kind::Other
}

/// Takes the next word; `rest` starts behind it. Blanks, comments and `(` before it are passed over. Empty at the end or at a sign.
fn next_word<'a>(rest: &mut &'a str) -> &'a str {
    loop {
        let text = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        *rest = text;
        if text.starts_with("--") {
            *rest = text.find('\n').map_or("", |end| &text[end..]);
        } else if text.starts_with("/*") {
            *rest = text.find("*/").map_or("", |end| &text[end + 2..]);
        } else {
            let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
            *rest = &text[end..];
            return &text[..end];
        }
    }
}

/// White space outside quotes to one blank, none at the ends, no final `;`: two texts that differ in layout alone become equal.
///
/// ```
/// # use datafusion_heavydb::replay::input::normalise;
/// assert_eq!(normalise(" SELECT  'a  b'\n FROM t ; "), "SELECT 'a  b' FROM t");
/// ```
pub fn normalise(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    each_normalised(sql, |piece| text.push_str(piece));
    text
}

/// The pieces of a normalised text, in order: a statement of 40 MB is read without a copy of it.
fn each_normalised(sql: &str, mut give: impl FnMut(&str)) {
    let mut rest = sql;
    let mut started = false;
    // Blanks and `;` that go if nothing comes behind them.
    let mut held = String::new();
    loop {
        let visible = rest.trim_start();
        let blank = visible.len() < rest.len();
        rest = visible;
        let Some(first) = rest.chars().next() else { return };
        if blank && started {
            held.push(' ');
        }
        started = true;
        if first == ';' {
            held.push(';');
            rest = &rest[1..];
            continue;
        }
        if !held.is_empty() {
            give(&held);
            held.clear();
        }
        let end = match first {
            '\'' | '"' => rest[1..].find(first).map(|at| at + 2),
            _ => rest.find(|c: char| c.is_whitespace() || matches!(c, ';' | '\'' | '"')),
        };
        let (piece, behind) = rest.split_at(end.unwrap_or(rest.len()));
        give(piece);
        rest = behind;
    }
}

/// The id of a logged statement: the first 12 hexadecimal digits of SHA-256 of its normalised text.
///
/// ```
/// # use datafusion_heavydb::replay::input::id_of;
/// assert_eq!(id_of("SELECT  1;"), id_of("SELECT 1"));
/// assert_eq!(id_of("SELECT 1"), "e004ebd5b553");
/// ```
pub fn id_of(sql: &str) -> String {
    let mut digest = Sha256::new();
    each_normalised(sql, |piece| digest.update(piece.as_bytes()));
    digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The settings whose values nobody but the server may see, with the value. HeavyDB's own log hides password, s3_access_key and
/// s3_secret_key. A name may have more before it (`user_password`) and stand in quotes; `PWD=` is a part of ODBC's strings.
static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let name = "(?:password|passwd|passphrase|pwd|secret_key|secret_access_key|client_secret|access_key|access_key_id|session_token|sas_token|api_key|credentials?|credentials?_string|connection_string)";
    let value = r#"(?:'(?:[^']|'')*'?|"[^"]*"?|\{[^}]*\}?|[^\s,;)']+)"#;
    Regex::new(&format!(r#"(?is)({name}"?\s*=\s*){value}|(\\set_license\s+)\S+|(://[^\s/:@']+:)[^\s/@']+(@)"#)).ok()
});

/// What stands for a secret, in HeavyDB's logs and here.
pub const HIDDEN: &str = "XXXXXXXX";

/// The text with the values of passwords and keys replaced as HeavyDB's log does it. Whatever is shown to people goes through here.
///
/// ```
/// # use datafusion_heavydb::replay::input::redact;
/// assert_eq!(redact("CREATE USER u (password = 'pw', is_super='true')"), "CREATE USER u (password = 'XXXXXXXX', is_super='true')");
/// ```
pub fn redact(sql: &str) -> Cow<'_, str> {
    // Without the list nothing is shown.
    let Some(secrets) = SECRETS.as_ref() else { return Cow::Borrowed(HIDDEN) };
    secrets.replace_all(sql, |found: &regex::Captures<'_>| match (found.get(1), found.get(2), found.get(3)) {
        (Some(name), _, _) => format!("{}'{HIDDEN}'", name.as_str()),
        (_, Some(command), _) => format!("{}{HIDDEN}", command.as_str()),
        (_, _, Some(user)) => format!("{}{HIDDEN}@", user.as_str()),
        _ => HIDDEN.to_owned(),
    })
}

/// Whether the log hid a part of this text. Such a statement cannot be run: a password in a COPY is gone, and in a query with
/// `password = '…'` the log hid the literal, so that the rows would be others.
pub(super) fn is_hidden(sql: &str) -> bool {
    sql.contains(HIDDEN) && (Kind::of(sql) != Kind::Query || SECRETS.as_ref().is_none_or(|secrets| secrets.is_match(sql)))
}

/// Whether a name fits a pattern of `*` (any text) and `?` (one character).
pub fn glob(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, n) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_first_words() {
        let cases = [
            ("/*+ cpu_mode */ SELECT 1", Kind::Query),
            ("with a as (select 1) select * from a", Kind::Query),
            ("SELECT/*+ cpu_mode */ 1", Kind::Query),
            ("INSERT INTO t VALUES (1)", Kind::Change),
            ("CREATE TABLE user_t (a INT)", Kind::Change),
            ("CREATE USER u (password='x')", Kind::Administration),
            ("COPY t TO 'f.csv'", Kind::Export),
            ("COPY \"a to b\" FROM 'f'", Kind::Change),
            ("COPY t(a, b) FROM 'from to'", Kind::Change),
            ("EXPLAIN SELECT 1", Kind::Show),
            ("", Kind::Other),
            ("-- nothing", Kind::Other),
            ("!?", Kind::Other),
        ];
        for (sql, kind) in cases {
            assert_eq!(Kind::of(sql), kind, "{sql}");
        }
    }

    #[test]
    fn the_layout_of_a_text_does_not_change_its_id_but_blanks_in_quotes_do() {
        assert_eq!(normalise("SELECT\t1\r\n  ;;"), "SELECT 1");
        assert_eq!(normalise("SELECT 'it''s  ;' "), "SELECT 'it''s  ;'");
        assert_eq!(normalise("SELECT ;; 1 ;\u{a0}; "), "SELECT ;; 1");
        assert_eq!(normalise(" ; "), "");
        assert_eq!(normalise("SELECT 'open ; "), "SELECT 'open ; ");
        assert_ne!(id_of("SELECT 'a  b'"), id_of("SELECT 'a b'"));
        assert_eq!(id_of("SELECT 1").len(), 12);
    }

    #[test]
    fn secrets_never_show() {
        for sql in [
            "COPY t FROM 's3://b' WITH (s3_secret_key='topsecret', header='true')",
            "ALTER USER u (PASSWORD =  'topsecret')",
            "CREATE SERVER s WITH (S3_ACCESS_KEY='topsecret",
            "\\set_license topsecret",
            "COPY t FROM 'https://me:topsecret@host/f.csv'",
            "CREATE USER u (password='it''s topsecret')",
            "CREATE SERVER s WITH (connection_string='DSN=a;PWD=topsecret;UID=me')",
            "CREATE USER MAPPING FOR u SERVER s WITH (credential_string='UID=me;PWD=topsecret')",
            "COPY t FROM 'odbc:DSN=a;PWD=topsecret;UID=me'",
            "COPY t FROM 'odbc:DSN=a;pwd={a topsecret};UID=me'",
            "COPY t FROM 'x' WITH (user_password='topsecret', credential = 'topsecret')",
            "ALTER USER u (\"password\" = \"a topsecret\")",
            "COPY t FROM 'x' WITH (aws_secret_access_key=topsecret)",
        ] {
            assert!(!redact(sql).contains("topsecret"), "{sql} -> {}", redact(sql));
        }
        assert!(SECRETS.is_some(), "without it everything is hidden");
        for sql in ["SELECT password FROM t", "SELECT credential, pwd FROM t WHERE connection = 'a'", "SELECT 'https://host/a@b'"] {
            assert_eq!(redact(sql), sql);
        }
        assert_eq!(redact("WITH (user_password='x', a='b')"), "WITH (user_password='XXXXXXXX', a='b')");
    }

    #[test]
    fn a_text_with_a_hidden_part_is_told_from_one_that_has_the_letters() {
        assert!(is_hidden("COPY t FROM 'x' WITH (s3_access_key='XXXXXXXX')"));
        assert!(is_hidden("SELECT * FROM logins WHERE password = 'XXXXXXXX'"));
        assert!(!is_hidden("SELECT * FROM t WHERE a = 'XXXXXXXX'"));
    }

    #[test]
    fn globs() {
        assert!(glob("hv0*", "hv0001") && glob("*", "") && glob("a?c*", "abcd") && glob("*1", "hv11"));
        assert!(!glob("hv0*", "ha0001") && !glob("a?", "a") && !glob("", "a"));
    }
}
