//! Running heapcast, folders that go away again, processes, and conditions that are waited for.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use profiler::event::{Event, ProcessId};
use profiler::trace::{Manifest, Reader, kind_name};

/// A folder for one test, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        Folder::below(Path::new(env!("CARGO_TARGET_TMPDIR")), name)
    }

    pub(crate) fn below(parent: &Path, name: &str) -> Folder {
        let folder = parent.join(format!("{name}.{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        Folder(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What a failed test leaves behind is worth looking at.
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.0).unwrap_or_default();
        }
    }
}

/// The built binary.
pub(crate) fn heapcast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heapcast"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a finished command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// That it ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// Runs a command to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A process that is ended, by its number, when the test does not get to it.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        Running(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for the end.
    pub(crate) fn code(&mut self) -> Option<i32> {
        self.0.wait().expect("a child of this test").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that was waited for is not signalled: the library knows.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// Sends a signal. `false` when there is no such process.
#[allow(unsafe_code)]
pub(crate) fn signal(pid: u32, signal: i32) -> bool {
    // SAFETY: a signal concerns no memory of this process.
    unsafe { libc::kill(pid as i32, signal) == 0 }
}

/// Asks a process to end.
pub(crate) fn terminate(pid: u32) {
    assert!(signal(pid, libc::SIGTERM));
}

/// Looks again and again until there is a value. Fails after two minutes, which nothing here takes.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A trace in memory.
pub(crate) struct Trace {
    pub(crate) manifest: Manifest,
    pub(crate) events: Vec<Event>,
    pub(crate) damage: Option<String>,
}

impl Trace {
    pub(crate) fn open(folder: &Path) -> Trace {
        Trace::try_open(folder).unwrap_or_else(|| panic!("{}: not to be read", folder.display()))
    }

    /// None while there is nothing to read.
    pub(crate) fn try_open(folder: &Path) -> Option<Trace> {
        let mut reader = Reader::open(folder).ok()?;
        let mut events = Vec::new();
        while let Some(batch) = reader.next_batch() {
            events.extend_from_slice(batch);
        }
        Some(Trace { manifest: reader.manifest().clone(), events, damage: reader.damage().map(ToString::to_string) })
    }

    /// Events of a kind, by the name it has in the trace.
    pub(crate) fn count(&self, kind: &str) -> u64 {
        self.events.iter().filter(|event| kind_name(event) == kind).count() as u64
    }

    /// The same of one process image.
    pub(crate) fn count_of(&self, process: ProcessId, kind: &str) -> u64 {
        self.events.iter().filter(|event| event.process == process && kind_name(event) == kind).count() as u64
    }

    /// Lost events of all kinds, and calls without their other half.
    pub(crate) fn lost(&self) -> u64 {
        self.manifest.counts.kinds.values().map(|kind| kind.lost).sum::<u64>() + self.manifest.counts.unpaired
    }
}
