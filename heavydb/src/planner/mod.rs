//! Planning with HeavyDB's types: a session state that knows the dialect's functions and operators and no others.
//!
//! | part | what |
//! |---|---|
//! | `operators` | binary operators: which types meet in which |
//! | `kinds` | families of types |
//! | `comparisons` | `=`, `<`, `IN` and others |
//! | `results` | the one type of the results of CASE, COALESCE, NULLIF |
//! | `typing` | types in a plan as a whole |
//! | `arithmetic` | checked `+ - * / %` of numbers |
//! | `terms` | long sums of doubles |
//! | `moments` | dates, times and intervals in operators |
//! | `subqueries` | `IN (SELECT ...)` outside conditions |
//! | `correlated` | scalar subqueries that depend on the outer row by more than equality |
//! | `cuts` | LIMIT inside a query |
//! | `guards` | what is refused although it could be planned |
//! | `casts` | casts that the planner adds |
//! | `meanings` | which meanings of its own a plan uses, for reports |

mod arithmetic;
mod casts;
mod comparisons;
mod correlated;
mod cuts;
mod guards;
mod kinds;
mod meanings;
mod moments;
mod operators;
mod results;
mod subqueries;
mod terms;
mod typing;

use std::sync::{Arc, LazyLock};

use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use crate::functions::aggregates::bigint_count;
use crate::functions::numbers::{ALL_OF, ANY_OF};
use crate::functions::scalar::ScalarFunction;
use crate::functions::strings::concat;
use crate::functions::{Action, Implementation, functions};
use crate::options::Options;
use crate::types::casts::CASTS;

pub(crate) use casts::cast_to_field;
pub(crate) use cuts::check_cuts;
pub(crate) use guards::check_types;
pub use guards::{GUARDS, Guard};
pub(crate) use meanings::meanings;
pub(crate) use results::common_of;
pub(crate) use subqueries::resolve_subqueries;
pub(crate) use typing::check_plan;

/// What a session registers.
#[derive(Default)]
struct Registered {
    scalars: Vec<Arc<ScalarUDF>>,
    aggregates: Vec<Arc<AggregateUDF>>,
    windows: Vec<Arc<WindowUDF>>,
}

/// Made once: a session of the dialect may be built for every statement.
static REGISTERED: LazyLock<Registered> = LazyLock::new(|| {
    let mut registered = Registered::default();
    for function in functions() {
        match function.action {
            Action::Same(implementation) | Action::Renamed(_, implementation) | Action::Own(implementation) => {
                registered.add(implementation);
            }
            Action::Rewritten(_) | Action::Refused(_) => {}
        }
    }
    registered.scalars.extend(CASTS.iter().copied().chain(moments::functions()).map(ScalarFunction::udf).chain([
        concat(),
        ANY_OF.udf(),
        ALL_OF.udf(),
        terms::SUM_OF_TERMS.udf(),
    ]));
    registered
});

impl Registered {
    fn add(&mut self, implementation: Implementation) {
        match implementation {
            Implementation::Scalar(make) => self.scalars.push(make()),
            Implementation::Aggregate(make) => self.aggregates.push(make()),
            Implementation::Window(make) => self.windows.push(make()),
        }
    }
}

/// The state of a session that speaks the dialect, over the catalogs, settings and memory of `base`.
pub fn session_state(base: SessionState, options: &Options) -> SessionState {
    let mut config = base.config().clone();
    // `1.5` is a DECIMAL, `1.5e0` a DOUBLE.
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    let mut planners: Vec<Arc<dyn datafusion::logical_expr::planner::ExprPlanner>> =
        vec![Arc::new(operators::Operators { options: options.clone() })];
    planners.extend(base.expr_planners().iter().map(Arc::clone));
    let mut aggregates = REGISTERED.aggregates.clone();
    if options.bigint_count {
        aggregates.retain(|aggregate| aggregate.name() != "count");
        aggregates.push(bigint_count());
    }
    SessionStateBuilder::new_from_existing(base)
        .with_config(config)
        .with_expr_planners(planners)
        .with_scalar_functions(REGISTERED.scalars.clone())
        .with_aggregate_functions(aggregates)
        .with_window_functions(REGISTERED.windows.clone())
        .build()
}
