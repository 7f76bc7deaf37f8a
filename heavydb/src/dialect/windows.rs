//! Window functions: frames as HeavyDB reads them.
//!
//! | clause | what becomes of it |
//! |---|---|
//! | a frame of a function that has none | dropped; FIRST_VALUE, LAST_VALUE, NTH_VALUE look at the whole partition |
//! | a frame without ORDER BY | dropped |
//! | `UNBOUNDED PRECEDING ... CURRENT ROW`, also of ROWS | dropped, so that rows with the same keys share a value |
//! | `INTERVAL` as a bound | kept as an interval, where it is a number elsewhere |
//! | keys of FORWARD_FILL, BACKWARD_FILL | the argument is added as the last one |
//!
//! What needs the types of the keys is in [`crate::functions::windows::drop_range_of_other_keys`].

use datafusion::error::Result;
use sqlparser::ast::{
    DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Interval, OrderByExpr,
    OrderByOptions, UnaryOperator, Value, ValueWithSpan, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::nodes::{arguments, text};
use super::rewrite::Rewriter;
use crate::functions::windows::{IN_FRAME, WINDOW_AGGREGATES, WINDOWS};
use crate::refusal::Refusal;

/// Functions that mean nothing without an order of the rows.
const NEED_ORDER: &[&str] = &[
    "row_number",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
    "forward_fill",
    "backward_fill",
    "conditional_change_event",
];

/// Functions whose second argument, or for NTILE the first, HeavyDB takes as a constant only.
const NEED_CONSTANT: &[&str] = &["ntile", "lag", "lead", "nth_value", "nth_value_in_frame", "lead_in_frame", "lag_in_frame"];

/// Changes the `OVER` clause of a call to what HeavyDB reads.
///
/// # Errors
/// A [`Refusal`] for what HeavyDB does not take, and for results that would depend on the order in which rows are stored.
pub(super) fn rewrite_window(function: &mut Function, rewriter: &mut Rewriter<'_>) -> Result<()> {
    let name = function.name.to_string().to_lowercase();
    check_distinct(function, &name)?;
    let is_window = WINDOWS.iter().any(|known| known.name.eq_ignore_ascii_case(&name));
    let Some(over) = &function.over else {
        return if is_window { refuse(function, "it needs an OVER clause") } else { Ok(()) };
    };
    if !is_window && !WINDOW_AGGREGATES.contains(&name.as_str()) {
        return refuse(function, "HeavyDB takes no OVER clause with this function");
    }
    check_arguments(function, &name)?;
    let WindowType::WindowSpec(spec) = over else { return refuse(function, NAMED) };
    if spec.window_name.is_some() {
        return refuse(function, NAMED);
    }
    if let Some(reason) = refused(&name, spec) {
        return refuse(function, reason);
    }
    let mut spec = spec.clone();
    if let Some(rule) = framed(&name, &mut spec) {
        rewriter.fired(rule);
    }
    add_key(function, &name, &mut spec, rewriter);
    note_range(function, &name, &spec);
    function.over = Some(WindowType::WindowSpec(spec));
    Ok(())
}

/// Aggregates that HeavyDB takes over distinct values. DataFusion computes others over them as well, without telling the function.
const OF_DISTINCT: &[&str] = &["count", "sum", "avg", "min", "max", "approx_count_distinct"];

fn check_distinct(function: &Function, name: &str) -> Result<()> {
    match &function.args {
        FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) => {
            let reason = "HeavyDB takes DISTINCT in COUNT, SUM, AVG, MIN and MAX, without OVER";
            if function.over.is_none() && OF_DISTINCT.contains(&name) { Ok(()) } else { refuse(function, reason) }
        }
        _ => Ok(()),
    }
}

const NAMED: &str = "a window by name is not given; write its definition in the place of the name";

fn refuse<T>(function: &Function, reason: &str) -> Result<T> {
    Err(Refusal::new(function, reason).into())
}

