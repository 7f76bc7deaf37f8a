//! Statements as they may be logged: without the values of keys, tokens and passwords.

use std::borrow::Cow;

use super::lexer::{Lexer, Piece};

/// A name that contains one of these is followed by a value nobody may read.
const SENSITIVE: &[&str] = &["secret", "token", "passw", "credential", "key", "sas", "signature", "auth", "private"];
const HIDDEN: &str = "***";
/// Longest statement in a log line, in characters.
const MOST_CHARACTERS: usize = 2_000;

/// A statement without secrets, and the secrets, so that they can be taken out of an error message too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redacted {
    /// The statement in one line.
    pub(crate) text: String,
    secrets: Vec<String>,
}

impl Redacted {
    /// Hides values after sensitive names (`'aws.secret_access_key' '...'`, `password = '...'`) and the secret parts of URLs.
    pub(crate) fn new(lexer: &Lexer, statement: &str) -> Self {
        let pieces = lexer.pieces(statement);
        let (mut kept, mut secrets, mut done) = (String::new(), Vec::new(), 0);
        let mut name = "";
        for piece in pieces.iter().filter(|piece| piece.piece != Piece::Comment) {
            let text = &statement[piece.range.clone()];
            let is_value = matches!(piece.piece, Piece::Text | Piece::Number | Piece::Placeholder);
            if is_value && is_sensitive(name) {
                kept.push_str(&statement[done..piece.range.start]);
                kept.push_str(HIDDEN);
                secrets.push(text.trim_matches('\'').to_owned());
                done = piece.range.end;
            }
            if !matches!(text, "=" | "=>" | ":") {
                name = text;
            }
        }
        // What the lexer could not read might hold anything.
        let end = pieces.last().map_or(0, |piece| piece.range.end);
        kept.push_str(statement.get(done..end.max(done)).unwrap_or_default());
        Self { text: shortened(&hide_in_urls(&kept)), secrets }
    }

    /// `message` without the secrets of this statement.
    pub(crate) fn apply(&self, message: &str) -> String {
        let hidden = self.secrets.iter().filter(|secret| !secret.is_empty());
        let message = hidden.fold(message.to_owned(), |message, secret| message.replace(secret.as_str(), HIDDEN));
        shortened(&hide_in_urls(&message))
    }
}

fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SENSITIVE.iter().any(|word| name.contains(word))
}

/// One line, not too long.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// `scheme://user:password@host/path?query` as `scheme://***@host/path?***`, wherever it stands.
fn hide_in_urls(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, url) = rest.split_at(start + 3);
        kept.push_str(before);
        let end = url.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`')).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        let (place, has_query) = url.split_once('?').map_or((url, false), |(place, _)| (place, true));
        let host_end = place.find('/').unwrap_or(place.len());
        let (host, path) = place.split_at(host_end);
        match host.rsplit_once('@') {
            Some((_, host)) => kept.push_str(&format!("{HIDDEN}@{host}{path}")),
            None => kept.push_str(place),
        }
        if has_query {
            kept.push('?');
            kept.push_str(HIDDEN);
        }
        rest = after;
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    fn redacted(statement: &str) -> Redacted {
        Redacted::new(&Lexer::of(&SessionContext::new()), statement)
    }

    #[test]
    fn values_of_sensitive_options_are_hidden() {
        let statement = "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://b/x'\nOPTIONS ('aws.access_key_id' 'AKIA1', aws.secret_access_key 'geheim', 'aws.region' 'eu-1');";
        let redacted = redacted(statement);
        assert!(!redacted.text.contains("AKIA1") && !redacted.text.contains("geheim"), "{}", redacted.text);
        assert!(redacted.text.contains("'eu-1'") && redacted.text.contains("'s3://b/x'"), "{}", redacted.text);
        assert_eq!(redacted.apply("found 'geheim' at end"), "found '***' at end");
    }

    #[test]
    fn settings_and_urls_are_hidden() {
        assert!(redacted("SET my.password = 'p'").text.ends_with("= ***"));
        let url = redacted("select * from 'https://me:pw@host/a.csv?sig=abc'");
        assert_eq!(url.text, "select * from 'https://***@host/a.csv?***'");
    }

    #[test]
    fn what_cannot_be_read_is_not_logged() {
        assert!(!redacted("create external table t options ('secret' 'gehei").text.contains("gehei"));
    }

    #[test]
    fn ordinary_statements_stay_as_they_are() {
        assert_eq!(redacted("select  1,\n 'x' -- why\nfrom t;").text, "select 1, 'x' -- why from t;");
    }
}
