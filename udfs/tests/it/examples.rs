//! Every example of the table, and every alias.

use datafusion_functions_finance::functions;

use crate::session::{close, numbers, session};

#[tokio::test]
async fn every_example_gives_its_answer() {
    let ctx = session();
    for metric in functions() {
        let found = numbers(&ctx, &metric.example.sql()).await[0];
        assert!(close(found, Some(metric.example.expected), 1e-12), "{}: {found:?} {:?}", metric.example.sql(), metric.example.expected);
    }
}

#[tokio::test]
async fn aliases_are_the_same_function() {
    let ctx = session();
    for metric in functions() {
        for alias in metric.aliases {
            let sql = metric.example.sql().replacen(metric.name, alias, 1);
            assert!(close(numbers(&ctx, &sql).await[0], Some(metric.example.expected), 1e-12), "{sql}");
        }
    }
}

#[tokio::test]
async fn documentation_comes_from_the_table() {
    let ctx = session();
    for metric in functions() {
        let function = ctx.state().aggregate_functions().get(metric.name).cloned().unwrap();
        let documentation = function.documentation().unwrap();
        assert!(documentation.description.contains(metric.formula), "{}", metric.name);
        assert_eq!(documentation.syntax_example, metric.signature());
        assert_eq!(documentation.arguments.as_ref().unwrap().len(), metric.arguments.len());
    }
}
