//! Which functions of the malloc family a file defines, whose they are, and where each is probed.
//!
//! Several allocators may be mapped in one process: with jemalloc loaded, libc is still there. All are probed; the ones that are not
//! used report little, and a call that one forwards to another is counted once, because the kernel half drops calls inside calls.

use std::path::Path;

use object::read::ReadRef;
use profiler_ebpf::{Cookie, Kind};

use super::elf::{self, Elf, Symbol};
use super::emulate::Kernel;
use super::identity;
use super::probe::{self, ProbePoint};
use crate::error::Result;

/// An allocator: one file that defines at least `malloc` and `free`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocator {
    /// `glibc`, `jemalloc`, `mimalloc`, `tcmalloc`, `musl` or `musl-oldmalloc`; the file's name for any other.
    pub name: String,
    /// Its version, where the file tells.
    pub version: Option<String>,
    /// The file, as the process sees it.
    pub path: String,
    /// Build id of the file, hexadecimal.
    pub build_id: Option<String>,
    /// What to probe, no two at the same instruction.
    pub probes: Vec<Probe>,
    /// What is defined but not probed, and why.
    pub skipped: Vec<(String, String)>,
}

/// A function of the malloc family and where it is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What its records are.
    pub kind: Kind,
    /// Its name in the file.
    pub symbol: String,
    /// Where.
    pub point: ProbePoint,
}

impl Probe {
    /// What the kernel half is told when the probe is attached.
    pub fn cookie(&self) -> Cookie {
        Cookie::new(self.kind, self.point.registers)
    }
}

/// What a file is to a recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It defines an allocator.
    Allocator(Allocator),
    /// It has one, or may have one, that cannot be recorded: the reason.
    Unsupported(String),
    /// It has none.
    Nothing,
}

/// The family: kind, name, number of arguments. Where two names share their code the earlier one is probed.
const FAMILY: [(Kind, &str, usize); 11] = [
    (Kind::Malloc, "malloc", 1),
    (Kind::Free, "free", 1),
    (Kind::Calloc, "calloc", 2),
    (Kind::Realloc, "realloc", 2),
    (Kind::Memalign, "memalign", 2),
    (Kind::AlignedAlloc, "aligned_alloc", 2),
    (Kind::PosixMemalign, "posix_memalign", 3),
    (Kind::Valloc, "valloc", 1),
    (Kind::Pvalloc, "pvalloc", 1),
    (Kind::Trim, "malloc_trim", 1),
    (Kind::Mallopt, "mallopt", 2),
];

/// What the names of the family begin with: nothing, or the prefix under which programs such as redis build jemalloc into themselves.
const PREFIXES: [&str; 2] = ["", "je_"];

/// Examines the file at `path`.
pub fn examine_file(path: &Path, kernel: &Kernel) -> Result<Verdict> {
    let source = elf::open(path)?;
    Ok(examine(&source, &path.to_string_lossy(), kernel))
}

/// Examines the bytes of a file that the process knows as `path`.
pub fn examine<'data, R: ReadRef<'data>>(data: R, path: &str, kernel: &Kernel) -> Verdict {
    let elf = match Elf::parse(data) {
        Ok(elf) => elf,
        Err(_) if data.read_bytes_at(0, 4) != Ok(b"\x7fELF") => return Verdict::Nothing,
        Err(error) => return Verdict::Unsupported(error.message),
    };
    let soname = elf.soname();
    if soname.as_deref().is_some_and(is_loader) {
        return Verdict::Nothing;
    }
    let Some((prefix, functions)) = family(&elf) else {
        return without_malloc(&elf);
    };
    let (name, version) = identity::identify(&elf, soname.as_deref(), path);
    let functions = if name == "glibc" { functions } else { without_settings(functions) };
    let (probes, skipped) = probes(&elf, prefix, &functions, kernel);
    Verdict::Allocator(Allocator { name, version, path: path.to_owned(), build_id: elf.build_id(), probes, skipped })
}

/// The dynamic loader has a small allocator of its own, which older ones even export; programs never get to see it.
fn is_loader(soname: &str) -> bool {
    ["ld-linux", "ld64.so", "ld.so"].iter().any(|start| soname.starts_with(start))
}

fn without_malloc<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>) -> Verdict {
    if elf.is_go() {
        Verdict::Unsupported("a Go program: its heap is Go's own and is not recorded".into())
    } else if elf.is_static() {
        Verdict::Unsupported("a static program without the symbols malloc and free: stripped, or with an allocator of its own".into())
    } else {
        Verdict::Nothing
    }
}

