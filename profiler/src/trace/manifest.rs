//! `manifest.json`: what was recorded, how, on which machine, and what was lost. Everything that is not an event.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};
use crate::event::{ProcessId, Tid};

/// Name of the file in the folder of a trace.
pub const FILE: &str = "manifest.json";

/// Version of the format of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Raised when older readers would misread it.
    pub major: u32,
    /// Raised when something is added that older readers may ignore.
    pub minor: u32,
}

impl Format {
    /// What this heapcast writes.
    pub const CURRENT: Format = Format { major: 1, minor: 5 };

    /// Whether it may hold what this heapcast does not know.
    pub fn is_later(self) -> bool {
        (self.major, self.minor) > (Format::CURRENT.major, Format::CURRENT.minor)
    }

    /// Whether this heapcast can read it; if not, what to do.
    pub fn check(self) -> Result<(), String> {
        if self.major == Format::CURRENT.major {
            return Ok(());
        }
        let advice = if self.major > Format::CURRENT.major { "upgrade heapcast to read it" } else { "record it again" };
        Err(format!("it has trace format {self}, this heapcast reads {}.x: {advice}", Format::CURRENT.major))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Format, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        Ok(Format { major: major.parse().map_err(drop)?, minor: minor.parse().map_err(drop)? })
    }
}

impl Default for Format {
    fn default() -> Format {
        Format::CURRENT
    }
}

/// How the recording came to its process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// heapcast started the program: nothing is missing from its first instruction on.
    #[default]
    Launched,
    /// It was running already.
    Attached,
}

/// Which calls of the malloc family were recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calls {
    /// All, from the first instruction or the attaching on.
    #[default]
    All,
    /// Those in windows, whose beginnings and ends are events.
    Windows,
    /// None.
    None,
}

/// The machine that it was recorded on. `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Release of the kernel, as `uname -r` says it.
    pub kernel: Option<String>,
    /// Architecture, as `uname -m` says it.
    pub arch: Option<String>,
    /// Processors that are online.
    pub cpus: Option<u32>,
    /// Bytes of a page.
    pub page_size: Option<u64>,
    /// `always`, `madvise` or `never` (`/sys/kernel/mm/transparent_hugepage/enabled`).
    pub thp: Option<String>,
    /// Bytes of memory.
    pub memory_total: Option<u64>,
    /// Settings of the kernel that decide what is resident, by the names of their files; those in brackets where there is a choice. Empty before format 1.5.
    pub kernel_settings: BTreeMap<String, String>,
    /// What work of the kernel costs here.
    pub unit_costs: Option<UnitCosts>,
}

/// What one piece of the kernel's work took, ns: the median of some rounds, measured before the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitCosts {
    /// First touch of an anonymous page.
    pub fault_ns: u64,
    /// Giving a touched page back.
    pub return_ns: u64,
    /// A mapping that grows by a page where it is: `mremap`, and what `brk` does.
    pub grow_ns: u64,
    /// `mmap`.
    pub mmap_ns: u64,
    /// `munmap` of pages that were not touched.
    pub munmap_ns: u64,
    /// `madvise` for a page that was not touched.
    pub madvise_ns: u64,
}

/// An allocator in a process: a mapped object that exports `malloc` and its family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllocatorFound {
    /// Such as `glibc`.
    pub name: String,
    /// As far as it could be told.
    pub version: Option<String>,
    /// Of the object, as the process sees it.
    pub path: String,
    /// Its GNU build id in hex.
    pub build_id: Option<String>,
    /// Probes that were attached.
    pub probes: u32,
    /// Functions whose probe the kernel must single-step: recorded, and slower.
    pub stepped: Vec<String>,
    /// Functions that could not be probed: their calls are missing.
    pub skipped: Vec<String>,
}

