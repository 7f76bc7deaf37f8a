//! Rows as multisets: which of ours has no partner among HeavyDB's.
//!
//! Rows are first put into buckets by all values that must be equal exactly. Within a bucket floats are matched greedily: sorting alone
//! would mispair neighbours that differ by rounding.

use std::collections::HashMap;
use std::ops::Range;

use super::Pair;

/// Rows without a partner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unmatched {
    pub(super) ours: Vec<usize>,
    pub(super) theirs: Vec<usize>,
}

/// The rows of one bucket.
type Bucket = (Vec<usize>, Vec<usize>);

/// The rows of the two ranges that find no partner, in the order of ours. O(n log n) unless many rows differ within the tolerance alone.
pub(super) fn unmatched(pair: &Pair<'_>, ours: Range<usize>, theirs: Range<usize>) -> Unmatched {
    let mut buckets: HashMap<Vec<u8>, Bucket> = HashMap::new();
    for row in ours {
        buckets.entry(key(pair, |column| pair.ours(row, column))).or_default().0.push(row);
    }
    for row in theirs {
        buckets.entry(key(pair, |column| pair.theirs(row, column))).or_default().1.push(row);
    }
    let mut all = Unmatched::default();
    for (mine, their) in buckets.into_values() {
        let rest = match_bucket(pair, mine, their);
        all.ours.extend(rest.ours);
        all.theirs.extend(rest.theirs);
    }
    all.ours.sort_unstable();
    all.theirs.sort_unstable();
    all
}

fn key<'a>(pair: &Pair<'_>, value: impl Fn(usize) -> super::Comparable<'a>) -> Vec<u8> {
    let mut key = Vec::with_capacity(pair.columns.len() * 8);
    for column in &pair.columns {
        value(column.at).key(column.inexact, &mut key);
    }
    key
}

/// Matches the rows of one bucket.
fn match_bucket(pair: &Pair<'_>, mut ours: Vec<usize>, mut theirs: Vec<usize>) -> Unmatched {
    let inexact: Vec<usize> = pair.columns.iter().filter(|column| column.inexact).map(|column| column.at).collect();
    if inexact.is_empty() || ours.is_empty() || theirs.is_empty() {
        let both = ours.len().min(theirs.len());
        return Unmatched { ours: ours.split_off(both), theirs: theirs.split_off(both) };
    }
    let number = |value: super::Comparable<'_>| value.number().unwrap_or(0.0);
    let by = |value: &dyn Fn(usize, usize) -> f64, a: usize, b: usize| {
        inexact
            .iter()
            .map(|column| value(a, *column).total_cmp(&value(b, *column)))
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    };
    ours.sort_by(|a, b| by(&|row, column| number(pair.ours(row, column)), *a, *b));
    theirs.sort_by(|a, b| by(&|row, column| number(pair.theirs(row, column)), *a, *b));
    if ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| pair.equal(*a, *b)) {
        return Unmatched::default();
    }
    let column = most_distinct(pair, &inexact, &theirs);
    let mut sorted: Vec<(f64, usize)> = theirs.iter().map(|row| (number(pair.theirs(*row, column)), *row)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    greedy(pair, column, &ours, &sorted)
}

/// The column with the most different values: it narrows the search for partners most.
fn most_distinct(pair: &Pair<'_>, columns: &[usize], theirs: &[usize]) -> usize {
    let distinct = |column: usize| {
        let mut values: Vec<u64> = theirs.iter().map(|row| pair.theirs(*row, column).number().unwrap_or(0.0).to_bits()).collect();
        values.sort_unstable();
        values.dedup();
        values.len()
    };
    columns.iter().copied().max_by_key(|column| distinct(*column)).unwrap_or(0)
}

/// Gives every row of ours the first free row of theirs that is equal; `theirs` are sorted by the values of `column`.
fn greedy(pair: &Pair<'_>, column: usize, ours: &[usize], theirs: &[(f64, usize)]) -> Unmatched {
    let mut free = Free::all(theirs.len());
    let mut rest = Unmatched::default();
    for row in ours {
        let value = pair.ours(*row, column).number().unwrap_or(0.0);
        let reach = pair.tolerance(column).reach(value);
        let start = theirs.partition_point(|(their, _)| *their < value - reach);
        let bounded = reach.is_finite() && value.is_finite();
        let mut at = free.from(start);
        while at < theirs.len() && (!bounded || theirs[at].0 <= value + reach) && !pair.equal(*row, theirs[at].1) {
            at = free.from(at + 1);
        }
        if at < theirs.len() && (!bounded || theirs[at].0 <= value + reach) {
            free.take(at);
        } else {
            rest.ours.push(*row);
        }
    }
    rest.theirs = theirs.iter().enumerate().filter(|(at, _)| free.has(*at)).map(|(_, (_, row))| *row).collect();
    rest
}

/// Which places are free. Each place points to itself, or over taken ones towards the next free one (a union-find), so that a run of
/// taken places is passed in one step.
struct Free {
    next: Vec<usize>,
}

impl Free {
    fn all(places: usize) -> Self {
        Self { next: (0..=places).collect() }
    }

    fn has(&self, at: usize) -> bool {
        self.next[at] == at
    }

    fn take(&mut self, at: usize) {
        self.next[at] = at + 1;
    }

    /// The first free place from this one on; their number where there is none.
    fn from(&mut self, at: usize) -> usize {
        let mut found = at;
        while self.next[found] != found {
            // Each place on the way skips one: the path halves.
            self.next[found] = self.next[self.next[found]];
            found = self.next[found];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_free_place_passes_taken_ones() {
        let mut free = Free::all(4);
        free.take(1);
        free.take(2);
        assert_eq!([0, 1, 2, 3, 4].map(|at| free.from(at)), [0, 3, 3, 3, 4]);
        free.take(3);
        assert_eq!((free.from(1), free.has(0), free.has(3)), (4, true, false));
    }
}
