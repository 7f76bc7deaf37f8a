//! Words of HeavyDB that the parser's grammar lacks, mended in the list of tokens.

use std::collections::HashMap;

use datafusion::error::{DataFusionError, Result};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

/// One rule over the tokens of a statement.
struct TokenRule {
    /// Its name in reports.
    name: &'static str,
    /// Changes the tokens; whether it did.
    apply: fn(&mut Vec<TokenWithSpan>) -> bool,
}

/// Every rule, in order.
const TOKEN_RULES: &[TokenRule] = &[
    TokenRule { name: "D24", apply: |tokens| lower_case_names(tokens) },
    TokenRule { name: "array literal", apply: braces_to_arrays },
    TokenRule { name: "ANY without parentheses", apply: parenthesize_any },
    TokenRule { name: "bare interval", apply: |tokens| quote_interval_numbers(tokens) },
];

/// Quoted names with capital letters, by their form in lower case.
pub(super) fn spellings(text: &str) -> HashMap<String, String> {
    if !text.contains('"') {
        return HashMap::new();
    }
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().unwrap_or_default();
    let quoted = tokens.into_iter().filter_map(|token| match token {
        Token::Word(word) if word.quote_style.is_some() => Some((word.value.to_lowercase(), word.value)),
        _ => None,
    });
    quoted.filter(|(lower, spelled)| lower != spelled).collect()
}

/// The tokens of a statement.
///
/// # Errors
/// A quoted text or a comment that does not end.
pub(super) fn tokenized(text: &str) -> Result<Vec<TokenWithSpan>> {
    let tokenized = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
    tokenized.map_err(|e| DataFusionError::Plan(format!("{} at line {}, column {}", e.message, e.location.line, e.location.column)))
}

/// The tokens of a statement in the parser's grammar, and the rules that changed something.
///
/// # Errors
/// A quoted text or a comment that does not end.
pub(super) fn tokens(text: &str) -> Result<(Vec<TokenWithSpan>, Vec<&'static str>)> {
    let mut tokens = tokenized(text)?;
    let mut fired: Vec<&str> = TOKEN_RULES.iter().filter(|rule| (rule.apply)(&mut tokens)).map(|rule| rule.name).collect();
    if tokens.iter().any(|token| is_hint(&token.token)) {
        tokens.retain(|token| !is_hint(&token.token));
        fired.push("hint dropped");
    }
    Ok((tokens, fired))
}

fn is_hint(token: &Token) -> bool {
    use sqlparser::tokenizer::Whitespace::{MultiLineComment, SingleLineComment};
    match token {
        Token::Whitespace(MultiLineComment(text)) => text.starts_with('+'),
        Token::Whitespace(SingleLineComment { comment, .. }) => comment.starts_with('+'),
        _ => false,
    }
}

/// Names are the same in any case, quoted ones too: all become lower case.
fn lower_case_names(tokens: &mut [TokenWithSpan]) -> bool {
    let mut changed = false;
    for token in tokens {
        if let Token::Word(word) = &mut token.token
            && word.quote_style.is_some()
        {
            word.value = word.value.to_lowercase();
            changed = true;
        }
    }
    changed
}

/// `{1, 2}` is `ARRAY[1, 2]`.
fn braces_to_arrays(tokens: &mut Vec<TokenWithSpan>) -> bool {
    if !tokens.iter().any(|token| token.token == Token::LBrace) {
        return false;
    }
    let old = std::mem::take(tokens);
    for token in old {
        match token.token {
            Token::LBrace => {
                tokens.push(TokenWithSpan { token: word("ARRAY", Keyword::ARRAY), span: token.span });
                tokens.push(TokenWithSpan { token: Token::LBracket, span: token.span });
            }
            Token::RBrace => tokens.push(TokenWithSpan { token: Token::RBracket, span: token.span }),
            _ => tokens.push(token),
        }
    }
    true
}

