//! The accumulators of DataFusion, each generic over the state of a metric: none dispatches per row.

mod bootstrap;
mod dates;
mod details;
mod grouped_kept;
mod grouped_states;
mod keep;
mod kept;
mod key;
mod partial;
mod sample;
mod single;
mod sliding;

use std::any::Any;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{Accumulator, GroupsAccumulator};

use crate::constants::Constants;
use crate::finish::{Finish, SampleFinish};
use crate::metric::{Metric, NullRows, ResultKind};
use crate::row::Row;
use crate::states::{Formula, Maker, Partial, SampleFormula, State, Walk};

pub(crate) use bootstrap::interval_type;
pub(crate) use details::drawdown_type;
pub(crate) use key::OrderKey;
pub(crate) use partial::state_fields;

use bootstrap::KeepResampled;
use dates::{DatesAccumulator, GroupedDates};
use details::{DetailsAccumulator, KeepTimed};
use grouped_kept::GroupedKept;
use grouped_states::GroupedStates;
use keep::{KeepOrdered, KeepSorted};
use kept::KeptAccumulator;
use partial::Codec;
use sample::SampleAccumulator;
use single::StateAccumulator;
use sliding::{SlidingAccumulator, SlidingDistinct, SlidingKept};

/// What an accumulator must know about the call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) metric: &'static Metric,
    pub(crate) constants: Constants,
    pub(crate) distinct: bool,
    /// Number of arguments of the call; the order keys follow them in the batches.
    pub(crate) arguments: usize,
    /// The order keys, empty in window calls.
    pub(crate) order: Vec<OrderKey>,
    /// The rows of each group arrive in time order and all in one accumulator, so that none must be kept.
    pub(crate) in_time_order: bool,
    /// Type of the argument that holds times.
    pub(crate) time: Option<DataType>,
}

impl Call {
    fn input(&self) -> Input {
        Input { nulls: self.metric.null_rows(), result: self.metric.result }
    }

    /// Whether rows must be kept until all are there, to be sorted by the keys.
    fn keeps_rows(&self) -> bool {
        !self.order.is_empty() && !self.in_time_order
    }

    pub(crate) fn make<M: Maker>(&self, maker: M) -> M::Made {
        self.metric.compute.make(self.constants.method, maker)
    }
}

/// How rows are read and results written.
#[derive(Debug, Clone, Copy)]
struct Input {
    nulls: NullRows,
    result: ResultKind,
}

/// Makes the accumulator of one group, of a growing window frame, or (`sliding`) of a moving one.
pub(crate) struct AccumulatorMaker<'a> {
    pub(crate) call: &'a Call,
    pub(crate) sliding: bool,
}

/// Tells whether an accumulator keeps all its rows; those of path metrics do if this says so.
pub(crate) struct RowsKept(pub(crate) bool);

impl Maker for RowsKept {
    type Made = bool;

    fn mergeable<S: Partial>(self, _: Formula<S>) -> bool {
        false
    }

    fn sample(self, _: SampleFormula) -> bool {
        true
    }

    fn path<S: State<Row = f64>>(self, _: Formula<S>) -> bool {
        self.0
    }

    fn details<W: Walk>(self) -> bool {
        true
    }

    fn dates(self) -> bool {
        // Each distinct date is kept once.
        false
    }

    fn bootstrap(self) -> bool {
        true
    }
}

/// Makes the accumulator of many groups.
pub(crate) struct GroupsMaker<'a>(pub(crate) &'a Call);

impl Call {
    fn finish<S>(&self, formula: Formula<S>) -> Finish<S> {
        Finish { formula, constants: self.constants }
    }

    fn sample(&self, formula: SampleFormula) -> SampleFinish {
        SampleFinish { formula, constants: self.constants }
    }

    fn sorted<R: Row, F>(&self, finish: F) -> KeepSorted<R, F> {
        KeepSorted::new(self.input(), finish, self.distinct)
    }
}

