//! The direction of imports: `cli → engine → catalog → ingest → exec → heavydb → {storage, gpu} → {config, error}`, never upward.

use std::path::{Path, PathBuf};

/// Modules from the top layer down. A file may import from its own folder and from layers after it; the last layer also from itself.
const LAYERS: &[&[&str]] =
    &[&["cli"], &["engine"], &["catalog"], &["ingest"], &["exec"], &["heavydb"], &["storage", "gpu"], &["config", "error"]];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("readable source folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Top-level modules that a file names by `crate::`.
fn imported(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(number, line)| {
        let code = line.split("//").next().unwrap_or_default();
        code.match_indices("crate::").map(move |(at, _)| {
            let rest = &code[at + "crate::".len()..];
            (number + 1, rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
        })
    })
}

#[test]
fn no_module_imports_from_a_layer_above() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut upward = Vec::new();
    let mut checked = 0;
    for file in files {
        let relative = file.strip_prefix(&root).expect("below src");
        let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().replace(".rs", "");
        let Some(own) = layer_of(&first) else { continue };
        let text = std::fs::read_to_string(&file).expect("readable source");
        for (line, module) in imported(&text) {
            let Some(layer) = layer_of(module) else { continue };
            checked += 1;
            if layer < own || (layer == own && module != first && own + 1 < LAYERS.len()) {
                upward.push(format!("{}:{line} imports {module}", relative.display()));
            }
        }
    }
    assert!(checked > 50, "only {checked} imports found: the test reads the wrong folder");
    assert!(upward.is_empty(), "upward imports:\n{}", upward.join("\n"));
}

#[test]
fn only_the_engine_builds_a_session_and_only_the_cli_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let relative = file.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
        if relative.ends_with("_tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("readable source");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if relative != "engine.rs" && relative != "engine/session.rs" && relative != "engine/tiers.rs" {
            assert!(!code.contains("SessionStateBuilder"), "{relative} builds a session");
        }
        if !relative.starts_with("cli") && relative != "main.rs" {
            assert!(!code.contains("println!("), "{relative} prints");
        }
    }
}

#[test]
fn only_the_gpu_modules_import_cudarc_and_they_import_no_query_engine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut importing = 0;
    for file in files {
        let relative = file.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("readable source");
        if relative.starts_with("gpu") {
            assert!(!text.contains("datafusion"), "{relative} knows DataFusion");
            importing += usize::from(text.contains("cudarc::"));
        } else {
            assert!(!text.contains("cudarc::"), "{relative} imports cudarc");
        }
    }
    assert!(importing > 5, "only {importing} files import cudarc: the test reads the wrong folder");
}
