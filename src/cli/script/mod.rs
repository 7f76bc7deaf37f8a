//! The script runner: texts are parsed whole, their parameters are bound, then their statements run one by one.
//!
//! `-c`, `-f`, standard input, `run` and `\i` all come through here, so that all of them stop, report and bind alike.
//!
//! | file | what |
//! |---|---|
//! | `header` | what a script says about itself, and titles above statements |
//! | `builtin` | the scripts that ship inside the program |
//! | `prepared` | a script read, parsed and bound |
//! | `tables` | table parameters, replaced in the parsed statements |
//! | `needs` | columns that a script needs and a table lacks |
//! | `runner` | running scripts in turn or side by side |
//! | `throttle` | `--cpu-limit` and `--nice` |
//! | `summary` | what `run` says at its end |

pub(crate) mod builtin;
mod header;
mod needs;
mod prepared;
mod runner;
mod sample;
mod summary;
mod tables;
pub(crate) mod throttle;

pub(crate) use prepared::{ScriptSource, prepare_one, read_input};
pub(crate) use runner::{RunPlan, run, run_inside};