impl Maker for AccumulatorMaker<'_> {
    type Made = Result<Box<dyn Accumulator>>;

    fn mergeable<S: Partial>(self, formula: Formula<S>) -> Self::Made {
        let (call, finish) = (self.call, self.call.finish(formula));
        Ok(match (call.distinct, self.sliding) {
            (false, false) => Box::new(StateAccumulator::new(call.input(), finish, Some(Codec::<S>::of()))),
            (false, true) => Box::new(SlidingAccumulator::new(call.input(), finish)),
            (true, false) => Box::new(KeptAccumulator::new(call.sorted::<S::Row, _>(finish))),
            (true, true) => Box::new(SlidingDistinct::<S::Row, _>::new(call.input(), finish)),
        })
    }

    fn sample(self, formula: SampleFormula) -> Self::Made {
        let (call, finish) = (self.call, self.call.sample(formula));
        Ok(match (call.distinct, self.sliding) {
            (false, _) => Box::new(SampleAccumulator::new(call.input(), finish)),
            (true, false) => Box::new(KeptAccumulator::new(call.sorted::<f64, _>(finish))),
            (true, true) => Box::new(SlidingDistinct::<f64, _>::new(call.input(), finish)),
        })
    }

    fn path<S: State<Row = f64>>(self, formula: Formula<S>) -> Self::Made {
        let (call, finish) = (self.call, self.call.finish(formula));
        if self.sliding {
            Ok(Box::new(SlidingAccumulator::new(call.input(), finish)))
        } else if call.keeps_rows() {
            key::by_width(&call.order, Ordered { call, finish })
        } else {
            Ok(Box::new(StateAccumulator::new(call.input(), finish, None)))
        }
    }

    fn details<W: Walk>(self) -> Self::Made {
        if self.call.keeps_rows() {
            Ok(Box::new(KeptAccumulator::new(KeepTimed::<W>::try_new(self.call)?)))
        } else {
            Ok(Box::new(DetailsAccumulator::<W>::new(self.call, self.sliding)))
        }
    }

    fn dates(self) -> Self::Made {
        Ok(Box::new(DatesAccumulator::try_new(self.call)?))
    }

    fn bootstrap(self) -> Self::Made {
        let keep = KeepResampled::try_new(self.call)?;
        Ok(if self.sliding { Box::new(SlidingKept::new(keep)) } else { Box::new(KeptAccumulator::new(keep)) })
    }
}

/// Takes the results of a metric from the accumulator of another one, if that keeps the states it needs.
pub(crate) struct ResultsFrom<'a> {
    pub(crate) accumulator: &'a dyn Any,
    pub(crate) metric: &'static Metric,
    pub(crate) constants: Constants,
    pub(crate) in_time_order: bool,
}

impl ResultsFrom<'_> {
    fn of<S: State>(&self, formula: Formula<S>) -> Option<ArrayRef> {
        let states = self.accumulator.downcast_ref::<GroupedStates<S>>()?;
        let input = Input { nulls: self.metric.null_rows(), result: self.metric.result };
        states.results(&Finish { formula, constants: self.constants }, input)
    }
}

impl Maker for ResultsFrom<'_> {
    type Made = Option<ArrayRef>;

    fn mergeable<S: Partial>(self, formula: Formula<S>) -> Self::Made {
        self.of(formula)
    }

    fn path<S: State<Row = f64>>(self, formula: Formula<S>) -> Self::Made {
        if self.in_time_order { self.of(formula) } else { None }
    }

    fn sample(self, _: SampleFormula) -> Self::Made {
        None
    }

    fn details<W: Walk>(self) -> Self::Made {
        None
    }

    fn dates(self) -> Self::Made {
        None
    }

    fn bootstrap(self) -> Self::Made {
        None
    }
}

/// Makes the accumulator of ordered rows once the type of the keys is known.
struct Ordered<'a, S> {
    call: &'a Call,
    finish: Finish<S>,
}

impl<S: State<Row = f64>> key::ForKey for Ordered<'_, S> {
    type Made = Result<Box<dyn Accumulator>>;

    fn make<K: key::Key>(self) -> Self::Made {
        Ok(Box::new(KeptAccumulator::new(KeepOrdered::<S, K>::try_new(self.call, self.finish)?)))
    }
}

/// The same for many groups.
struct OrderedGroups<'a, S>(Ordered<'a, S>);

impl<S: State<Row = f64>> key::ForKey for OrderedGroups<'_, S> {
    type Made = Result<Box<dyn GroupsAccumulator>>;

    fn make<K: key::Key>(self) -> Self::Made {
        Ok(Box::new(GroupedKept::new(KeepOrdered::<S, K>::try_new(self.0.call, self.0.finish)?)))
    }
}

impl Maker for GroupsMaker<'_> {
    type Made = Result<Box<dyn GroupsAccumulator>>;

    fn mergeable<S: Partial>(self, formula: Formula<S>) -> Self::Made {
        let (call, finish) = (self.0, self.0.finish(formula));
        Ok(if call.distinct {
            Box::new(GroupedKept::new(call.sorted::<S::Row, _>(finish)))
        } else {
            Box::new(GroupedStates::new(call.input(), finish, Some(Codec::<S>::of())))
        })
    }

    fn sample(self, formula: SampleFormula) -> Self::Made {
        Ok(Box::new(GroupedKept::new(self.0.sorted::<f64, _>(self.0.sample(formula)))))
    }

    fn path<S: State<Row = f64>>(self, formula: Formula<S>) -> Self::Made {
        let (call, finish) = (self.0, self.0.finish(formula));
        if call.keeps_rows() {
            key::by_width(&call.order, OrderedGroups(Ordered { call, finish }))
        } else {
            Ok(Box::new(GroupedStates::new(call.input(), finish, None)))
        }
    }

    fn details<W: Walk>(self) -> Self::Made {
        Ok(Box::new(GroupedKept::new(KeepTimed::<W>::try_new(self.0)?)))
    }

    fn dates(self) -> Self::Made {
        Ok(Box::new(GroupedDates::try_new(self.0)?))
    }

    fn bootstrap(self) -> Self::Made {
        Ok(Box::new(GroupedKept::new(KeepResampled::try_new(self.0)?)))
    }
}
