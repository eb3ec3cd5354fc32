//! Which processes are recorded, and what becomes of them: births, new programs, ends, and stops on purpose.

use aya_ebpf::{
    Global,
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_comm, bpf_send_signal_thread, generated::bpf_get_current_ancestor_cgroup_id},
    macros::{map, tracepoint},
    maps::{Array, HashMap},
    programs::TracePointContext,
};
use profiler_ebpf::{DEFAULT_PID_LIMIT, Kind, Stop, offset, place, target};

use crate::{emit, heap};

/// For what processes stop: the bits of [`Stop`].
#[unsafe(no_mangle)]
static STOP: Global<u32> = Global::new(0);
/// Processes of this control group are recorded from their next program on; 0: of none.
#[unsafe(no_mangle)]
static CGROUP: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static SYS_EXIT_RET: Global<u32> = Global::new(offset::SYS_EXIT_RET);
#[unsafe(no_mangle)]
static NEWTASK_PID: Global<u32> = Global::new(offset::NEWTASK_PID);
#[unsafe(no_mangle)]
static NEWTASK_FLAGS: Global<u32> = Global::new(offset::NEWTASK_FLAGS);
#[unsafe(no_mangle)]
static RENAME_PID: Global<u32> = Global::new(offset::RENAME_PID);
#[unsafe(no_mangle)]
static RENAME_OLD: Global<u32> = Global::new(offset::RENAME_OLD);
#[unsafe(no_mangle)]
static EXEC_OLD_PID: Global<u32> = Global::new(offset::EXEC_OLD_PID);

const CLONE_VM: u64 = 0x100;
const CLONE_THREAD: u64 = 0x10000;
const SIGSTOP: u32 = 19;
/// Levels of control groups that are looked at, from the root down.
const CGROUP_LEVELS: i32 = 12;
const MAX_STOPPING: u32 = 16384;

/// State of each process by its id, see [`target`].
#[map]
static TARGETS: Array<u32> = Array::with_max_entries(DEFAULT_PID_LIMIT, 0);

/// How often each process has stopped itself, by its id: what is left to answer when the recorder is gone.
#[map]
static STOPS: HashMap<u32, u64> = HashMap::with_max_entries(MAX_STOPPING, 0);

/// Is the current process recorded?
#[inline(always)]
pub(crate) fn recorded() -> bool {
    state(emit::current_pid()) != target::NONE
}

#[inline(always)]
fn state(pid: u32) -> u32 {
    match TARGETS.get_ptr(pid) {
        Some(state) => unsafe { state.read_volatile() },
        None => target::NONE,
    }
}

#[inline(always)]
fn set_state(pid: u32, state: u32) {
    if let Some(slot) = TARGETS.get_ptr_mut(pid) {
        unsafe { slot.write_volatile(state) }
    }
}

/// Result of a system call, from the context of any `sys_exit_*` tracepoint.
#[inline(always)]
pub(crate) fn syscall_result(ctx: &TracePointContext) -> Result<u64, i32> {
    unsafe { ctx.read_at(SYS_EXIT_RET.load() as usize) }
}

/// Stops the current process because probes may be missing, if such stops are wanted.
#[inline(always)]
pub(crate) fn stop(reason: Stop) {
    if STOP.load() & reason.bit() != 0 {
        halt(reason);
    }
}

/// The records that do not wait have a part of the ring for themselves; before that is full, the process stops. To be asked where the kernel
/// may send a signal at once: with interrupts on, and not on behalf of somebody else.
#[inline(always)]
pub(crate) fn keep_room() {
    if emit::is_nearly_full() {
        halt(Stop::Full);
    }
}

/// Stops the current process before its next user instruction and says so.
///
/// The signal goes before the record is seen: a SIGCONT in answer to the record must never come before the SIGSTOP.
/// And it goes only if the record has a place and the stop is counted: nobody would continue a process that stopped unheard.
#[inline(always)]
pub(crate) fn halt(reason: Stop) {
    let pid = emit::current_pid();
    if state(pid) == target::MEASURED {
        return;
    }
    emit::announce(Kind::Stopped, place(pid.into(), reason as u16), || send_stop(pid));
}

