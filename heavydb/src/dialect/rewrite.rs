//! The tree of a statement, with forms that DataFusion reads in another way or not at all replaced.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::error::{DataFusionError, Result};
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, ExactNumberInfo, Expr, Interval, Query, Select,
    Statement, Subscript, TableFactor, TrimWhereField, TypedString, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
    visit_expressions,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::clauses::{Node, refuse_clauses};
use super::depth::check_depth;
use super::named::NamedColumns;
use super::nodes::{binary, call, case, literal, not, number, text, text_of};
use super::{calls, likes, relations, rowids, selects, tokens, windows};
use crate::options::Options;
use crate::refusal::Refusal;
use crate::types::interval::IntervalKind;

/// A list of values above which `IN` is kept whole: its values are then of one plain type.
const LONG_LIST: usize = 50;

/// Parts of expressions that the rules of one statement may copy.
const MOST_COPIED: usize = 100_000;

/// A statement that DataFusion plans in a session of the dialect.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// The statement.
    pub statement: Statement,
    /// The rules that changed it, each once, in the order in which they first fired.
    pub rules: Vec<&'static str>,
    /// Functions that it calls whose meaning is HeavyDB's own, each once: by the number of the difference, where it has one, else by name.
    pub meanings: Vec<&'static str>,
    /// The words of the text; `None` where columns may matter that it does not name.
    pub named: Option<NamedColumns>,
    /// Aliases of the outermost query as they were typed, by their form in lower case.
    pub aliases: HashMap<String, String>,
}

/// Parses and rewrites one statement of HeavyDB's text: a query, or what else the parser knows.
///
/// # Errors
/// What does not parse; a [`Refusal`] for what the dialect does not give.
pub fn rewrite(text: &str, options: &Options) -> Result<Rewritten> {
    let (tokens, rules) = tokens::tokens(text)?;
    let names_rowids = rowids::are_named(&tokens);
    let words = NamedColumns::of(&tokens);
    let mut statement = parse(tokens)?;
    let named = words.unless_unnamed(&statement);
    let aliases = selects::aliases(&statement, text);
    let mut rewriter =
        Rewriter { options, rules, meanings: vec![], derived: 0, names_rowids, copied: 0, clock: None, common: HashSet::new() };
    match statement.visit(&mut rewriter) {
        ControlFlow::Continue(()) => {
            let Rewriter { rules, mut meanings, .. } = rewriter;
            meanings.retain(|meaning| !rules.contains(meaning));
            Ok(Rewritten { statement, rules, meanings, named, aliases })
        }
        ControlFlow::Break(error) => Err(*error),
    }
}

/// Parses one statement as it is written.
///
/// # Errors
/// What does not parse; a [`Refusal`] for too deep a nesting.
pub fn parse_plain(text: &str) -> Result<Statement> {
    parse(tokens::tokenized(text)?)
}

pub(super) fn parse(tokens: Vec<TokenWithSpan>) -> Result<Statement> {
    check_depth(&tokens)?;
    let plain = |error: sqlparser::parser::ParserError| DataFusionError::SQL(Box::new(error), None);
    let mut parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(plain)?;
    while parser.consume_token(&Token::SemiColon) {}
    let rest = parser.peek_token();
    match rest.token {
        Token::EOF => Ok(statement),
        other => Err(DataFusionError::Plan(format!("expected the end of the statement, found '{other}' at {}", rest.span.start))),
    }
}

/// Walks through a statement, innermost first.
pub(super) struct Rewriter<'a> {
    pub(super) options: &'a Options,
    rules: Vec<&'static str>,
    meanings: Vec<&'static str>,
    /// Derived tables that were given an alias.
    derived: usize,
    /// Whether the statement sees hidden columns of its tables.
    names_rowids: bool,
    /// Parts of the statement that rules have copied.
    copied: usize,
    /// The clock when it was first asked: one statement sees one instant.
    clock: Option<i64>,
    /// Names of common table expressions.
    common: HashSet<String>,
}

