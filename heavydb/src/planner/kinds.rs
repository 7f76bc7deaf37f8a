//! What an operator sees of a type.

use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};

use crate::types::interval::IntervalKind;

/// A family of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Whole,
    Decimal,
    Float,
    Double,
    Text,
    Date,
    Time,
    Timestamp(TimeUnit),
    Interval,
    Other,
}

impl Kind {
    pub(super) fn of(field: &FieldRef) -> Self {
        if IntervalKind::of(field).is_some() {
            return Self::Interval;
        }
        Self::of_type(field.data_type())
    }

    pub(super) fn of_type(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean,
            DataType::Decimal128(..) | DataType::Decimal256(..) => Self::Decimal,
            DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => Self::Text,
            DataType::Date32 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(unit, _) => Self::Timestamp(*unit),
            whole if whole.is_integer() => Self::Whole,
            _ => Self::Other,
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Whole | Self::Decimal | Self::Float | Self::Double)
    }

    pub(super) fn is_moment(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp(_))
    }
}

/// The floating type in which two numbers meet: DOUBLE with anything is DOUBLE, FLOAT with anything else is FLOAT.
pub(super) fn floating(kinds: (Kind, Kind)) -> Option<DataType> {
    match kinds {
        (Kind::Double, _) | (_, Kind::Double) => Some(DataType::Float64),
        (Kind::Float, _) | (_, Kind::Float) => Some(DataType::Float32),
        _ => None,
    }
}