#[inline(always)]
fn send_stop(pid: u32) -> bool {
    if STOPS.get_ptr(pid).is_none() {
        // Another thread may be as far as this: the first one's entry stays.
        let _ = STOPS.insert(pid, 0, BPF_NOEXIST.into());
    }
    let Some(stops) = STOPS.get_ptr_mut(pid) else { return false };
    unsafe { emit::add(stops, 1) };
    let sent = unsafe { bpf_send_signal_thread(SIGSTOP) } == 0;
    if !sent {
        unsafe { emit::add(stops, 1u64.wrapping_neg()) };
    }
    sent
}

/// A task was made; runs in its parent before the new task can run.
#[tracepoint]
fn task_newtask(ctx: TracePointContext) {
    let Ok(child) = (unsafe { ctx.read_at::<u32>(NEWTASK_PID.load() as usize) }) else { return };
    let Ok(flags) = (unsafe { ctx.read_at::<u64>(NEWTASK_FLAGS.load() as usize) }) else { return };
    let new_process = flags & CLONE_THREAD == 0;
    if !recorded() {
        // The id may have belonged to a recorded process whose end the user half has not dealt with yet.
        if new_process && state(child) != target::NONE {
            set_state(child, target::NONE);
        }
        return;
    }
    if new_process {
        // A child that shares the memory (vfork) has its parent's probes already.
        let probes_missing = STOP.load() & Stop::Child.bit() != 0 && flags & CLONE_VM == 0;
        set_state(child, if probes_missing { target::NEWBORN } else { target::RECORDED });
    }
    emit::short(Kind::Clone, place(child.into(), 0), flags & 0xffff_ffff);
}

macro_rules! births {
    ($($exit:ident)*) => {$(
        #[tracepoint]
        fn $exit(_ctx: TracePointContext) {
            newborn();
        }
    )*};
}

// Each of these returns twice: in the parent and, as its first step in user mode, in the child.
births! { sys_exit_clone sys_exit_clone3 sys_exit_fork sys_exit_vfork }

#[inline(always)]
fn newborn() {
    let pid = emit::current_pid();
    if state(pid) == target::NEWBORN {
        set_state(pid, target::RECORDED);
        stop(Stop::Child);
    }
}

/// The process has a new program. If a thread other than the first called `execve`, it has taken over the process id.
#[tracepoint]
fn sched_process_exec(ctx: TracePointContext) {
    if !recorded() {
        if !is_member() {
            return;
        }
        set_state(emit::current_pid(), target::RECORDED);
    }
    let Ok(old_tid) = (unsafe { ctx.read_at::<u32>(EXEC_OLD_PID.load() as usize) }) else { return };
    heap::forget(old_tid);
    heap::forget(emit::current_tid());
    emit::short(Kind::Exec, place(old_tid.into(), 0), emit::current_pid().into());
    stop(Stop::Exec);
}

/// Is the current process in the control group that is recorded, or in one below it?
#[inline(always)]
fn is_member() -> bool {
    let group = CGROUP.load();
    let mut level = 0;
    // The level of the group is not known: within a namespace its path begins somewhere below the root.
    while group != 0 && level < CGROUP_LEVELS {
        if unsafe { bpf_get_current_ancestor_cgroup_id(level) } == group {
            return true;
        }
        level += 1;
    }
    false
}

/// A thread gets another name, from itself or from another thread of its process. A new program brings one, too: then the old one is still
/// told under the old program.
#[tracepoint]
fn task_rename(ctx: TracePointContext) {
    if !recorded() {
        return;
    }
    let Ok(tid) = (unsafe { ctx.read_at::<u32>(RENAME_PID.load() as usize) }) else { return };
    if let Ok(name) = unsafe { ctx.read_at::<[u8; 16]>(RENAME_OLD.load() as usize) } {
        named(tid, &name);
    }
}

#[inline(always)]
fn named(tid: u32, name: &[u8; 16]) {
    let [low, high] = unsafe { core::mem::transmute::<[u8; 16], [u64; 2]>(*name) };
    emit::long(Kind::Name, place(tid.into(), 0), 0, [low, high, 0]);
}

/// A thread ends.
#[tracepoint]
fn sched_process_exit(_ctx: TracePointContext) {
    if recorded() {
        if let Ok(name) = bpf_get_current_comm() {
            named(emit::current_tid(), &name);
        }
        heap::forget(emit::current_tid());
        emit::short(Kind::Exit, place(emit::current_pid().into(), 0), 0);
    }
}