impl Rewriter<'_> {
    /// Notes that a rule changed something.
    pub(super) fn fired(&mut self, rule: &'static str) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }

    /// Notes that a call means what it means in HeavyDB alone.
    pub(super) fn meant(&mut self, meaning: &'static str) {
        if !self.meanings.contains(&meaning) {
            self.meanings.push(meaning);
        }
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = Box<DataFusionError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        self.common.extend(rowids::common_names(query));
        flow(refuse_clauses(&Node::Query(query)).and_then(|()| selects::check_query(query)).and_then(|()| selects::fetch_to_limit(query)))
    }

    fn pre_visit_table_factor(&mut self, relation: &mut TableFactor) -> ControlFlow<Self::Break> {
        if let Err(error) = refuse_clauses(&Node::Table(relation)).and_then(|()| relations::rewrite_table(relation)) {
            return ControlFlow::Break(Box::new(error));
        }
        if let TableFactor::Derived { alias: alias @ None, .. } = relation {
            // Under an alias, names that come twice are told apart by the planner.
            *alias = Some(selects::alias(&format!("derived{}", self.derived)));
            self.derived += 1;
        }
        relations::name_values(relation);
        if self.names_rowids {
            rowids::show_hidden(relation, &self.common);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        if let Err(error) = refuse_clauses(&Node::Select(select)).and_then(|()| selects::check_select(select)) {
            return ControlFlow::Break(Box::new(error));
        }
        if self.names_rowids {
            rowids::hide_in_wildcards(select);
        }
        selects::aliases_of_having(select);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        selects::name_columns(select, self);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        flow(self.expression(expr))
    }
}

fn flow(outcome: Result<()>) -> ControlFlow<Box<DataFusionError>> {
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(Box::new(error)),
    }
}

impl Rewriter<'_> {
    /// The instant of the session, or of the clock, in seconds since 1970.
    pub(super) fn instant(&mut self) -> Option<i64> {
        let clock = || {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok())
        };
        self.clock = self.options.now.or(self.clock).or_else(clock);
        self.clock
    }

    /// Counts what a rule is about to copy.
    ///
    /// # Errors
    /// A [`Refusal`] where it is too much: rules inside rules copy their copies.
    fn copy(&mut self, expr: &Expr, times: usize) -> Result<()> {
        let mut size = 0;
        let _: ControlFlow<()> = visit_expressions(expr, |_| {
            size += 1;
            ControlFlow::Continue(())
        });
        self.copied += size * times;
        if self.copied > MOST_COPIED {
            let reason = "BETWEEN, IN, CASE x WHEN, GREATEST or LEAST stand in one another too often: give a part a name in a WITH";
            return Err(Refusal::new("so long an expression", reason).into());
        }
        Ok(())
    }

    /// Counts the operands that the rule of an expression copies.
    fn count_copies(&mut self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::Between { expr, .. } => self.copy(expr, 1),
            Expr::InList { expr, list, .. } if is_taken_apart(list) => self.copy(expr, list.len()),
            Expr::Case { operand: Some(operand), conditions, .. } => self.copy(operand, conditions.len()),
            Expr::Function(function) if calls::copies_arguments(function) => self.copy(expr, 1),
            _ => Ok(()),
        }
    }

    /// Replaces one expression, whose parts are done.
    fn expression(&mut self, expr: &mut Expr) -> Result<()> {
        self.count_copies(expr)?;
        match expr {
            Expr::Function(function) => {
                windows::rewrite_window(function, self)?;
                let is_typed = matches!(function.name.to_string().to_lowercase().as_str(), "coalesce" | "nullif");
                if let Some(replaced) = calls::rewrite_call(function, self)? {
                    *expr = replaced;
                }
                if is_typed || matches!(expr, Expr::Case { .. }) {
                    of_one_type(expr);
                }
                return Ok(());
            }
            Expr::Like { .. } | Expr::ILike { .. } | Expr::RLike { .. } | Expr::SimilarTo { .. } => {
                if let Some(replaced) = likes::rewrite_like(expr, self)? {
                    *expr = replaced;
                }
                return Ok(());
            }
            _ => {}
        }
        let is_case = matches!(expr, Expr::Case { .. });
        if let Some((rule, replaced)) = special_form(expr)? {
            self.fired(rule);
            *expr = replaced;
        }
        if is_case {
            of_one_type(expr);
        }
        Ok(())
    }
}

/// Tells the planner to bring results together in HeavyDB's common type: `CASE ... END -> NULL`, an operator that HeavyDB does not have.
fn of_one_type(expr: &mut Expr) {
    let plain = std::mem::replace(expr, literal(Value::Null));
    *expr = Expr::Nested(Box::new(binary(plain, BinaryOperator::Arrow, literal(Value::Null))));
}

/// HeavyDB's operators of two sides.
const OPERATORS: &[BinaryOperator] = &[
    BinaryOperator::Plus,
    BinaryOperator::Minus,
    BinaryOperator::Multiply,
    BinaryOperator::Divide,
    BinaryOperator::Modulo,
    BinaryOperator::Eq,
    BinaryOperator::NotEq,
    BinaryOperator::Lt,
    BinaryOperator::LtEq,
    BinaryOperator::Gt,
    BinaryOperator::GtEq,
    BinaryOperator::And,
    BinaryOperator::Or,
    BinaryOperator::StringConcat,
];

