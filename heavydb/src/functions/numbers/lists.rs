//! Arrays.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, UInt64Array, make_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{cast, interleave, take};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err, internal_err, plan_err};

use super::operands::{arrays, integer, shown};
use crate::functions::scalar::{ScalarFunction, expect_count, of_type};
use crate::functions::strings::refuse;

/// `CARDINALITY(a)`.
pub(super) const CARDINALITY: ScalarFunction = ScalarFunction {
    name: "cardinality",
    arguments: |given| {
        expect_count("cardinality", given, 1..=1)?;
        Ok(vec![list("cardinality", 1, &given[0])?])
    },
    result: |_| of_type(DataType::Int32),
    evaluate: |call| {
        let (given, constant) = arrays(call)?;
        let lists = Lists::try_new(&given[0])?;
        let length = |row| lists.counted(row).and_then(|length| i32::try_from(length).ok());
        shown(Arc::new((0..given[0].len()).map(length).collect::<Int32Array>()), constant)
    },
};

/// `a[i]`.
pub(super) const ELEMENT: ScalarFunction = ScalarFunction {
    name: "array_element",
    arguments: |given| {
        expect_count("array_element", given, 2..=2)?;
        Ok(vec![list("array_element", 1, &given[0])?, integer("array_element", 2, &given[1])?])
    },
    result: |call| of_type(element(call.arg_fields[0].data_type())),
    evaluate: |call| {
        let (given, constant) = arrays(call)?;
        let lists = Lists::try_new(&given[0])?;
        let places = given[1].as_primitive::<Int64Type>();
        let place = |row: usize| {
            let (from, to) = lists.bounds(row)?;
            let at = usize::try_from(places.is_valid(row).then(|| places.value(row))?).ok()?.checked_sub(1)?;
            (at < to - from).then(|| from + at)
        };
        let taken: UInt64Array = (0..given[0].len()).map(|row| place(row).and_then(|at| u64::try_from(at).ok())).collect();
        shown(take(&lists.values, &taken, None)?, constant)
    },
};

/// `ARRAY_APPEND(a, x)`.
pub(super) const APPEND: ScalarFunction = ScalarFunction {
    name: "array_append",
    arguments: |given| {
        expect_count("array_append", given, 2..=2)?;
        match list("array_append", 1, &given[0])? {
            DataType::Null => plan_err!("ARRAY_APPEND: the array is NULL without a type; CAST it"),
            lists => Ok(vec![lists.clone(), element(&lists)]),
        }
    },
    result: |call| of_type(DataType::new_list(element(call.arg_fields[0].data_type()), true)),
    evaluate: |call| {
        let (given, constant) = arrays(call)?;
        let lists = Lists::try_new(&given[0])?;
        shown(append(&lists, &given[1])?, constant)
    },
};

/// NULL stays NULL.
///
/// # Errors
/// Refuses NULL as an element, whose outcome HeavyDB does not say.
fn append(lists: &Lists, added: &ArrayRef) -> Result<ArrayRef> {
    let (mut places, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..added.len() {
        let Some((from, to)) = lists.bounds(row) else {
            lengths.push(0);
            valid.push(false);
            continue;
        };
        if added.is_null(row) {
            return refuse("ARRAY_APPEND", "the element is NULL");
        }
        places.extend((from..to).map(|at| (0, at)));
        places.push((1, row));
        lengths.push(to - from + 1);
        valid.push(true);
    }
    let values = interleave(&[lists.values.as_ref(), added.as_ref()], &places)?;
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, Some(valid.into()))?))
}

