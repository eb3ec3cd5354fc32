//! Where a call came from: its immediate caller, or with [`STACKS`] the whole stack by frame pointers.
//!
//! A stack goes into the ring once, when its hash is seen for the first time; records carry the hash. The walk is ours because the kernel's own
//! begins one frame too late (the probed function has not built its frame yet), drops stacks whose hashes share a bucket, and costs more.
//!
//! ```text
//!  [rsp] or x30: return address into the caller                   first frame, known without frame pointers
//!  rbp or x29 ─► the same of the caller's caller, return address  from here on frame by frame, as far as it goes upwards
//! ```

use aya_ebpf::{Global, helpers::bpf_probe_read_user, macros::map, maps::HashMap, programs::ProbeContext};
use profiler_ebpf::{DEFAULT_STACKS_SEEN, MAX_FRAMES, mix, stack_origin};

use crate::{emit, machine};

/// Most frames of a stack; zero: only the immediate caller is recorded.
#[unsafe(no_mangle)]
static STACKS: Global<u32> = Global::new(0);

/// Hashes of the stacks that are in the ring.
#[map]
static SEEN: HashMap<u64, u8> = HashMap::with_max_entries(DEFAULT_STACKS_SEEN, 0);

/// A larger frame is taken for a register that holds no frame pointer.
const LARGEST_FRAME: u64 = 1 << 20;

/// The origin of the call that begins, as a record carries it. To be asked where the stack pointer is that of the entry.
#[inline(always)]
pub(crate) fn origin(ctx: &ProbeContext) -> u64 {
    let Ok(caller) = machine::caller(ctx.regs) else { return 0 };
    let most = STACKS.load();
    if most == 0 {
        return caller;
    }
    let (sp, fp) = (machine::stack_pointer(ctx.regs), machine::frame_pointer(ctx.regs));
    let mut hash = mix(0, caller);
    walk(sp, fp, most, |_, address| hash = mix(hash, address));
    let origin = stack_origin(hash);
    if unsafe { SEEN.get(origin) }.is_none() && !tell(origin, caller, (sp, fp, most)) {
        return caller;
    }
    origin
}

/// Puts a stack into the ring; false where it found no place there or in the table.
#[inline(always)]
fn tell(origin: u64, caller: u64, (sp, fp, most): (u64, u64, u32)) -> bool {
    // Nothing is told twice while the table has room, and nothing at all when it is full: a program without frame pointers can make up
    // new stacks without end.
    if SEEN.insert(origin, 1, 0).is_err() {
        return false;
    }
    let told = emit::stack(origin, |frames| {
        unsafe { frames.write(caller) };
        1 + walk(sp, fp, most, |index, address| unsafe { frames.add((1 + index) & (MAX_FRAMES - 1)).write(address) })
    });
    if !told {
        let _ = SEEN.remove(origin);
    }
    told
}

/// Visits the return addresses above the first one; the value is their number.
#[inline(always)]
fn walk(sp: u64, fp: u64, most: u32, mut visit: impl FnMut(usize, u64)) -> u64 {
    let (mut low, mut frame, mut count) = (sp, fp, 0);
    // Not a constant number of turns, which the compiler would unroll.
    while count + 1 < (most as usize).min(MAX_FRAMES) {
        // Also when `frame` lies below: the difference wraps.
        if frame & 7 != 0 || frame.wrapping_sub(low).wrapping_sub(8) >= LARGEST_FRAME {
            break;
        }
        let Ok([next, address]) = (unsafe { bpf_probe_read_user(frame as *const [u64; 2]) }) else { break };
        if address == 0 {
            break;
        }
        visit(count, address);
        count += 1;
        (low, frame) = (frame, next);
    }
    count as u64
}
