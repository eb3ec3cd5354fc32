//! The thing that is reported: a recording's facts and the outcomes of the policies.
//!
//! Plain data with units in the names; `None` is "unknown" and is shown as such, never as zero.

use serde::{Deserialize, Serialize};

use crate::schema::described;

mod heap;
mod paste;
pub use heap::{AddressMap, MapArea, MapMoment, MemoryPoint, PinRow};
pub use paste::Paste;

/// Version of `study.json`; raised when a field changes its meaning or disappears.
pub const STUDY_VERSION: u32 = 1;

described! {
/// Everything a report is made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// [`STUDY_VERSION`].
    pub version: u32,
    /// Version of heapcast that made it.
    pub heapcast: String,
    /// What was recorded.
    pub recording: Recording,
    /// `measured`, `recorded`, then the models in the order of the summary.
    pub policies: Vec<PolicyResult>,
    /// The policy that stands for the allocator that really ran and is compared with the recording: a model's, or `recorded` where there is none.
    #[serde(default)]
    pub checked: String,
    /// That policy against the recording and the kernel's measurement.
    pub fidelity: Vec<FidelityRow>,
    /// How the blocks of that policy differ from the recorded ones, the first difference among it; full sentences, none where nothing differs.
    #[serde(default)]
    pub explanation: Vec<String>,
    /// Requested sizes.
    pub sizes: Vec<SizeRow>,
    /// Lifetimes of blocks.
    pub lifetimes: Vec<LifetimeRow>,
    /// Names of functions, which the stacks of call sites count by.
    #[serde(default)]
    pub frames: Vec<String>,
    /// Places in the code that asked for memory, those with most live bytes at the peak first.
    #[serde(default)]
    pub callsites: Vec<CallSite>,
    /// Threads, in the order in which they first asked for memory.
    #[serde(default)]
    pub threads: Vec<ThreadRow>,
}

/// Facts of the recording that do not depend on any policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// Command line, or the name of the attached process.
    pub command: Vec<String>,
    /// Process that the study is about.
    pub pid: u32,
    /// Path of its executable.
    pub exe: String,
    /// Whether it was `launched` or `attached`.
    pub mode: String,
    /// Seconds since 1970 when the recording began.
    pub started_unix_s: u64,
    /// Length of this process's part of the recording, without the pauses that the recorder made.
    pub duration_ns: u64,
    /// How it ended: `exited 0`, `killed by signal 9`, `recording stopped`.
    pub ending: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture.
    pub arch: String,
    /// Online CPUs.
    pub cpus: u32,
    /// Huge-page mode of the machine: `always`, `madvise`, `never`.
    pub thp: String,
    /// Settings of its kernel that decide what is resident, `name=value`.
    #[serde(default)]
    pub kernel_settings: Vec<String>,
    /// What work of the kernel cost on that machine; `None` where it was not measured.
    #[serde(default)]
    pub unit_costs: Option<UnitCosts>,
    /// Allocators found in the process.
    pub allocators: Vec<AllocatorFound>,
    /// Events of this process per kind.
    pub events: Vec<KindCount>,
    /// Events that were lost (whole recording), per kind.
    pub lost: Vec<KindCount>,
    /// Events that were set aside while lifting, with the reason.
    pub set_aside: Vec<KindCount>,
    /// How the touches of blocks are known; `None` in studies of older versions.
    #[serde(default)]
    pub touches: Option<Touches>,
    /// Time-averaged absolute difference of the resident set between `measured` and `recorded`.
    #[serde(default)]
    pub curves_apart_bytes: Option<u64>,
    /// All processes of the recording.
    pub processes: Vec<ProcessRow>,
    /// What the reader must know: what was not recorded, assumed or carried over; full sentences.
    pub notes: Vec<String>,
}

