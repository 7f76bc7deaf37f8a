//! The report for build servers: one test case a query.

use std::io::{self, Write};

use super::{Outcome, Report, Status};
use crate::replay::input::redact;

/// Writes `<testsuites>`. A query that differs is a failure, one that failed an error; declined and skipped ones are skipped.
pub(super) fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    let count = |statuses: &[Status]| report.outcomes().iter().filter(|outcome| statuses.contains(&outcome.status)).count();
    let (failures, errors) = (count(&[Status::Differs]), count(&[Status::Error]));
    let skipped = count(&[Status::Unsupported, Status::Skipped]);
    let seconds: f64 = report.outcomes().iter().filter_map(Outcome::ours).sum::<f64>() / 1000.0;
    let figures = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{seconds:.6}\"",
        report.outcomes().len()
    );
    writeln!(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {figures}>\n<testsuite name=\"heavydb replay\" {figures}>")?;
    for outcome in report.outcomes() {
        case(outcome, to)?;
    }
    writeln!(to, "</testsuite>\n</testsuites>")
}

fn case(outcome: &Outcome, to: &mut dyn Write) -> io::Result<()> {
    let seconds = outcome.ours().unwrap_or(0.0) / 1000.0;
    let class = escape(outcome.origin.rsplit_once(':').map_or("", |(file, _)| file));
    write!(to, "<testcase classname=\"{class}\" name=\"{}\" time=\"{seconds:.6}\"", escape(&outcome.id))?;
    let difference = outcome.first_difference.as_ref().map(ToString::to_string).unwrap_or_default();
    let reason = outcome.reason.clone().unwrap_or_default();
    let (element, message) = match outcome.status {
        Status::Same | Status::Ran => return writeln!(to, "/>"),
        Status::Differs => ("failure", difference),
        Status::Error => ("error", reason),
        Status::Unsupported | Status::Skipped => ("skipped", reason),
    };
    let message = escape(&redact(&message));
    if element == "skipped" {
        writeln!(to, "><skipped message=\"{message}\"/></testcase>")
    } else {
        writeln!(to, "><{element} message=\"{message}\">{}</{element}></testcase>", escape(&redact(&outcome.sql)))
    }
}

/// Text as XML, in attributes too; signs that XML has not become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push_str(if c == '\n' { "&#10;" } else { "&#9;" }),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
