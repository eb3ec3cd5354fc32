//! Which module may import what: the architecture, enforced.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::source::{Source, paths};

/// A module of `profiler/src` and what it may name besides itself.
struct Room {
    name: &'static str,
    half: Half,
    /// Modules, or parts of them.
    modules: &'static [&'static str],
    /// Crates besides std.
    crates: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    /// Same input, same output: no I/O, no clock, no threads, no random state.
    Quiet,
    /// Talks to the world.
    Noisy,
}

const fn quiet(name: &'static str, modules: &'static [&'static str]) -> Room {
    Room { name, half: Half::Quiet, modules, crates: &[] }
}

const fn noisy(name: &'static str, modules: &'static [&'static str], crates: &'static [&'static str]) -> Room {
    Room { name, half: Half::Noisy, modules, crates }
}

/// THE TABLE. A module that is not in it is an error, and so is a dependency that has no room.
///
/// The line is capture → trace → workload → replay; a stage sees what stands to its left only through events, which are vocabulary.
const ROOMS: &[Room] = &[
    quiet("error", &[]),
    quiet("units", &[]),
    quiet("extents", &["units"]),
    quiet("event", &["units"]),
    quiet("vm", &["units", "event", "error", "extents"]),
    // Models see the port, never the address space behind it.
    quiet("model", &["units", "event", "error", "extents", "vm::os"]),
    quiet("workload", &["units", "event", "error", "extents", "vm"]),
    quiet("metrics", &["units", "event", "error", "vm", "model"]),
    quiet("replay", &["units", "event", "error", "extents", "vm", "model", "metrics", "workload"]),
    noisy(
        "target",
        &["units", "event", "error"],
        &["object", "iced_x86", "libc", "profiler_ebpf", "rustc_demangle", "cpp_demangle", "lzma_rust2", "crc32fast"],
    ),
    noisy("capture", &["units", "event", "error", "target"], &["aya", "tokio", "libc", "profiler_ebpf"]),
    noisy("trace", &["units", "event", "error"], &["polars_arrow", "polars_utils", "crc32fast", "serde", "serde_json"]),
    noisy("measure", &["units", "event", "error", "workload", "vm", "model", "metrics", "replay"], &["libc"]),
    noisy(
        "cli",
        &["units", "event", "error", "target", "capture", "trace", "workload", "vm", "model", "metrics", "replay", "measure"],
        &["clap", "indicatif", "terminal_size", "reports", "libc", "serde", "serde_json"],
    ),
    noisy("main", &["cli", "error"], &["clap", "indicatif"]),
];

/// What the quiet half may not name: beginnings of paths, and ends of them. `HashMap::new` seeds itself at random; other hashers are welcome.
const LOUD: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "std::io",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
];
const RANDOM: &[&str] =
    &["HashMap::new", "HashMap::with_capacity", "HashSet::new", "HashSet::with_capacity", "RandomState", "RandomState::new"];

/// Dependencies that no module names, and why they are there is said in `Cargo.toml`.
const UNNAMED: &[&str] = &["getrandom"];

/// A file of `profiler/src`.
pub(super) struct File {
    /// Below `profiler/src`.
    pub(super) path: PathBuf,
    pub(super) source: Source,
}

/// What is wrong with these files; `dependencies` are the crates that `profiler` may name.
pub(super) fn check(files: &[File], dependencies: &[String]) -> Vec<String> {
    let tests = test_files(files);
    let mut wrong: Vec<String> = dependencies
        .iter()
        .filter(|name| !UNNAMED.contains(&name.as_str()) && !ROOMS.iter().any(|room| room.crates.contains(&name.as_str())))
        .map(|name| format!("profiler/Cargo.toml: the crate {name} has no room in the table of imports"))
        .collect();
    for file in files.iter().filter(|file| !tests.iter().any(|test| file.path.starts_with(test))) {
        wrong.extend(check_file(file, dependencies));
    }
    wrong
}

/// Files and folders that are compiled for tests only.
fn test_files(files: &[File]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for file in files {
        let folder = file.path.parent().unwrap_or(Path::new(""));
        for (named, module) in file.source.without_tests().1 {
            let children = children(&file.path);
            found.extend(named.map(|named| folder.join(named)));
            found.extend([children.join(&module), children.join(format!("{module}.rs"))]);
        }
    }
    found
}

/// The folder that holds the child modules of this file.
fn children(file: &Path) -> PathBuf {
    let folder = file.parent().unwrap_or(Path::new(""));
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => folder.to_path_buf(),
        Some(stem) => folder.join(stem),
    }
}

/// The path of a module, as in `["model", "glibc"]`; that of the library is empty.
fn module(file: &Path) -> Vec<String> {
    if file == Path::new("main.rs") {
        return vec!["main".into()];
    }
    children(file).components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
}

fn check_file(file: &File, dependencies: &[String]) -> Vec<String> {
    let own = module(&file.path);
    let Some(name) = own.first() else { return Vec::new() };
    let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
        return vec![format!("profiler/src/{}: the module {name} is not in the table of imports", file.path.display())];
    };
    let (code, _) = file.source.without_tests();
    let local = declared(&code);
    let mut wrong = Vec::new();
    for (at, path) in paths(&code) {
        let refused = match resolve(&own, &path, &local, dependencies) {
            Named::Own(path) => refused_module(room, &own, &path),
            Named::Crate(name) if !room.crates.contains(&name) => Some(format!("the crate {name} belongs elsewhere")),
            Named::Std if room.half == Half::Quiet => refused_std(&path),
            _ => None,
        };
        let place = format!("profiler/src/{}:{}", file.path.display(), file.source.line(at));
        wrong.extend(refused.map(|why| format!("{place}: {} in {}: {why}", path.join("::"), room.name)));
    }
    wrong
}

