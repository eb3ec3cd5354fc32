//! Loading the kernel half: sizes, settings, maps.

use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use aya::{Ebpf, EbpfLoader, Pod};
use profiler_ebpf as wire;

use crate::error::{Context, Error, Kind, Result};
use crate::units::{Nanos, Pages};

use super::stops::Stops;

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../profiler-ebpf/object/heapcast.bpf.o");

/// Whose registers the probes read.
const MACHINE: u32 = if cfg!(target_arch = "aarch64") { wire::machine::AARCH64 } else { wire::machine::X86_64 };

/// Most slots of the pairing tables; with more thread ids than this two threads may share a slot, which is noticed and counted.
const MOST_SLOTS: u32 = 1 << 18;

/// Most different stacks that are told; of further ones only the immediate caller is.
const MOST_STACKS: u32 = 1 << 17;

/// About a millisecond of waiting in a probe: nobody sees it, and it costs less than to stop the process and to continue it.
const SPIN_ROUNDS: u32 = 50_000;

/// How the kernel half is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of the ring, a power of two.
    pub ring_bytes: u32,
    /// A new resident-set record for each change of so many bytes.
    pub rss_step_bytes: u64,
    /// For what processes stop themselves, the bits of [`wire::Stop`].
    pub stops: u32,
    /// Id of the control group of which processes are recorded from their next program on; 0: none.
    pub cgroup: u64,
    /// Whether processes wait and stop rather than that a record is lost.
    pub lossless: bool,
    /// Most frames of the stacks that are recorded; 0: immediate callers only.
    pub frames: u32,
}

