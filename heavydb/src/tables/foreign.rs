//! `CREATE FOREIGN TABLE`, `CREATE DATAFRAME` and their servers: tables whose rows are those of files.
//!
//! The files are read when the table is made and when it is refreshed, as HeavyDB keeps them between refreshes. Files of delimited lines,
//! Parquet and lines by a regular expression are read; other servers are refused.

use datafusion::common::{Result, plan_err};

use super::database::Server;
use super::definition::{Files, TableDefinition, read_options};
use super::reader::Reader;
use super::statement::{Statement, separated};
use crate::refusal::Refusal;
use crate::replay::input::redact;

/// Options of a foreign table that do not change its rows.
const WITHOUT_EFFECT: &[&str] = &[
    "allow_file_roll_off",
    "fragment_size",
    "refresh_interval",
    "refresh_start_date_time",
    "refresh_timing_type",
    "refresh_update_type",
    "max_chunk_size",
    "max_rows",
    "max_rollback_epochs",
];

/// `t (columns) SERVER s WITH (file_path = '...', ...)`.
pub(super) fn create_foreign(reader: &mut Reader<'_>) -> Result<Statement> {
    let mut definition = TableDefinition::read_external(reader)?;
    reader.expect(&["SERVER"])?;
    let server = reader.name()?;
    let given = if reader.words(&["WITH"]) { read_options(reader)? } else { vec![] };
    reader.end()?;
    let Some((_, path)) = given.iter().find(|(name, _)| name == "file_path") else {
        return plan_err!("CREATE FOREIGN TABLE needs the option file_path");
    };
    if given.iter().any(|(name, value)| name == "refresh_update_type" && value.eq_ignore_ascii_case("append")) {
        return Err(Refusal::new("refresh_update_type='APPEND'", "files are read anew at a refresh: use refresh_update_type='ALL'").into());
    }
    let shown = shown(&given);
    let options = given.iter().filter(|(name, _)| name != "file_path" && !WITHOUT_EFFECT.contains(&name.as_str())).cloned().collect();
    definition.files = Some(Files { path: path.clone(), options, clause: format!("SERVER {server}\nWITH ({shown})") });
    Ok(Statement::CreateForeign { definition: Box::new(definition), server: Some(server.to_lowercase()) })
}

/// `t (columns) FROM '[CSV:]path' WITH (...)`.
pub(super) fn create_dataframe(reader: &mut Reader<'_>) -> Result<Statement> {
    let mut definition = TableDefinition::read_external(reader)?;
    reader.expect(&["FROM"])?;
    let source = reader.value()?;
    let given = if reader.words(&["WITH"]) { read_options(reader)? } else { vec![] };
    reader.end()?;
    let mut options = vec![("header".to_owned(), "true".to_owned())];
    for (name, value) in &given {
        match name.as_str() {
            "delimiter" => options.push((name.clone(), value.clone())),
            "header" => options = vec![(name.clone(), value.clone())],
            "fragment_size" | "max_chunk_size" => {}
            "skip_rows" if value == "0" => {}
            "skip_rows" => return Err(Refusal::new("the option skip_rows", "take the lines out of the file").into()),
            _ => {
                return plan_err!(
                    "invalid option '{name}' of CREATE DATAFRAME: there are fragment_size, max_chunk_size, skip_rows, delimiter, header"
                );
            }
        }
    }
    let path = match source.split_once(':') {
        Some((kind, path)) if kind.eq_ignore_ascii_case("csv") => path.to_owned(),
        _ => source.clone(),
    };
    let shown = shown(&given);
    let with = if shown.is_empty() { String::new() } else { format!("\nWITH ({shown})") };
    definition.files = Some(Files { path, options, clause: redact(&format!("FROM '{}'{with}", source.replace('\'', "''"))).into_owned() });
    Ok(Statement::CreateForeign { definition: Box::new(definition), server: None })
}

/// Options as they are shown, without passwords and keys.
fn shown(options: &[(String, String)]) -> String {
    let shown: Vec<String> =
        options.iter().map(|(name, value)| format!("{}='{}'", name.to_uppercase(), value.replace('\'', "''"))).collect();
    redact(&shown.join(", ")).into_owned()
}

/// `s FOREIGN DATA WRAPPER w WITH (storage_type = 'LOCAL_FILE', base_path = '...')`.
pub(super) fn create_server(reader: &mut Reader<'_>) -> Result<Statement> {
    let if_not_exists = reader.words(&["IF", "NOT", "EXISTS"]);
    let name = reader.name()?.to_lowercase();
    reader.expect(&["FOREIGN", "DATA", "WRAPPER"])?;
    let wrapper = reader.name()?.to_lowercase();
    let options = if reader.words(&["WITH"]) { read_options(reader)? } else { vec![] };
    reader.end()?;
    if !["delimited_file", "parquet_file", "regex_parsed_file"].contains(&wrapper.as_str()) {
        return Err(
            Refusal::new(format!("the wrapper {wrapper}"), "only delimited_file, parquet_file and regex_parsed_file are read").into()
        );
    }
    let mut base_path = None;
    for (option, value) in options {
        match option.as_str() {
            "base_path" => base_path = Some(value),
            "storage_type" if value.eq_ignore_ascii_case("local_file") => {}
            // The value may be a key.
            _ => return Err(Refusal::new(format!("{option} of a server"), "only files of this machine are read").into()),
        }
    }
    Ok(Statement::CreateServer { name, server: Server { source_type: wrapper, base_path }, if_not_exists })
}

/// `[IF EXISTS] s`.
pub(super) fn drop_server(reader: &mut Reader<'_>) -> Result<Statement> {
    let if_exists = reader.words(&["IF", "EXISTS"]);
    let name = reader.name()?.to_lowercase();
    reader.end()?;
    Ok(Statement::DropServer { name, if_exists })
}

/// `t, u [WITH (evict = 'true')]`.
pub(super) fn refresh(reader: &mut Reader<'_>) -> Result<Statement> {
    let names = separated(reader, |reader| Ok(reader.name()?.to_lowercase()))?;
    if reader.words(&["WITH"]) {
        read_options(reader)?;
    }
    reader.end()?;
    Ok(Statement::Refresh(names))
}

/// The path and options of `COPY FROM` that read a foreign table's files.
pub(super) fn located(files: &Files, server: Option<&Server>) -> Files {
    let Some(server) = server else { return files.clone() };
    let path = match &server.base_path {
        Some(base) => format!("{}/{}", base.trim_end_matches('/'), files.path.trim_start_matches('/')),
        None => files.path.clone(),
    };
    let options = files.options.iter().filter(|(name, _)| name != "source_type").cloned();
    let options = options.chain([("source_type".to_owned(), server.source_type.clone())]).collect();
    Files { path, options, clause: files.clause.clone() }
}