/// Names of the modules that this code declares: in its paths they stand before crates of the same name.
fn declared(code: &str) -> Vec<String> {
    let tokens = super::source::tokens(code);
    tokens.windows(2).filter(|pair| pair[0].1 == "mod").map(|pair| pair[1].1.to_string()).collect()
}

enum Named<'a> {
    /// In this package, from its root.
    Own(Vec<String>),
    Crate(&'a str),
    Std,
    /// Something local.
    Other,
}

fn resolve<'a>(own: &[String], path: &'a [String], local: &[String], dependencies: &[String]) -> Named<'a> {
    let first = path[0].as_str();
    match first {
        "crate" | "profiler" => Named::Own(path[1..].to_vec()),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            Named::Own([&own[..own.len().saturating_sub(ups)], &path[ups..]].concat())
        }
        _ if local.iter().any(|name| name == first) => Named::Other,
        _ if dependencies.iter().any(|name| name == first) => Named::Crate(first),
        // An end of a path that was imported, such as `HashMap::new`, is looked at like one of std.
        _ => Named::Std,
    }
}

fn refused_module(room: &Room, own: &[String], path: &[String]) -> Option<String> {
    let target = path.join("::");
    let within = |module: &str| target == module || target.starts_with(&format!("{module}::"));
    // What the root of the crate re-exports is nobody's room.
    let known = ROOMS.iter().any(|other| within(other.name));
    if within(room.name) {
        return (room.name == "model" && is_sibling(own, path)).then(|| "models do not see each other".to_string());
    }
    let allowed = !known || room.modules.iter().any(|module| within(module));
    (!allowed).then(|| format!("it may import {}", if room.modules.is_empty() { "nothing".into() } else { room.modules.join(", ") }))
}

/// Whether one model names what is inside another one; `own` and `path` begin with `model`.
fn is_sibling(own: &[String], path: &[String]) -> bool {
    let (Some(this), Some(that)) = (own.get(1), path.get(1)) else { return false };
    // Modules are lower case, what the parent offers to all is a type, a function or a constant of its own: two segments.
    this != that && path.len() > 2 && that.chars().all(|letter| letter.is_lowercase() || letter == '_' || letter.is_numeric())
}

