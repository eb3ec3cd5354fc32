//! The heap programs for kernels that have no attach cookies, or nothing to wait with: copies that each serve one cookie, told in a map.

use aya_ebpf::{
    bindings::pt_regs,
    macros::{map, uprobe},
    maps::Array,
    programs::ProbeContext,
};
use profiler_ebpf::{COPIES, Cookie, Stop};

use crate::{emit, heap, preempt::keep_stack, task};

/// The cookie of each copy.
#[map]
static COOKIES: Array<u64> = Array::with_max_entries(COPIES, 0);

macro_rules! copies {
    ($($copy:ident of $serve:ident: $index:literal;)*) => {$(
        #[uprobe]
        fn $copy(ctx: ProbeContext) {
            keep_stack(&ctx);
            $serve(ctx.regs, $index);
        }
    )*};
}

copies! {
    heap_enter_0 of enter: 0;
    heap_enter_1 of enter: 1;
    heap_enter_2 of enter: 2;
    heap_enter_3 of enter: 3;
    heap_enter_4 of enter: 4;
    heap_enter_5 of enter: 5;
    heap_enter_6 of enter: 6;
    heap_enter_7 of enter: 7;
    heap_enter_8 of enter: 8;
    heap_enter_9 of enter: 9;
    heap_enter_10 of enter: 10;
    heap_enter_11 of enter: 11;
    heap_enter_12 of enter: 12;
    heap_enter_13 of enter: 13;
    heap_enter_14 of enter: 14;
    heap_enter_15 of enter: 15;
    heap_enter_16 of enter: 16;
    heap_enter_17 of enter: 17;
    heap_enter_18 of enter: 18;
    heap_enter_19 of enter: 19;
    heap_enter_20 of enter: 20;
    heap_enter_21 of enter: 21;
    heap_enter_22 of enter: 22;
    heap_enter_23 of enter: 23;
    heap_free_0 of free: 24;
    heap_free_1 of free: 25;
    heap_free_2 of free: 26;
    heap_free_3 of free: 27;
    heap_free_4 of free: 28;
    heap_free_5 of free: 29;
    heap_free_6 of free: 30;
    heap_free_7 of free: 31;
}

/// Kept out of the copies, which are a few instructions each.
#[inline(never)]
fn enter(regs: *mut pt_regs, index: u32) -> u64 {
    if let Some(caller) = heap::caller() {
        make_room();
        heap::enter(&ProbeContext::new(regs.cast()), cookie(index), caller);
    }
    0
}

#[inline(never)]
fn free(regs: *mut pt_regs, index: u32) -> u64 {
    if let Some(caller) = heap::caller() {
        make_room();
        heap::free(&ProbeContext::new(regs.cast()), cookie(index), caller);
    }
    0
}

/// Without waiting: the process stops itself at once, if it may.
#[inline(always)]
fn make_room() {
    if emit::is_crowded() && task::recorded() {
        task::halt(Stop::Full);
    }
}

#[inline(always)]
fn cookie(index: u32) -> Cookie {
    Cookie(COOKIES.get(index).copied().unwrap_or(0))
}
