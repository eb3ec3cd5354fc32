//! A script played to a model of the allocator.

use super::observed::State;
use super::script::{Call, Op};
use profiler::event::Access;
use profiler::model::{AllocatorModel, Block, ModelSpec, REGISTRY, Request, Settings};
use profiler::units::{Addr, Bytes, PAGE};
use profiler::vm::Page;
use profiler::vm::os::Os;

/// What libc allocates for a new thread: the vector of its thread-local storage, 17 entries for a program with no such storage of its own.
const THREAD_VECTOR: u64 = 17 * 16;

/// The model in the list of models.
pub(crate) fn spec() -> &'static ModelSpec {
    REGISTRY.iter().find(|spec| spec.id == "glibc").expect("the model is registered")
}

/// The model of a version with some of its settings changed.
pub(crate) fn model(version: &str, settings: &[(&str, i64)], cpus: u32) -> Box<dyn AllocatorModel> {
    let spec = spec();
    let mut values = Settings::defaults(spec);
    values.cpus = cpus;
    values.version = Some(spec.versions.iter().find(|known| **known == version).unwrap_or_else(|| panic!("no version {version}")));
    for (key, value) in settings {
        let tunable = spec.tunables.iter().find(|tunable| tunable.key == *key).unwrap_or_else(|| panic!("no tunable {key}"));
        values.set(tunable, *value);
    }
    (spec.build)(&values).expect("the settings are good")
}

/// A system that can do to the break what another part of the program might.
pub(crate) trait World: Os {
    /// Maps a page just above the break.
    fn block_the_break(&mut self);
    /// Moves the break by so many bytes.
    fn sbrk(&mut self, by: i64);
}

/// A model and the blocks that it gave.
pub(crate) struct Player {
    model: Box<dyn AllocatorModel>,
    slots: Vec<Option<Block>>,
    /// What libc allocated for each thread.
    vectors: Vec<Option<Block>>,
    /// Bytes of it, 0 where there is none.
    thread_vector: u64,
}

impl Player {
    pub(crate) fn new(model: Box<dyn AllocatorModel>) -> Player {
        Player { model, slots: vec![None; 1 << 16], vectors: vec![None; 64], thread_vector: THREAD_VECTOR }
    }

    /// Of a C library that allocates nothing for a thread.
    #[allow(dead_code)]
    pub(crate) fn without_thread_vectors(model: Box<dyn AllocatorModel>) -> Player {
        Player { thread_vector: 0, ..Player::new(model) }
    }

    /// Performs one operation. The block is the one that it gave.
    pub(crate) fn perform(&mut self, world: &mut impl World, op: &Op) -> Option<Block> {
        if op.allocates() {
            return self.allocate(world, op);
        }
        let tid = op.thread + 1;
        match op.call {
            Call::Free => {
                if let Some(block) = self.slots[op.slot as usize].take() {
                    self.model.free(world, tid, block);
                }
            }
            Call::Fill => {
                if let Some(block) = self.slots[op.slot as usize] {
                    world.touch(block.addr, block.usable, Access::Write);
                }
            }
            Call::Sbrk => world.sbrk(op.size),
            Call::Trim => self.model.trim(world, Bytes(op.size as u64)),
            Call::Option => self.model.configure(world, op.slot as i32, op.size as i32),
            Call::Block => world.block_the_break(),
            Call::Spawn => {
                let request = Request { tid, size: Bytes(self.thread_vector), align: 0, zeroed: true };
                self.vectors[op.slot as usize] = if self.thread_vector > 0 { self.model.malloc(world, request) } else { None };
            }
            Call::Exit => {
                self.model.thread_exit(world, tid);
                if let Some(vector) = self.vectors[op.thread as usize].take() {
                    self.model.free(world, 1, vector);
                }
            }
            _ => {}
        }
        None
    }

    fn allocate(&mut self, world: &mut impl World, op: &Op) -> Option<Block> {
        let slot = op.slot as usize;
        let (size, align) = match op.call {
            Call::Valloc => (op.size as u64, PAGE),
            Call::Pvalloc => ((op.size as u64).next_multiple_of(PAGE), PAGE),
            // What is no power of two is rounded up before a model sees it.
            Call::Memalign => (op.size as u64, (op.align as u64).next_power_of_two()),
            _ => (op.size as u64, op.align as u64),
        };
        let request = Request { tid: op.thread + 1, size: Bytes(size), align, zeroed: op.call == Call::Calloc };
        let old = self.slots[slot].filter(|_| op.call == Call::Realloc);
        match old {
            Some(old) if size == 0 => {
                self.slots[slot] = None;
                self.model.free(world, request.tid, old);
                None
            }
            Some(old) => {
                let block = self.model.realloc(world, request, old);
                self.slots[slot] = block.or(Some(old));
                block
            }
            None => {
                self.slots[slot] = self.model.malloc(world, request);
                self.slots[slot]
            }
        }
    }
}

/// Where the break would be after moving it by so many bytes.
pub(crate) fn moved(end: Addr, by: i64) -> Addr {
    Addr(end.0.wrapping_add_signed(by))
}

/// A page of the model in the words of a run.
pub(crate) fn state(page: Page) -> State {
    match page {
        Page::Absent => State::Absent,
        Page::Zero => State::Zero,
        _ => State::Own,
    }
}
