//! Globs as a shell reads them: `*`, `?`, `[a-z]` and `{a,b}` stay within one folder, `**` goes through any number of them.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result as DfResult};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use globset::{GlobBuilder, GlobMatcher};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::storage::is_hidden;

/// Signs of a glob in a local path.
const LOCAL_SIGNS: &[char] = &['*', '?', '[', '{'];
/// Signs of a glob in a URL, where `?` begins a query.
const URL_SIGNS: &[char] = &['*', '[', '{'];

fn signs(location: &str) -> &'static [char] {
    if location.contains("://") { URL_SIGNS } else { LOCAL_SIGNS }
}

/// Whether a location is a pattern.
pub(super) fn is_glob(location: &str) -> bool {
    location.contains(signs(location))
}

/// A location taken apart where its pattern begins.
pub(super) struct Glob<'a> {
    location: &'a str,
    /// The folder that holds everything that could match, ending in `/`.
    pub(super) base: &'a str,
    pattern: &'a str,
}

impl<'a> Glob<'a> {
    /// The glob of a location for which [`is_glob`] holds.
    pub(super) fn of(location: &'a str) -> Self {
        let sign = location.find(signs(location)).unwrap_or(location.len());
        let split = location[..sign].rfind('/').map_or(0, |slash| slash + 1);
        let base = if split == 0 { "./" } else { &location[..split] };
        Self { location, base, pattern: &location[split..] }
    }

    /// The files that match, below the base's path in the store. Hidden folders and files match only where the pattern spells
    /// that out. Only folders that could match are listed.
    ///
    /// # Errors
    /// The pattern is malformed, or the store cannot be listed.
    pub(super) async fn files(&self, store: &Arc<dyn ObjectStore>, base: &Path) -> DfResult<Vec<ObjectMeta>> {
        let parts: Vec<&str> = self.pattern.split('/').filter(|part| !part.is_empty()).collect();
        let mut found = Vec::new();
        self.walk(store, base.clone(), &parts, &mut found).await?;
        Ok(found)
    }

    fn walk<'b>(
        &'b self,
        store: &'b Arc<dyn ObjectStore>,
        folder: Path,
        parts: &'b [&'b str],
        found: &'b mut Vec<ObjectMeta>,
    ) -> BoxFuture<'b, DfResult<()>> {
        Box::pin(async move {
            let Some((part, rest)) = parts.split_first() else { return Ok(()) };
            if *part == "**" {
                return self.below(store, &folder, parts, found).await;
            }
            let matcher = self.matcher(part)?;
            let fits = |path: &Path| path.filename().is_some_and(|name| matcher.is_match(name) && is_shown(name, part));
            let listed = store.list_with_delimiter(Some(&folder)).await.map_err(|e| DataFusionError::ObjectStore(Box::new(e)))?;
            if rest.is_empty() {
                found.extend(listed.objects.into_iter().filter(|file| fits(&file.location)));
                return Ok(());
            }
            for inner in listed.common_prefixes.into_iter().filter(fits) {
                self.walk(store, inner, rest, found).await?;
            }
            Ok(())
        })
    }

    /// Files at any depth below a folder, matched by their path in it.
    async fn below(&self, store: &Arc<dyn ObjectStore>, folder: &Path, parts: &[&str], found: &mut Vec<ObjectMeta>) -> DfResult<()> {
        let matcher = self.matcher(&parts.join("/"))?;
        let files: Vec<ObjectMeta> = store.list(Some(folder)).try_collect().await.map_err(|e| DataFusionError::ObjectStore(Box::new(e)))?;
        found.extend(files.into_iter().filter(|file| {
            let inner = file.location.as_ref().strip_prefix(folder.as_ref()).unwrap_or_default().trim_start_matches('/');
            matcher.is_match(inner) && inner.split('/').all(|name| is_shown(name, ""))
        }));
        Ok(())
    }

    fn matcher(&self, pattern: &str) -> DfResult<GlobMatcher> {
        let built = GlobBuilder::new(pattern).literal_separator(true).build();
        let glob = built.map_err(|e| DataFusionError::Plan(format!("'{}' is not a pattern: {}", self.location, e.kind())))?;
        Ok(glob.compile_matcher())
    }
}

/// Hidden names match only where the pattern spells their beginning out.
fn is_shown(name: &str, pattern: &str) -> bool {
    !is_hidden(name) || pattern.starts_with(['.', '_'])
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    async fn found(pattern: &str) -> Vec<String> {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for name in ["a/1.csv", "a/2.csv", "a/b/3.csv", "a/y=1/4.csv", "c/_tmp/5.csv", "c/6.txt", "c/.7.csv"] {
            store.put(&name.into(), "x".into()).await.expect("written");
        }
        let glob = Glob::of(pattern);
        let base = Path::from(glob.base.trim_start_matches("./"));
        let mut names: Vec<String> = glob.files(&store, &base).await.expect("listed").into_iter().map(|f| f.location.to_string()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn patterns_match_as_in_a_shell() {
        assert_eq!(found("a/*.csv").await, ["a/1.csv", "a/2.csv"]);
        assert_eq!(found("a/[2-9].csv").await, ["a/2.csv"]);
        assert_eq!(found("*/*/*.csv").await, ["a/b/3.csv", "a/y=1/4.csv"]);
        assert_eq!(found("a/y=*/*.csv").await, ["a/y=1/4.csv"]);
        assert_eq!(found("**/*.csv").await, ["a/1.csv", "a/2.csv", "a/b/3.csv", "a/y=1/4.csv"]);
        assert_eq!(found("c/*").await, ["c/6.txt"]);
        assert_eq!(found("c/_*/*").await, ["c/_tmp/5.csv"]);
        assert_eq!(found("{a,c}/{1,6}.*").await, ["a/1.csv", "c/6.txt"]);
        assert!(found("z/*.csv").await.is_empty());
    }
}
