//! `LIKE` and its relatives.

use datafusion::error::Result;
use sqlparser::ast::{Expr, Value, ValueWithSpan};

use super::nodes::{call, not, text, text_of};
use super::rewrite::Rewriter;
use crate::refusal::Refusal;

/// What takes the place of a pattern match; `None` where it stays.
pub(super) fn rewrite_like(expr: &Expr, rewriter: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let (negated, matched) = match expr {
        Expr::Like { negated, any: false, expr: value, pattern, escape_char } => {
            (*negated, like(true, value, pattern, escape_char.as_ref())?)
        }
        Expr::ILike { negated, any: false, expr: value, pattern, escape_char } => {
            (*negated, like(false, value, pattern, escape_char.as_ref())?)
        }
        Expr::RLike { negated, expr: value, pattern, .. } => (*negated, call("regexp_like", vec![(**value).clone(), (**pattern).clone()])),
        _ => return Err(Refusal::new(expr, "HeavyDB has no such pattern").into()),
    };
    rewriter.fired(if matches!(expr, Expr::RLike { .. }) { "D20" } else { "D22" });
    Ok(Some(if negated { not(matched) } else { matched }))
}

/// A plain pattern stays with `LIKE`, whose search DataFusion does fast; sets, single characters, which are bytes, and the case of ASCII
/// alone are matched by functions of this crate.
fn like(is_sensitive: bool, value: &Expr, pattern: &Expr, escape: Option<&ValueWithSpan>) -> Result<Expr> {
    let Some(plain) = text_of(pattern) else {
        return Err(Refusal::new(pattern, "HeavyDB matches against a literal pattern").into());
    };
    let escape = match escape.map(|escape| &escape.value) {
        None => None,
        Some(Value::SingleQuotedString(escape)) if escape.len() == 1 => Some(escape.clone()),
        Some(other) => return Err(Refusal::new(format!("ESCAPE {other}"), "the escape is one character").into()),
    };
    if is_sensitive && !plain.contains(['[', '_', '\\']) && escape.is_none() {
        return Ok(Expr::Like {
            negated: false,
            any: false,
            expr: Box::new(value.clone()),
            pattern: Box::new(pattern.clone()),
            escape_char: None,
        });
    }
    let name = if is_sensitive { "like_sets" } else { "ilike_sets" };
    let arguments = [value.clone(), pattern.clone()].into_iter().chain(escape.map(text));
    Ok(call(name, arguments.collect()))
}
