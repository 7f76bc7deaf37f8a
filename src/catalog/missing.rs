//! What to say when a quoted name that is no table means a file that is not there, or cannot be read as one.

use std::path::Path;

use super::directory::CATALOG;
use super::files::{is_location, known_extensions, split_extension};

/// The message and the hint for a name that no table has, where it means a file or a folder; `None` where it is a plain name.
pub fn missing_file(name: &str) -> Option<(String, Option<String>)> {
    let path = Path::new(name);
    let absolute = std::path::absolute(path).ok()?;
    let place = absolute.display();
    if name.is_empty() || name.contains("://") {
        None
    } else if path.is_dir() {
        let hint = format!("'{name}' is a folder at {place}: write '{name}/' to read the files in it");
        Some((format!("there is no table '{name}'"), Some(hint)))
    } else if path.is_file() {
        let message = format!("the format of the file '{name}' is unknown");
        Some((message, Some(format!("its name must end with one of the known extensions: {}", known_extensions()))))
    } else if name.ends_with(['/', '\\']) {
        Some((format!("there is no folder '{name}': nothing is at {place}"), None))
    } else {
        let looks_like_a_file = is_location(name) || path.extension().is_some();
        looks_like_a_file.then(|| (format!("there is no file '{name}': nothing is at {place}"), None))
    }
}

/// The hint for a name of several parts that no table has, where it is a file's name without quotes.
pub fn unquoted_file(name: &str) -> Option<String> {
    let file = name.strip_prefix(CATALOG)?.strip_prefix('.')?;
    split_extension(file).map(|_| format!("a file is read by its path in quotes: '{file}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_files_are_told_with_the_path_that_was_tried() {
        let here = std::path::absolute("x").unwrap().parent().unwrap().display().to_string();
        for name in ["nope.csv", "a/nope", "nope.txt"] {
            let (message, _) = missing_file(name).unwrap();
            assert_eq!(message, format!("there is no file '{name}': nothing is at {here}/{name}"));
        }
        assert!(missing_file("none/").is_some_and(|(message, _)| message.starts_with("there is no folder 'none/'")));
        assert!(missing_file("strategies").is_none());
        assert_eq!(unquoted_file("tranchedb.nope.csv").as_deref(), Some("a file is read by its path in quotes: 'nope.csv'"));
        assert_eq!(unquoted_file("tranchedb.system.tabels"), None);
    }

    #[test]
    fn a_folder_needs_its_slash_and_a_file_a_known_ending() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().display().to_string();
        assert!(missing_file(&name).is_some_and(|(_, hint)| hint.is_some_and(|hint| hint.contains(&format!("write '{name}/'")))));
        let file = format!("{name}/notes.txt");
        std::fs::write(&file, "x").unwrap();
        assert!(missing_file(&file).is_some_and(|(message, hint)| message.contains("unknown") && hint.is_some_and(|h| h.contains("csv"))));
    }
}