/// Refuses forms that HeavyDB does not have.
fn refuse_form(expr: &Expr) -> Result<()> {
    const NO_OPERATOR: &str = "HeavyDB has no such operator";
    let refused = |construct: &dyn std::fmt::Display, reason: &str| Err(Refusal::new(construct, reason).into());
    match expr {
        Expr::Cast { format: Some(_), .. } | Expr::Cast { array: true, .. } => refused(expr, "HeavyDB's CAST has no FORMAT and no ARRAY"),
        Expr::Cast { kind: CastKind::DoubleColon | CastKind::SafeCast, .. } => refused(expr, "HeavyDB writes CAST(x AS TYPE), or TRY_CAST"),
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) if !digits.contains(['e', 'E']) && !fits(digits) => {
            refused(digits, "HeavyDB's numbers have at most 18 digits, whole ones 64 bits")
        }
        Expr::Value(ValueWithSpan { value, .. }) if !is_literal_of_heavydb(value) => refused(value, "HeavyDB has no such literal"),
        Expr::BinaryOp { op, .. } if !OPERATORS.contains(op) => refused(op, NO_OPERATOR),
        Expr::UnaryOp { op, .. } if !matches!(op, UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not) => {
            refused(op, NO_OPERATOR)
        }
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } if matches!(**right, Expr::Subquery(_)) => {
            refused(expr, "HeavyDB has ANY and ALL before an array")
        }
        Expr::Collate { .. } => refused(expr, "HeavyDB has no COLLATE"),
        Expr::AtTimeZone { .. } => refused(expr, "HeavyDB has no AT TIME ZONE"),
        _ => Ok(()),
    }
}

/// Whether an `IN` is taken apart into comparisons.
fn is_taken_apart(list: &[Expr]) -> bool {
    list.len() <= LONG_LIST || !list.iter().all(is_literal)
}

/// What takes the place of a form with a syntax of its own, and the rule; `None` where it stays.
fn special_form(expr: &Expr) -> Result<Option<(&'static str, Expr)>> {
    refuse_form(expr)?;
    let replaced = match expr {
        Expr::Cast { kind, expr, data_type, .. } => ("CAST", cast(kind, expr, data_type)),
        Expr::Extract { field, expr, .. } => ("EXTRACT", call("extract", vec![text(unit(field)), (**expr).clone()])),
        Expr::TypedString(typed) => ("D18", typed_text(typed)?),
        Expr::Interval(interval) => ("D19", interval_literal(interval)?),
        Expr::Between { expr, negated, low, high } => ("D3", between(expr, *negated, low, high)),
        Expr::InList { expr, list, negated } if is_taken_apart(list) => ("D3", in_list(expr, list, *negated)),
        Expr::Case { operand: Some(operand), conditions, else_result, .. } => {
            let branch = |when: &sqlparser::ast::CaseWhen| {
                (binary((**operand).clone(), BinaryOperator::Eq, when.condition.clone()), when.result.clone())
            };
            ("D3", case(conditions.iter().map(branch).collect(), else_result.as_deref().cloned()))
        }
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.as_slice() {
            [AccessExpr::Subscript(Subscript::Index { index })] => {
                ("ARRAY_AT", call("array_element", vec![(**root).clone(), index.clone()]))
            }
            _ => return Err(Refusal::new(expr, "an array has one index").into()),
        },
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let from = substring_from.as_deref().cloned().unwrap_or_else(|| number(1));
            let arguments = [(**expr).clone(), from].into_iter().chain(substring_for.as_deref().cloned());
            ("D21", call("substring", arguments.collect()))
        }
        Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                None | Some(TrimWhereField::Both) => "trim",
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
            };
            let what = trim_what.as_deref().cloned().into_iter().chain(trim_characters.iter().flatten().cloned());
            ("TRIM", call(name, std::iter::once((**expr).clone()).chain(what).collect()))
        }
        Expr::Position { expr, r#in } => ("POSITION", call("position", vec![(**expr).clone(), (**r#in).clone()])),
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let arguments = [expr, overlay_what, overlay_from].into_iter().chain(overlay_for).map(|part| (**part).clone());
            ("OVERLAY", call("overlay", arguments.collect()))
        }
        Expr::Ceil { expr, field } => ("CEIL", rounding("ceil", expr, field)?),
        Expr::Floor { expr, field } => ("FLOOR", rounding("floor", expr, field)?),
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) if digits.contains(['e', 'E']) => {
            // The planner would read it as a DECIMAL. Its own cast of a text is exact.
            (
                "D3",
                Expr::Cast {
                    kind: CastKind::Cast,
                    expr: Box::new(text(digits.clone())),
                    data_type: DataType::Double(ExactNumberInfo::None),
                    array: false,
                    format: None,
                },
            )
        }
        Expr::AnyOp { left, compare_op, right, .. } => ("D29", quantified("any_of", left, compare_op, right)),
        Expr::AllOp { left, compare_op, right } => ("D29", quantified("all_of", left, compare_op, right)),
        _ => return Ok(None),
    };
    Ok(Some(replaced))
}

