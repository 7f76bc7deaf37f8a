//! Window functions.

use super::corpus::{replay, run, session};

const TABLES: &[&str] = &[
    "test",
    "test_inner",
    "test_window_func",
    "test_window_func_multi_frag",
    "test_window_func_large",
    "test_window_func_large_multi_frag",
    "test_window_framing",
    "test_frame_nav",
    "test_frame_nav_dup",
    "test_frame_nav_dup2",
    "test_nvf",
    "tce1",
];

#[tokio::test]
async fn window_queries_of_the_corpus_have_heavydbs_rows() {
    let Some((ran, differences)) = replay(TABLES, r"(?i)\bover\s*\(", &["core", "extra"]).await else { return };
    assert!(differences.is_empty(), "{ran} ran\n{}", differences.join("\n"));
    assert!(ran >= 165, "only {ran} queries ran");
}

/// Every example of the list.
#[tokio::test]
async fn examples_are_true() {
    let session = session();
    for function in datafusion_heavydb::functions::windows::WINDOWS {
        let rows = run(&session, function.example.sql).await.unwrap();
        let values: Vec<String> = rows.into_iter().map(|mut row| row.remove(0)).collect();
        assert_eq!(values.join(" "), function.example.value, "{}", function.name);
    }
}
