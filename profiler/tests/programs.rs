//! The programs in `tests/targets`: building them, and what each promises to do.
//!
//! A program's promises stand in its first comment, in lines of these forms:
//!
//! ```text
//! // expect: malloc=40 free=110          exactly so many calls, over all processes that the program starts
//! // expect-at-least: calloc=2           so many or more, because libc makes some by itself; the key becomes "at-least-calloc"
//! // args: 10000 2                       the arguments with which that holds
//! // flags: -static                      more arguments for the compiler
//! ```
//!
//! Keys: the names of the malloc family; calls inside another call of it do not count (`realloc(NULL, n)` is one `realloc`, no `malloc`),
//! and a function that is not named is not called. `released`: blocks given back by the program, where libc itself frees too.
//! `own-NAME`: memory system calls that the program makes outside of the allocator, failures included; `failed-NAME`: how many of these fail.
//! `touched-pages`: writes to fresh private pages; `populated-pages`: pages that become resident without a fault; `faults`.
//! `threads`: started beside the first one of each process; `processes`: all; `execs`: programs that replace another one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// The names of all programs, sorted.
pub(crate) fn all() -> Vec<String> {
    let sources = std::fs::read_dir(folder()).expect("the folder of the programs");
    let paths = sources.map(|entry| entry.expect("an entry of the folder").path());
    let programs = paths.filter(|path| path.extension().is_some_and(|extension| extension == "c"));
    let mut names: Vec<String> = programs.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Builds a program, once for each run of the tests. The error is the reason to skip the test: there is no compiler.
pub(crate) fn compile(name: &str) -> Result<PathBuf, String> {
    let mut arguments = vec!["-pthread".to_owned()];
    arguments.extend(words(name, "flags"));
    build(&folder().join(format!("{name}.c")), name, &arguments)
}

/// Builds a program of the folder, of C or C++, under another name and with more arguments.
pub(crate) fn compile_as(source: &str, name: &str, arguments: &[String]) -> Result<PathBuf, String> {
    let arguments: Vec<String> = ["-pthread".to_owned()].iter().chain(arguments).cloned().collect();
    let cpp = source.ends_with(".cpp");
    built(name, compiler(if cpp { "g++" } else { "gcc" }, cpp).arg(folder().join(source)).args(arguments))
}

/// Builds a program of the folder with another compiler for C.
pub(crate) fn compile_with(gcc: &str, source: &str, name: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    built(name, compiler(gcc, false).arg(folder().join(source)).args(arguments))
}

/// Builds a program of the folder with rustc.
pub(crate) fn compile_rust(source: &str, name: &str, level: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "--crate-name", "global_allocator", "-g", "-C"]).arg(format!("opt-level={level}"));
    built(name, rustc.arg(folder().join(source)).args(arguments))
}

/// A program of C that needs no more than C, linked statically with musl.
pub(crate) fn compile_with_musl(name: &str) -> Result<PathBuf, String> {
    compile_with("musl-gcc", &format!("{name}.c"), &format!("{name}-musl"), &["-static", "-pthread"])
}

/// Builds a file with gcc into the temporary folder of the tests.
pub(crate) fn build(source: &Path, name: &str, arguments: &[String]) -> Result<PathBuf, String> {
    built(name, compiler("gcc", false).arg(source).args(arguments))
}

/// The same with another compiler that understands gcc's options.
pub(crate) fn build_with(gcc: &str, source: &Path, name: &str, arguments: &[String]) -> Result<PathBuf, String> {
    built(name, compiler(gcc, false).arg(source).args(arguments))
}

fn compiler(program: &str, cpp: bool) -> Command {
    let mut compiler = Command::new(program);
    compiler.args([if cpp { "-std=gnu++17" } else { "-std=gnu11" }, "-O1", "-g", "-fno-builtin", "-Wall", "-Wextra", "-Werror"]);
    compiler
}

/// Runs a compiler, once for each name.
fn built(name: &str, compiler: &mut Command) -> Result<PathBuf, String> {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let built = built.get_or_insert_default();
    if let Some(path) = built.get(name) {
        return Ok(path.clone());
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Built beside and renamed: another test binary may be running the old one.
    let fresh = target.with_extension(std::process::id().to_string());
    let output = compiler.arg("-o").arg(&fresh).output();
    let output = output.map_err(|error| format!("{} cannot be run: {error}", compiler.get_program().display()))?;
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&fresh, &target).expect("the program takes its place");
    built.insert(name.to_owned(), target.clone());
    Ok(target)
}

/// What the program promises.
pub(crate) fn expectations(name: &str) -> BTreeMap<String, u64> {
    let exact = words(name, "expect").into_iter();
    let at_least = words(name, "expect-at-least").into_iter().map(|word| format!("at-least-{word}"));
    let pairs = exact.chain(at_least).map(|word| {
        let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("{name}: {word} is no promise"));
        (key.to_owned(), value.parse().unwrap_or_else(|_| panic!("{name}: {word} is no number")))
    });
    pairs.collect()
}

/// The arguments with which the promises hold.
pub(crate) fn arguments(name: &str) -> Vec<String> {
    words(name, "args")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets")
}

/// The words of all lines `// label: …` in the comment at the program's start.
fn words(name: &str, label: &str) -> Vec<String> {
    let source = std::fs::read_to_string(folder().join(format!("{name}.c"))).unwrap_or_else(|error| panic!("{name}.c: {error}"));
    let comment = source.lines().map_while(|line| line.strip_prefix("// "));
    let lines = comment.filter_map(|line| line.strip_prefix(label)?.strip_prefix(": "));
    lines.flat_map(|line| line.split_whitespace().map(str::to_owned)).collect()
}