/// `DOT_PRODUCT(a, b)`.
pub(super) const DOT_PRODUCT: ScalarFunction = ScalarFunction {
    name: "dot_product",
    arguments: |given| {
        expect_count("dot_product", given, 2..=2)?;
        Ok(vec![list("dot_product", 1, &given[0])?, list("dot_product", 2, &given[1])?])
    },
    result: |call| of_type(product_type(&element(call.arg_fields[0].data_type()), &element(call.arg_fields[1].data_type()))?),
    evaluate: |call| {
        let (given, constant) = arrays(call)?;
        let (left, right) = (Lists::try_new(&given[0])?, Lists::try_new(&given[1])?);
        let result = product_type(&left.element, &right.element)?;
        let rows = given[0].len();
        let products: ArrayRef = match result {
            DataType::Float32 => Arc::new(products(&left, &right, rows, float_product)?.into_iter().collect::<Float32Array>()),
            DataType::Float64 => Arc::new(products(&left, &right, rows, double_product)?.into_iter().collect::<Float64Array>()),
            _ => Arc::new(products(&left, &right, rows, integer_product)?.into_iter().collect::<Int64Array>()),
        };
        if result != DataType::Int32 {
            return shown(products, constant);
        }
        let narrow = products.as_primitive::<Int64Type>().iter().map(|sum| sum.map(i32::try_from).transpose());
        match narrow.collect::<std::result::Result<Int32Array, _>>() {
            Ok(narrow) => shown(Arc::new(narrow), constant),
            Err(_) => exec_err!("DOT_PRODUCT exceeds INTEGER; use arrays of INTEGER, whose product is BIGINT"),
        }
    },
};

/// HeavyDB's type of the product.
fn product_type(left: &DataType, right: &DataType) -> Result<DataType> {
    let width = |given: &DataType| match given {
        DataType::Null | DataType::Int8 | DataType::Int16 => Ok((16, false)),
        DataType::Int32 | DataType::Int64 => Ok((64, false)),
        DataType::Float32 => Ok((32, true)),
        DataType::Float64 => Ok((64, true)),
        other => plan_err!("DOT_PRODUCT: an array holds {other}, not integers, FLOAT or DOUBLE"),
    };
    let ((a, real), (b, also)) = (width(left)?, width(right)?);
    Ok(match (real || also, a.max(b)) {
        (false, 16) => DataType::Int32,
        (false, _) => DataType::Int64,
        (true, 32) => DataType::Float32,
        (true, _) => DataType::Float64,
    })
}

/// A product for each row; NULL for arrays that are NULL or differ in length.
///
/// # Errors
/// Refuses NULLs in arrays, which HeavyDB multiplies as numbers, and empty arrays.
fn products<T>(left: &Lists, right: &Lists, rows: usize, product: fn(&ArrayRef, &ArrayRef) -> Result<T>) -> Result<Vec<Option<T>>> {
    let row = |row| {
        let (Some(left), Some(right)) = (left.slice(row), right.slice(row)) else { return Ok(None) };
        if left.null_count() + right.null_count() > 0 || left.is_empty() && right.is_empty() {
            return refuse("DOT_PRODUCT", "an array holds a NULL, or both are empty");
        }
        if left.len() == right.len() { product(&left, &right).map(Some) } else { Ok(None) }
    };
    (0..rows).map(row).collect()
}

fn integer_product(left: &ArrayRef, right: &ArrayRef) -> Result<i64> {
    let (left, right) = (cast(left, &DataType::Int64)?, cast(right, &DataType::Int64)?);
    let mut factors = left.as_primitive::<Int64Type>().values().iter().zip(right.as_primitive::<Int64Type>().values());
    match factors.try_fold(0_i64, |sum, (x, y)| sum.checked_add(x.checked_mul(*y)?)) {
        Some(sum) => Ok(sum),
        None => exec_err!("DOT_PRODUCT exceeds BIGINT; use arrays of DOUBLE"),
    }
}

fn float_product(left: &ArrayRef, right: &ArrayRef) -> Result<f32> {
    let (left, right) = (cast(left, &DataType::Float32)?, cast(right, &DataType::Float32)?);
    let factors = left.as_primitive::<Float32Type>().values().iter().zip(right.as_primitive::<Float32Type>().values());
    Ok(factors.fold(0.0, |sum, (x, y)| sum + x * y))
}

