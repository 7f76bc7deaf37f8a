//! Which files of a strategy table overlap in time.

use datafusion::datasource::listing::PartitionedFile;

use super::file::RunFile;

/// Whether the rows of every strategy are in time order when the files are read in the order of their dates.
pub(super) fn in_time_order(files: &[PartitionedFile]) -> bool {
    let facts = |file: &PartitionedFile| {
        file.extension::<RunFile>().is_some_and(|run| run.sorted && run.dates.is_some() && run.strategies.is_some())
    };
    let apart = |place: usize| files[place].extension::<RunFile>().is_some_and(|run| run.apart);
    files.iter().all(facts) && overlapping(files).iter().all(|(a, b)| apart(*a) && apart(*b))
}

/// Pairs of files whose dates overlap, and whose ranges of names do.
pub(in crate::exec) fn overlapping(files: &[PartitionedFile]) -> Vec<(usize, usize)> {
    let known = |place: usize| {
        let run = files[place].extension::<RunFile>()?;
        Some((run.dates?, run.strategies.as_ref()?))
    };
    let mut by_date: Vec<_> = (0..files.len()).filter_map(|place| Some((place, known(place)?))).collect();
    by_date.sort_by_key(|(_, (dates, _))| *dates);
    // Only those that still run when the next begins can overlap with it.
    let mut running: Vec<(usize, i32, &(String, String))> = vec![];
    let mut pairs = vec![];
    for (place, ((first, last), names)) in by_date {
        running.retain(|(_, end, _)| *end >= first);
        let overlaps = running.iter().filter(|(_, _, other)| other.0 <= names.1 && names.0 <= other.1);
        pairs.extend(overlaps.map(|(other, ..)| (*other, place)));
        running.push((place, last, names));
    }
    pairs
}