/// The loaded object with its maps.
pub struct Object {
    /// Programs, to be attached.
    pub ebpf: Ebpf,
    /// Records.
    pub ring: RingBuf<MapData>,
    /// Who has stopped for the recorder.
    pub stops: Stops,
    targets: Array<MapData, u32>,
    window: Array<MapData, u32>,
    seeds: HashMap<MapData, u32, Resident>,
    counts: PerCpuArray<MapData, Counts>,
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Counts(wire::Counts);
// SAFETY: plain integers without padding, for which every bit pattern is valid.
unsafe impl Pod for Counts {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Resident(wire::Resident);
// SAFETY: as above.
unsafe impl Pod for Resident {}

/// What the kernel half counted, summed over the CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records put into the ring, per kind.
    pub made: Vec<(&'static str, u64)>,
    /// Records lost because the ring was full, per kind.
    pub lost: Vec<(&'static str, u64)>,
    /// Calls inside other calls, left out on purpose.
    pub nested: u64,
    /// Calls whose entry or return was missed.
    pub unpaired: u64,
    /// Calls that waited because the ring was crowded.
    pub waits: u64,
    /// How long they did.
    pub waited: Nanos,
}

impl Totals {
    /// All records that were lost.
    pub fn all_lost(&self) -> u64 {
        self.lost.iter().map(|(_, count)| count).sum::<u64>() + self.unpaired
    }

    /// All records that were put into the ring.
    pub fn all_made(&self) -> u64 {
        self.made.iter().map(|(_, count)| count).sum()
    }
}

impl Object {
    /// Loads the kernel half; nothing is attached yet.
    ///
    /// # Errors
    /// `NotPermitted` with what to type, `Unsupported` when the kernel refuses the object.
    pub fn load(settings: &Settings) -> Result<Object> {
        super::permission::check()?;
        let pid_max = pid_max();
        let slots = pid_max.min(MOST_SLOTS);
        let offsets = super::fields::offsets();
        let ring = u64::from(settings.ring_bytes);
        let (wait_above, stop_above, rounds) = if settings.lossless { (ring / 4 * 3, ring / 8 * 7, SPIN_ROUNDS) } else { (0, 0, 0) };
        let mut loader = EbpfLoader::new();
        loader
            .btf(None)
            .override_global(wire::MACHINE, &MACHINE, true)
            .override_global(wire::RSS_STEP, &settings.rss_step_bytes, true)
            .override_global(wire::STOP, &settings.stops, true)
            .override_global(wire::CGROUP, &settings.cgroup, true)
            .override_global(wire::WAIT_ABOVE, &wait_above, true)
            .override_global(wire::STOP_ABOVE, &stop_above, true)
            .override_global(wire::SPIN_ROUNDS, &rounds, true)
            .override_global(wire::STACKS, &settings.frames, true)
            .override_global(wire::THREAD_SLOTS, &slots, true)
            .map_max_entries(wire::EVENTS, settings.ring_bytes)
            .map_max_entries(wire::TARGETS, pid_max)
            .map_max_entries(wire::PENDING, slots)
            .map_max_entries(wire::CALLS, slots)
            .map_max_entries(wire::SEEN, if settings.frames > 0 { MOST_STACKS } else { 1 });
        for (global, offset) in &offsets {
            loader.override_global(global, offset, true);
        }
        let mut ebpf = loader.load(OBJECT).map_err(|cause| {
            Error::new(Kind::Unsupported, format!("the kernel does not load the recorder's programs: {}", super::attach::because(&cause)))
        })?;
        Ok(Object {
            ring: RingBuf::try_from(take(&mut ebpf, wire::EVENTS)?).context(Kind::Unsupported, wire::EVENTS)?,
            targets: Array::try_from(take(&mut ebpf, wire::TARGETS)?).context(Kind::Unsupported, wire::TARGETS)?,
            window: Array::try_from(take(&mut ebpf, wire::WINDOW)?).context(Kind::Unsupported, wire::WINDOW)?,
            stops: Stops::new(take(&mut ebpf, wire::STOPS)?)?,
            seeds: HashMap::try_from(take(&mut ebpf, wire::SEEDS)?).context(Kind::Unsupported, wire::SEEDS)?,
            counts: PerCpuArray::try_from(take(&mut ebpf, wire::COUNTS)?).context(Kind::Unsupported, wire::COUNTS)?,
            ebpf,
        })
    }

    /// Begins or ends the recording of a process.
    ///
    /// # Errors
    /// `Failed` when the process id is beyond the kernel's limit at load time.
    pub fn set_target(&mut self, pid: u32, state: u32) -> Result<()> {
        self.targets.set(pid, state, 0).context(Kind::Failed, format!("cannot select process {pid}"))
    }

    /// Opens the window of this number, in which calls of the malloc family are recorded where they are probed; 0 closes it.
    ///
    /// # Errors
    /// `Failed` when the kernel refuses, which it has no reason to.
    pub fn set_window(&mut self, number: u32) -> Result<()> {
        self.window.set(0, number, 0).context(Kind::Failed, "cannot open or close a window")
    }

    /// Tells the kernel half what a process holds that was running before it is selected, since it sees changes only.
    ///
    /// # Errors
    /// `Failed` when the table is full.
    pub fn seed(&mut self, pid: u32, anon: Pages, file: Pages, shmem: Pages) -> Result<()> {
        let bytes = |pages: Pages| pages.bytes().0 as i64;
        let resident = wire::Resident { anon: bytes(anon), file: bytes(file), shmem: bytes(shmem) };
        self.seeds.insert(pid, Resident(resident), 0).context(Kind::Failed, format!("cannot seed process {pid}"))
    }

    /// What was counted so far.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let Ok(per_cpu) = self.counts.get(&0, 0) else { return totals };
        let sum = |pick: &dyn Fn(&wire::Counts) -> u64| per_cpu.iter().map(|counts| pick(&counts.0)).sum::<u64>();
        for kind in wire::Kind::ALL {
            let slot = *kind as usize;
            totals.made.push((kind.label(), sum(&|counts| counts.made[slot])));
            totals.lost.push((kind.label(), sum(&|counts| counts.lost[slot])));
        }
        totals.nested = sum(&|counts| counts.nested);
        totals.unpaired = sum(&|counts| counts.unpaired);
        totals.waits = sum(&|counts| counts.waits);
        totals.waited = Nanos(sum(&|counts| counts.waited_ns));
        totals
    }
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name)
        .ok_or_else(|| Error::new(Kind::Failed, format!("the built object has no map {name}: rebuild it with cargo xtask ebpf build")))
}

fn pid_max() -> u32 {
    std::fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1 << 22)
}
