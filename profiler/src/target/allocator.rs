//! Which allocators a file defines, and where each of their functions is probed.
//!
//! Several allocators may be in one process, and several in one file: with jemalloc loaded, libc is still there; a static program may have
//! libc's and its own. All are probed; the ones that are not used report little, and a call that one forwards to another is counted once,
//! because the kernel half drops calls inside calls.

use std::path::{Path, PathBuf};

use object::read::ReadRef;
use profiler_ebpf::{Cookie, Form, Kind, slot};

use super::choice::File;
use super::elf::{self, Elf};
use super::emulate::Kernel;
use super::extra::Extra;
use super::probe::ProbePoint;
use crate::error::Result;

/// An allocator: functions of one file that hand out memory and take it back.
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
    /// Where its symbols were found: a section of the file, or another file.
    pub symbols: String,
    /// What to probe, no two at the same instruction.
    pub probes: Vec<Probe>,
    /// Functions that need no probe, and the one under whose name their calls are recorded.
    pub covered: Vec<(String, String)>,
    /// What is defined but not probed, and why: its calls are missing.
    pub skipped: Vec<(String, String)>,
}

/// A function that hands out or takes back memory, and where it is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What its records are.
    pub kind: Kind,
    /// Its name in the file.
    pub symbol: String,
    /// How its arguments are meant.
    pub form: Form,
    /// What the registers of the point hold, see [`slot`].
    pub slots: [Option<usize>; 3],
    /// Where.
    pub point: ProbePoint,
}

impl Probe {
    /// What the kernel half is told when the probe is attached.
    pub fn cookie(&self) -> Cookie {
        let mut registers = [None; slot::SLOTS];
        for (slot, register) in self.slots.iter().zip(self.point.registers) {
            if let Some(place) = slot.and_then(|slot| registers.get_mut(slot)) {
                *place = register;
            }
        }
        Cookie::new(self.kind, self.form, registers)
    }
}

/// What a file is to a recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It defines allocators.
    Allocators(Vec<Allocator>),
    /// It has one, or may have one, that cannot be recorded: the reason.
    Unsupported(String),
    /// It has none.
    Nothing,
}

/// Examines the file at `path`, and what belongs to it on this machine.
pub fn examine_file(path: &Path, kernel: &Kernel) -> Result<Verdict> {
    let source = elf::open(path)?;
    Ok(examine_among(&source, &path.to_string_lossy(), &["/".into()], kernel))
}

/// Examines the bytes of a file that the process knows as `path`.
pub fn examine<'data, R: ReadRef<'data>>(data: R, path: &str, kernel: &Kernel) -> Verdict {
    examine_among(data, path, &[], kernel)
}

/// The same; if the file is stripped, its symbols are also looked for below these folders.
pub fn examine_among<'data, R: ReadRef<'data>>(data: R, path: &str, roots: &[PathBuf], kernel: &Kernel) -> Verdict {
    let elf = match Elf::parse(data) {
        Ok(elf) => elf,
        Err(_) if data.read_bytes_at(0, 4) != Ok(b"\x7fELF") => return Verdict::Nothing,
        Err(error) => return Verdict::Unsupported(error.message),
    };
    if elf.soname().as_deref().is_some_and(is_loader) {
        return Verdict::Nothing;
    }
    let extra = Extra::of(&elf, path, roots);
    match File::new(&elf, &extra, path, kernel).allocators() {
        none if none.is_empty() => without_allocator(&elf),
        allocators => Verdict::Allocators(allocators),
    }
}

/// The dynamic loader has a small allocator of its own, which older ones even export; programs never get to see it.
fn is_loader(soname: &str) -> bool {
    ["ld-linux", "ld64.so", "ld.so"].iter().any(|start| soname.starts_with(start))
}

fn without_allocator<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>) -> Verdict {
    if elf.is_go() {
        Verdict::Unsupported("a Go program: its heap is Go's own and is not recorded".into())
    } else if elf.is_static() {
        Verdict::Unsupported(
            "a static program without the symbols of an allocator, in it or in a debug file: stripped, or with an allocator of its own"
                .into(),
        )
    } else {
        Verdict::Nothing
    }
}

#[cfg(test)]
#[path = "allocator_tests.rs"]
mod tests;
