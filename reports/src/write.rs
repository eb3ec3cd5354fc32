//! Writing a report's files.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::study::Study;
use crate::tables::TABLES;
use crate::{csv, html};

/// A report file that could not be written.
#[derive(Debug)]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Writes `report.html`, `study.json` and a CSV file per table into `dir`, which is made where it is missing.
///
/// Each file appears whole or not at all. Files of these names are replaced: whether they may be is the caller's decision.
pub fn write(dir: &Path, study: &Study) -> Result<(), WriteError> {
    fs::create_dir_all(dir).map_err(|source| WriteError { path: dir.to_owned(), source })?;
    for table in TABLES {
        put(dir, &table.file_name(), csv::text(table, study).map_err(io::Error::other))?;
    }
    put(dir, "study.json", serde_json::to_vec(study).map_err(io::Error::other))?;
    put(dir, "report.html", html::page(study).map(String::into_bytes).map_err(io::Error::other))
}

/// The names of the files that [`write()`] makes.
pub fn file_names() -> Vec<String> {
    TABLES.iter().map(|table| table.file_name()).chain(["study.json".into(), "report.html".into()]).collect()
}

/// Writes beside the target and renames, so that a reader never sees half a file.
fn put(dir: &Path, name: &str, content: io::Result<Vec<u8>>) -> Result<(), WriteError> {
    let path = dir.join(name);
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let done = content.and_then(|content| fs::write(&temporary, content)).and_then(|()| fs::rename(&temporary, &path));
    done.map_err(|source| {
        // The reason matters more than a second failure while tidying up.
        let _ = fs::remove_file(&temporary);
        WriteError { path, source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("heapcast-reports-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn exactly_the_named_files_are_written() {
        let dir = scratch("files");
        write(&dir, &Study::default()).unwrap();
        write(&dir, &Study::default()).unwrap();
        let mut found: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut named = file_names();
        found.sort();
        named.sort();
        assert_eq!(found, named);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn an_error_names_the_file() {
        let dir = scratch("blocked");
        fs::create_dir_all(dir.join("sizes.csv")).unwrap();
        let error = write(&dir, &Study::default()).unwrap_err();
        assert_eq!(error.path, dir.join("sizes.csv"));
        assert!(error.to_string().starts_with("cannot write "));
        assert!(!fs::read_dir(&dir).unwrap().any(|entry| entry.unwrap().path().extension().is_some_and(|end| end == "tmp")));
        fs::remove_dir_all(&dir).unwrap();
    }
}
