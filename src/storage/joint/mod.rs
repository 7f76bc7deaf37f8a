//! One commit point for several tables.
//!
//! A Delta table commits alone. What changes two or more tables at once goes by a record, `_tranchedb/joint.json`, which is one small
//! object that is replaced as a whole:
//!
//! ```text
//! 1  the files of every table are written             readers see the old versions: no log names the files
//! 2  record: pending, with the version of every table
//!    before, its base                                 readers open these tables at their bases
//! 3  one Delta commit per table                       readers still open the bases
//! 4  record: settled                                  the commit point: readers open the new versions
//! ```
//!
//! * A writer that fails takes back what it committed (a restore to the base, one more version) and settles the record as undone. One
//!   that dies leaves the record pending: readers stay at the bases, and the next writer, or the next engine that opens the database,
//!   takes back in its place.
//! * Whether a writer lives is told by a lock in a local directory and in memory: the system, or the end of the task, frees it. Elsewhere
//!   the record holds the end of a lease. Who takes over replaces the record, so that the commit point of the one that outlived its lease
//!   fails (every replacement there is conditional), and puts a version after the base of every table, so that its later commits fail.
//! * The record counts the joint commits and remembers the last ones, so that a statement that began before one sees none of its tables
//!   in their new version: [`at_one_state`].
//! * Readers pay one small read per statement and per table that is opened, no listing.
//!
//! What this leaves out: programs that know nothing of the record see the versions between steps 3 and 4, and what they commit on top of
//! them is never taken back: that is an error which names the table.

mod hold;
mod record;
mod undo;
mod view;
mod writer;

#[cfg(test)]
mod tests;

pub(super) use hold::Coordination;
pub use undo::{refuse_pending, undo_abandoned};
pub use view::at_one_state;
pub(super) use view::{Visible, visible_version};
pub use writer::{JointMember, JointWriter};

/// Key of the joint commit's identity in the note of each of its Delta commits.
const JOINT_NOTE: &str = "joint";
