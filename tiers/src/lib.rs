//! Memory and disk tiers in front of any [`object_store`].
//!
//! [`TieredStore`] is an [`ObjectStore`](object_store::ObjectStore) over another one, its origin. It cuts objects into blocks, keeps blocks
//! in memory and in a local directory under byte limits that hold at every moment, loads each block once however many readers want it,
//! and never mixes two versions of an object. [`TIERS`] is the list of tiers. It knows no SQL and no table format: what may be kept, and
//! for how long, is the embedder's [`VersionPolicy`] for each path.
//!
//! ```
//! use std::sync::Arc;
//! use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
//! use object_store_tiers::{Figure, Origin, ReadFigures, Settings, Tier, Tiers, VersionPolicy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cache = tempfile::tempdir()?;
//! let tiers = Tiers::open(Settings { memory_limit_bytes: 64 << 20, ..Settings::default() }.with_disk(cache.path(), 1 << 30))?;
//! let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
//! let store = tiers.store(Origin::new("s3://bucket", bucket).with_policy(|path| match path.extension() {
//!     Some("parquet") => VersionPolicy::Immutable,
//!     _ => VersionPolicy::Revalidate,
//! }));
//! store.put(&Path::from("a.parquet"), "some bytes".into()).await?;
//!
//! let figures = Arc::new(ReadFigures::new());
//! let query = store.scoped(Arc::clone(&figures));
//! assert_eq!(query.get_range(&Path::from("a.parquet"), 5..10).await?, "bytes");
//! assert_eq!(figures.get(Tier::Memory, Figure::Hits), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # The life of a read
//!
//! 1. `get_opts` and `get_ranges` (`store.rs`) send straight to the origin what no tier may answer: paths of [`VersionPolicy::NoCache`],
//!    requests for a stored version by name, and everything while no tier is on.
//! 2. The version (`versions.rs`): the one this query has seen before, else the one known if the policy calls it fresh, else the origin is
//!    asked, by one reader at a time. Where nothing is known, the first bytes are asked for instead of a `head`, and tell the version.
//! 3. The range becomes blocks (`blocks.rs`), the key of a block being origin, path, version and number.
//! 4. For each block (`read.rs`): memory (`memory.rs`); else a load that is under way (`flight.rs`); else this reader leads a load.
//! 5. The load (`load.rs`) runs in a task of its own, so that a reader that goes away takes nobody along.
//! 6. It reads from the disk tier (`disk/`) what lies there, and checks every byte of it; damaged entries are dropped and counted.
//! 7. It asks the origin for the rest, neighbouring blocks by one request, under the condition that the version is still the same,
//!    within the bytes that may be in flight. Room in memory is reserved before (`index.rs`), evicting if need be (`eviction.rs`).
//! 8. As the bytes come in, block by block, they go to memory, to those who wait, and behind their back to the disk.
//! 9. An answer that is short, of another version or late is an error for all who wait (`error.rs`); it is not kept.
//! 10. The reader cuts its ranges out of the blocks.
//!
//! Every step counts (`stats.rs`), for all reads and for the query.

mod blocks;
mod disk;
mod error;
mod eviction;
mod flight;
mod index;
mod load;
mod memory;
mod movement;
mod read;
mod settings;
mod stats;
mod store;
mod tier;
mod tiers;
mod versions;
mod write;

pub use error::{ErrorKind, Result, TierError};
pub use settings::{DiskSettings, Origin, PolicyFn, Settings, StaleCallback, StaleRead, VersionPolicy};
pub use stats::{EntryRow, Figure, ReadFigures, TierRow};
pub use store::TieredStore;
pub use tier::{TIERS, Tier, TierDescription};
pub use tiers::Tiers;
