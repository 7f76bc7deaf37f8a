//! Groups by their values, so that the files that may hold one are found without a look at every pair.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound::Included;

use datafusion::common::ScalarValue;

use super::staging::Groups;
use crate::storage::ColumnRange;

/// Groups by the values of one of their columns, the one that tells most of them apart.
pub(super) struct GroupIndex<'a> {
    groups: Vec<&'a [ScalarValue]>,
    /// Place of the column; none where groups have no columns: then there is one group, of all rows.
    column: Option<usize>,
    texts: BTreeMap<&'a str, Vec<usize>>,
    numbers: BTreeMap<i64, Vec<usize>>,
    /// Groups with NULL there, or a value that is not looked up.
    others: Vec<usize>,
}

impl<'a> GroupIndex<'a> {
    /// An index of groups.
    pub(super) fn new(groups: &'a Groups) -> Self {
        let groups: Vec<&[ScalarValue]> = groups.values().map(Vec::as_slice).collect();
        let columns = groups.first().map_or(0, |group| group.len());
        let distinct = |column: &usize| groups.iter().map(|group| &group[*column]).collect::<HashSet<_>>().len();
        let column = (0..columns).max_by_key(distinct);
        let mut index = Self { groups, column, texts: BTreeMap::new(), numbers: BTreeMap::new(), others: vec![] };
        for (place, group) in index.groups.iter().enumerate() {
            match column.map(|column| &group[column]) {
                Some(ScalarValue::Utf8(Some(text))) => index.texts.entry(text).or_default().push(place),
                Some(ScalarValue::Int64(Some(number))) => index.numbers.entry(*number).or_default().push(place),
                _ => index.others.push(place),
            }
        }
        index
    }

    /// Whether a file may hold rows of one of the groups, by what the log tells of its columns.
    pub(super) fn may_be_in(&self, ranges: &[ColumnRange]) -> bool {
        let fits = |place: &usize| ranges.iter().zip(self.groups[*place]).all(|(range, value)| may_be(range, value));
        let Some(range) = self.column.and_then(|column| ranges.get(column)) else {
            return (0..self.groups.len()).any(|place| fits(&place));
        };
        self.others.iter().any(fits) || self.texts_in(range).any(fits) || self.numbers_in(range).any(fits)
    }

    fn texts_in(&self, range: &ColumnRange) -> Box<dyn Iterator<Item = &usize> + '_> {
        match range {
            ColumnRange::Constant(text) => Box::new(self.texts.get(text.as_str()).into_iter().flatten()),
            ColumnRange::Null => Box::new(self.texts.get("").into_iter().flatten()),
            ColumnRange::Between { min, max, .. } => match (min.as_str(), max.as_str()) {
                (Some(min), Some(max)) if min <= max => {
                    Box::new(self.texts.range::<str, _>((Included(min), Included(max))).flat_map(|(_, places)| places))
                }
                _ => Box::new(self.texts.values().flatten()),
            },
            ColumnRange::Unknown => Box::new(self.texts.values().flatten()),
        }
    }

    fn numbers_in(&self, range: &ColumnRange) -> Box<dyn Iterator<Item = &usize> + '_> {
        match range {
            ColumnRange::Constant(text) => match text.parse::<i64>() {
                Ok(number) => Box::new(self.numbers.get(&number).into_iter().flatten()),
                Err(_) => Box::new(self.numbers.values().flatten()),
            },
            ColumnRange::Null => Box::new(std::iter::empty()),
            ColumnRange::Between { min, max, .. } => match (min.as_i64(), max.as_i64()) {
                (Some(min), Some(max)) if min <= max => Box::new(self.numbers.range(min..=max).flat_map(|(_, places)| places)),
                _ => Box::new(self.numbers.values().flatten()),
            },
            ColumnRange::Unknown => Box::new(self.numbers.values().flatten()),
        }
    }
}

/// Whether a value may occur in a file, by what the log tells.
fn may_be(range: &ColumnRange, value: &ScalarValue) -> bool {
    match (range, value) {
        (ColumnRange::Unknown, _) => true,
        (ColumnRange::Null, ScalarValue::Utf8(Some(text))) => text.is_empty(),
        (ColumnRange::Null, value) => value.is_null(),
        (ColumnRange::Constant(_), value) if value.is_null() => false,
        (ColumnRange::Constant(constant), ScalarValue::Utf8(Some(text))) => constant == text,
        (ColumnRange::Constant(constant), ScalarValue::Int64(Some(number))) => {
            constant.parse::<i64>().map_or(true, |constant| constant == *number)
        }
        (ColumnRange::Constant(_), _) => true,
        (ColumnRange::Between { has_null, .. }, value) if value.is_null() => *has_null,
        (ColumnRange::Between { min, max, .. }, ScalarValue::Utf8(Some(text))) => match (min.as_str(), max.as_str()) {
            (Some(min), Some(max)) => min <= text.as_str() && text.as_str() <= max,
            _ => true,
        },
        (ColumnRange::Between { min, max, .. }, ScalarValue::Int64(Some(number))) => match (min.as_i64(), max.as_i64()) {
            (Some(min), Some(max)) => (min..=max).contains(number),
            _ => true,
        },
        (ColumnRange::Between { .. }, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use serde_json::json;

    use super::super::keys::KeyMap;
    use super::*;

    fn text(text: &str) -> ScalarValue {
        ScalarValue::Utf8(Some(text.into()))
    }

    fn groups(of: Vec<Vec<ScalarValue>>) -> Groups {
        let mut groups = KeyMap::new(&SessionContext::new());
        for (place, values) in of.into_iter().enumerate() {
            groups.insert(Box::from(place.to_le_bytes()), values).expect("memory");
        }
        groups
    }

    /// The index must say of every range what a look at every group says.
    #[test]
    fn the_index_finds_what_a_look_at_every_group_finds() {
        let values =
            [text("a"), text("b"), text(""), ScalarValue::Utf8(None), ScalarValue::Int64(Some(3)), ScalarValue::Float64(Some(0.5))];
        let between = |min, max, has_null| ColumnRange::Between { min, max, has_null };
        let ranges = [
            ColumnRange::Unknown,
            ColumnRange::Null,
            ColumnRange::Constant("b".into()),
            ColumnRange::Constant("3".into()),
            between(json!("a"), json!("aa"), false),
            between(json!("c"), json!("b"), true),
            between(json!(1), json!(2), false),
            between(json!(3), json!(9), true),
            between(json!(0.25), json!(0.75), false),
        ];
        let mut outcomes = [0, 0];
        for (first, second) in values.iter().flat_map(|first| values.iter().map(move |second| (first, second))) {
            for more in [vec![], vec![vec![text("x"), text("y")]], vec![vec![first.clone(), text("z")]]] {
                let all = groups([vec![vec![first.clone(), second.clone()]], more].concat());
                let index = GroupIndex::new(&all);
                for (one, other) in ranges.iter().flat_map(|one| ranges.iter().map(move |other| (one, other))) {
                    let file = [one.clone(), other.clone()];
                    let expected = all.values().any(|group| file.iter().zip(group).all(|(range, value)| may_be(range, value)));
                    assert_eq!(index.may_be_in(&file), expected, "{first} {second} in {file:?}");
                    outcomes[usize::from(expected)] += 1;
                }
            }
        }
        assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
    }

    #[test]
    fn one_group_of_all_rows_may_be_in_every_file() {
        assert!(GroupIndex::new(&groups(vec![vec![]])).may_be_in(&[]));
        assert!(!GroupIndex::new(&groups(vec![])).may_be_in(&[]));
    }
}