/// One program image in one process. Its id is the `process` of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Position in the manifest's list.
    pub id: ProcessId,
    /// The kernel's id.
    pub pid: u32,
    /// Its id as it sees it, where it lives in a PID namespace of its own.
    pub pid_inside: Option<u32>,
    /// The image that forked it, or that it replaced by `execve`.
    pub parent: Option<ProcessId>,
    /// Path of the program.
    pub exe: String,
    /// Short name.
    pub comm: String,
    /// The arguments, its own name first.
    pub cmdline: Vec<String>,
    /// What its threads were called at last, by their ids; empty before format 1.4.
    pub threads: BTreeMap<Tid, String>,
    /// When it began, on the clock of the events, ns.
    pub started_ns: u64,
    /// When it ended; none while it runs.
    pub ended_ns: Option<u64>,
    /// How, in words: `exit 0`, `killed by signal 9`, `execve`.
    pub ending: Option<String>,
    /// Paths of the files whose code it had mapped at any time; empty where they were not noted (before format 1.3).
    pub files: Vec<String>,
    /// The allocators in it.
    pub allocators: Vec<AllocatorFound>,
    /// The kernel's own total, where it was told.
    pub minor_faults: Option<u64>,
    /// The kernel's own total, where it was told.
    pub major_faults: Option<u64>,
    /// `ru_maxrss` of a launched program and the children it waited for, bytes.
    pub max_rss: Option<u64>,
    /// The variables of its environment that steer an allocator; no others are stored.
    pub environment: BTreeMap<String, String>,
}

/// What became of the records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KindCounts {
    /// Put into the ring by the kernel half.
    pub made: u64,
    /// Dropped because the ring was full.
    pub lost: u64,
}

/// The books of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// By the label of the kind on the wire.
    pub kinds: BTreeMap<String, KindCounts>,
    /// Calls inside another call of the malloc family, left out on purpose.
    pub nested: u64,
    /// Returns without a known entry: lost calls.
    pub unpaired: u64,
    /// Records that gave events.
    pub decoded: u64,
    /// Records of the launcher's own code before the first `execve`, left out on purpose.
    pub before_exec: u64,
    /// Resident-set records of processes that had ended, left out on purpose.
    pub after_end: u64,
    /// Records that were not understood, by reason.
    pub rejected: BTreeMap<String, u64>,
}

/// What was lost in a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostMeanwhile {
    /// Begin of the stretch on the clock of the events, ns.
    pub from_ns: u64,
    /// Its end.
    pub until_ns: u64,
    /// Records by the label of their kind; `unpaired` for calls whose other half was missed.
    pub lost: BTreeMap<String, u64>,
}

/// Hits of one kind of probe, and what each was found to take longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HitCost {
    /// Records, made or lost.
    pub hits: u64,
    /// Of one, ns.
    pub each_ns: u64,
}

/// What the recording has cost the recorded processes, estimated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overhead {
    /// By the label of the kind; `nested` for calls inside another one.
    pub kinds: BTreeMap<String, HitCost>,
    /// Their sum: processor time of the processes, ns.
    pub probes_ns: u64,
    /// Calls that waited in their probe for the recorder.
    pub waits: u64,
    /// Processor time that this took, ns.
    pub waited_ns: u64,
    /// Times that a process stood still for the recorder.
    pub stops: u64,
    /// How long in all, ns.
    pub stopped_ns: u64,
    /// Processor time that the processes took altogether, ns.
    pub target_cpu_ns: Option<u64>,
}

/// Everything about a recording but its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Of this trace.
    pub format: Format,
    /// Version of the heapcast that wrote it.
    pub heapcast: String,
    /// When it began, Unix seconds.
    pub created: u64,
    /// Launched or attached.
    pub mode: Mode,
    /// Which calls of the malloc family were recorded (all, before format 1.4).
    pub calls: Calls,
    /// The command line that was given: the program and its arguments, or what was attached to.
    pub command: Vec<String>,
    /// Recording options that differ from the defaults, by name.
    pub options: BTreeMap<String, String>,
    /// Where.
    pub host: Host,
    /// Every program image that was recorded, by id.
    pub processes: Vec<Process>,
    /// What was made and what was lost.
    pub counts: Counts,
    /// When it was lost, in order of time; a bounded number of stretches.
    pub losses: Vec<LostMeanwhile>,
    /// What it has cost.
    pub overhead: Option<Overhead>,
    /// Whether the recording was ended in order; if not, up to a second of events may be missing.
    pub complete: bool,
    /// Sentences that a reader of any result must see.
    pub notes: Vec<String>,
}

