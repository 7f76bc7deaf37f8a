//! How deep a statement may nest where the parser tries two readings.
//!
//! After `CAST(` and others the parser reads the rest as the special form, and once more as a call where that fails. A mistake inside such
//! forms is found anew in each reading: 2^depth times.

use datafusion::error::Result;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::refusal::Refusal;

/// Forms in one another; at some microseconds a reading, a mistake within is found within a tenth of a second.
const MOST: usize = 12;

/// Words after which a parenthesis opens a form of two readings.
const FORMS: &[Keyword] = &[
    Keyword::CAST,
    Keyword::TRY_CAST,
    Keyword::SAFE_CAST,
    Keyword::CONVERT,
    Keyword::TRY_CONVERT,
    Keyword::EXTRACT,
    Keyword::CEIL,
    Keyword::FLOOR,
    Keyword::POSITION,
    Keyword::SUBSTR,
    Keyword::SUBSTRING,
    Keyword::OVERLAY,
    Keyword::TRIM,
    Keyword::EXISTS,
    Keyword::ARRAY,
    Keyword::NOT,
    Keyword::STRUCT,
    Keyword::INTERVAL,
    Keyword::MATCH,
    Keyword::FROM,
    Keyword::JOIN,
    Keyword::TABLE,
];

/// Refuses a statement in which more than [`MOST`] such forms are nested.
///
/// # Errors
/// A [`Refusal`] that names the place.
pub(super) fn check_depth(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut open: Vec<bool> = Vec::new();
    let mut depth = 0;
    let mut before = false;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket => {
                // In `FROM ((t))` the inner parenthesis has two readings as well: `before` stays.
                open.push(before);
                depth += usize::from(before);
            }
            Token::RParen | Token::RBracket => {
                depth -= usize::from(open.pop().unwrap_or(false));
                before = false;
            }
            Token::Word(word) => before = word.quote_style.is_none() && FORMS.contains(&word.keyword),
            _ => before = false,
        }
        if depth > MOST {
            let place = token.span.start;
            let reason = format!(
                "more than {MOST} forms like CAST( stand in one another at line {}, column {}: give a part a name in a WITH",
                place.line, place.column
            );
            return Err(Refusal::new("so deep a nesting", reason).into());
        }
    }
    Ok(())
}
