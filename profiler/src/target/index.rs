//! The allocators of a process. Each file is examined once, however many processes map it and however often is asked.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object::read::ReadCache;

use super::allocator::{self, Allocator, Verdict};
use super::emulate::Kernel;
use super::maps::{self, Mapping};
use crate::error::{Error, Kind, Result};

/// A file, wherever it is mapped: major and minor number of its device, and its inode.
pub type FileId = (u32, u32, u64);

/// What is known about the files that were seen so far.
pub struct Index {
    kernel: Kernel,
    known: HashMap<FileId, Known>,
}

#[derive(Clone)]
enum Known {
    Allocators(Vec<Arc<Allocator>>),
    Unsupported(String),
    Nothing,
}

/// An allocator in a process.
#[derive(Clone, Debug)]
pub struct Located {
    /// Tells files apart; the same in every process that maps it.
    pub file: FileId,
    /// One of those that the file contains.
    pub allocator: Arc<Allocator>,
    /// A path by which this recorder reaches the file now, for attaching probes; it may go with the process.
    pub reach: PathBuf,
}

/// What was found in a process.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Every allocator, in the order of their files' addresses.
    pub allocators: Vec<Located>,
    /// Files whose memory use cannot be recorded: path and reason.
    pub unsupported: Vec<(String, String)>,
}

impl Index {
    /// An empty index; probe points will be chosen by this kernel's rules.
    pub fn new(kernel: Kernel) -> Index {
        Index { kernel, known: HashMap::new() }
    }

    /// The allocators among the files whose code the process has mapped now.
    pub fn find_in_process(&mut self, pid: u32) -> Result<Found> {
        let mut found = Found::default();
        let mut seen = Vec::new();
        for mapping in maps::read(pid)?.iter().filter(|mapping| mapping.is_code()) {
            let file = (mapping.dev.0, mapping.dev.1, mapping.inode);
            if seen.contains(&file) {
                continue;
            }
            seen.push(file);
            self.add(pid, file, mapping, &mut found);
        }
        Ok(found)
    }

    fn add(&mut self, pid: u32, file: FileId, mapping: &Mapping, found: &mut Found) {
        match self.known.get(&file).cloned().map_or_else(|| self.examine(pid, file, mapping), Ok) {
            Ok(Known::Nothing) => {}
            Ok(Known::Unsupported(reason)) => found.unsupported.push((mapping.path.clone(), reason)),
            Ok(Known::Allocators(allocators)) => match open(pid, mapping) {
                Ok((_, reach)) => {
                    let located = |allocator| Located { file, allocator, reach: reach.clone() };
                    found.allocators.extend(allocators.into_iter().map(located));
                }
                Err(error) => found.unsupported.push((mapping.path.clone(), error.message)),
            },
            Err(error) => found.unsupported.push((mapping.path.clone(), error.message)),
        }
    }

    fn examine(&mut self, pid: u32, file: FileId, mapping: &Mapping) -> Result<Known> {
        let (source, _) = open(pid, mapping)?;
        let known = match allocator::examine_among(&ReadCache::new(source), &mapping.path, &roots(pid), &self.kernel) {
            Verdict::Allocators(allocators) => Known::Allocators(allocators.into_iter().map(Arc::new).collect()),
            Verdict::Unsupported(reason) => Known::Unsupported(reason),
            Verdict::Nothing => Known::Nothing,
        };
        self.known.insert(file, known.clone());
        Ok(known)
    }
}

/// Where debug files of a process's code may be installed: where it lives, or here.
pub(super) fn roots(pid: u32) -> [PathBuf; 2] {
    [PathBuf::from(format!("/proc/{pid}/root")), PathBuf::from("/")]
}

/// Opens the file behind a mapping, and tells the path that led to it. The process may live in another root folder, the file may have
/// been deleted or replaced since it was mapped, and some file systems (overlay, btrfs) report another device than the mapping has.
pub(super) fn open(pid: u32, mapping: &Mapping) -> Result<(File, PathBuf)> {
    let named = PathBuf::from(format!("/proc/{pid}/root{}", mapping.path));
    let mapped = PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start.0, mapping.end.0));
    let same_inode = |metadata: &Metadata| metadata.ino() == mapping.inode;
    let same_file = |metadata: &Metadata| same_inode(metadata) && metadata.dev() == libc::makedev(mapping.dev.0, mapping.dev.1);
    let own = PathBuf::from(&mapping.path);
    // The plain path outlives the process, so it is tried first.
    open_if(&own, same_file)
        .or_else(|| open_if(&named, same_file))
        .or_else(|| open_if(&mapped, same_inode))
        .or_else(|| open_if(&named, same_inode))
        .ok_or_else(|| Error::new(Kind::Target, "the mapped file cannot be opened: it was deleted or replaced"))
}

/// Opens a plain file that is accepted.
pub(super) fn open_if(path: &Path, accept: impl Fn(&Metadata) -> bool) -> Option<(File, PathBuf)> {
    // Asked by name before it is opened: opening a device or a pipe may block or have effects.
    let is_file = |metadata: Metadata| metadata.is_file() && accept(&metadata);
    fs::metadata(path).ok().filter(|metadata| is_file(metadata.clone()))?;
    let file = File::open(path).ok()?;
    is_file(file.metadata().ok()?).then(|| (file, path.to_owned()))
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
