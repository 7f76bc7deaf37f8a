//! From HeavyDB's text to SQL that DataFusion plans.
//!
//! | part | what |
//! |---|---|
//! | `split` | the statements of a text, by their lexical form |
//! | `tokens` | what the grammar of the parser lacks, mended in the list of tokens |
//! | `rewrite` | forms of expressions with another meaning or none in DataFusion, replaced in the tree |
//! | `calls` | calls of functions: units, renames, refusals |
//! | `choices` | which rows a query may give: ties, LIMIT, columns that are chance |
//! | `clauses` | what the planner would pass over |
//! | `depth` | how deep a statement may nest |
//! | `features` | what a query uses, for summaries |
//! | `likes` | `LIKE` with any escape and with sets |
//! | `named` | the words of a statement, among which are the names of its columns |
//! | `relations` | VALUES and table functions in FROM |
//! | `windows` | frames and forms of window functions |
//! | `rowids` | `rowid` and fragments |
//! | `selects` | names of the columns of a query, clauses that HeavyDB does not have |

mod calls;
mod choices;
mod clauses;
mod depth;
mod features;
mod likes;
mod named;
mod nodes;
mod relations;
mod rewrite;
mod rowids;
mod selects;
mod split;
mod tokens;
mod windows;

pub use choices::{Choices, choices};
pub use features::features;
pub use named::NamedColumns;
pub use rewrite::{Rewritten, parse_plain, rewrite};
pub use rowids::{HIDDEN_COLUMNS, WITH_ROWID};
pub(crate) use selects::header_of_unnamed;
pub use split::{Piece, Place, split};
