//! Order keys of rows, as bytes whose comparison is the `ORDER BY` (DESC and NULLS FIRST included), without allocation where they are short:
//! 5 bytes hold a date, 10 a timestamp or a date and a time in seconds, 18 two of 8 bytes.

use std::fmt::Debug;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
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
pub(crate) struct KeyEncoder(RowConverter);

impl KeyEncoder {
    pub(crate) fn try_new(order: &[OrderKey]) -> Result<Self> {
        let field = |key: &OrderKey| SortField::new_with_options(key.data_type.clone(), key.options);
        Ok(Self(RowConverter::new(order.iter().map(field).collect())?))
    }

    /// The keys of a batch, one for each row.
    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<Rows> {
        Ok(self.0.convert_columns(columns)?)
    }

    /// One column of values back from bytes that this encoder produced.
    pub(crate) fn decode(&self, keys: &[&[u8]]) -> Result<Vec<ArrayRef>> {
        let parser = self.0.parser();
        Ok(self.0.convert_rows(keys.iter().map(|bytes| parser.parse(bytes)))?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Date32Array, Int64Array};

    use super::*;

    #[test]
    fn packed_keys_order_like_their_values() {
        let order = [OrderKey { data_type: DataType::Date32, options: SortOptions { descending: true, nulls_first: false } }];
        let encoder = KeyEncoder::try_new(&order).unwrap();
        let rows = encoder.encode(&[Arc::new(Date32Array::from(vec![Some(3), Some(-7), None, Some(20_000)]))]).unwrap();
        let keys: Vec<Packed<5>> = rows.iter().map(|row| Packed::of(row.as_ref()).unwrap()).collect();
        assert!(keys[3] < keys[0] && keys[0] < keys[1] && keys[1] < keys[2], "{keys:?}");
    }

    #[test]
    fn ten_bytes_hold_a_nine_byte_key_and_give_it_back() {
        let encoder = KeyEncoder::try_new(&[OrderKey { data_type: DataType::Int64, options: SortOptions::default() }]).unwrap();
        let rows = encoder.encode(&[Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, i64::MAX]))]).unwrap();
        let keys: Vec<Packed<10>> = rows.iter().map(|row| Packed::of(row.as_ref()).unwrap()).collect();
        assert!(keys.is_sorted());
        let again: Vec<Packed<10>> = keys.iter().map(|k| k.bytes(Packed::of).unwrap()).collect();
        assert_eq!(keys, again);
        assert!(Packed::<5>::of(rows.row(0).as_ref()).is_err());
    }
}