fn check_arguments(function: &Function, name: &str) -> Result<()> {
    let given = arguments(function).unwrap_or_default();
    if matches!(name, "lag" | "lead") && given.len() > 2 {
        return refuse(function, "HeavyDB takes no default value; wrap the call in COALESCE");
    }
    let constant = given.get(usize::from(name != "ntile"));
    if NEED_CONSTANT.contains(&name) && constant.is_some_and(|constant| !is_whole(constant)) {
        return refuse(function, "its number of rows must be a whole constant");
    }
    Ok(())
}

fn is_whole(expr: &Expr) -> bool {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.bytes().all(|b| b.is_ascii_digit()),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } | Expr::Nested(expr) => is_whole(expr),
        _ => false,
    }
}

/// Whether the frame of a function counts.
fn has_frame(name: &str) -> bool {
    WINDOW_AGGREGATES.contains(&name) || IN_FRAME.contains(&name)
}

/// Why HeavyDB refuses the clause, or the order of rows in it is not determined.
fn refused(name: &str, spec: &WindowSpec) -> Option<&'static str> {
    if spec.order_by.is_empty() && (NEED_ORDER.contains(&name) || IN_FRAME.contains(&name)) {
        return Some("without ORDER BY the result depends on the order in which rows are stored");
    }
    let frame = spec.window_frame.as_ref();
    if IN_FRAME.contains(&name) && frame.is_none_or(is_running) {
        return Some("HeavyDB needs a frame other than UNBOUNDED PRECEDING ... CURRENT ROW here");
    }
    let frame = frame.filter(|frame| has_frame(name) && !spec.order_by.is_empty() && !is_running(frame))?;
    if frame.units == WindowFrameUnits::Groups {
        return Some("HeavyDB has no GROUPS frames");
    }
    let ends = [Some(&frame.start_bound), frame.end_bound.as_ref()];
    let offsets = ends.into_iter().flatten().filter_map(offset);
    if offsets.clone().any(|offset| !is_offset(offset)) {
        return Some("a frame's bound must be a whole constant from 0, or an INTERVAL of one");
    }
    if frame.units == WindowFrameUnits::Range {
        if spec.order_by.len() != 1 {
            return Some("a RANGE frame needs exactly one key");
        }
        if is_descending(spec) && offsets.count() > 0 && !(IN_FRAME.contains(&name) && is_symmetric(frame)) {
            return Some("HeavyDB searches a descending key of a RANGE frame as if it ascended, so that its results follow no rule");
        }
    }
    None
}

fn offset(bound: &WindowFrameBound) -> Option<&Expr> {
    match bound {
        WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset) => offset.as_deref(),
        WindowFrameBound::CurrentRow => None,
    }
}

fn is_offset(expr: &Expr) -> bool {
    matches!(expr, Expr::Interval(_)) || interval_of(expr).is_some() || matches!(expr, Expr::Value(_)) && is_whole(expr)
}

fn is_descending(spec: &WindowSpec) -> bool {
    spec.order_by.iter().any(|key| key.options.asc == Some(false))
}

/// As far before as after.
fn is_symmetric(frame: &WindowFrame) -> bool {
    matches!((&frame.start_bound, &frame.end_bound),
        (WindowFrameBound::Preceding(Some(before)), Some(WindowFrameBound::Following(Some(after)))) if before == after)
}

/// `UNBOUNDED PRECEDING ... CURRENT ROW`, also in its short form.
fn is_running(frame: &WindowFrame) -> bool {
    matches!((&frame.start_bound, &frame.end_bound), (WindowFrameBound::Preceding(None), None | Some(WindowFrameBound::CurrentRow)))
}

