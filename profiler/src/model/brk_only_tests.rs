//! The classic heap on small scenes.

use super::*;
use crate::vm::thp::Mode;
use crate::vm::{Kernel, Syscall};

fn heap(trim_threshold: i64, top_pad: i64) -> (Box<dyn AllocatorModel>, Kernel<1>) {
    let mut settings = Settings::defaults(&SPEC);
    settings.set(&SPEC.tunables[0], trim_threshold);
    settings.set(&SPEC.tunables[1], top_pad);
    ((SPEC.build)(&settings).unwrap(), Kernel::new(Mode::Never))
}

fn ask(size: u64) -> Request {
    Request { tid: 1, size: Bytes(size), align: 0, zeroed: false }
}

#[test]
fn shoes_before_socks_one_block_at_the_top_keeps_all_below() {
    let (mut model, mut kernel) = heap(0, 0);
    let below: Vec<Block> = (0..100).map(|_| model.malloc(&mut kernel, ask(10_000)).unwrap()).collect();
    let top = model.malloc(&mut kernel, ask(100)).unwrap();
    let held = model.counters().held;
    below.iter().for_each(|&block| model.free(&mut kernel, 1, block));
    assert_eq!(model.counters().held, held);
    model.free(&mut kernel, 1, top);
    assert!(model.counters().held.0 <= PAGE, "{:?}", model.counters());
    assert!(kernel.space().counters(0).anon.0 <= 1);
}

#[test]
fn the_lowest_hole_that_fits_is_taken_and_neighbours_merge() {
    let (mut model, mut kernel) = heap(1 << 20, 0);
    let blocks: Vec<Block> = (0..6).map(|_| model.malloc(&mut kernel, ask(100)).unwrap()).collect();
    model.free(&mut kernel, 1, blocks[3]);
    model.free(&mut kernel, 1, blocks[1]);
    assert_eq!(model.malloc(&mut kernel, ask(60)).unwrap().addr, blocks[1].addr);
    model.free(&mut kernel, 1, blocks[2]);
    let wide = model.malloc(&mut kernel, ask(200)).unwrap();
    assert!(wide.addr > blocks[1].addr && wide.addr < blocks[3].addr);
    assert_eq!(kernel.space().counters(0).strays, 0);
}

#[test]
fn realloc_grows_into_the_top_and_into_a_free_neighbour() {
    let (mut model, mut kernel) = heap(1 << 20, 0);
    let a = model.malloc(&mut kernel, ask(100)).unwrap();
    let b = model.malloc(&mut kernel, ask(1000)).unwrap();
    let c = model.malloc(&mut kernel, ask(100)).unwrap();
    model.free(&mut kernel, 1, b);
    let a2 = model.realloc(&mut kernel, ask(800), a).unwrap();
    let c2 = model.realloc(&mut kernel, ask(50_000), c).unwrap();
    assert_eq!((a2.addr, c2.addr), (a.addr, c.addr));
    let moved = model.realloc(&mut kernel, ask(5_000), a2).unwrap();
    assert!(moved.addr > c2.addr);
}

#[test]
fn calloc_clears_only_what_was_used_before() {
    let (mut model, mut kernel) = heap(1 << 30, 0);
    let zeroed = Request { zeroed: true, ..ask(100_000) };
    let fresh = model.malloc(&mut kernel, zeroed).unwrap();
    assert!(kernel.space().counters(0).anon.0 <= 2);
    model.free(&mut kernel, 1, fresh);
    model.malloc(&mut kernel, zeroed).unwrap();
    assert!(kernel.space().counters(0).anon.0 >= 24);
}

#[test]
fn the_heap_goes_on_behind_what_the_program_takes_of_the_break() {
    let (mut model, mut kernel) = heap(0, PAGE as i64);
    let below = model.malloc(&mut kernel, ask(1000)).unwrap();
    kernel.sbrk(5);
    let small = model.malloc(&mut kernel, ask(100)).unwrap();
    let (far, farther) = (model.malloc(&mut kernel, ask(50_000)).unwrap(), model.malloc(&mut kernel, ask(50_000)).unwrap());
    let foreign = kernel.program_break();
    kernel.sbrk(100_000);
    // What was left of the old top is used, and its end is not run over.
    assert!(small.addr > below.addr && small.addr.0 + small.usable.0 <= far.addr.0 - 5);
    assert!(far.addr.0.is_multiple_of(16));
    let held = model.counters().held;
    model.free(&mut kernel, 1, farther);
    assert_eq!((kernel.program_break(), model.counters().held), (foreign.offset(Bytes(100_000)), held));
    kernel.sbrk(-100_000);
    model.free(&mut kernel, 1, far);
    assert!(kernel.program_break() < foreign);
    assert_eq!(kernel.space().counters(0).strays, 0);
}

#[test]
fn a_refusal_of_the_system_is_an_answer() {
    let (mut model, mut kernel) = heap(0, 0);
    assert_eq!(model.malloc(&mut kernel, ask(u64::MAX)), None);
    assert_eq!(model.malloc(&mut kernel, ask(1 << 50)), None);
    let small = model.malloc(&mut kernel, ask(16)).unwrap();
    assert_eq!(model.realloc(&mut kernel, ask(1 << 50), small), None);
    model.free(&mut kernel, 1, small);
    assert!(kernel.calls().of(Syscall::Brk) > 0);
}
