//! `FROM t VERSION AS OF n`: the version becomes part of the name under which the schema knows the table.
//!
//! The parser's generic dialect does not read this clause, so it is resolved on the tokens:
//!
//! ```text
//! FROM t VERSION AS OF 3 WHERE ...      FROM "t@version:3" AS t WHERE ...
//! FROM t VERSION AS OF 3 AS old         FROM "t@version:3" AS old
//! FROM t VERSION AS OF $v               FROM "t@version:$v" AS t, and the number when the statement runs
//! ```

use std::fmt::Display;
use std::ops::ControlFlow;

use datafusion::common::{Result as DfResult, plan_err};
use datafusion::sql::parser::{CopyToSource, Statement as SqlStatement};
use sqlparser::ast::{ObjectName, ObjectNamePart, visit_relations_mut};
use sqlparser::keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS};
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::error::{Error, Result};

/// Separates a table's name from its version; table names cannot contain it.
const VERSION_MARK: &str = "@version:";

/// The name under which the schema knows a version of a table.
fn versioned_name(table: &str, version: impl Display) -> String {
    format!("{table}{VERSION_MARK}{version}")
}

/// Takes a name of [`versioned_name`] apart: the table and its version, if there is one.
pub(super) fn split_version(name: &str) -> DfResult<(&str, Option<u64>)> {
    match name.split_once(VERSION_MARK) {
        None => Ok((name, None)),
        Some((plain, number)) => match number.parse() {
            Ok(number) => Ok((plain, Some(number))),
            Err(_) if number.starts_with('$') => {
                plan_err!("what is kept as text cannot hold the version {number}: write its number")
            }
            Err(_) => plan_err!("'{number}' is not a version"),
        },
    }
}

/// Puts the numbers of `VERSION AS OF $name` into a statement; `number` gives the value of a name.
///
/// # Errors
/// What `number` fails with.
pub fn bind_versions(statement: &mut SqlStatement, mut number: impl FnMut(&str) -> Result<u64>) -> Result<()> {
    let mut bind = |name: &mut ObjectName| match bind_name(name, &mut number) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(Box::new(error)),
    };
    let flow: ControlFlow<Box<Error>> = match statement {
        SqlStatement::Statement(inner) => visit_relations_mut(inner.as_mut(), bind),
        SqlStatement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => visit_relations_mut(query.as_mut(), bind),
            CopyToSource::Relation(name) => bind(name),
        },
        SqlStatement::Explain(explain) => return bind_versions(&mut explain.statement, number),
        SqlStatement::CreateExternalTable(_) | SqlStatement::Reset(_) => ControlFlow::Continue(()),
    };
    flow.break_value().map_or(Ok(()), |error| Err(*error))
}

fn bind_name(name: &mut ObjectName, number: impl FnOnce(&str) -> Result<u64>) -> Result<()> {
    let Some(ObjectNamePart::Identifier(ident)) = name.0.last_mut() else { return Ok(()) };
    let Some((table, parameter)) = ident.value.split_once(VERSION_MARK) else { return Ok(()) };
    if let Some(parameter) = parameter.strip_prefix('$') {
        ident.value = versioned_name(table, number(parameter)?);
    }
    Ok(())
}

/// Resolves every clause; a clause that is not `VERSION AS OF` with a number or a parameter after a name stays and fails in the parser.
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
    /// A number, or a parameter with its `$`.
    version: String,
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
        let version = match token(4)? {
            Token::Number(number, _) => number.parse::<u64>().ok()?.to_string(),
            Token::Placeholder(name) if name.len() > 1 && name.starts_with('$') => name.clone(),
            _ => return None,
        };
        let has_alias = match token(5) {
            Some(Token::Word(word)) => {
                word.keyword == Keyword::AS || word.quote_style.is_some() || !RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword)
            }
            _ => false,
        };
        Some(Self { name: name.clone(), version, has_alias, end: solid[4] + 1 })
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
