//! Values made to fit a column without loss: what would change on the way is refused, and what is no number becomes NULL and is counted.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use datafusion::arrow::compute::kernels::cmp::distinct;
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::arrow::util::display::array_value_to_string;

/// A column that fits.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) column: ArrayRef,
    /// NaN and infinities that became NULL.
    pub(super) non_finite: u64,
}

/// Casts a column to a type. Between floating point types, and from decimals to them, values are rounded as these types do; of all others
/// every value must come back as it was.
///
/// # Errors
/// What is wrong with the first value that cannot be held.
pub(super) fn exact_cast(column: &ArrayRef, to: &DataType) -> Result<Fitted, String> {
    let column = plain(column)?;
    let (column, before) = if to.is_numeric() { finite(column) } else { (column, 0) };
    let fitted = cast_with_options(&column, to, &CastOptions { safe: false, ..CastOptions::default() }).map_err(|e| e.to_string())?;
    if is_rounded(column.data_type(), to) {
        refuse_overflow(&column, &fitted)?;
    } else if is_checked(column.data_type(), to) {
        refuse_changed(&column, &fitted)?;
    }
    let (fitted, after) = finite(fitted);
    Ok(Fitted { column: fitted, non_finite: before + after })
}

/// The column without a dictionary, and half floats as floats.
fn plain(column: &ArrayRef) -> Result<ArrayRef, String> {
    match column.data_type() {
        DataType::Dictionary(_, value) => cast(column, value).map_err(|e| e.to_string()),
        DataType::Float16 => cast(column, &DataType::Float32).map_err(|e| e.to_string()),
        _ => Ok(Arc::clone(column)),
    }
}

fn is_rounded(from: &DataType, to: &DataType) -> bool {
    to.is_floating() && (from.is_floating() || is_decimal(from))
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// Whether values may change on the way: texts are read, and all else can be written as text.
fn is_checked(from: &DataType, to: &DataType) -> bool {
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    from != to && !is_text(from) && !is_text(to) && (from.is_numeric() || from.is_temporal())
}

/// The column with NULL for NaN and infinities, and how many there were.
fn finite(column: ArrayRef) -> (ArrayRef, u64) {
    match column.data_type() {
        DataType::Float64 => finite_of::<Float64Type>(column, |x| x.is_finite()),
        DataType::Float32 => finite_of::<Float32Type>(column, |x| x.is_finite()),
        _ => (column, 0),
    }
}

fn finite_of<T: ArrowPrimitiveType>(column: ArrayRef, is_finite: fn(&T::Native) -> bool) -> (ArrayRef, u64) {
    let Some(numbers) = column.as_primitive_opt::<T>() else { return (column, 0) };
    let count = numbers.iter().flatten().filter(|x| !is_finite(x)).count() as u64;
    if count == 0 {
        return (column, 0);
    }
    let finite = numbers.unary_opt::<_, T>(|x| is_finite(&x).then_some(x));
    (Arc::new(finite), count)
}

/// Refuses finite numbers that the narrower type has none for.
fn refuse_overflow(column: &ArrayRef, fitted: &ArrayRef) -> Result<(), String> {
    let (_, lost) = finite(Arc::clone(fitted));
    if lost == 0 {
        return Ok(());
    }
    let is_lost = |row: usize| match fitted.data_type() {
        DataType::Float32 => !fitted.as_primitive::<Float32Type>().value(row).is_finite(),
        _ => !fitted.as_primitive::<Float64Type>().value(row).is_finite(),
    };
    let row = (0..fitted.len()).find(|&row| fitted.is_valid(row) && is_lost(row));
    Err(format!("{} is too large for {}", row.map_or_else(String::new, |row| shown(column, row)), fitted.data_type()))
}

/// Refuses values that do not come back as they were.
fn refuse_changed(column: &ArrayRef, fitted: &ArrayRef) -> Result<(), String> {
    let back = cast(fitted, column.data_type()).map_err(|e| e.to_string())?;
    let changed = distinct(&positive_zeros(column), &positive_zeros(&back)).map_err(|e| e.to_string())?;
    let Some(row) = changed.values().set_indices().next() else { return Ok(()) };
    let value = shown(column, row);
    Err(match fitted.data_type() {
        to if to.is_integer() && !column.data_type().is_integer() => format!("{value} is no whole number"),
        to => format!("{value} is not a value of {to}: it would become {}; round it first, or choose another type", shown(fitted, row)),
    })
}

/// Floating point numbers with 0 for -0: they are the same number.
fn positive_zeros(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(|x| x + 0.0)),
        DataType::Float32 => Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(|x| x + 0.0)),
        _ => Arc::clone(column),
    }
}

