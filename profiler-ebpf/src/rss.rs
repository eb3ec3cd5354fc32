//! Resident set: the kernel announces every change of a memory's counters with the exact sum; recorded are steps.
//!
//! The announcement names the memory by a number that the kernel reuses, not by a process, and comes also from tasks
//! that work on somebody else's memory. `curr` says whether it is the current task's own:
//!
//! ```text
//!  own memory, process recorded          the memory is its owner's; without an owner, the process becomes it
//!  foreign, not known, process recorded  a new memory that fork or exec fills: kept without an owner
//!  foreign, current process is the owner the memory is torn down (exit, exec): last values, then nothing more
//!  foreign, otherwise                    reclaim: counted for the owner
//! ```
//!
//! A process that runs in a memory has left the one it ran in before. The last user of that one tears it down, which need not be the process: whoever
//! looked into it meanwhile (`ps`, or the kernel while it places probes) lets go of it last, unseen. Its number then comes again in a strange process.
//!
//! Values are absolute, so two processors that race at worst leave the older of two values until the next change.

use aya_ebpf::{
    Global,
    macros::{map, tracepoint},
    maps::HashMap,
    programs::TracePointContext,
};
use profiler_ebpf::{DEFAULT_RSS_STEP, Kind, PAGE_SHIFT, Resident, offset, rss_place};

use crate::{emit, task};

/// A record is made when the resident set has changed by this many bytes since the last one.
#[unsafe(no_mangle)]
static RSS_STEP: Global<u64> = Global::new(DEFAULT_RSS_STEP);
#[unsafe(no_mangle)]
static RSS_MM_ID: Global<u32> = Global::new(offset::RSS_MM_ID);
#[unsafe(no_mangle)]
static RSS_CURR: Global<u32> = Global::new(offset::RSS_CURR);
#[unsafe(no_mangle)]
static RSS_MEMBER: Global<u32> = Global::new(offset::RSS_MEMBER);
#[unsafe(no_mangle)]
static RSS_SIZE: Global<u32> = Global::new(offset::RSS_SIZE);

const MAX_MEMORIES: u32 = 16384;

/// Owner of a memory that no recorded process is known to run in: not yet, or no more.
const FORMING: u32 = 0;
/// Owner of a memory that is being torn down.
const DYING: u32 = u32::MAX;

/// What is known of one memory.
#[repr(C)]
#[derive(Clone, Copy)]
struct Memory {
    owner: u32,
    /// Swapped out pages as last told.
    swapped: u32,
    resident: Resident,
    /// Total of the last record, bytes.
    shown: i64,
}

/// By the kernel's number of the memory.
#[map]
static MEMORY: HashMap<u32, Memory> = HashMap::with_max_entries(MAX_MEMORIES, 0);

/// What a process held when it was attached to, by process id; consumed when its memory is first seen.
#[map]
static SEEDS: HashMap<u32, Resident> = HashMap::with_max_entries(MAX_MEMORIES, 0);

/// The memory that a process runs in, by process id.
#[map]
static OWNED: HashMap<u32, u32> = HashMap::with_max_entries(MAX_MEMORIES, 0);

/// One announcement.
struct Change {
    mm_id: u32,
    own: bool,
    member: u32,
    bytes: i64,
}

#[tracepoint]
fn rss_stat(ctx: TracePointContext) {
    let Ok(own) = (unsafe { ctx.read_at::<u32>(RSS_CURR.load() as usize) }) else { return };
    let recorded = task::recorded();
    if own != 0 && !recorded {
        return;
    }
    let Ok(change) = change(&ctx, own != 0) else { return };
    match MEMORY.get_ptr_mut(change.mm_id) {
        Some(memory) => update(unsafe { &mut *memory }, &change),
        None if recorded => discover(&change),
        None => {}
    }
    // Here for the page faults as well, which cannot stop a process: the kernel has its interrupts off there, and nearly each brings a page.
    if own != 0 {
        task::keep_room();
    }
}