/// Whether an item of a long list is a literal, which the planner brings to the type of what is looked for.
fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) => true,
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => is_literal(expr),
        _ => false,
    }
}

fn is_literal_of_heavydb(value: &Value) -> bool {
    matches!(value, Value::Number(..) | Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null | Value::Placeholder(_))
}

/// `any_of('=', x, a)`.
fn quantified(name: &str, left: &Expr, op: &BinaryOperator, right: &Expr) -> Expr {
    let array = match right {
        Expr::Nested(inner) => inner,
        other => other,
    };
    call(name, vec![text(op.to_string()), left.clone(), array.clone()])
}

/// `cast_as(x, 'TYPE')`, `try_cast_as(x, 'TYPE')`.
fn cast(kind: &CastKind, expr: &Expr, data_type: &sqlparser::ast::DataType) -> Expr {
    let name = match kind {
        CastKind::Cast | CastKind::DoubleColon => "cast_as",
        CastKind::TryCast | CastKind::SafeCast => "try_cast_as",
    };
    call(name, vec![expr.clone(), text(data_type.to_string())])
}

/// Whether a literal without exponent is a BIGINT or a DECIMAL of HeavyDB.
fn fits(digits: &str) -> bool {
    match digits.split_once('.') {
        None => digits.parse::<i64>().is_ok(),
        Some((whole, fraction)) => {
            let significant = if whole.bytes().all(|b| b == b'0') { fraction.trim_start_matches('0') } else { fraction };
            fraction.len() <= 18 && whole.trim_start_matches('0').len() + significant.len() <= 18
        }
    }
}

/// The unit of an `EXTRACT`, in lower case.
fn unit(field: &DateTimeField) -> String {
    match field {
        DateTimeField::Custom(name) => name.value.to_lowercase(),
        DateTimeField::Week(None) => "week".into(),
        other => other.to_string().to_lowercase().trim_matches('\'').to_owned(),
    }
}

/// `DATE '...'`, `TIMESTAMP(3) '...'`.
fn typed_text(typed: &TypedString) -> Result<Expr> {
    let Value::SingleQuotedString(value) = &typed.value.value else {
        return Err(Refusal::new(typed, "a typed literal needs a quoted text").into());
    };
    Ok(call("typed_literal", vec![text(value.clone()), text(typed.data_type.to_string())]))
}

/// An interval literal as `day_time_interval(milliseconds)` or `year_month_interval(months)`.
fn interval_literal(interval: &Interval) -> Result<Expr> {
    let refused = |reason: &str| DataFusionError::from(Refusal::new(interval, reason));
    let value = text_of(&interval.value).ok_or_else(|| refused("the value of an INTERVAL is a literal"))?;
    if interval.last_field.is_some() {
        return Err(refused("an INTERVAL has one unit"));
    }
    let field = interval.leading_field.as_ref().ok_or_else(|| refused("an INTERVAL needs a unit"))?;
    match crate::types::interval::interval(value, &unit(field)) {
        Some((IntervalKind::DayTime, milliseconds)) => Ok(call("day_time_interval", vec![number(milliseconds)])),
        Some((IntervalKind::YearMonth, months)) => Ok(call("year_month_interval", vec![number(months)])),
        None => Err(refused("HeavyDB has no such INTERVAL")),
    }
}

/// `x >= low AND x <= high`, so that each comparison has HeavyDB's types.
fn between(expr: &Expr, negated: bool, low: &Expr, high: &Expr) -> Expr {
    let inside = binary(
        binary(expr.clone(), BinaryOperator::GtEq, low.clone()),
        BinaryOperator::And,
        binary(expr.clone(), BinaryOperator::LtEq, high.clone()),
    );
    let inside = Expr::Nested(Box::new(inside));
    if negated { not(inside) } else { inside }
}

/// `x <=> a OR x <=> b ...`, so that each comparison has HeavyDB's types; the operator, which HeavyDB does not have, is `=` of a member.
fn in_list(expr: &Expr, list: &[Expr], negated: bool) -> Expr {
    let any = any_of(expr, list);
    if negated { not(any) } else { any }
}

/// Halves of halves: a long list makes no deep tree.
fn any_of(expr: &Expr, list: &[Expr]) -> Expr {
    match list {
        [] => literal(Value::Boolean(false)),
        [value] => Expr::Nested(Box::new(binary(expr.clone(), BinaryOperator::Spaceship, value.clone()))),
        _ => {
            let (left, right) = list.split_at(list.len() / 2);
            Expr::Nested(Box::new(binary(any_of(expr, left), BinaryOperator::Or, any_of(expr, right))))
        }
    }
}

fn rounding(name: &str, expr: &Expr, field: &CeilFloorKind) -> Result<Expr> {
    match field {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => Ok(call(name, vec![expr.clone()])),
        _ => Err(Refusal::new(name.to_uppercase(), "it takes one argument").into()),
    }
}
