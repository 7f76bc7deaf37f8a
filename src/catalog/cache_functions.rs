//! Functions that move, drop and pin what the tiers in front of object stores hold.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result as DfResult, internal_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionState;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::path::Path;
use object_store_tiers::{Tier, TieredStore};
use url::Url;

use super::DirectorySchema;
use super::data_files::{data_files, filtered_files};
use crate::error::{Error, Result};
use crate::storage::{DecodedTier, RemoteStores};

/// A function of a place or a table, and of a filter where it takes one, that gives a number.
pub struct CacheFunction {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub signature: &'static str,
    /// What it does and gives, in one line.
    pub summary: &'static str,
    takes_filter: bool,
    run: for<'a> fn(&'a Held, Target<'a>) -> BoxFuture<'a, Result<u64>>,
}

/// What a function is asked to work on.
#[derive(Clone, Copy)]
struct Target<'a> {
    /// A URL, the name of a table, or that of a tier.
    name: &'a str,
    /// Which rows of a table.
    filter: Option<&'a str>,
}

/// Every one.
pub const CACHE_FUNCTIONS: &[CacheFunction] = &[
    CacheFunction {
        name: "cache_clear",
        signature: "cache_clear('memory' | 'disk' | 'decoded')",
        summary: "Drops all that a tier holds; gives its bytes.",
        takes_filter: false,
        run: |held, tier| Box::pin(async move { clear(held, tier.name) }),
    },
    CacheFunction {
        name: "cache_invalidate",
        signature: "cache_invalidate('table' | 's3://bucket/path')",
        summary: "Drops what the tiers know and hold of a table, an object, or all below a path; gives the blocks. The next read asks the store.",
        takes_filter: false,
        run: |held, target| {
            Box::pin(async move {
                let places = if is_url(target.name) { vec![held.place(target.name)?] } else { held.objects(target).await? };
                let dropped = places.iter().map(|(store, path)| match path.as_ref().is_empty() {
                    true => store.invalidate_all(),
                    false => store.invalidate(path),
                });
                Ok(dropped.sum())
            })
        },
    },
    CacheFunction {
        name: "cache_prefetch",
        signature: "cache_prefetch('table' | 's3://bucket/path' [, 'filter'])",
        summary: "Brings a table, the files of it that a query with the filter would read, an object, or all below a path that ends in /, into the tiers; gives their bytes.",
        takes_filter: true,
        run: |held, target| {
            Box::pin(async move {
                let mut bytes = 0;
                for (store, path) in held.objects(target).await? {
                    bytes += store.prefetch(&[path]).await.map_err(|error| target.failed("prefetching", error))?;
                }
                Ok(bytes)
            })
        },
    },
    CacheFunction {
        name: "cache_pin",
        signature: "cache_pin('table' | 's3://bucket/path' [, 'filter'])",
        summary: "As cache_prefetch, and keeps it there; the bytes count against the limit.",
        takes_filter: true,
        run: |held, target| {
            Box::pin(async move {
                let mut bytes = 0;
                for (store, path) in held.objects(target).await? {
                    bytes += store.pin(&path).await.map_err(|error| target.failed("pinning", error))?;
                }
                Ok(bytes)
            })
        },
    },
    CacheFunction {
        name: "cache_unpin",
        signature: "cache_unpin('table' | 's3://bucket/path' [, 'filter'])",
        summary: "Lets what was pinned go as everything else; gives the number of objects.",
        takes_filter: true,
        run: |held, target| {
            Box::pin(async move {
                let objects = held.objects(target).await?;
                objects.iter().for_each(|(store, path)| store.unpin(path));
                Ok(objects.len() as u64)
            })
        },
    },
];

impl Target<'_> {
    fn failed(self, operation: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::storage(format!("{operation} {}", self.name), error)
    }
}

/// What the functions work on.
#[derive(Clone)]
struct Held {
    stores: Arc<RemoteStores>,
    decoded: Arc<DecodedTier>,
    directory: Weak<DirectorySchema>,
}

fn is_url(name: &str) -> bool {
    name.contains("://")
}