fn shown(column: &ArrayRef, row: usize) -> String {
    array_value_to_string(column, row).unwrap_or_else(|_| "a value".to_owned())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array, StringArray, TimestampNanosecondArray, UInt64Array,
    };
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    fn decimals(values: Vec<i128>, scale: i8) -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(20, scale).expect("a decimal type"))
    }

    #[test]
    fn values_that_would_change_are_refused_and_named() {
        let two_to_53 = 1_i64 << 53;
        let cases: [(ArrayRef, DataType, &str); 10] = [
            (decimals(vec![20, 15], 1), DataType::Int64, "1.5 is no whole number"),
            (Arc::new(Float32Array::from(vec![1.0, 2.5])), DataType::Int32, "2.5 is no whole number"),
            (Arc::new(Int64Array::from(vec![two_to_53, two_to_53 + 1])), DataType::Float64, "9007199254740993 is not a value of Float64"),
            (Arc::new(Int64Array::from(vec![16_777_217])), DataType::Float32, "16777217 is not a value of Float32"),
            (Arc::new(Int64Array::from(vec![i64::MAX])), DataType::Float64, "9223372036854775807"),
            (Arc::new(UInt64Array::from(vec![u64::MAX])), DataType::Int64, "18446744073709551615"),
            (decimals(vec![125], 2), DataType::Decimal128(20, 1), "1.25 is not a value of Decimal128(20, 1)"),
            (Arc::new(Float64Array::from(vec![1e300])), DataType::Float32, "is too large for Float32"),
            (
                Arc::new(TimestampNanosecondArray::from(vec![1_001])),
                DataType::Timestamp(TimeUnit::Microsecond, None),
                "is not a value of Timestamp",
            ),
            (Arc::new(TimestampNanosecondArray::from(vec![86_400_000_000_001])), DataType::Date32, "is not a value of Date32"),
        ];
        for (column, to, expected) in cases {
            let told = exact_cast(&column, &to).expect_err(expected);
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn values_that_fit_come_through() {
        let cases: [(ArrayRef, DataType, ArrayRef); 6] = [
            (decimals(vec![20, -30], 1), DataType::Int64, Arc::new(Int64Array::from(vec![2, -3]))),
            (Arc::new(Int64Array::from(vec![1 << 53])), DataType::Float64, Arc::new(Float64Array::from(vec![9_007_199_254_740_992.0]))),
            (Arc::new(Float64Array::from(vec![-0.0, 3.0])), DataType::Int64, Arc::new(Int64Array::from(vec![0, 3]))),
            (Arc::new(Float64Array::from(vec![0.1])), DataType::Float32, Arc::new(Float32Array::from(vec![0.1_f32]))),
            (decimals(vec![1], 1), DataType::Float64, Arc::new(Float64Array::from(vec![0.1]))),
            (Arc::new(StringArray::from(vec!["2020-01-02"])), DataType::Date32, Arc::new(Date32Array::from(vec![18_263]))),
        ];
        for (column, to, expected) in cases {
            let fitted = exact_cast(&column, &to).expect("fits");
            assert_eq!((&fitted.column, fitted.non_finite), (&expected, 0));
        }
    }

    #[test]
    fn what_is_no_number_becomes_null_and_is_counted() {
        let wrong = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0];
        let columns: [ArrayRef; 3] = [
            Arc::new(Float64Array::from(wrong.to_vec())),
            Arc::new(Float32Array::from(wrong.map(|x| x as f32).to_vec())),
            Arc::new(StringArray::from(vec!["NaN", "inf", "-inf", "1"])),
        ];
        for column in columns {
            for to in [DataType::Float64, DataType::Float32] {
                let fitted = exact_cast(&column, &to).expect("fits");
                assert_eq!((fitted.column.null_count(), fitted.non_finite), (3, 3), "{} to {to}", column.data_type());
            }
        }
        let reals: ArrayRef = Arc::new(Float32Array::from(vec![Some(f32::NAN), Some(2.0), None]));
        let fitted = exact_cast(&reals, &DataType::Int64).expect("fits");
        assert_eq!((fitted.column.as_ref(), fitted.non_finite), (&Int64Array::from(vec![None, Some(2), None]) as &dyn Array, 1));
    }
}