/// What one piece of the kernel's work took on the recorded machine, in nanoseconds, measured there before the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitCosts {
    /// First touch of an anonymous page.
    pub fault_ns: u64,
    /// Giving a touched page back.
    pub return_ns: u64,
    /// A mapping that grows by a page where it is: `mremap`, and what `brk` does.
    pub grow_ns: u64,
    /// A call of `mmap`.
    pub mmap_ns: u64,
    /// A call of `munmap` for pages that were not touched.
    pub munmap_ns: u64,
    /// A call of `madvise` for a page that was not touched.
    pub madvise_ns: u64,
}

/// An allocator in the recorded process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllocatorFound {
    /// `glibc`, `jemalloc`, …, or the file's name.
    pub name: String,
    /// Its version where known.
    pub version: Option<String>,
    /// The mapped object that provides it.
    pub path: String,
}

/// Touched bytes of blocks, by how that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Touches {
    /// A page fault showed it.
    pub seen_bytes: u64,
    /// Unseen; blocks like them were seen to be touched so far.
    pub inferred_bytes: u64,
    /// Unseen: small blocks, the beginning of large ones, and what there is no like of.
    pub assumed_bytes: u64,
}

/// A count with a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KindCount {
    /// Kind or reason.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// One process image of the recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Number to select it by.
    pub id: u32,
    /// Kernel process id.
    pub pid: u32,
    /// Executable.
    pub exe: String,
    /// Calls of the malloc family.
    pub heap_calls: u64,
    /// Highest resident set that the kernel counted.
    pub peak_rss_bytes: Option<u64>,
    /// Whether this study is about it.
    pub selected: bool,
}

/// One row of the summary with its curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyResult {
    /// The SPEC as it was given, or `measured` / `recorded`.
    pub policy: String,
    /// `measured`, `simulated` or `replayed`.
    pub source: String,
    /// Highest resident set of the whole process, expected.
    pub peak_rss_bytes: Option<u64>,
    /// The same if only touches that were seen happened.
    pub peak_rss_low_bytes: Option<u64>,
    /// The same if all was touched whose touch could not be seen.
    pub peak_rss_high_bytes: Option<u64>,
    /// Time-weighted mean.
    pub mean_rss_bytes: Option<u64>,
    /// At the end of the recording.
    pub final_rss_bytes: Option<u64>,
    /// Highest sum of requested bytes of live blocks.
    pub peak_live_bytes: Option<u64>,
    /// Highest size of all mappings and the break area.
    pub peak_mapped_bytes: Option<u64>,
    /// Minor faults, expected.
    pub minor_faults: Option<u64>,
    /// Minor faults, lowest reading.
    pub minor_faults_low: Option<u64>,
    /// Minor faults, highest reading.
    pub minor_faults_high: Option<u64>,
    /// Major faults.
    pub major_faults: Option<u64>,
    /// Calls of `brk`.
    pub brk_calls: Option<u64>,
    /// Calls of `mmap`.
    pub mmap_calls: Option<u64>,
    /// Calls of `munmap`.
    pub munmap_calls: Option<u64>,
    /// Calls of `mremap`.
    pub mremap_calls: Option<u64>,
    /// Calls of `madvise`.
    pub madvise_calls: Option<u64>,
    /// Resident anonymous bytes given back to the kernel while the program ran.
    pub returned_bytes: Option<u64>,
    /// What the allocator had from the system when the resident set was highest, part by part; empty where that is not known.
    #[serde(default)]
    pub held: Vec<HeldPart>,
    /// Where the resident set sat over time; empty where that is not known.
    #[serde(default)]
    pub memory: Vec<MemoryPoint>,
    /// Live blocks that keep free memory from going back, those of the moment when most was free and held before those of the end.
    #[serde(default)]
    pub pins: Vec<PinRow>,
    /// The allocator's address space over time.
    #[serde(default)]
    pub map: Option<AddressMap>,
    /// How one gets it for real; `None` where nobody can: a bound for comparison, or a what-if.
    #[serde(default)]
    pub paste: Option<Paste>,
    /// The curve, in time order.
    pub timeline: Vec<TimePoint>,
}

