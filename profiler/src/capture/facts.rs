//! What is noted of each recorded process beside its events.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{ProcessId, Tid};
use crate::target::allocator::Allocator;
use crate::target::{maps, process};
use crate::units::{Bytes, Nanos};

/// One process image.
#[derive(Clone, Debug, Default)]
pub struct ProcessFacts {
    /// Its number in the recording.
    pub id: ProcessId,
    /// Kernel process id.
    pub pid: u32,
    /// The image it was forked from or that it replaced.
    pub parent: Option<ProcessId>,
    /// Path of the executable, empty where it could not be read.
    pub exe: String,
    /// Short name.
    pub comm: String,
    /// Its id as it sees it, where it lives in a PID namespace of its own.
    pub pid_inside: Option<u32>,
    /// What its threads were called at last, by their ids; of at most [`MOST_NAMES`].
    pub names: BTreeMap<Tid, String>,
    /// Command line.
    pub cmdline: Vec<String>,
    /// Environment variables that change an allocator's behaviour, as `NAME=value`.
    pub environment: Vec<String>,
    /// Paths of the files whose code it had mapped, as last seen.
    pub files: Vec<String>,
    /// Allocators whose calls are recorded.
    pub allocators: Vec<Arc<Allocator>>,
    /// Files that provide an allocator but cannot be probed, with the reason.
    pub unsupported: Vec<(String, String)>,
    /// When its events begin.
    pub started: Nanos,
    /// When it ended, `None` when it did not before the recording did.
    pub ended: Option<Nanos>,
    /// How it ended where that is known.
    pub ending: Option<String>,
    /// The kernel's own totals of minor and major faults of this image, where they could be read at its end.
    pub faults: Option<(u64, u64)>,
    /// `ru_maxrss` of the launched program and the children it waited for.
    pub max_rss: Option<Bytes>,
    /// The same totals as `faults` when the image began.
    pub faults_before: (u64, u64),
    /// Processor time that the process had taken when the image began.
    pub cpu_before: Nanos,
}

/// Most threads of one image whose names are kept.
pub const MOST_NAMES: usize = 4096;

/// The ending of a child that was not to be followed.
const NOT_FOLLOWED: &str = "not followed";

/// Whether a variable of the environment is about memory allocation, and therefore worth keeping. The rest of an environment may hold
/// secrets and is never stored.
fn steers_allocator(variable: &str) -> bool {
    const NAMES: [&str; 3] = ["GLIBC_TUNABLES", "LD_PRELOAD", "PYTHONMALLOC"];
    const PREFIXES: [&str; 3] = ["MALLOC_", "MIMALLOC_", "TCMALLOC_"];
    // jemalloc built with a prefix reads a prefixed variable, such as `_RJEM_MALLOC_CONF`.
    let prefixed = PREFIXES.iter().any(|prefix| variable.starts_with(prefix)) || variable.ends_with("MALLOC_CONF");
    prefixed || NAMES.contains(&variable)
}

impl ProcessFacts {
    /// Reads what `/proc` tells of a process that is alive now.
    pub fn read(id: ProcessId, pid: u32, parent: Option<ProcessId>, started: Nanos) -> ProcessFacts {
        ProcessFacts {
            id,
            pid,
            parent,
            exe: process::exe(pid).map(|path| path.display().to_string()).unwrap_or_default(),
            comm: process::comm(pid).unwrap_or_default(),
            pid_inside: process::pid_inside(pid),
            cmdline: process::cmdline(pid).unwrap_or_default(),
            environment: environment(pid),
            started,
            faults_before: process::minflt_majflt(pid).unwrap_or_default(),
            cpu_before: process::cpu_time(pid).unwrap_or_default(),
            ..ProcessFacts::default()
        }
    }

    /// Notes the files that it has code of by now; `tid` is one of its threads.
    pub fn note_files(&mut self, tid: Tid) {
        for mapping in maps::read(tid).unwrap_or_default() {
            if mapping.is_code() && !self.files.contains(&mapping.path) {
                self.files.push(mapping.path);
            }
        }
    }

    /// Notes what a thread is called.
    pub fn name(&mut self, tid: Tid, name: String) {
        if self.names.len() < MOST_NAMES || self.names.contains_key(&tid) {
            self.names.insert(tid, name);
        }
    }

    /// Notes what its threads are called that live now.
    pub fn note_names(&mut self) {
        for tid in process::threads(self.pid).unwrap_or_default() {
            if let Ok(name) = process::comm(tid) {
                self.name(tid, name);
            }
        }
    }

    /// A child that is not to be followed: nothing more is known of it.
    pub fn leave_alone(&mut self) {
        self.ending = Some(NOT_FOLLOWED.to_owned());
        self.allocators.clear();
    }

    /// Whether it was not to be followed.
    pub fn is_left_alone(&self) -> bool {
        self.ending.as_deref() == Some(NOT_FOLLOWED)
    }

    /// Minor and major faults of this image, given the process's totals now.
    pub fn faults_up_to(&self, (minor, major): (u64, u64)) -> (u64, u64) {
        (minor.saturating_sub(self.faults_before.0), major.saturating_sub(self.faults_before.1))
    }

    /// The facts of a forked child, which begins as a copy of its parent.
    pub fn forked(&self, id: ProcessId, pid: u32, started: Nanos) -> ProcessFacts {
        ProcessFacts {
            id,
            pid,
            parent: Some(self.id),
            started,
            ended: None,
            ending: None,
            faults: None,
            max_rss: None,
            faults_before: (0, 0),
            pid_inside: process::pid_inside(pid),
            names: BTreeMap::new(),
            cpu_before: Nanos(0),
            ..self.clone()
        }
    }
}

fn environment(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let named = text.split('\0').filter(|variable| variable.split_once('=').is_some_and(|(name, _)| steers_allocator(name)));
    named.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out_of_the_environment() {
        assert!(steers_allocator("MALLOC_ARENA_MAX") && steers_allocator("GLIBC_TUNABLES") && steers_allocator("LD_PRELOAD"));
        assert!(steers_allocator("MALLOC_CONF") && steers_allocator("_RJEM_MALLOC_CONF"));
        assert!(!steers_allocator("AWS_SECRET_ACCESS_KEY") && !steers_allocator("PATH"));
    }
}
