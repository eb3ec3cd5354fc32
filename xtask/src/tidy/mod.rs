//! Rules of this repository that no compiler knows.

mod imports;
mod licences;
mod source;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use crate::command;
use source::Source;

/// Lines that a file should not exceed: it has more than one job then. Listed.
const LINES: usize = 350;
/// Lines that no file may exceed.
const LINES_AT_MOST: usize = 600;

/// Checks every rule, and says what breaks one.
pub(crate) fn run() -> Result<(), String> {
    let root = command::root();
    let files = rust_files(root)?;
    let mut wrong = imports::check(&modules(&files), &dependencies(root)?);
    wrong.extend(files.iter().flat_map(|(path, source)| words::check(path, source)));
    wrong.extend(files.iter().filter_map(|(path, source)| too_long(path, &source.text)));
    wrong.extend(unused_targets(root, &files)?);
    wrong.extend(licences::check().unwrap_or_else(|error| vec![error]));
    for (path, lines) in long_files(&files) {
        println!("{}: {lines} lines, more than {LINES}", path.display());
    }
    if wrong.is_empty() {
        println!("{} files are tidy", files.len());
        return Ok(());
    }
    Err(wrong.join("\n"))
}

fn too_long(path: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES_AT_MOST)
        .then(|| format!("{}: {lines} lines, more than {LINES_AT_MOST}: give its jobs files of their own", path.display()))
}

fn long_files(files: &[(PathBuf, Source)]) -> impl Iterator<Item = (&Path, usize)> {
    let sized = files.iter().map(|(path, source)| (path.as_path(), source.text.lines().count()));
    sized.filter(|(_, lines)| (LINES + 1..=LINES_AT_MOST).contains(lines))
}

/// Every source file of the repository by its path below the root.
fn rust_files(root: &Path) -> Result<Vec<(PathBuf, Source)>, String> {
    let mut files = Vec::new();
    for path in walk(root, "rs")? {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        files.push((path.strip_prefix(root).unwrap_or(&path).to_path_buf(), Source::new(&text)));
    }
    Ok(files)
}

/// Files with this ending, in order, without hidden and built ones.
fn walk(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
            found.extend(walk(&path, ending)?);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The files that the table of imports is about.
fn modules(files: &[(PathBuf, Source)]) -> Vec<imports::File> {
    let below = files.iter().filter_map(|(path, source)| Some((path.strip_prefix("profiler/src").ok()?, source)));
    below.map(|(path, source)| imports::File { path: path.to_path_buf(), source: Source::new(&source.text) }).collect()
}

/// The crates that `profiler` depends on, as paths in code name them.
fn dependencies(root: &Path) -> Result<Vec<String>, String> {
    let path = root.join("profiler/Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let section = text.lines().skip_while(|line| *line != "[dependencies]").skip(1).take_while(|line| !line.starts_with('['));
    let names = section.filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['.', '=', ' ']).next());
    Ok(names.filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect())
}

/// C programs that exist to be recorded and that no test names.
fn unused_targets(root: &Path, files: &[(PathBuf, Source)]) -> Result<Vec<String>, String> {
    let folder = root.join("profiler/tests/targets");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let tests: Vec<&str> =
        files.iter().filter(|(path, _)| path.starts_with("profiler/tests")).map(|(_, source)| source.text.as_str()).collect();
    let is_unused = |path: &PathBuf| path.file_stem().is_some_and(|stem| !is_named(&stem.to_string_lossy(), &tests));
    let unused = walk(&folder, "c")?.into_iter().filter(is_unused);
    Ok(unused.map(|path| format!("{}: no test names it", path.strip_prefix(root).unwrap_or(&path).display())).collect())
}

fn is_named(stem: &str, tests: &[&str]) -> bool {
    tests.iter().any(|text| text.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|word| word == stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_listed_and_longer_ones_refused() {
        let file = |name: &str, lines: usize| (PathBuf::from(name), Source::new(&"//\n".repeat(lines)));
        let files = [file("short.rs", LINES), file("long.rs", LINES + 1), file("huge.rs", LINES_AT_MOST + 1)];
        assert_eq!(long_files(&files).collect::<Vec<_>>(), [(Path::new("long.rs"), LINES + 1)]);
        let refused: Vec<String> = files.iter().filter_map(|(path, source)| too_long(path, &source.text)).collect();
        assert!(refused.len() == 1 && refused[0].starts_with("huge.rs"), "{refused:?}");
    }

    #[test]
    fn targets_are_found_by_their_name() {
        let tests = ["record(\"brk_grow\")", "compile(\"fork.c\")"];
        assert!(is_named("brk_grow", &tests) && is_named("fork", &tests) && !is_named("brk", &tests) && !is_named("grow", &tests));
    }
}