impl Held {
    /// The store and path of a URL.
    fn place(&self, url: &str) -> Result<(TieredStore, Path)> {
        let wrong = |reason: String| {
            Error::Usage(format!("'{url}': {reason}\nhint: name a table of an object store, or objects by URL, such as s3://bucket/path"))
        };
        let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        let path = Path::from_url_path(parsed.path()).map_err(|error| wrong(error.to_string()))?;
        let store = self.stores.open(&parsed)?.ok_or_else(|| wrong("files of this machine are read without these tiers".into()))?;
        Ok((store, path))
    }

    /// The objects of a table, of a URL, or those below it where it ends in `/`.
    async fn objects(&self, target: Target<'_>) -> Result<Vec<(TieredStore, Path)>> {
        if !is_url(target.name) {
            return self.table_objects(target).await;
        }
        if target.filter.is_some() {
            return Err(Error::Usage(format!("'{}': a filter needs a table", target.name)));
        }
        let (store, path) = self.place(target.name)?;
        if !target.name.ends_with('/') {
            return Ok(vec![(store, path)]);
        }
        let listed = store.list(Some(&path)).map_ok(|object| (store.clone(), object.location)).try_collect().await;
        listed.map_err(|error| target.failed("listing", error))
    }

    async fn table_objects(&self, target: Target<'_>) -> Result<Vec<(TieredStore, Path)>> {
        let directory = self.directory.upgrade().ok_or_else(|| Error::Internal("the database of this session is gone".into()))?;
        let ctx = SessionContext::new_with_state(directory.state()?);
        let files = match target.filter {
            None => data_files(&directory, &ctx, target.name).await?,
            Some(filter) => filtered_files(&directory, &ctx, (target.name, filter)).await?,
        };
        files.iter().map(|file| self.place(file.url.as_str())).collect()
    }
}

fn clear(held: &Held, tier: &str) -> Result<u64> {
    if tier.eq_ignore_ascii_case(super::system::DECODED) {
        return Ok(held.decoded.give_way(usize::MAX) as u64);
    }
    let tier: Tier = tier.parse().map_err(|reason: String| Error::Usage(format!("{reason}, {}", super::system::DECODED)))?;
    if !tier.description().is_cache {
        return Err(Error::Usage(format!("the {tier} holds the truth: only what is kept of it can be cleared")));
    }
    let tiers = held.stores.tiers();
    let bytes = tiers.statistics().into_iter().find(|row| row.tier == tier.name()).map_or(0, |row| row.used_bytes);
    tiers.clear(tier);
    Ok(bytes)
}

/// Makes the functions known to a session.
///
/// # Errors
/// None in a session that takes functions.
pub fn register_cache_functions(
    state: &mut SessionState,
    stores: &Arc<RemoteStores>,
    decoded: &Arc<DecodedTier>,
    directory: &Arc<DirectorySchema>,
) -> DfResult<()> {
    let held = Held { stores: Arc::clone(stores), decoded: Arc::clone(decoded), directory: Arc::downgrade(directory) };
    for function in CACHE_FUNCTIONS {
        let texts = |count| TypeSignature::Exact(vec![DataType::Utf8; count]);
        let shapes = (1..=1 + usize::from(function.takes_filter)).map(texts).collect();
        let registered = Registered { function, held: held.clone(), signature: Signature::one_of(shapes, Volatility::Volatile) };
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
        let texts = |value: &ColumnarValue| cast(&value.to_array(args.number_rows)?, &DataType::Utf8).map_err(DataFusionError::from);
        let given: Vec<ArrayRef> = args.args.iter().map(texts).collect::<DfResult<_>>()?;
        let mut numbers = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let value = |array: &'_ ArrayRef| array.is_valid(row).then(|| array.as_string::<i32>().value(row).to_owned());
            let texts: Option<Vec<String>> = given.iter().map(value).collect();
            numbers.push(match texts.as_deref() {
                Some([name, filter @ ..]) => {
                    let target = Target { name, filter: filter.first().map(String::as_str) };
                    let number = (self.function.run)(&self.held, target).await?;
                    Some(i64::try_from(number).unwrap_or(i64::MAX))
                }
                _ => None,
            });
        }
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from(numbers))))
    }
}