/// A place in the code that asked for memory. A block belongs to the place that asked for it last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallSite {
    /// Functions, innermost first, as positions in `frames`; only the immediate caller where stacks were not recorded, none where it is unknown.
    pub stack: Vec<u32>,
    /// Requests; a realloc counts as one.
    pub allocations: u64,
    /// Their sum.
    pub requested_bytes: u64,
    /// Blocks that were freed before their thread asked for another one.
    pub temporary: u64,
    /// Page faults that showed a first touch of its blocks.
    pub faults: u64,
    /// Requested bytes of its blocks at the moment when all live bytes together peaked.
    pub live_at_peak_bytes: u64,
    /// The same at the end.
    pub live_at_end_bytes: u64,
}

/// What a thread asked for and freed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadRow {
    /// The kernel's number for it.
    pub tid: u32,
    /// Requests; a realloc counts as one.
    pub allocations: u64,
    /// Their sum.
    pub requested_bytes: u64,
    /// Blocks that it freed.
    pub frees: u64,
    /// Of those, blocks that another thread had asked for.
    pub foreign_frees: u64,
    /// Blocks that it freed before it asked for the next one.
    pub temporary: u64,
    /// Requested bytes of its blocks at the moment when all live bytes together peaked.
    pub live_at_peak_bytes: u64,
    /// The same at the end.
    pub live_at_end_bytes: u64,
    /// What it was called at last; empty where that is not known.
    #[serde(default)]
    pub name: String,
}

/// A part of an allocator's memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldPart {
    /// `live`, `rounding`, or a name of the allocator's own.
    pub part: String,
    /// Its size.
    pub bytes: u64,
}

/// One sample of a curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimePoint {
    /// Since the process began to be recorded.
    pub time_ns: u64,
    /// Resident set of the process.
    pub rss_bytes: Option<u64>,
    /// Requested bytes of live blocks.
    pub live_bytes: Option<u64>,
    /// All mappings and the break area.
    pub mapped_bytes: Option<u64>,
    /// Minor faults so far.
    pub minor_faults: Option<u64>,
    /// Returned bytes so far.
    pub returned_bytes: Option<u64>,
    /// `rss_bytes` if only touches that were seen happened.
    #[serde(default)]
    pub rss_low_bytes: Option<u64>,
    /// `rss_bytes` if every requested byte was touched.
    #[serde(default)]
    pub rss_high_bytes: Option<u64>,
}

/// One row of the self-check. `placements` counts in shares (0 to 1), everything else in the metric's own unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FidelityRow {
    /// `placements`, `brk_calls`, `peak_rss_bytes`, …
    pub metric: String,
    /// What the kernel or the recording says.
    pub recorded: Option<f64>,
    /// What the replay says.
    pub replayed: Option<f64>,
    /// (replayed − recorded) / recorded; `None` where either is unknown or `recorded` is 0 and `replayed` is not.
    pub error: Option<f64>,
}

/// Requests of one size class (power-of-two quarter steps).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SizeRow {
    /// Smallest size of the class.
    pub from_bytes: u64,
    /// Largest size of the class.
    pub to_bytes: u64,
    /// Requests.
    pub count: u64,
    /// Their sum.
    pub total_bytes: u64,
    /// Requested bytes live at the moment when the whole program's live bytes peaked.
    pub live_at_peak_bytes: u64,
    /// Requested bytes live at the end.
    #[serde(default)]
    pub live_at_end_bytes: u64,
    /// Blocks that were freed before their thread asked for another one.
    #[serde(default)]
    pub temporary: u64,
}

/// Blocks by lifetime (decades).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LifetimeRow {
    /// Shortest lifetime of the class.
    pub from_ns: u64,
    /// End of the class, exclusive; `None` for blocks that were never freed.
    pub to_ns: Option<u64>,
    /// Blocks.
    pub count: u64,
    /// Their requested bytes.
    pub total_bytes: u64,
}
}