/// `x = ANY arr` is `x = ANY(arr)`; the array is a name or a name with its table.
fn parenthesize_any(tokens: &mut Vec<TokenWithSpan>) -> bool {
    // In their order, and none in another: before each stands a comparison.
    let names: Vec<(usize, usize)> = (0..tokens.len()).filter_map(|at| bare_array(tokens, at)).collect();
    let changed = !names.is_empty();
    let mut names = names.into_iter().peekable();
    let old = std::mem::take(tokens);
    for (at, token) in old.into_iter().enumerate() {
        let span = token.span;
        if names.peek().is_some_and(|(first, _)| *first == at) {
            tokens.push(TokenWithSpan { token: Token::LParen, span });
        }
        tokens.push(token);
        if names.next_if(|(_, last)| *last == at).is_some() {
            tokens.push(TokenWithSpan { token: Token::RParen, span });
        }
    }
    changed
}

/// First and last token of the name behind an `ANY` at this place that follows a comparison.
fn bare_array(tokens: &[TokenWithSpan], at: usize) -> Option<(usize, usize)> {
    let is_any = matches!(&tokens[at].token, Token::Word(w) if matches!(w.keyword, Keyword::ANY | Keyword::ALL | Keyword::SOME) && w.quote_style.is_none());
    if !is_any || !follows_comparison(tokens, at) {
        return None;
    }
    let first = next_visible(tokens, at + 1).filter(|first| matches!(tokens[*first].token, Token::Word(_)))?;
    let mut last = first;
    while let (Some(Token::Period), Some(Token::Word(_))) = (tokens.get(last + 1).map(|t| &t.token), tokens.get(last + 2).map(|t| &t.token))
    {
        last += 2;
    }
    Some((first, last))
}

fn follows_comparison(tokens: &[TokenWithSpan], at: usize) -> bool {
    let before = tokens[..at].iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_)));
    before.is_some_and(|token| matches!(token.token, Token::Eq | Token::Neq | Token::Lt | Token::LtEq | Token::Gt | Token::GtEq))
}

/// `INTERVAL 500 MILLISECOND` is `INTERVAL '500' MILLISECOND`.
fn quote_interval_numbers(tokens: &mut [TokenWithSpan]) -> bool {
    let mut changed = false;
    for at in 0..tokens.len() {
        if !matches!(&tokens[at].token, Token::Word(w) if w.keyword == Keyword::INTERVAL) {
            continue;
        }
        let Some(mut next) = next_visible(tokens, at + 1) else { continue };
        let sign = match tokens[next].token {
            Token::Minus => "-",
            Token::Plus => "+",
            _ => "",
        };
        if !sign.is_empty() {
            let Some(number) = next_visible(tokens, next + 1) else { continue };
            if !matches!(tokens[number].token, Token::Number(..)) {
                continue;
            }
            tokens[next].token = Token::Whitespace(sqlparser::tokenizer::Whitespace::Space);
            next = number;
        }
        if let Token::Number(number, _) = &tokens[next].token {
            tokens[next].token = Token::SingleQuotedString(format!("{}{number}", sign.trim_start_matches('+')));
            changed = true;
        }
    }
    changed
}

fn next_visible(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    (from..tokens.len()).find(|at| !matches!(tokens[*at].token, Token::Whitespace(_)))
}

fn word(value: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: value.into(), quote_style: None, keyword })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        tokens(text).unwrap().0.iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn arrays_behind_any_get_parentheses() {
        for (given, wanted) in [
            ("x = ANY a", "x = ANY (a)"),
            ("x < ALL t . a AND y = ANY  t.a, 1", "x < ALL (t) . a AND y = ANY  (t.a), 1"),
            ("x = ANY /* c */ a.b.c = ANY d", "x = ANY /* c */ (a.b.c) = ANY (d)"),
            ("x = ANY (a)", "x = ANY (a)"),
            ("x ANY a", "x ANY a"),
            ("x = ANY", "x = ANY"),
            ("x = ANY ALL a", "x = ANY (ALL) a"),
        ] {
            assert_eq!(shown(given), wanted);
        }
    }

    #[test]
    fn long_runs_of_blanks_and_of_quantifiers_are_passed_once() {
        // Quadratic, each would take minutes.
        assert_eq!(shown(&format!("x{}= ANY a", " ".repeat(200_000))).len(), 200_010);
        assert_eq!(shown(&"x = ANY a, ".repeat(100_000)).len(), 1_300_000);
    }
}
