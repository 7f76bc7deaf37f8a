//! Functions that move, drop and pin what the tiers in front of object stores hold.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result as DfResult, internal_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionState;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::path::Path;
use object_store_tiers::{Tier, TieredStore};
use url::Url;

use crate::error::{Error, Result};
use crate::storage::{DecodedTier, RemoteStores};

/// A function of one text that gives a number.
pub struct CacheFunction {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub signature: &'static str,
    /// What it does and gives, in one line.
    pub summary: &'static str,
    run: for<'a> fn(&'a Held, &'a str) -> BoxFuture<'a, Result<u64>>,
}

/// Every one.
pub const CACHE_FUNCTIONS: &[CacheFunction] = &[
    CacheFunction {
        name: "cache_clear",
        signature: "cache_clear('memory' | 'disk' | 'decoded')",
        summary: "Drops all that a tier holds; gives its bytes.",
        run: |held, tier| Box::pin(async move { clear(held, tier) }),
    },
    CacheFunction {
        name: "cache_invalidate",
        signature: "cache_invalidate('s3://bucket/path')",
        summary: "Drops what the tiers know and hold of an object, or of all below a path; gives the blocks. The next read asks the store.",
        run: |held, url| {
            Box::pin(async move {
                let (store, path) = held.open(url)?;
                Ok(if path.as_ref().is_empty() { store.invalidate_all() } else { store.invalidate(&path) })
            })
        },
    },
    CacheFunction {
        name: "cache_prefetch",
        signature: "cache_prefetch('s3://bucket/path')",
        summary: "Brings an object, or all below a path that ends in /, into the tiers; gives their bytes.",
        run: |held, url| {
            Box::pin(async move {
                let (store, path) = held.open(url)?;
                let paths = objects(&store, url, path).await?;
                store.prefetch(&paths).await.map_err(|error| Error::storage(format!("prefetching {url}"), error))
            })
        },
    },
    CacheFunction {
        name: "cache_pin",
        signature: "cache_pin('s3://bucket/path')",
        summary: "Brings an object, or all below a path that ends in /, into a tier and keeps it there; gives its bytes, which count against the limit.",
        run: |held, url| {
            Box::pin(async move {
                let (store, path) = held.open(url)?;
                let mut bytes = 0;
                for path in objects(&store, url, path).await? {
                    bytes += store.pin(&path).await.map_err(|error| Error::storage(format!("pinning {url}"), error))?;
                }
                Ok(bytes)
            })
        },
    },
    CacheFunction {
        name: "cache_unpin",
        signature: "cache_unpin('s3://bucket/path')",
        summary: "Lets what was pinned go as everything else; gives the number of objects.",
        run: |held, url| {
            Box::pin(async move {
                let (store, path) = held.open(url)?;
                let paths = objects(&store, url, path).await?;
                paths.iter().for_each(|path| store.unpin(path));
                Ok(paths.len() as u64)
            })
        },
    },
];

/// What the functions work on.
#[derive(Clone)]
struct Held {
    stores: Arc<RemoteStores>,
    decoded: Arc<DecodedTier>,
}

impl Held {
    fn open(&self, url: &str) -> Result<(TieredStore, Path)> {
        let wrong = |reason: String| Error::Usage(format!("'{url}': {reason}\nhint: name objects by URL, such as s3://bucket/path"));
        let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        let path = Path::from_url_path(parsed.path()).map_err(|error| wrong(error.to_string()))?;
        let store = self.stores.open(&parsed)?.ok_or_else(|| wrong("files of this machine are read without these tiers".into()))?;
        Ok((store, path))
    }
}

fn clear(held: &Held, tier: &str) -> Result<u64> {
    if tier.eq_ignore_ascii_case(super::cache::DECODED) {
        return Ok(held.decoded.give_way(usize::MAX) as u64);
    }
    let tier: Tier = tier.parse().map_err(|reason: String| Error::Usage(format!("{reason}, {}", super::cache::DECODED)))?;
    if !tier.description().is_cache {
        return Err(Error::Usage(format!("the {tier} holds the truth: only what is kept of it can be cleared")));
    }
    let tiers = held.stores.tiers();
    let bytes = tiers.statistics().into_iter().find(|row| row.tier == tier.name()).map_or(0, |row| row.used_bytes);
    tiers.clear(tier);
    Ok(bytes)
}

/// The object of a URL, or all those below it where it ends in `/`.
async fn objects(store: &TieredStore, url: &str, path: Path) -> Result<Vec<Path>> {
    if !url.ends_with('/') {
        return Ok(vec![path]);
    }
    let listed = store.list(Some(&path)).map_ok(|object| object.location).try_collect().await;
    listed.map_err(|error| Error::storage(format!("listing {url}"), error))
}

/// Makes the functions known to a session.
///
/// # Errors
/// None in a session that takes functions.
pub fn register_cache_functions(state: &mut SessionState, stores: &Arc<RemoteStores>, decoded: &Arc<DecodedTier>) -> DfResult<()> {
    let held = Held { stores: Arc::clone(stores), decoded: Arc::clone(decoded) };
    for function in CACHE_FUNCTIONS {
        let registered =
            Registered { function, held: held.clone(), signature: Signature::exact(vec![DataType::Utf8], Volatility::Volatile) };
        state.register_udf(Arc::new(AsyncScalarUDF::new(Arc::new(registered)).into_scalar_udf()))?;
    }
    Ok(())
}

/// A function as a session knows it.
struct Registered {
    function: &'static CacheFunction,
    held: Held,
    signature: Signature,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheFunction").field("name", &self.function.name).finish_non_exhaustive()
    }
}

impl PartialEq for Registered {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && Arc::ptr_eq(&self.held.stores, &other.held.stores)
    }
}

impl Eq for Registered {}

impl Hash for Registered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Registered {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        internal_err!("{} is called while it waits for a store", self.function.name)
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Registered {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let given: ArrayRef = match args.args.as_slice() {
            [ColumnarValue::Array(array)] => Arc::clone(array),
            [ColumnarValue::Scalar(value)] => value.to_array_of_size(args.number_rows)?,
            _ => return internal_err!("{} takes one text", self.function.name),
        };
        let given = cast(&given, &DataType::Utf8)?;
        let mut numbers = Vec::with_capacity(given.len());
        for text in given.as_string::<i32>() {
            numbers.push(match text {
                Some(text) => Some(i64::try_from((self.function.run)(&self.held, text).await?).unwrap_or(i64::MAX)),
                None => None,
            });
        }
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from(numbers))))
    }
}