fn double_product(left: &ArrayRef, right: &ArrayRef) -> Result<f64> {
    let (left, right) = (cast(left, &DataType::Float64)?, cast(right, &DataType::Float64)?);
    let factors = left.as_primitive::<Float64Type>().values().iter().zip(right.as_primitive::<Float64Type>().values());
    Ok(factors.fold(0.0, |sum, (x, y)| sum + x * y))
}

/// The type to which an argument that is an array is cast.
pub(super) fn list(name: &str, position: usize, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Null | DataType::List(_) | DataType::FixedSizeList(..) => Ok(given.clone()),
        DataType::LargeList(field) => Ok(DataType::List(Arc::clone(field))),
        given => plan_err!("{}: argument {position} is {given}, not an array", name.to_ascii_uppercase()),
    }
}

/// The type of an array's elements.
pub(super) fn element(given: &DataType) -> DataType {
    match given {
        DataType::List(field) | DataType::FixedSizeList(field, _) => field.data_type().clone(),
        _ => DataType::Null,
    }
}

/// Arrays of every row: the bounds of each in the values of all.
pub(super) struct Lists {
    pub(super) values: ArrayRef,
    pub(super) element: DataType,
    bounds: Vec<Option<(usize, usize)>>,
    /// The length of every array where the type fixes it, that of NULL too.
    fixed: Option<usize>,
}

impl Lists {
    pub(super) fn try_new(given: &ArrayRef) -> Result<Self> {
        let rows = 0..given.len();
        let known =
            |bounds: Vec<(usize, usize)>| rows.clone().zip(bounds).map(|(row, bounds)| given.is_valid(row).then_some(bounds)).collect();
        let element = element(given.data_type());
        if let Some(lists) = given.as_list_opt::<i32>() {
            let offsets: Vec<usize> = lists.offsets().iter().map(|at| usize::try_from(*at).unwrap_or(0)).collect();
            let bounds = offsets.iter().zip(offsets.iter().skip(1)).map(|(from, to)| (*from, *to)).collect();
            return Ok(Self { values: Arc::clone(lists.values()), element, bounds: known(bounds), fixed: None });
        }
        if let Some(lists) = given.as_fixed_size_list_opt() {
            let length = usize::try_from(lists.value_length()).unwrap_or(0);
            let bounds = rows.clone().map(|row| (row * length, (row + 1) * length)).collect();
            return Ok(Self { values: Arc::clone(lists.values()), element, bounds: known(bounds), fixed: Some(length) });
        }
        match given.data_type() {
            DataType::Null => Ok(Self { values: Arc::clone(given), element, bounds: vec![None; given.len()], fixed: None }),
            other => internal_err!("{other} is no array"),
        }
    }

    pub(super) fn bounds(&self, row: usize) -> Option<(usize, usize)> {
        self.bounds.get(row).copied().flatten()
    }

    /// The length that HeavyDB gives: of a type of fixed length always that one.
    fn counted(&self, row: usize) -> Option<usize> {
        self.fixed.or_else(|| self.bounds(row).map(|(from, to)| to - from))
    }

