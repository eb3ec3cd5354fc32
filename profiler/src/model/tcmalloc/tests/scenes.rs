//! Small scenes.

use super::programs::Play;
use crate::model::tcmalloc::SPEC;
use crate::model::tcmalloc::start::POOL;
use crate::model::{AllocatorModel, Block, Counters, Request, Settings};
use crate::units::{Addr, Bytes, Nanos, PAGE};
use crate::vm::kernel::BREAK_BASE;
use crate::vm::thp::Mode;
use crate::vm::{Kernel, Page, Syscall};

const HEAP: u64 = BREAK_BASE.0 + (8 << 20);

fn ask(size: u64) -> Request {
    Request { tid: 1, size: Bytes(size), align: 0, zeroed: false }
}

fn fresh() -> (Box<dyn AllocatorModel>, Kernel<1>) {
    ((SPEC.build)(&Settings::defaults(&SPEC)).unwrap(), Kernel::new(Mode::Never))
}

/// The parts of the heap that are resident, relative to the first break.
fn resident(kernel: &Kernel<1>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    kernel.space().pages().each(0..u64::MAX / PAGE, |page, state| {
        let at = page * PAGE - BREAK_BASE.0;
        assert_eq!(state, Page::Anon);
        match runs.last_mut() {
            Some(run) if run.1 == at => run.1 = at + PAGE,
            _ => runs.push((at, at + PAGE)),
        }
    });
    runs
}

/// Observed in `/proc/self/pagemap` of a C program; its break was not a multiple of 8 KiB, which shifts the last two by a page.
#[test]
fn the_start_touches_what_it_touched_for_real() {
    let (mut model, mut kernel) = fresh();
    let block = model.malloc(&mut kernel, ask(16)).unwrap();
    assert_eq!(block, Block { addr: Addr(HEAP + 0x14010), usable: Bytes(16) });
    let expected =
        [(0, 0x1000), (0x20000, 0x21000), (0x40000, 0x43000), (0x60000, 0x26_0000), (0x80_0000, 0x80_1000), (0x81_2000, 0x81_6000)];
    assert_eq!(resident(&kernel), expected);
    // Where is the break, the metadata, the first growth.
    assert_eq!(kernel.calls().of(Syscall::Brk), 3);
    assert_eq!(kernel.space().mapped(), Bytes(9 << 20));
}

#[test]
fn an_odd_break_costs_one_more_call() {
    let (mut model, mut kernel) = fresh();
    kernel.sbrk(PAGE as i64);
    let block = model.malloc(&mut kernel, ask(16)).unwrap();
    assert_eq!(block.addr, Addr(HEAP + 0x2000 + 0x14010));
    assert_eq!(kernel.calls().of(Syscall::Brk), 4);
    assert_eq!(model.counters().held, Bytes((9 << 20) + PAGE));
}

/// Seen in the log of a process's calls: libstdc++ makes the first one.
#[test]
fn a_program_with_libstdcxx_brings_its_pool_along() {
    let (mut model, mut kernel) = fresh();
    let pool = model.malloc(&mut kernel, ask(POOL)).unwrap();
    assert_eq!(pool.addr, Addr(HEAP));
    assert_eq!(model.malloc(&mut kernel, ask(16)).unwrap().addr, Addr(HEAP + 0x14010));
    let (mut other, mut elsewhere) = fresh();
    other.malloc(&mut elsewhere, ask(16)).unwrap();
    let headers = |counters: Counters| counters.part("headers").0;
    assert_eq!(headers(other.counters()) - headers(model.counters()), 73728);
}

#[test]
fn realloc_stays_between_half_and_all_and_grows_by_a_quarter() {
    let (mut model, mut kernel) = fresh();
    let block = model.malloc(&mut kernel, ask(1000)).unwrap();
    assert_eq!(block.usable, Bytes(1024));
    let mut resized = |size| model.realloc(&mut kernel, ask(size), block).unwrap();
    assert_eq!([resized(1024), resized(512)], [block; 2]);
    assert_eq!(resized(1025).usable, Bytes(1280));
    let (mut model, mut kernel) = fresh();
    let block = model.malloc(&mut kernel, ask(1000)).unwrap();
    assert_eq!(model.realloc(&mut kernel, ask(511), block).unwrap().usable, Bytes(512));
}

