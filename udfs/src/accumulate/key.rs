//! Order keys of rows, as bytes whose comparison is the `ORDER BY` (DESC and NULLS FIRST included), without allocation where they are short:
//! 5 bytes hold a date, 10 a timestamp or a date and a time in seconds, 18 two of 8 bytes.

use std::fmt::Debug;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Date32Type};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Result, exec_err};

/// One key of an `ORDER BY`.
#[derive(Debug, Clone)]
pub(crate) struct OrderKey {
    pub(crate) data_type: DataType,
    pub(crate) options: SortOptions,
}

/// A key's bytes, without alignment: beside a value they take just their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packed<const N: usize>([u8; N]);

impl<const N: usize> Default for Packed<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

/// The key of a row.
pub(crate) trait Key: Clone + Default + Debug + Ord + Send + Sync + 'static {
    /// The key of encoded bytes.
    ///
    /// # Errors
    /// More bytes than the key can hold.
    fn of(bytes: &[u8]) -> Result<Self>;

    /// Runs `write` on the key's bytes.
    fn bytes<T>(&self, write: impl FnOnce(&[u8]) -> T) -> T;

    /// Bytes held on the heap.
    fn heap(&self) -> usize {
        0
    }
}

/// Keys of up to `N` bytes. All keys of an order are of one length, so that the padding never decides.
impl<const N: usize> Key for Packed<N> {
    #[inline]
    fn of(bytes: &[u8]) -> Result<Self> {
        if let Ok(whole) = bytes.try_into() {
            return Ok(Self(whole));
        }
        let mut key = [0; N];
        let Some(front) = key.get_mut(..bytes.len()) else {
            return exec_err!("finance function: order key of {} bytes where at most {N} were planned", bytes.len());
        };
        front.copy_from_slice(bytes);
        Ok(Self(key))
    }

    fn bytes<T>(&self, write: impl FnOnce(&[u8]) -> T) -> T {
        write(&self.0)
    }
}

/// Keys of any length.
impl Key for Box<[u8]> {
    fn of(bytes: &[u8]) -> Result<Self> {
        Ok(bytes.into())
    }

    fn bytes<T>(&self, write: impl FnOnce(&[u8]) -> T) -> T {
        write(self)
    }

    fn heap(&self) -> usize {
        self.len()
    }
}

/// What can be made once the type of the keys is known.
pub(super) trait ForKey {
    type Made;

    fn make<K: Key>(self) -> Self::Made;
}

/// Chooses the smallest key type for the order.
pub(super) fn by_width<M: ForKey>(order: &[OrderKey], maker: M) -> M::Made {
    let width = order.iter().map(|key| encoded_width(&key.data_type)).sum::<Option<usize>>();
    match width {
        Some(0..=5) => maker.make::<Packed<5>>(),
        Some(6..=10) => maker.make::<Packed<10>>(),
        Some(11..=18) => maker.make::<Packed<18>>(),
        _ => maker.make::<Box<[u8]>>(),
    }
}

/// Bytes of one encoded value, a marker for NULL included; `None` where they vary.
fn encoded_width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Boolean => Some(2),
        other if other.is_primitive() => other.primitive_width().map(|width| width + 1),
        _ => None,
    }
}

/// Encodes the key columns of batches.
#[derive(Debug)]
pub(crate) struct KeyEncoder {
    converter: RowConverter,
    /// The options of a single date, the most frequent order by far, which is encoded without a converter.
    date: Option<SortOptions>,
}

/// The keys of a batch.
pub(crate) enum Keys<'a> {
    Rows(Rows),
    Dates(&'a Date32Array, SortOptions),
}

impl Keys<'_> {
    /// The key of row `i`.
    #[inline]
    pub(crate) fn key<K: Key>(&self, i: usize) -> Result<K> {
        match self {
            Self::Rows(rows) => K::of(rows.row(i).as_ref()),
            Self::Dates(dates, options) => K::of(&date_key(dates.is_valid(i).then(|| dates.value(i)), *options)),
        }
    }
}

/// A date as arrow-row encodes it: a marker for NULL, then the days with the sign bit flipped, all bits inverted for DESC.
#[inline]
fn date_key(days: Option<i32>, options: SortOptions) -> [u8; 5] {
    let Some(days) = days else {
        return [if options.nulls_first { 0 } else { u8::MAX }, 0, 0, 0, 0];
    };
    let ascending = days as u32 ^ (1 << 31);
    let [a, b, c, d] = if options.descending { !ascending } else { ascending }.to_be_bytes();
    [1, a, b, c, d]
}

impl KeyEncoder {
    pub(crate) fn try_new(order: &[OrderKey]) -> Result<Self> {
        let field = |key: &OrderKey| SortField::new_with_options(key.data_type.clone(), key.options);
        let date = match order {
            [key] if key.data_type == DataType::Date32 => Some(key.options),
            _ => None,
        };
        Ok(Self { converter: RowConverter::new(order.iter().map(field).collect())?, date })
    }

    /// The keys of a batch, one for each row.
    pub(crate) fn encode<'a>(&self, columns: &'a [ArrayRef]) -> Result<Keys<'a>> {
        match (self.date, columns) {
            (Some(options), [dates]) if let Some(dates) = dates.as_primitive_opt::<Date32Type>() => Ok(Keys::Dates(dates, options)),
            _ => Ok(Keys::Rows(self.rows(columns)?)),
        }
    }

    /// The bytes of a batch, one sequence for each row.
    pub(crate) fn rows(&self, columns: &[ArrayRef]) -> Result<Rows> {
        Ok(self.converter.convert_columns(columns)?)
    }

    /// One column of values back from bytes that this encoder produced.
    pub(crate) fn decode(&self, keys: &[&[u8]]) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(keys.iter().map(|bytes| parser.parse(bytes)))?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::Int64Array;

    use super::*;

    #[test]
    fn dates_are_encoded_as_by_the_converter() {
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(3), Some(-7), None, Some(20_000), Some(i32::MIN), Some(i32::MAX)]));
        for (descending, nulls_first) in [(false, false), (false, true), (true, false), (true, true)] {
            let options = SortOptions { descending, nulls_first };
            let encoder = KeyEncoder::try_new(&[OrderKey { data_type: DataType::Date32, options }]).unwrap();
            let columns = [Arc::clone(&dates)];
            let (fast, converted) = (encoder.encode(&columns).unwrap(), encoder.converter.convert_columns(&columns).unwrap());
            assert!(matches!(fast, Keys::Dates(..)));
            for i in 0..dates.len() {
                assert_eq!(fast.key::<Packed<5>>(i).unwrap(), Packed::of(converted.row(i).as_ref()).unwrap(), "{options:?} row {i}");
            }
        }
    }

    #[test]
    fn ten_bytes_hold_a_nine_byte_key_and_give_it_back() {
        let encoder = KeyEncoder::try_new(&[OrderKey { data_type: DataType::Int64, options: SortOptions::default() }]).unwrap();
        let columns: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, i64::MAX]))];
        let rows = encoder.encode(&columns).unwrap();
        let keys: Vec<Packed<10>> = (0..4).map(|i| rows.key(i).unwrap()).collect();
        assert!(keys.is_sorted());
        let again: Vec<Packed<10>> = keys.iter().map(|k| k.bytes(Packed::of).unwrap()).collect();
        assert_eq!(keys, again);
        assert!(rows.key::<Packed<5>>(0).is_err());
    }
}
