//! One implementation of DataFusion's window function interface for the list of own functions.

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{ColumnarValue, PartitionEvaluator, Signature, TypeSignature, Volatility, WindowUDF, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;

use super::Place;
use super::evaluators::{ChangeEvents, Fill, FrameValue, PartitionValue, Ranks, RowNumbers, Shift, Tiles};

/// What a window function computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    RowNumber,
    Rank { dense: bool },
    NTile,
    Shift { back: bool },
    Whole(Place),
    Frame(Place),
    Fill { forward: bool },
    ChangeEvent,
}

impl Kind {
    /// Whether the first argument is a column of values; the others are constants.
    fn has_values(self) -> bool {
        !matches!(self, Self::RowNumber | Self::Rank { .. } | Self::NTile)
    }

    /// Whether a constant follows, and whether it may be left out.
    fn constant(self) -> Option<bool> {
        match self {
            Self::Shift { .. } => Some(true),
            Self::NTile | Self::Whole(Place::Nth) | Self::Frame(Place::Nth | Place::Ahead | Place::Behind) => Some(false),
            _ => None,
        }
    }

    /// The least value of the constant.
    fn least(self) -> i64 {
        match self {
            Self::Shift { .. } => i64::MIN + 1,
            Self::Frame(Place::Ahead | Place::Behind) => 0,
            _ => 1,
        }
    }

    fn is_count(self) -> bool {
        matches!(self, Self::RowNumber | Self::Rank { .. } | Self::NTile | Self::ChangeEvent)
    }
}

/// The function as one of DataFusion.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OwnWindow {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl OwnWindow {
    pub(super) fn udwf(name: &'static str, kind: Kind) -> Arc<WindowUDF> {
        let form = if kind.has_values() || kind == Kind::NTile { TypeSignature::UserDefined } else { TypeSignature::Nullary };
        let signature = Signature::new(form, Volatility::Immutable);
        Arc::new(WindowUDF::new_from_impl(Self { name, kind, signature }))
    }

    fn upper(&self) -> String {
        self.name.to_uppercase()
    }

    /// The constant of a call; 1 where it is left out.
    fn constant(&self, exprs: &[Arc<dyn PhysicalExpr>]) -> Result<i64> {
        let Some(constant) = exprs.get(usize::from(self.kind.has_values())) else { return Ok(1) };
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let value = match constant.evaluate(&nothing) {
            Ok(ColumnarValue::Scalar(value)) => value.cast_to(&DataType::Int64)?,
            _ => ScalarValue::Int64(None),
        };
        match value {
            ScalarValue::Int64(Some(n)) if n >= self.kind.least() => Ok(n),
            _ => plan_err!("{} takes a whole constant of at least {}, not {constant}", self.upper(), self.kind.least()),
        }
    }
}

impl WindowUDFImpl for OwnWindow {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let most = usize::from(self.kind.has_values()) + usize::from(self.kind.constant().is_some());
        let least = most - usize::from(self.kind.constant() == Some(true));
        if !(least..=most).contains(&arg_types.len()) {
            return plan_err!("{} takes {} arguments, not {}", self.upper(), most, arg_types.len());
        }
        if matches!(self.kind, Kind::Fill { .. })
            && matches!(arg_types.first(), Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..)))
        {
            return plan_err!("{} is not given for text, as in HeavyDB", self.upper());
        }
        let wanted = |(i, argument): (usize, &DataType)| if i == 0 && self.kind.has_values() { argument.clone() } else { DataType::Int64 };
        Ok(arg_types.iter().enumerate().map(wanted).collect())
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        // The constants are known, and need not become columns.
        args.input_exprs().iter().take(usize::from(self.kind.has_values())).cloned().collect()
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let given = args.get_input_field(0).map_or(DataType::Null, |field| field.data_type().clone());
        let result = if self.kind.is_count() { DataType::Int64 } else { given };
        Ok(Arc::new(Field::new(args.name(), result, !self.kind.is_count())))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        if args.ignore_nulls() {
            return plan_err!("HeavyDB has no IGNORE NULLS; {} takes none", self.upper());
        }
        let n = self.constant(args.input_exprs())?;
        Ok(match self.kind {
            Kind::RowNumber => Box::new(RowNumbers),
            Kind::Rank { dense } => Box::new(Ranks { dense }),
            Kind::NTile => Box::new(Tiles { tiles: n }),
            Kind::Shift { back } => Box::new(Shift { rows: if back { n } else { -n } }),
            Kind::Whole(place) => Box::new(PartitionValue { place, n }),
            Kind::Frame(place) => Box::new(FrameValue { place, n, row: 0 }),
            Kind::Fill { forward } => Box::new(Fill { forward }),
            Kind::ChangeEvent => Box::new(ChangeEvents),
        })
    }
}
