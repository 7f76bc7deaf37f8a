//! Every example of every table, every alias, and the documentation made from the tables.

use std::path::Path;

use datafusion::common::ScalarValue;
use datafusion::common::cast::as_string_array;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_functions_finance::{Expected, Page, pages, reference, register_in};

use crate::session::{close, number, rows, session};

/// The value as a result table shows it.
fn shown(value: &ScalarValue) -> String {
    let array = value.to_array().unwrap();
    datafusion::arrow::util::display::array_value_to_string(&array, 0).unwrap()
}

async fn gives_its_answer(ctx: &SessionContext, page: &Page, sql: &str) {
    let found = rows(ctx, sql).await;
    match page.example.expected {
        Expected::Number(expected) => assert!(close(number(&found[0][0]), Some(expected), 1e-12), "{sql}: {found:?} {expected:?}"),
        Expected::Text(expected) => assert_eq!(shown(&found[0][0]), expected, "{sql}"),
        Expected::Rows(expected) | Expected::FieldRows(_, expected) => {
            assert_eq!(found.len(), expected.len(), "{sql}");
            let alike = found.iter().zip(expected).all(|(row, expected)| close(number(&row[0]), *expected, 1e-12));
            assert!(alike, "{sql}: {found:?} {expected:?}");
        }
    }
}

#[tokio::test]
async fn every_example_gives_its_answer() {
    let ctx = session();
    for page in pages() {
        gives_its_answer(&ctx, &page, &page.example.sql()).await;
    }
}

#[tokio::test]
async fn aliases_are_the_same_function() {
    let ctx = session();
    for page in pages() {
        for alias in page.aliases {
            gives_its_answer(&ctx, &page, &page.example.sql().replacen(page.name, alias, 1)).await;
        }
    }
}

#[test]
fn every_entry_is_documented_and_names_are_unique() {
    let mut names = std::collections::HashSet::new();
    for page in pages() {
        for text in [page.summary, page.formula, page.unit, page.null_when, page.chapter] {
            assert!(!text.is_empty() && !text.contains('\n'), "{}", page.name);
        }
        assert!(page.example.call.starts_with(&format!("{}(", page.name)), "{}", page.name);
        assert!(page.arguments.iter().all(|argument| !argument.doc.is_empty()), "{}", page.name);
        assert!(page.names().all(|name| names.insert(name)), "{} twice", page.name);
    }
}

/// The description and syntax of every routine that the engine lists.
async fn routines() -> Vec<(String, String, String)> {
    let ctx = SessionContext::new_with_config(SessionConfig::new().with_information_schema(true));
    register_in(&ctx).unwrap();
    let sql = "SELECT routine_name, description, syntax_example FROM information_schema.routines WHERE description IS NOT NULL";
    let mut found = vec![];
    for batch in ctx.sql(sql).await.unwrap().collect().await.unwrap() {
        let column = |i: usize| as_string_array(batch.column(i)).unwrap().iter().map(|text| text.unwrap_or_default().to_owned());
        found.extend(column(0).zip(column(1)).zip(column(2)).map(|((name, description), syntax)| (name, description, syntax)));
    }
    found
}

#[tokio::test]
async fn the_engine_shows_the_documentation_of_the_tables() {
    let routines = routines().await;
    for page in pages() {
        for name in page.names() {
            let (_, description, syntax) = routines.iter().find(|routine| routine.0 == name).unwrap();
            assert!(description.starts_with(page.summary) && description.contains(page.formula), "{name}: {description}");
            assert!(description.contains(page.null_when) && description.contains(page.unit), "{name}: {description}");
            assert_eq!(*syntax, page.signature());
        }
    }
}

#[tokio::test]
async fn every_argument_is_documented_in_the_session() {
    let ctx = session();
    let state = ctx.state();
    for page in pages() {
        let scalar = state.scalar_functions().get(page.name).and_then(|f| f.documentation().cloned());
        let aggregate = state.aggregate_functions().get(page.name).and_then(|f| f.documentation().cloned());
        let window = state.window_functions().get(page.name).and_then(|f| f.documentation().cloned());
        let documentation = scalar.or(aggregate).or(window).unwrap_or_else(|| panic!("{} has no documentation", page.name));
        let arguments = documentation.arguments.unwrap_or_default();
        assert!(arguments.iter().map(|a| a.0.as_str()).eq(page.arguments.iter().map(|a| a.name)), "{}", page.name);
        assert!(documentation.sql_example.unwrap().contains(page.example.call), "{}", page.name);
    }
}

#[test]
fn functions_md_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("FUNCTIONS.md");
    let current = reference::markdown();
    if std::env::var_os("UPDATE_FUNCTIONS_MD").is_some() {
        std::fs::write(&file, &current).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == current, "{} is not current: run the tests with UPDATE_FUNCTIONS_MD=1", file.display());
}
