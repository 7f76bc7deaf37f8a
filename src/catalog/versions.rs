//! `FROM t VERSION AS OF n`: the version becomes part of the name under which the schema knows the table.
//!
//! The parser's generic dialect does not read this clause, so it is resolved on the tokens:
//!
//! ```text
//! FROM t VERSION AS OF 3 WHERE ...      FROM "t@version:3" AS t WHERE ...
//! FROM t VERSION AS OF 3 AS old         FROM "t@version:3" AS old
//! ```

use datafusion::common::{Result as DfResult, plan_err};
use sqlparser::keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS};
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Separates a table's name from its version; table names cannot contain it.
const VERSION_MARK: &str = "@version:";

/// The name under which the schema knows a version of a table.
fn versioned_name(table: &str, version: u64) -> String {
    format!("{table}{VERSION_MARK}{version}")
}

/// Takes a name of [`versioned_name`] apart: the table and its version, if there is one.
pub(super) fn split_version(name: &str) -> DfResult<(&str, Option<u64>)> {
    match name.split_once(VERSION_MARK) {
        None => Ok((name, None)),
        Some((plain, number)) => match number.parse() {
            Ok(number) => Ok((plain, Some(number))),
            Err(_) => plan_err!("'{number}' is not a version"),
        },
    }
}

/// Resolves every clause; a clause that is not `VERSION AS OF <number>` after a name stays and fails in the parser.
pub(super) fn resolve_versions(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    // Each with its index, so that a clause can be matched across comments and line breaks.
    let solid: Vec<usize> = (0..tokens.len()).filter(|&i| !matches!(tokens[i].token, Token::Whitespace(_))).collect();
    let mut resolved = Vec::with_capacity(tokens.len());
    let mut next = 0;
    for (place, &at) in solid.iter().enumerate() {
        if at < next {
            continue;
        }
        let Some(clause) = Clause::at(&tokens, &solid[place..]) else { continue };
        resolved.extend(tokens[next..at].iter().cloned());
        next = clause.end;
        resolved.extend(clause.tokens(&tokens[at]));
    }
    resolved.extend(tokens[next..].iter().cloned());
    resolved
}

/// `name VERSION AS OF number`, found in the tokens.
struct Clause {
    name: Word,
    version: u64,
    has_alias: bool,
    /// Index behind the clause.
    end: usize,
}

impl Clause {
    fn at(tokens: &[TokenWithSpan], solid: &[usize]) -> Option<Self> {
        let token = |n: usize| solid.get(n).map(|&i| &tokens[i].token);
        let keyword =
            |n: usize, wanted: Keyword| matches!(token(n), Some(Token::Word(w)) if w.quote_style.is_none() && w.keyword == wanted);
        let Some(Token::Word(name)) = token(0) else { return None };
        // `RESTORE TABLE t TO VERSION AS OF n` has no table before VERSION.
        if name.quote_style.is_none() && name.keyword == Keyword::TO {
            return None;
        }
        if !(keyword(1, Keyword::VERSION) && keyword(2, Keyword::AS) && keyword(3, Keyword::OF)) {
            return None;
        }
        let Some(Token::Number(number, _)) = token(4) else { return None };
        let has_alias = match token(5) {
            Some(Token::Word(word)) => {
                word.keyword == Keyword::AS || word.quote_style.is_some() || !RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword)
            }
            _ => false,
        };
        Some(Self { name: name.clone(), version: number.parse().ok()?, has_alias, end: solid[4] + 1 })
    }

    fn tokens(self, original: &TokenWithSpan) -> Vec<TokenWithSpan> {
        let plain = if self.name.quote_style.is_some() { self.name.value.clone() } else { self.name.value.to_lowercase() };
        let word = |value: String, quote: Option<char>, keyword| Token::Word(Word { value, quote_style: quote, keyword });
        let alias = || Token::make_word("AS", None);
        let versioned = word(versioned_name(&plain, self.version), Some('"'), Keyword::NoKeyword);
        let mut tokens = vec![versioned];
        if !self.has_alias {
            tokens.extend([alias(), Token::Word(self.name)]);
        }
        tokens.into_iter().map(|token| TokenWithSpan::new(token, original.span)).collect()
    }
}
