//! Keys of strategies and groups: columns of several tables made comparable, and sets of them inside of plans.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{ColumnarValue, Expr, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Bytes that an entry of a set takes beside its key.
const ENTRY_BYTES: usize = 64;

/// A column by its name as it is.
pub(super) fn ident(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The type in which values of a column are compared between tables.
pub(super) fn compared_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Utf8 => DataType::Utf8,
        DataType::Dictionary(_, value) => compared_type(value),
        t if t.is_integer() => DataType::Int64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        other => other.clone(),
    }
}

/// A column in the type in which it is compared, -0 as 0.
pub(super) fn compared(column: &ArrayRef) -> Result<ArrayRef> {
    let failed = |e: datafusion::arrow::error::ArrowError| Error::from(DataFusionError::from(e));
    let column = cast(column, &compared_type(column.data_type())).map_err(failed)?;
    let Some(numbers) = column.as_primitive_opt::<Float64Type>() else { return Ok(column) };
    Ok(Arc::new(numbers.unary::<_, Float64Type>(|x| x + 0.0) as Float64Array))
}

/// Makes bytes of key columns: equal bytes are equal keys, NULL equals NULL.
pub(super) struct KeyEncoder {
    names: Vec<String>,
    types: Vec<DataType>,
    converter: RowConverter,
}

impl fmt::Debug for KeyEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyEncoder").field("names", &self.names).finish_non_exhaustive()
    }
}

impl KeyEncoder {
    /// An encoder of columns of a table.
    pub(super) fn try_new(schema: &Schema, names: &[String]) -> Result<Self> {
        let types = names.iter().map(|name| Ok(compared_type(schema.field_with_name(name)?.data_type()))).collect::<Result<Vec<_>, _>>();
        let types = types.map_err(|e: datafusion::arrow::error::ArrowError| Error::Internal(e.to_string()))?;
        let fields = types.iter().cloned().map(SortField::new).collect();
        let converter = RowConverter::new(fields).map_err(|e| Error::Usage(format!("these columns cannot be a key: {e}")))?;
        Ok(Self { names: names.to_vec(), types, converter })
    }

    /// Columns of a batch by their names, as they are compared.
    pub(super) fn columns(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let column = |name: &String| batch.column_by_name(name).ok_or_else(|| Error::Internal(format!("no column '{name}'")));
        self.names.iter().map(|name| compared(column(name)?)).collect()
    }

    /// The keys of the rows of a batch.
    pub(super) fn encode(&self, batch: &RecordBatch) -> Result<Vec<Box<[u8]>>> {
        self.encode_columns(&self.columns(batch)?, batch.num_rows()).map_err(Error::from)
    }

    fn encode_columns(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Box<[u8]>>, DataFusionError> {
        if columns.is_empty() {
            return Ok(vec![Box::default(); rows]);
        }
        let encoded = self.converter.convert_columns(columns)?;
        Ok(encoded.iter().map(|row| row.data().into()).collect())
    }

    /// A key of a row as messages show it.
    pub(super) fn shown(&self, batch: &RecordBatch, row: usize) -> String {
        let cell = |name: &String| {
            let column = batch.column_by_name(name)?;
            let text = if column.is_null(row) { "NULL".to_owned() } else { array_value_to_string(column, row).ok()? };
            Some(format!("{name} = {text}"))
        };
        self.names.iter().filter_map(cell).collect::<Vec<_>>().join(", ")
    }

    /// The values of a row.
    pub(super) fn values(columns: &[ArrayRef], row: usize) -> Result<Vec<ScalarValue>> {
        columns.iter().map(|column| ScalarValue::try_from_array(column, row).map_err(Error::from)).collect()
    }

    /// An expression that is true for rows whose key is among those of the map, or whose value there `wanted` takes.
    pub(super) fn is_among<V: Send + Sync + 'static>(self: &Arc<Self>, name: &str, keys: &Arc<KeyMap<V>>, wanted: fn(&V) -> bool) -> Expr {
        let (encoder, keys) = (Arc::clone(self), Arc::clone(keys));
        let lookup = move |arguments: &[ColumnarValue]| {
            let columns = ColumnarValue::values_to_arrays(arguments)?;
            let columns = columns.iter().map(compared).collect::<Result<Vec<_>>>()?;
            let among = |key: &[u8]| Some(keys.get(key).is_some_and(wanted));
            if columns.is_empty() {
                return Ok(ColumnarValue::Array(Arc::new(BooleanArray::from_iter([among(&[])]))));
            }
            let encoded = encoder.converter.convert_columns(&columns)?;
            let found: BooleanArray = encoded.iter().map(|row| among(row.data())).collect();
            Ok(ColumnarValue::Array(Arc::new(found)))
        };
        if self.names.is_empty() {
            let among = keys_hold_all(&lookup);
            return datafusion::logical_expr::lit(among);
        }
        let function = create_udf(name, self.types.clone(), DataType::Boolean, Volatility::Immutable, Arc::new(lookup));
        function.call(self.names.iter().map(|name| ident(name)).collect())
    }
}

