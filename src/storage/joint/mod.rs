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
//!   takes back in its place. Versions that others committed are neither taken back nor hidden.
//! * One writer at a time has the right to write, from reading the tables to the last write; a commit runs in a task of its own, which
//!   holds the right even where nobody waits for it any more. In a local directory and in memory the right is a lock, which the system, or
//!   the end of the task, frees. Elsewhere it is a turn in the record, which its holder changes every few seconds: who sees it unchanged
//!   for a whole lease, by his own clock, takes it. Clocks are not compared, but that a turn left behind ten minutes ago is over at
//!   first sight.
//! * A writer that outlived its turn cannot do harm: every replacement of the record is conditional there, so that its commit point fails,
//!   and who takes back puts a version after the base of every table, so that its later commits fail. Dropping and vacuuming tables take
//!   the turn as well; a process that is suspended in the middle of it for longer than the lease, and then goes on, is not stopped.
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
pub use undo::undo_abandoned;
pub use view::at_one_state;
pub(super) use view::{Visible, visible_version};
pub use writer::{JointMember, JointWriter};

/// Key of the joint commit's identity in the note of each of its Delta commits.
const JOINT_NOTE: &str = "joint";