/// Why a manifest cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is of a format that this heapcast does not know; says which, and what to do.
    Version(String),
    /// It is not the text of a manifest; says why, and which byte.
    Damaged(String),
}

impl Manifest {
    /// Reads the text of a manifest. Unknown fields are left alone, missing ones have their defaults.
    pub fn parse(text: &[u8]) -> Result<Manifest, Unreadable> {
        /// The version is looked at first: a later format may have other fields and types.
        #[derive(Deserialize)]
        struct Head {
            format: Format,
        }
        let at = |error: serde_json::Error| Unreadable::Damaged(format!("byte {}: {error}", offset(text, &error)));
        serde_json::from_slice::<Head>(text).map_err(at)?.format.check().map_err(Unreadable::Version)?;
        serde_json::from_slice(text).map_err(at)
    }

    /// The text of the file.
    pub(super) fn text(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self).context(Kind::Output, "cannot encode the manifest")?;
        text.push(b'\n');
        Ok(text)
    }
}

/// Where in `text` an error is: serde_json counts lines and columns.
fn offset(text: &[u8], error: &serde_json::Error) -> usize {
    let before = text.split_inclusive(|&byte| byte == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum::<usize>();
    (before + error.column().saturating_sub(1)).min(text.len())
}

/// Puts `text` at `path` in one step: after a crash the file is the old or the new one, never a part. `durable` waits for the disk.
pub(super) fn replace(path: &Path, text: &[u8], durable: bool) -> Result<()> {
    let temporary = path.with_extension("json.new");
    let written = create_private(&temporary).and_then(|mut file| {
        file.write_all(text)?;
        if durable {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)
    });
    written.map_err(|error| {
        // What is left of a failed attempt is of no use; that it may stay behind is no second failure.
        let _ = std::fs::remove_file(&temporary);
        Error::new(Kind::Output, format!("cannot write {}: {error}", path.display()))
    })
}

/// A new file in place of any other; only its owner can read it, because addresses and command lines are private.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        // Never through a link that somebody else put there.
        _ => OpenOptions::new().write(true).create_new(true).mode(0o600).open(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Manifest, Unreadable> {
        Manifest::parse(text.as_bytes())
    }

    fn damage(text: &str) -> String {
        match parsed(text) {
            Err(Unreadable::Damaged(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn survives_a_round_trip() {
        let process = Process {
            pid: 7,
            exe: "/bin/true".into(),
            allocators: vec![AllocatorFound { name: "glibc".into(), probes: 9, ..Default::default() }],
            environment: [("MALLOC_ARENA_MAX".to_string(), "2".to_string())].into(),
            ending: Some("exit 0".into()),
            ..Process::default()
        };
        let lost = KindCounts { made: 10, lost: 1 };
        let manifest = Manifest {
            heapcast: "0.1.0".into(),
            mode: Mode::Attached,
            processes: vec![process],
            counts: Counts { kinds: [("malloc".to_string(), lost)].into(), nested: 3, ..Counts::default() },
            complete: true,
            ..Manifest::default()
        };
        assert_eq!(Manifest::parse(&manifest.text().unwrap()).unwrap(), manifest);
    }

    #[test]
    fn a_newer_minor_version_is_read_and_a_newer_major_one_is_not() {
        let minor = parsed(r#"{"format": {"major": 1, "minor": 9}, "colour": "red", "complete": true}"#).unwrap();
        assert!(minor.complete && minor.format.minor == 9);
        let refused = parsed(r#"{"format": {"major": 2, "minor": 0}, "complete": "partly"}"#);
        assert!(matches!(&refused, Err(Unreadable::Version(why)) if why.contains("upgrade heapcast")), "{refused:?}");
    }

    #[test]
    fn damage_is_named_by_its_byte() {
        assert!(damage("").starts_with("byte 0"));
        let text = "{\n \"format\": {\"major\": 1, \"minor\": x}}";
        assert!(damage(text).starts_with(&format!("byte {}:", text.find('x').unwrap())));
        assert!(parsed("[]").is_err() && parsed("{}").is_err());
    }
}
