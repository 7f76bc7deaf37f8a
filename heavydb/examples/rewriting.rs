//! How long the rewriting of statements takes: `rewriting FILE... [--repeat N]` reads the queries of logs, SQL files and JSON lines and
//! rewrites each, without planning or running it. Prints the number of statements, their bytes, and quantiles of the time for one.

#![expect(clippy::print_stdout, reason = "it reports on the terminal")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use datafusion_heavydb::Options;
use datafusion_heavydb::dialect::rewrite;
use datafusion_heavydb::replay::input::{Entry, Filters, Inputs, Kind};

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut repeats = 5;
    if let Some(place) = args.iter().position(|arg| arg == "--repeat") {
        repeats = args.get(place + 1).and_then(|count| count.parse().ok()).unwrap_or(repeats);
        args.truncate(place);
    }
    match measure(&args, repeats) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("{message}\nusage: rewriting FILE... [--repeat N]");
            ExitCode::from(2)
        }
    }
}

fn measure(files: &[String], repeats: usize) -> Result<(), String> {
    let mut inputs = Inputs::open(files, Filters::default()).map_err(|error| error.to_string())?;
    let mut texts = Vec::new();
    for entry in &mut inputs {
        match entry {
            Ok(Entry::Query(query)) if query.kind == Kind::Query => texts.push(query.sql),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    let options = Options::default();
    let mut refused = 0_usize;
    let mut times: Vec<Duration> = Vec::with_capacity(texts.len());
    for text in &texts {
        let mut of_one: Vec<Duration> = Vec::with_capacity(repeats);
        for _ in 0..repeats.max(1) {
            let begin = Instant::now();
            let outcome = rewrite(text, &options);
            of_one.push(begin.elapsed());
            refused += usize::from(outcome.is_err());
        }
        of_one.sort_unstable();
        times.extend(of_one.get(of_one.len() / 2));
    }
    times.sort_unstable();
    let at = |share: f64| times.get(((times.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default();
    println!(
        "{} statements of {} bytes together, median of {repeats} each, {} refused: median {:?}, nine tenths {:?}, longest {:?}",
        texts.len(),
        texts.iter().map(String::len).sum::<usize>(),
        refused / repeats.max(1),
        at(0.5),
        at(0.9),
        at(1.0),
    );
    Ok(())
}
