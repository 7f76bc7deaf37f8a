//! Functions of numbers, conditions and arrays.
//!
//! A number keeps its type where HeavyDB keeps it; functions of the reals give DOUBLE. Left out is what [`REFUSED_FAMILIES`] names.

mod bucket;
mod families;
mod lists;
mod operands;
mod quantified;
mod real;
mod rounding;

use std::sync::Arc;

use datafusion::functions::core;
use datafusion::logical_expr::ScalarUDF;

use super::scalar::ScalarFunction;
use super::{Action, Example, Function, Implementation};
pub use families::{REFUSED_FAMILIES, refused_family};
pub(crate) use quantified::{ALL_OF, ANY_OF};

/// The functions of numbers, conditions and arrays.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "ABS",
        arguments: "(x)",
        action: own(|| rounding::ABS.udf()),
        doc: "The magnitude in the type of x; fails where it has none.",
        example: Example { sql: "ABS(-5)", value: "5" },
    },
    Function {
        name: "SIGN",
        arguments: "(x)",
        action: own(|| rounding::SIGN.udf()),
        doc: "-1, 0 or 1 in the type of x; NULL for NaN.",
        example: Example { sql: "SIGN(-42)", value: "-1" },
    },
    Function {
        name: "CEIL",
        arguments: "(x)",
        action: own(|| rounding::CEIL.udf()),
        doc: "The next whole number above; integers and FLOAT stay, DECIMAL loses its scale.",
        example: Example { sql: "CEIL(2.3)", value: "3" },
    },
    Function {
        name: "CEILING",
        arguments: "(x)",
        action: own(|| renamed("ceiling", rounding::CEIL).udf()),
        doc: "CEIL.",
        example: Example { sql: "CEILING(2.3)", value: "3" },
    },
    Function {
        name: "FLOOR",
        arguments: "(x)",
        action: own(|| rounding::FLOOR.udf()),
        doc: "The next whole number below; types as of CEIL.",
        example: Example { sql: "FLOOR(-2.3)", value: "-3" },
    },
    Function {
        name: "ROUND",
        arguments: "(x [, n])",
        action: own(|| rounding::ROUND.udf()),
        doc: "Half away from zero to n places, before the point where n < 0; integers, FLOAT and DECIMAL stay.",
        example: Example { sql: "ROUND(-3456, -1)", value: "-3460" },
    },
    Function {
        name: "TRUNCATE",
        arguments: "(x, n)",
        action: own(|| rounding::TRUNCATE.udf()),
        doc: "Cut to n places in the type of x, by way of a BIGINT; DECIMAL gives DOUBLE.",
        example: Example { sql: "TRUNCATE(CAST(1171.123 AS FLOAT), -3)", value: "1000.0" },
    },
    Function {
        name: "EXP",
        arguments: "(x)",
        action: own(|| real::EXP.udf()),
        doc: "e to the power of x, DOUBLE.",
        example: Example { sql: "EXP(0)", value: "1.0" },
    },
    Function {
        name: "LN",
        arguments: "(x)",
        action: own(|| real::LN.udf()),
        doc: "The natural logarithm, DOUBLE; of a FLOAT column in 32 bits.",
        example: Example { sql: "LN(1)", value: "0.0" },
    },
    Function {
        name: "LOG",
        arguments: "(x)",
        action: own(|| real::LOG.udf()),
        doc: "The NATURAL logarithm, DOUBLE; of a FLOAT column in 32 bits.",
        example: Example { sql: "LOG(1)", value: "0.0" },
    },
    Function {
        name: "LOG10",
        arguments: "(x)",
        action: own(|| real::LOG10.udf()),
        doc: "The logarithm of base 10, DOUBLE; of a FLOAT column in 32 bits.",
        example: Example { sql: "LOG10(100)", value: "2.0" },
    },
    Function {
        name: "SQRT",
        arguments: "(x)",
        action: own(|| real::SQRT.udf()),
        doc: "The square root, DOUBLE; NaN below zero.",
        example: Example { sql: "SQRT(4)", value: "2.0" },
    },
    Function {
        name: "POWER",
        arguments: "(x, y)",
        action: own(|| real::POWER.udf()),
        doc: "x to the power of y, DOUBLE.",
        example: Example { sql: "POWER(2, 10)", value: "1024.0" },
    },
    Function {
        name: "PI",
        arguments: "()",
        action: own(|| real::PI.udf()),
        doc: "3.14159…, DOUBLE.",
        example: Example { sql: "PI()", value: "3.141592653589793" },
    },
    Function {
        name: "DEGREES",
        arguments: "(x)",
        action: own(|| real::DEGREES.udf()),
        doc: "Radians in degrees, DOUBLE.",
        example: Example { sql: "DEGREES(PI())", value: "180.0" },
    },
    Function {
        name: "RADIANS",
        arguments: "(x)",
        action: own(|| real::RADIANS.udf()),
        doc: "Degrees in radians, DOUBLE.",
        example: Example { sql: "RADIANS(180)", value: "3.141592653589793" },
    },
    Function {
        name: "SIN",
        arguments: "(x)",
        action: own(|| real::SIN.udf()),
        doc: "Sine, DOUBLE, in radians.",
        example: Example { sql: "SIN(0)", value: "0.0" },
    },
    Function {
        name: "COS",
        arguments: "(x)",
        action: own(|| real::COS.udf()),
        doc: "Cosine, DOUBLE, in radians.",
        example: Example { sql: "COS(0)", value: "1.0" },
    },
    Function {
        name: "TAN",
        arguments: "(x)",
        action: own(|| real::TAN.udf()),
        doc: "Tangent, DOUBLE, in radians; of a FLOAT column in 32 bits.",
        example: Example { sql: "TAN(0)", value: "0.0" },
    },
    Function {
        name: "ASIN",
        arguments: "(x)",
        action: own(|| real::ASIN.udf()),
        doc: "Arc sine, DOUBLE, in radians.",
        example: Example { sql: "ASIN(0)", value: "0.0" },
    },
    Function {
        name: "ACOS",
        arguments: "(x)",
        action: own(|| real::ACOS.udf()),
        doc: "Arc cosine, DOUBLE, in radians.",
        example: Example { sql: "ACOS(1)", value: "0.0" },
    },
    Function {
        name: "ATAN",
        arguments: "(x)",
        action: own(|| real::ATAN.udf()),
        doc: "Arc tangent, DOUBLE, in radians.",
        example: Example { sql: "ATAN(0)", value: "0.0" },
    },
    Function {
        name: "SINH",
        arguments: "(x)",
        action: own(|| real::SINH.udf()),
        doc: "Hyperbolic sine, DOUBLE, in radians.",
        example: Example { sql: "SINH(0)", value: "0.0" },
    },
    Function {
        name: "COSH",
        arguments: "(x)",
        action: own(|| real::COSH.udf()),
        doc: "Hyperbolic cosine, DOUBLE, in radians.",
        example: Example { sql: "COSH(0)", value: "1.0" },
    },
    Function {
        name: "TANH",
        arguments: "(x)",
        action: own(|| real::TANH.udf()),
        doc: "Hyperbolic tangent, DOUBLE, in radians.",
        example: Example { sql: "TANH(0)", value: "0.0" },
    },
    Function {
        name: "ATANH",
        arguments: "(x)",
        action: own(|| real::ATANH.udf()),
        doc: "Inverse hyperbolic tangent, DOUBLE, in radians.",
        example: Example { sql: "ATANH(0)", value: "0.0" },
    },
    Function {
        name: "COT",
        arguments: "(x)",
        action: own(|| real::COT.udf()),
        doc: "1 / TAN(x), DOUBLE.",
        example: Example { sql: "ROUND(COT(PI() / 4), 6)", value: "1.0" },
    },
    Function {
        name: "ATAN2",
        arguments: "(y, x)",
        action: own(|| real::ATAN2.udf()),
        doc: "The angle of the point (x, y), DOUBLE.",
        example: Example { sql: "ATAN2(0, 1)", value: "0.0" },
    },
    Function {
        name: "DISTANCE_IN_METERS",
        arguments: "(from_lon, from_lat, to_lon, to_lat)",
        action: own(|| real::DISTANCE_IN_METERS.udf()),
        doc: "Great circle between two points in degrees, in metres, DOUBLE.",
        example: Example { sql: "ROUND(DISTANCE_IN_METERS(0, 0, 0, 180), 3)", value: "20020734.0" },
    },
    Function {
        name: "IS_NAN",
        arguments: "(x)",
        action: own(|| real::IS_NAN.udf()),
        doc: "True for NaN.",
        example: Example { sql: "IS_NAN(1.5)", value: "false" },
    },
    Function {
        name: "IS_INF",
        arguments: "(x)",
        action: own(|| real::IS_INF.udf()),
        doc: "True for the infinities.",
        example: Example { sql: "IS_INF(1.5)", value: "false" },
    },
    Function {
        name: "MOD",
        arguments: "(a, b)",
        action: own(|| bucket::MOD.udf()),
        doc: "The remainder of integers with the sign of a; fails for b = 0, see [`modulo`].",
        example: Example { sql: "MOD(-7, 3)", value: "-1" },
    },
    Function {
        name: "WIDTH_BUCKET",
        arguments: "(x, low, high, n)",
        action: own(|| bucket::WIDTH_BUCKET.udf()),
        doc: "The bucket, from 1, of n of equal width, INTEGER; 0 and n + 1 outside; low > high counts downwards.",
        example: Example { sql: "WIDTH_BUCKET(-0.1, -2, 2, 100)", value: "48" },
    },
    Function {
        name: "LIKELY",
        arguments: "(p)",
        action: Action::Rewritten("p"),
        doc: "The argument.",
        example: Example { sql: "LIKELY(1 < 2)", value: "true" },
    },
    Function {
        name: "UNLIKELY",
        arguments: "(p)",
        action: Action::Rewritten("p"),
        doc: "The argument.",
        example: Example { sql: "UNLIKELY(1 < 2)", value: "true" },
    },
    Function {
        name: "GREATEST",
        arguments: "(a, b)",
        action: Action::Rewritten("CASE WHEN a > b THEN a ELSE b END"),
        doc: "The larger; (NULL, 5) is 5, (5, NULL) is NULL.",
        example: Example { sql: "GREATEST(2, 5)", value: "5" },
    },
    Function {
        name: "LEAST",
        arguments: "(a, b)",
        action: Action::Rewritten("CASE WHEN a < b THEN a ELSE b END"),
        doc: "The smaller; (NULL, 5) is 5, (5, NULL) is NULL.",
        example: Example { sql: "LEAST(2, 5)", value: "2" },
    },
    Function {
        name: "COALESCE",
        arguments: "(x, ...)",
        action: Action::Same(Implementation::Scalar(core::coalesce)),
        doc: "The first that is not NULL.",
        example: Example { sql: "COALESCE(5, NULL, 4)", value: "5" },
    },
    Function {
        name: "NULLIF",
        arguments: "(a, b)",
        action: Action::Same(Implementation::Scalar(core::nullif)),
        doc: "NULL where a = b, else a.",
        example: Example { sql: "NULLIF(5, 5)", value: "NULL" },
    },
    Function {
        name: "CARDINALITY",
        arguments: "(array)",
        action: own(|| lists::CARDINALITY.udf()),
        doc: "The number of elements, INTEGER.",
        example: Example { sql: "CARDINALITY(ARRAY[1, 2, 3])", value: "3" },
    },
    Function {
        name: "ARRAY_LENGTH",
        arguments: "(array)",
        action: own(|| renamed("array_length", lists::CARDINALITY).udf()),
        doc: "CARDINALITY.",
        example: Example { sql: "ARRAY_LENGTH(ARRAY[1, 2, 3])", value: "3" },
    },
    Function {
        name: "ARRAY_ELEMENT",
        arguments: "(array, i)",
        action: own(|| lists::ELEMENT.udf()),
        doc: "`array[i]`, from 1; NULL outside.",
        example: Example { sql: "ARRAY[7, 8][2]", value: "8" },
    },
    Function {
        name: "ARRAY_AT",
        arguments: "(array, i)",
        action: Action::Rewritten("array_element(array, i)"),
        doc: "`array[i]`.",
        example: Example { sql: "ARRAY_AT(ARRAY[7, 8], 2)", value: "8" },
    },
    Function {
        name: "ARRAY_APPEND",
        arguments: "(array, x)",
        action: own(|| lists::APPEND.udf()),
        doc: "The array with x behind it.",
        example: Example { sql: "CARDINALITY(ARRAY_APPEND(ARRAY[1, 2], 3))", value: "3" },
    },
    Function {
        name: "DOT_PRODUCT",
        arguments: "(a, b)",
        action: own(|| lists::DOT_PRODUCT.udf()),
        doc: "The sum of products; NULL for arrays of different length.",
        example: Example { sql: "DOT_PRODUCT(ARRAY[1, 2], ARRAY[3, 4])", value: "11" },
    },
];

/// `a % b` and MOD of integers. By zero it is NULL where the session says `null_div_by_zero`, else an error.
pub fn modulo(null_div_by_zero: bool) -> Arc<ScalarUDF> {
    if null_div_by_zero { bucket::MOD_NULL_BY_ZERO.udf() } else { bucket::MOD.udf() }
}

const fn own(make: fn() -> Arc<ScalarUDF>) -> Action {
    Action::Own(Implementation::Scalar(make))
}

const fn renamed(name: &'static str, function: ScalarFunction) -> ScalarFunction {
    ScalarFunction { name, ..function }
}

#[cfg(test)]
mod tests {
    use super::super::strings::test_call::nulls;
    use super::*;

    #[test]
    fn every_function_bears_its_name_and_of_nulls_makes_null() {
        for function in FUNCTIONS {
            let Action::Own(Implementation::Scalar(make)) = function.action else { continue };
            assert_eq!(make().name(), function.name.to_ascii_lowercase());
            assert!(nulls(&make()).iter().all(|value| value == "NULL"), "{}", function.name);
        }
    }
}