/// Drops a frame that HeavyDB does not obey, and gives the others their intervals back; the rule that did so.
fn framed(name: &str, spec: &mut WindowSpec) -> Option<&'static str> {
    let frame = spec.window_frame.as_mut()?;
    if !has_frame(name) {
        spec.window_frame = None;
        return Some(if matches!(name, "first_value" | "last_value" | "nth_value") { "D11" } else { "D12" });
    }
    if spec.order_by.is_empty() || is_running(frame) {
        spec.window_frame = None;
        return Some("D12");
    }
    for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()].into_iter().flatten() {
        if let WindowFrameBound::Preceding(Some(offset)) | WindowFrameBound::Following(Some(offset)) = bound
            && let Some(interval) = interval_of(offset)
        {
            **offset = interval;
        }
    }
    None
}

/// The interval that has become a number: `day_time_interval(milliseconds)` or `year_month_interval(months)`.
fn interval_of(expr: &Expr) -> Option<Expr> {
    let Expr::Function(function) = expr else { return None };
    let unit = match function.name.to_string().as_str() {
        "day_time_interval" => "MILLISECONDS",
        "year_month_interval" => "MONTHS",
        _ => return None,
    };
    let [Expr::Value(ValueWithSpan { value: Value::Number(amount, _), .. })] = arguments(function)?[..] else { return None };
    // A negative amount keeps its sign and is refused.
    amount.bytes().all(|b| b.is_ascii_digit()).then(|| {
        Expr::Interval(Interval {
            value: Box::new(text(amount.clone())),
            leading_field: Some(DateTimeField::Custom(unit.into())),
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        })
    })
}

/// The filled column is the last key, unless it is one: NULLs come where their filling lies beside them.
fn add_key(function: &Function, name: &str, spec: &mut WindowSpec, rewriter: &mut Rewriter<'_>) {
    let rule = match name {
        "forward_fill" => "FORWARD_FILL",
        "backward_fill" => "BACKWARD_FILL",
        _ => return,
    };
    let Some(&[argument]) = arguments(function).as_deref() else { return };
    let same = |key: &OrderByExpr| key.expr.to_string().eq_ignore_ascii_case(&argument.to_string());
    if !spec.order_by.iter().any(same) {
        let options = OrderByOptions { asc: Some(true), nulls_first: Some(name == "backward_fill") };
        spec.order_by.push(OrderByExpr { expr: argument.clone(), options, with_fill: None });
        rewriter.fired(rule);
    }
}

/// Tells a function that walks through a RANGE frame so, by one more argument: HeavyDB counts the row after such a frame in, and searches
/// descending keys wrongly. Where that gives another value, the call fails.
fn note_range(function: &mut Function, name: &str, spec: &WindowSpec) {
    let Some(frame) = spec.window_frame.as_ref().filter(|frame| IN_FRAME.contains(&name) && frame.units == WindowFrameUnits::Range) else {
        return;
    };
    let bounded = !matches!(frame.end_bound, Some(WindowFrameBound::Following(None)));
    if let (true, FunctionArguments::List(list)) = (bounded, &mut function.args) {
        let note = if is_descending(spec) { "range descending" } else { "range" };
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(text(note))));
    }
}

#[cfg(test)]
mod tests {
    use crate::dialect::rewrite;
    use crate::options::Options;

    /// The call after the rewrite.
    fn call(sql: &str) -> String {
        let rewritten = rewrite(&format!("SELECT {sql} AS w FROM t"), &Options::default()).unwrap().statement.to_string();
        rewritten.trim_start_matches("SELECT ").trim_end_matches(" AS w FROM t").to_owned()
    }

    fn reason(sql: &str) -> String {
        let error = rewrite(&format!("SELECT {sql} AS w FROM t"), &Options::default()).unwrap_err();
        crate::refusal::Refusal::of(&error).unwrap_or_else(|| panic!("{error}")).reason.clone()
    }