/// The first prefix under which the file defines malloc and free, and its functions in the order of [`FAMILY`].
fn family<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>) -> Option<(&'static str, Vec<Option<Symbol>>)> {
    let names: Vec<String> = PREFIXES.iter().flat_map(|prefix| FAMILY.map(|(_, name, _)| format!("{prefix}{name}"))).collect();
    let found = elf.find(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut families = PREFIXES.into_iter().zip(found.chunks(FAMILY.len()));
    let (prefix, functions) = families.find(|(_, functions)| matches!(functions, [Some(_), Some(_), ..]))?;
    Some((prefix, functions.to_vec()))
}

/// `mallopt` and `malloc_trim` mean something to glibc only; where others have them, they do nothing.
fn without_settings(functions: Vec<Option<Symbol>>) -> Vec<Option<Symbol>> {
    let settings = |kind| matches!(kind, Kind::Trim | Kind::Mallopt);
    FAMILY.iter().zip(functions).map(|(&(kind, ..), symbol)| symbol.filter(|_| !settings(kind))).collect()
}

type Skipped = Vec<(String, String)>;

fn probes<'data, R: ReadRef<'data>>(
    elf: &Elf<'data, R>,
    prefix: &str,
    functions: &[Option<Symbol>],
    kernel: &Kernel,
) -> (Vec<Probe>, Skipped) {
    let (mut probes, mut skipped): (Vec<Probe>, Skipped) = (Vec::new(), Vec::new());
    for (&(kind, name, arguments), symbol) in FAMILY.iter().zip(functions) {
        let Some(symbol) = *symbol else { continue };
        let name = format!("{prefix}{name}");
        match point(elf, prefix, symbol, functions, arguments, kernel) {
            Ok(point) => match probes.iter().find(|probe| probe.point.file_offset == point.file_offset) {
                Some(same) => skipped.push((name, format!("the same code as {}, under which it is recorded", same.symbol))),
                None => probes.push(Probe { kind, symbol: name, point }),
            },
            Err(reason) => skipped.push((name, reason)),
        }
    }
    skipped.extend(reallocarray(elf, prefix, functions));
    (probes, skipped)
}

/// Where to probe a function; the reason where it is better not probed.
fn point<'data, R: ReadRef<'data>>(
    elf: &Elf<'data, R>,
    prefix: &str,
    symbol: Symbol,
    functions: &[Option<Symbol>],
    arguments: usize,
    kernel: &Kernel,
) -> Result<ProbePoint, String> {
    let code = elf.code(symbol);
    let offset = elf.file_offset(symbol.address).ok_or("its code does not lie in the file")?;
    // A function that is one jump to another of the family would only count that one's calls twice.
    if let Some(target) = probe::forwards_to(code).map(|distance| symbol.address.wrapping_add(distance))
        && target != symbol.address
        && let Some((_, name, _)) =
            FAMILY.iter().zip(functions).find_map(|(entry, other)| leads(elf, prefix, target, entry.1, *other).then_some(entry))
    {
        return Err(format!("a jump to {prefix}{name}, under which it is recorded"));
    }
    probe::find(code, offset, arguments, kernel)
}

/// `reallocarray` has no kind of record: its calls are seen where it passes through `realloc`, and not otherwise.
fn reallocarray<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, prefix: &str, functions: &[Option<Symbol>]) -> Option<(String, String)> {
    let name = format!("{prefix}reallocarray");
    let symbol = elf.find(&[&name]).into_iter().next()??;
    let realloc = functions.get(3).copied().flatten();
    let mut targets = probe::leads_to(elf.code(symbol)).map(|distance| symbol.address.wrapping_add(distance));
    let passes = targets.any(|target| leads(elf, prefix, target, "realloc", realloc));
    let reason =
        if passes { "ends in realloc, under which it is recorded" } else { "does not pass through realloc: its calls are not recorded" };
    Some((name, reason.into()))
}

/// Whether a jump to `target` arrives at the function of this name: directly, or through a linkage stub.
fn leads<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, prefix: &str, target: u64, name: &str, function: Option<Symbol>) -> bool {
    if let Some(function) = function
        && function.address == target
    {
        return true;
    }
    // Far enough for the longest stub: a landing mark, a prefix, and the jump.
    let stub = elf.code(Symbol { address: target, size: 16 });
    let import = probe::stub_slot(stub, target).and_then(|slot| elf.import_at(slot));
    import.is_some_and(|import| import.strip_prefix(prefix.as_bytes()) == Some(name.as_bytes()))
}

#[cfg(test)]
#[path = "allocator_tests.rs"]
mod tests;