#[test]
fn a_block_goes_to_the_thread_that_frees_it_or_to_its_span() {
    let (mut model, mut kernel) = fresh();
    let mut malloc = |tid| model.malloc(&mut kernel, Request { tid, ..ask(4000) }).unwrap();
    let (a, b, c) = (malloc(1), malloc(1), malloc(1));
    let cached = malloc(2);
    let parts = |model: &dyn AllocatorModel| ["thread_cache", "central"].map(|part| model.counters().part(part).0);
    let before = parts(&*model);
    model.free(&mut kernel, 2, a);
    assert_eq!(parts(&*model), [before[0] + 4096, before[1]]);
    assert_eq!(model.malloc(&mut kernel, Request { tid: 2, ..ask(4000) }), Some(a));
    // Thread 3 never allocated: it has no cache.
    model.free(&mut kernel, 3, b);
    assert_eq!(parts(&*model), [before[0], before[1] + 4096]);
    [(2, a), (2, cached), (1, c)].into_iter().for_each(|(tid, block)| model.free(&mut kernel, tid, block));
    model.thread_exit(&mut kernel, 2);
    assert!(parts(&*model)[0] < before[0] + 3 * 4096);
}

#[test]
fn every_byte_is_somewhere() {
    let mut play = Play::new("release_per_million=1000000");
    let (mut state, mut live): (u64, Vec<Block>) = (1, Vec::new());
    for step in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if live.len() > 300 || step > 15_000 && !live.is_empty() {
            let block = live.swap_remove((state >> 33) as usize % live.len());
            play.free(block);
        } else {
            live.push(play.malloc((state >> 33) % (1 << (state >> 60 << 1 & 20))));
        }
        if step % 100 == 0 {
            let counters = play.model.counters();
            let usable: u64 = live.iter().map(|block| block.usable.0).sum();
            assert_eq!(counters.held.0, counters.free.0 + counters.part("headers").0 + usable, "step {step}");
            let parts: u64 = counters.parts.iter().map(|part| part.1.0).sum();
            assert_eq!(parts, counters.free.0 + counters.part("headers").0);
        }
    }
}

#[test]
fn what_if_everything_free_were_released_now_and_then() {
    let mut play = Play::new("release_every=10");
    let blocks: Vec<Block> = (0..100).map(|_| play.malloc(1 << 20)).collect();
    blocks.into_iter().for_each(|block| play.free(block));
    assert_eq!(play.model.due(), Some(Nanos(10_000_000_000)));
    assert_eq!(play.model.counters().part("unmapped"), Bytes(0));
    play.machine.kernel.set_now(Nanos(10_000_000_000));
    play.model.tick(&mut play.machine);
    assert_eq!(play.model.due(), Some(Nanos(20_000_000_000)));
    assert_eq!(play.model.counters().part("page_heap"), Bytes(0));
    assert!(play.model.counters().part("unmapped") > Bytes(100 << 20));
}

#[test]
fn it_says_where_the_next_block_comes_from() {
    let (mut model, mut kernel) = fresh();
    assert_eq!(model.describe(1, Bytes(16)), "");
    model.malloc(&mut kernel, ask(16)).unwrap();
    assert_eq!(
        model.describe(1, Bytes(10)),
        "class 16: 1 of 3 in the thread's cache; 0 of 16 batches, 509 in spans; page heap: 117 pages, 0 returned"
    );
    assert!(model.describe(1, Bytes(1 << 20)).starts_with("128 pages"));
}

/// Observed with a page mapped 2 MiB above the break, which leaves room for one more growth.
#[test]
fn mappings_take_over_where_the_break_cannot_move() {
    const REACH: i64 = 1 << 44;
    let mut play = Play::above("", REACH - (10 << 20));
    (0..100).for_each(|_| _ = play.malloc(65536));
    assert_eq!(play.machine.take_calls(), "brk 1 (1048576), mmap 5 (5263360), munmap 5 (20480)");
    let brk = |play: &Play| play.machine.kernel.calls().of(Syscall::Brk);
    let tried = brk(&play);
    // Neither break nor mappings can hold this; the break, which has failed, is tried again only after that.
    assert_eq!(play.model.malloc(&mut play.machine, ask(1 << 60)), None);
    assert_eq!(brk(&play), tried);
    play.malloc(3 << 20);
    assert_eq!(brk(&play), tried + 1);
}