    #[test]
    fn frames_that_are_not_obeyed_are_dropped() {
        assert_eq!(call("SUM(x) OVER (PARTITION BY p ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)"), "SUM(x) OVER (PARTITION BY p)");
        assert_eq!(call("SUM(x) OVER (ORDER BY o ROWS UNBOUNDED PRECEDING)"), "SUM(x) OVER (ORDER BY o)");
        assert_eq!(call("AVG(x) OVER (ORDER BY o ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"), "AVG(x) OVER (ORDER BY o)");
        assert_eq!(call("LAST_VALUE(x) OVER (ORDER BY o ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"), "LAST_VALUE(x) OVER (ORDER BY o)");
        assert_eq!(call("RANK() OVER (ORDER BY o, q RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)"), "RANK() OVER (ORDER BY o, q)");
    }

    #[test]
    fn other_frames_stay() {
        for sql in [
            "MIN(x) OVER (PARTITION BY p ORDER BY o ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING)",
            "SUM(x) OVER (ORDER BY o RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
            "LEAD_IN_FRAME(x, 1) OVER (ORDER BY o ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
            "LAG_IN_FRAME(x, 0) OVER (ORDER BY o DESC RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
        ] {
            assert_eq!(call(sql), sql);
        }
    }

    #[test]
    fn intervals_of_frames_stay_intervals() {
        assert_eq!(
            call("SUM(x) OVER (ORDER BY d RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND INTERVAL '2' MONTH FOLLOWING)"),
            "SUM(x) OVER (ORDER BY d RANGE BETWEEN INTERVAL '86400000' MILLISECONDS PRECEDING AND INTERVAL '2' MONTHS FOLLOWING)"
        );
    }

    #[test]
    fn what_is_filled_is_the_last_key() {
        assert_eq!(call("FORWARD_FILL(x) OVER (ORDER BY o)"), "FORWARD_FILL(x) OVER (ORDER BY o, x ASC NULLS LAST)");
        assert_eq!(call("BACKWARD_FILL(x) OVER (ORDER BY o)"), "BACKWARD_FILL(x) OVER (ORDER BY o, x ASC NULLS FIRST)");
        assert_eq!(call("FORWARD_FILL(x) OVER (ORDER BY X DESC)"), "FORWARD_FILL(x) OVER (ORDER BY X DESC)");
    }

    #[test]
    fn walks_through_range_frames_are_told() {
        assert_eq!(
            call("LEAD_IN_FRAME(x, 1) OVER (ORDER BY o RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING)"),
            "LEAD_IN_FRAME(x, 1, 'range') OVER (ORDER BY o RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING)"
        );
    }

    #[test]
    fn what_heavydb_does_not_take_is_refused() {
        assert!(reason("STDDEV(x) OVER (ORDER BY o)").contains("no OVER"));
        assert!(reason("SUM(DISTINCT x) OVER (ORDER BY o)").contains("DISTINCT"));
        assert!(reason("LAG(x, 1, 0) OVER (ORDER BY o)").contains("COALESCE"));
        assert!(reason("LAG(x, y) OVER (ORDER BY o)").contains("constant"));
        assert!(reason("LEAD_IN_FRAME(x, 1) OVER (ORDER BY o)").contains("frame"));
        assert!(reason("LEAD_IN_FRAME(x, 1) OVER (ORDER BY o ROWS UNBOUNDED PRECEDING)").contains("frame"));
        assert!(reason("FIRST_VALUE(x) OVER (PARTITION BY p)").contains("ORDER BY"));
        assert!(reason("SUM(x) OVER (ORDER BY o, q RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)").contains("one key"));
        assert!(reason("SUM(x) OVER (ORDER BY o DESC RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)").contains("descending"));
        assert!(reason("SUM(x) OVER (ORDER BY o GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW)").contains("GROUPS"));
        assert!(reason("SUM(x) OVER (ORDER BY o ROWS BETWEEN y PRECEDING AND CURRENT ROW)").contains("constant"));
        assert!(reason("RANK()").contains("OVER"));
    }
}
