//! What the dialect does not give, and why.

use std::error::Error;
use std::fmt;

use datafusion::error::DataFusionError;

/// A construct whose answer would not surely be HeavyDB's. It travels as [`DataFusionError::External`] and is told from other errors by
/// [`Refusal::of`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The text of the construct as it was written, or its name.
    pub construct: String,
    /// Why, and what to write instead where there is something.
    pub reason: String,
}

impl Refusal {
    /// Refuses a construct.
    pub fn new(construct: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self { construct: construct.to_string(), reason: reason.into() }
    }

    /// The refusal behind an error, if it is one.
    pub fn of(error: &DataFusionError) -> Option<&Self> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(refusal) = error.downcast_ref::<Self>() {
                return Some(refusal);
            }
            // `External` names the error inside as its source only where that has one.
            if let Some(DataFusionError::External(inner)) = error.downcast_ref::<DataFusionError>()
                && let Some(refusal) = inner.downcast_ref::<Self>()
            {
                return Some(refusal);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not given in HeavyDB's dialect: {}", self.construct, self.reason)
    }
}

impl Error for Refusal {}

impl From<Refusal> for DataFusionError {
    fn from(refusal: Refusal) -> Self {
        Self::External(Box::new(refusal))
    }
}