#[inline(always)]
fn change(ctx: &TracePointContext, own: bool) -> Result<Change, i32> {
    unsafe {
        Ok(Change {
            mm_id: ctx.read_at(RSS_MM_ID.load() as usize)?,
            own,
            member: ctx.read_at(RSS_MEMBER.load() as usize)?,
            bytes: ctx.read_at(RSS_SIZE.load() as usize)?,
        })
    }
}

/// A memory that is not known yet, seen from a recorded process.
#[inline(always)]
fn discover(change: &Change) {
    let pid = emit::current_pid();
    let mut memory = Memory { owner: FORMING, swapped: 0, resident: Resident::default(), shown: 0 };
    if change.own {
        own(&mut memory, change.mm_id);
        if let Some(seed) = unsafe { SEEDS.get(pid) } {
            memory.resident = *seed;
            let _ = SEEDS.remove(pid);
        }
    }
    store(&mut memory, change);
    show_step(&mut memory);
    let _ = MEMORY.insert(change.mm_id, memory, 0);
}

#[inline(always)]
fn update(memory: &mut Memory, change: &Change) {
    let pid = emit::current_pid();
    if change.own && (memory.owner == FORMING || memory.owner == DYING) {
        own(memory, change.mm_id);
    } else if !change.own && memory.owner == pid {
        // The exact values before the first page goes.
        if total(&memory.resident) != memory.shown {
            show(memory);
        }
        memory.owner = DYING;
    }
    store(memory, change);
    show_step(memory);
    show_swapped(memory, change);
    if !is_owned(memory) && total(&memory.resident) == 0 {
        let _ = MEMORY.remove(change.mm_id);
    }
}

/// The current process runs in this memory, and no more in the one before.
#[inline(always)]
fn own(memory: &mut Memory, mm_id: u32) {
    let pid = emit::current_pid();
    memory.owner = pid;
    if let Some(former) = unsafe { OWNED.get(pid) }
        && *former != mm_id
        && let Some(left) = MEMORY.get_ptr_mut(*former)
        && unsafe { (*left).owner } == pid
    {
        unsafe { (*left).owner = FORMING };
    }
    let _ = OWNED.insert(pid, mm_id, 0);
}

/// Members of the kernel's counters: 0 file, 1 anonymous, 2 swap entries (not resident), 3 shared memory.
#[inline(always)]
fn store(memory: &mut Memory, change: &Change) {
    match change.member {
        0 => memory.resident.file = change.bytes,
        1 => memory.resident.anon = change.bytes,
        3 => memory.resident.shmem = change.bytes,
        _ => {}
    }
}

#[inline(always)]
fn total(resident: &Resident) -> i64 {
    resident.anon + resident.file + resident.shmem
}

#[inline(always)]
fn is_owned(memory: &Memory) -> bool {
    memory.owner != FORMING && memory.owner != DYING
}

#[inline(always)]
fn show_step(memory: &mut Memory) {
    if is_owned(memory) && total(&memory.resident).abs_diff(memory.shown) >= RSS_STEP.load() {
        show(memory);
    }
}

#[inline(always)]
fn show_swapped(memory: &mut Memory, change: &Change) {
    let pages = change.bytes >> PAGE_SHIFT;
    if change.member == 2 && is_owned(memory) && (pages.abs_diff(memory.swapped as i64) << PAGE_SHIFT) >= RSS_STEP.load() {
        memory.swapped = pages as u32;
        emit::short_of(memory.owner, Kind::Swap, 0, pages as u64);
    }
}

#[inline(always)]
fn show(memory: &mut Memory) {
    let Resident { anon, file, shmem } = memory.resident;
    memory.shown = anon + file + shmem;
    emit::short_of(memory.owner, Kind::Rss, rss_place(anon, file), shmem as u64 >> PAGE_SHIFT);
}