    fn slice(&self, row: usize) -> Option<ArrayRef> {
        self.bounds(row).map(|(from, to)| make_array(self.values.slice(from, to - from).to_data()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::strings::test_call::{columns, constant, integer};
    use datafusion::arrow::array::{FixedSizeListArray, Int8Array};
    use datafusion::arrow::datatypes::Int32Type;
    use datafusion::common::ScalarValue;

    fn scalar_list(values: ArrayRef) -> ScalarValue {
        let rows = ListArray::new(
            Arc::new(Field::new_list_field(values.data_type().clone(), true)),
            OffsetBuffer::from_lengths([values.len()]),
            values,
            None,
        );
        ScalarValue::List(Arc::new(rows))
    }

    fn column(rows: &[Option<&[i32]>]) -> ArrayRef {
        let rows = rows.iter().map(|row| row.map(|row| row.iter().copied().map(Some).collect::<Vec<_>>()));
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows))
    }

    #[test]
    fn lengths_are_counted() {
        let lists = column(&[Some(&[1, 2]), None, Some(&[])]);
        assert_eq!(columns(CARDINALITY, &[Arc::clone(&lists)], &[]).unwrap(), ["2", "NULL", "0"]);
        assert_eq!(columns(CARDINALITY, &[lists.slice(1, 2)], &[]).unwrap(), ["NULL", "0"]);
        let values = Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
        let field = Arc::new(Field::new_list_field(DataType::Int32, true));
        let fixed = FixedSizeListArray::new(field, 2, values, Some(vec![true, false].into()));
        assert_eq!(columns(CARDINALITY, &[Arc::new(fixed.clone())], &[]).unwrap(), ["2", "2"]);
        assert_eq!(columns(ELEMENT, &[Arc::new(fixed.slice(0, 1))], &[integer(2)]).unwrap(), ["2"]);
        assert!(constant(CARDINALITY, &[integer(1)]).contains("not an array"));
        assert_eq!(constant(CARDINALITY, &[ScalarValue::Null]), "NULL");
    }

    #[test]
    fn elements_count_from_one_and_are_null_outside() {
        let lists = column(&[Some(&[1, 2]), None, Some(&[]), Some(&[7])]);
        let at = |place: ScalarValue| columns(ELEMENT, &[Arc::clone(&lists)], &[place]).unwrap().join(" ");
        assert_eq!(at(integer(1)), "1 NULL NULL 7");
        assert_eq!(at(integer(2)), "2 NULL NULL NULL");
        assert_eq!(at(integer(0)), "NULL NULL NULL NULL");
        assert_eq!(at(integer(-1)), "NULL NULL NULL NULL");
        assert_eq!(at(integer(i64::MIN)), "NULL NULL NULL NULL");
        assert_eq!(at(ScalarValue::Null), "NULL NULL NULL NULL");
    }

    #[test]
    fn elements_are_appended() {
        let lists = column(&[Some(&[1, 2]), None, Some(&[])]);
        assert_eq!(columns(APPEND, &[Arc::clone(&lists)], &[integer(9)]).unwrap(), ["[1, 2, 9]", "NULL", "[9]"]);
        assert!(columns(APPEND, &[lists], &[ScalarValue::Null]).unwrap_err().to_string().contains("element is NULL"));
    }

    #[test]
    fn products_are_summed_in_their_type() {
        let of = |left: ArrayRef, right: ArrayRef| constant(DOT_PRODUCT, &[scalar_list(left), scalar_list(right)]);
        let small = || Arc::new(Int8Array::from(vec![1, 2, 3])) as ArrayRef;
        let doubles = || Arc::new(Float64Array::from(vec![0.5, 0.25, 1.0])) as ArrayRef;
        assert_eq!(of(small(), small()), "14");
        assert_eq!(of(small(), doubles()), "4.0");
        assert_eq!(of(small(), Arc::new(Int8Array::from(vec![1]))), "NULL");
        assert!(of(small(), Arc::new(Int8Array::from(vec![Some(1), None, None]))).contains("holds a NULL"));
        let large = || Arc::new(Int64Array::from(vec![i64::MAX, 2])) as ArrayRef;
        assert!(of(large(), large()).contains("exceeds BIGINT"));
        assert!(of(Arc::new(Int8Array::from(Vec::<i8>::new())), Arc::new(Int8Array::from(Vec::<i8>::new()))).contains("empty"));
        let lists = column(&[Some(&[1, 2]), None]);
        assert_eq!(columns(DOT_PRODUCT, &[Arc::clone(&lists), lists], &[]).unwrap(), ["5", "NULL"]);
    }
}