fn refused_std(path: &[String]) -> Option<String> {
    let target = path.join("::");
    let loud = LOUD.iter().any(|start| target == *start || target.starts_with(&format!("{start}::")));
    let random = RANDOM.iter().any(|end| target == *end || target.ends_with(&format!("::{end}")));
    (loud || random).then(|| "the quiet half has no I/O, clock, threads or random state".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(path: &str, text: &str) -> Vec<String> {
        let dependencies = ["aya", "tokio", "object", "polars_arrow"].map(String::from);
        check(&[File { path: path.into(), source: Source::new(text) }], &dependencies)
    }

    fn refused(path: &str, text: &str) {
        assert_eq!(wrong(path, text).len(), 1, "{path}: {text}: {:?}", wrong(path, text));
    }

    fn allowed(path: &str, text: &str) {
        assert_eq!(wrong(path, text), Vec::<String>::new(), "{path}: {text}");
    }

    #[test]
    fn stages_see_their_left_only() {
        allowed("replay/engine.rs", "use crate::{model::Block, workload};");
        refused("workload/lift.rs", "use crate::{units::Bytes, replay::run};");
        refused("trace/writer.rs", "fn f() { crate::capture::start() }");
        refused("model/mod.rs", "use super::trace;");
        refused("event.rs", "use super::vm::os::Os;");
        allowed("main.rs", "use profiler::cli;");
        refused("main.rs", "use profiler::capture;");
    }

    #[test]
    fn models_see_the_port_and_their_parent() {
        allowed("model/glibc/bins.rs", "use super::super::{Block, Settings}; use super::chunk::Chunk; use crate::vm::os::Os;");
        refused("model/glibc.rs", "use crate::vm::AddressSpace;");
        refused("model/glibc/bins.rs", "use crate::model::jemalloc::Extent;");
        refused("model/glibc.rs", "use super::jemalloc::Extent;");
    }

    #[test]
    fn crates_have_their_rooms() {
        allowed("capture/mod.rs", "use aya::Ebpf;");
        refused("cli/run.rs", "fn f() { tokio::spawn(g()) }");
        allowed("capture/mod.rs", "mod object; pub use object::Totals;");
        refused("capture/mod.rs", "use object::File;");
        refused("vm/space.rs", "use polars_arrow::array::Array;");
        let homeless = check(&[], &["left_pad".to_string(), "getrandom".to_string()]);
        assert!(homeless.len() == 1 && homeless[0].contains("left_pad"), "{homeless:?}");
    }

    #[test]
    fn the_quiet_half_is_quiet() {
        refused("metrics/mod.rs", "use std::{collections::BTreeMap, time::Instant};");
        refused("vm/space.rs", "fn f() { std::thread::yield_now() }");
        refused("vm/space.rs", "use std::collections::HashMap; fn f() { HashMap::new(); }");
        allowed("vm/space.rs", "use std::time::Duration; // std::fs\nconst A: &str = \"std::fs\";");
        allowed("trace/writer.rs", "use std::fs::File;");
    }

    #[test]
    fn tests_may_do_more() {
        allowed("model/glibc.rs", "#[cfg(test)]\nmod tests { use crate::vm::AddressSpace; use std::fs; }");
        let file = |path: &str, text: &str| File { path: path.into(), source: Source::new(text) };
        let files = [
            file("vm/mod.rs", "#[cfg(test)]\n#[path = \"space_tests.rs\"]\nmod tests;\n#[cfg(test)] mod sample;"),
            file("vm/space_tests.rs", "use std::fs;"),
            file("vm/sample.rs", "use std::fs;"),
        ];
        assert_eq!(check(&files, &[]), Vec::<String>::new());
    }

    #[test]
    fn a_new_module_needs_a_place() {
        refused("magic.rs", "");
        allowed("lib.rs", "pub use trace::Writer;");
    }
}
