//! Feeds broken texts to the rewriting and to the readers of logs and expectations: `fuzz_dialect SECONDS [FIRST_CASE]`, or `fuzz_dialect
//! --case CASE` to run one case again. Ends with 1 at the first failure and says which case it was.

#![expect(clippy::print_stdout, reason = "it reports on the terminal")]

#[path = "../tests/it/fuzz.rs"]
mod fuzz;

use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: fuzz_dialect SECONDS [FIRST_CASE] | --case CASE";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args.get(i).and_then(|text| text.parse::<u64>().ok());
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            println!("no folder for the files of the cases: {error}");
            return ExitCode::FAILURE;
        }
    };
    let report = match (args.first().map(String::as_str), number(0), number(1)) {
        (Some("--case"), _, Some(case)) => {
            fuzz::Report { cases: 1, failure: fuzz::run_case(case, folder.path()).err().map(|message| (case, message)) }
        }
        (Some(_), Some(seconds), first) => fuzz::run(Duration::from_secs(seconds), first.unwrap_or(0), folder.path()),
        _ => {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match report.failure {
        None => {
            println!("{} cases, nothing found", report.cases);
            ExitCode::SUCCESS
        }
        Some((case, message)) => {
            println!("{} cases; case {case} failed: {message}", report.cases);
            ExitCode::FAILURE
        }
    }
}