/// Without columns all rows have the one key there is.
fn keys_hold_all(lookup: &impl Fn(&[ColumnarValue]) -> Result<ColumnarValue, DataFusionError>) -> bool {
    matches!(lookup(&[]), Ok(ColumnarValue::Array(found)) if found.as_boolean_opt().is_some_and(|found| found.len() == 1 && found.value(0)))
}

/// Keys with a value each, within the memory that the session may use.
pub(super) struct KeyMap<V> {
    map: HashMap<Box<[u8]>, V>,
    reservation: MemoryReservation,
}

impl<V> KeyMap<V> {
    /// An empty map.
    pub(super) fn new(ctx: &SessionContext) -> Self {
        let reservation = MemoryConsumer::new("keys of a retention").register(&ctx.runtime_env().memory_pool);
        Self { map: HashMap::new(), reservation }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.map.get(key)
    }

    /// The value of a key, to be changed.
    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        self.map.get_mut(key)
    }

    /// Takes a key, or replaces its value; gives the value before.
    ///
    /// # Errors
    /// [`Error::Query`] when the memory of the session does not suffice.
    pub(super) fn insert(&mut self, key: Box<[u8]>, value: V) -> Result<Option<V>> {
        let bytes = key.len() + size_of::<V>() + ENTRY_BYTES;
        let before = self.map.insert(key, value);
        if before.is_none() {
            self.reservation.try_grow(bytes)?;
        }
        Ok(before)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Forgets all keys and gives their memory back.
    pub(super) fn clear(&mut self) {
        self.map = HashMap::new();
        self.reservation.free();
    }

    /// The values, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.map.values()
    }

    /// Keys and values, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.map.iter().map(|(key, value)| (key.as_ref(), value))
    }
}

/// What the sample is drawn by: the SHA-256 of the seed and of the key's values, the same on every machine.
///
/// Texts are their length and bytes, whole numbers and doubles their 8 bytes, little end first; each after a letter for its type.
pub(super) fn sample_hash(seed: u64, columns: &[ArrayRef], row: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    for column in columns {
        if column.is_null(row) {
            hash.update(b"n");
        } else if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
            hash.update(b"i");
            hash.update(numbers.value(row).to_le_bytes());
        } else if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
            hash.update(b"f");
            hash.update(numbers.value(row).to_bits().to_le_bytes());
        } else {
            let text = array_value_to_string(column, row).unwrap_or_default();
            hash.update(b"t");
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_count_as_memory_of_the_session_until_they_are_forgotten() {
        let ctx = SessionContext::new();
        let pool = Arc::clone(&ctx.runtime_env().memory_pool);
        let mut keys: KeyMap<()> = KeyMap::new(&ctx);
        for key in 0..1000_u64 {
            keys.insert(Box::from(key.to_le_bytes()), ()).expect("memory");
            keys.insert(Box::from(key.to_le_bytes()), ()).expect("memory");
        }
        assert_eq!((keys.len(), pool.reserved()), (1000, 1000 * (8 + ENTRY_BYTES)));
        keys.clear();
        assert_eq!((keys.len(), pool.reserved()), (0, 0));
    }
}
