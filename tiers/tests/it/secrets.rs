//! Credentials appear in no error and in no description.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, RetryConfig};
use object_store_tiers::{Origin, Tiers, VersionPolicy};

use crate::support::{Combination, S3, SECRET, bytes, put, store, whole};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_an_error_without_them() {
    let server = S3::start().await;
    let wrong = "WRONGSECRETWRONGSECRET";
    let client = AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name("bucket")
        .with_access_key_id("SECRETKEYID")
        .with_secret_access_key(wrong)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .build()
        .unwrap();
    for combination in [Combination::None, Combination::Memory] {
        let tiers = Tiers::open(combination.settings(std::path::Path::new("unused"))).unwrap();
        let tiered = store(&tiers, "s3://bucket", Arc::new(client.clone()), VersionPolicy::Revalidate);
        let mut errors = vec![whole(&tiered, "a").await.unwrap_err()];
        errors.push(tiered.head(&Path::from("a")).await.unwrap_err());
        errors.push(tiered.put(&Path::from("a"), bytes(1, 5).into()).await.unwrap_err());
        errors.push(tiered.list_with_delimiter(None).await.unwrap_err());
        errors.push(tiered.copy(&Path::from("a"), &Path::from("b")).await.unwrap_err());
        for error in errors {
            let text = format!("{error} {error:?}");
            assert!(text.contains("origin tier") && text.contains("s3://bucket"), "{text}");
            assert!(!text.contains(wrong) && !text.contains("SECRETKEYID"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptions_show_the_label_and_nothing_else_of_the_origin() {
    let server = S3::start().await;
    let tiers = Tiers::open(Combination::Memory.settings(std::path::Path::new("unused"))).unwrap();
    let origin = Origin::new("s3://bucket", Arc::new(server.client()) as Arc<dyn ObjectStore>);
    let described = format!("{origin:?}");
    let tiered = tiers.store(origin);
    put(&tiered, "a", &bytes(1, 5)).await;
    let all = format!("{described} {tiered:?} {tiered} {tiers:?} {:?} {:?}", tiers.statistics(), tiers.entries());
    assert!(all.contains("s3://bucket"));
    assert!(!all.contains(SECRET) && !all.contains("127.0.0.1"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_an_error_and_what_is_known_is_served() {
    let server = S3::start().await;
    let tiers = Tiers::open(Combination::Memory.settings(std::path::Path::new("unused"))).unwrap();
    let tiered = store(&tiers, "s3://bucket", Arc::new(server.client()), VersionPolicy::Immutable);
    put(&tiered, "a", &bytes(1, 50_000)).await;
    assert_eq!(whole(&tiered, "a").await.unwrap(), bytes(1, 50_000));
    server.stop().await;
    assert_eq!(whole(&tiered, "a").await.unwrap(), bytes(1, 50_000));
    let error = whole(&tiered, "b").await.unwrap_err().to_string();
    assert!(error.contains("origin tier: read of 's3://bucket/b' failed"), "{error}");
}
