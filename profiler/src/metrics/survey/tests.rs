//! Small heaps whose memory is known by hand.

use super::*;
use crate::event::Access;
use crate::model::{REGISTRY, Request, Settings};
use crate::vm::{Kernel, thp};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A model at work under a survey, one microsecond a call.
struct World {
    kernel: Kernel<1>,
    model: Box<dyn AllocatorModel>,
    blocks: Vec<Option<Resident>>,
    survey: Survey,
    now: Nanos,
}

impl World {
    fn new(id: &str, thp: thp::Mode) -> World {
        let spec = REGISTRY.iter().find(|spec| spec.id == id).unwrap();
        let model = (spec.build)(&Settings::defaults(spec)).unwrap();
        World { kernel: Kernel::new(thp), survey: Survey::new(model.layout()), model, blocks: Vec::new(), now: Nanos(0) }
    }

    fn step(&mut self) {
        self.now.0 += 1000;
        self.kernel.set_now(self.now);
        self.survey.earn(1);
        if self.survey.is_due(self.now, self.heap(), self.heap()) {
            self.look(|survey, scene| survey.look(scene));
        }
    }

    fn heap(&self) -> Bytes {
        self.kernel.space().counters(0).anon.bytes()
    }

    /// A block of which every byte is written.
    fn alloc(&mut self, size: u64) -> usize {
        self.alloc_and_write(size, size)
    }

    fn alloc_and_write(&mut self, size: u64, written: u64) -> usize {
        let block = self.model.malloc(&mut self.kernel, Request { tid: 1, size: Bytes(size), align: 0, zeroed: false }).unwrap();
        self.kernel.space_mut().touch(block.addr, Bytes(written), Access::Write);
        self.survey.add(block, Bytes(size));
        self.blocks.push(Some(Resident { block, size: Bytes(size), born: self.now, site: 0 }));
        self.step();
        self.blocks.len() - 1
    }

    fn free(&mut self, number: usize) {
        let Resident { block, size, .. } = self.blocks[number].take().unwrap();
        self.survey.remove(block, size);
        self.model.free(&mut self.kernel, 1, block);
        self.step();
    }

    fn look<T>(&mut self, look: impl FnOnce(&mut Survey, &Scene<'_>) -> T) -> T {
        let heap = self.heap();
        let space = self.kernel.space();
        let blocks = &self.blocks;
        look(
            &mut self.survey,
            &Scene {
                time: self.now,
                rss: heap + Bytes(7 * PAGE),
                files: Bytes(2 * PAGE),
                heap,
                memory: Memory { mappings: space.mappings(), pages: space.pages_in(0) },
                base: space.break_area().unwrap().0,
                model: &*self.model,
                blocks: &|visit| blocks.iter().flatten().for_each(|&block| visit(block)),
            },
        )
    }

    fn finish(mut self) -> Surveyed {
        self.look(|survey, scene| std::mem::replace(survey, Survey::new(Layout::default())).finish(scene))
    }
}

fn last(found: &Surveyed, part: Part) -> u64 {
    found.parts.last().unwrap().seen.of(part).0
}

#[test]
fn parts_are_the_resident_set_under_every_model() {
    for spec in REGISTRY {
        for thp in [thp::Mode::Never, thp::Mode::Always] {
            let mut world = World::new(spec.id, thp);
            let sizes = (0..3000u64).map(|at| 16 + at * at * 7919 % if at % 50 == 0 { 300_000 } else { 2_000 });
            let numbers: Vec<usize> = sizes.map(|size| world.alloc(size)).collect();
            numbers.iter().filter(|number| *number % 3 != 0).for_each(|&number| world.free(number));
            let live: u64 = world.blocks.iter().flatten().map(|block| block.size.0).sum();
            let heap = world.heap().0;
            let found = world.finish();
            for moment in &found.parts {
                assert_eq!(moment.seen.sum(), moment.rss, "{} {thp:?} at {}", spec.id, moment.time);
            }
            let [other, file] = [Part::Other, Part::File].map(|part| last(&found, part));
            assert_eq!((other, file), (5 * PAGE, 2 * PAGE), "{} of {heap}", spec.id);
            // All was touched; with huge pages nothing of it is spare.
            assert_eq!(last(&found, Part::Live), live, "{} {thp:?}", spec.id);
        }
    }
}

#[test]
fn a_block_at_the_top_holds_ten_mebibytes() {
    let mut world = World::new("brk-only", thp::Mode::Never);
    let below: Vec<usize> = (0..160).map(|_| world.alloc(64 * KIB)).collect();
    let pin = world.alloc(100);
    below.into_iter().for_each(|number| world.free(number));
    world.now.0 += 1_000_000;
    let born = world.blocks[pin].unwrap().born;
    let now = world.now;
    let found = world.finish();
    assert!((10 * MIB - 2 * PAGE..=10 * MIB + 160 * 16).contains(&last(&found, Part::Below)), "{}", last(&found, Part::Below));
    assert_eq!((last(&found, Part::Live), last(&found, Part::Cache), last(&found, Part::Waiting)), (100, 0, 0));
    let [most, end] = &found.pinned;
    assert!(most.free.0 * 11 > end.free.0 * 10);
    let [pin] = end.pins.as_slice() else { panic!("{:?}", end.pins) };
    assert_eq!((pin.hold, pin.blocks, pin.live, pin.sizes), (Hold::Top, 1, Bytes(100), (Bytes(100), Bytes(100))));
    assert_eq!(pin.ages, (now.saturating_sub(born), now.saturating_sub(born)));
    assert_eq!(pin.holds.0, last(&found, Part::Below));
    let cells = |cell| found.map.moments.last().unwrap().seen.iter().filter(|each| **each == cell).count();
    assert_eq!((cells(Cell::Partly) + cells(Cell::Live), found.map.cell_pages), (1, 1));
    assert_eq!(cells(Cell::Free) as u64, pin.holds.0 / PAGE);
}

#[test]
fn what_lies_above_the_last_block_is_the_top() {
    let mut world = World::new("brk-only", thp::Mode::Never);
    world.alloc(100);
    let above = world.alloc(100 * KIB);
    world.free(above);
    let found = world.finish();
    assert_eq!(last(&found, Part::Below), 0);
    assert!(last(&found, Part::Top) >= 96 * KIB, "{}", last(&found, Part::Top));
    assert!(found.pinned[1].pins.is_empty());
}

#[test]
fn one_object_holds_its_slab() {
    let mut world = World::new("jemalloc", thp::Mode::Never);
    let numbers: Vec<usize> = (0..5000).map(|_| world.alloc(320)).collect();
    let kept = numbers[2500];
    numbers.into_iter().filter(|&number| number != kept).for_each(|number| world.free(number));
    let slab = world.model.unit(world.blocks[kept].unwrap().block.addr).unwrap().1;
    let found = world.finish();
    assert!(last(&found, Part::Waiting) > MIB, "{:?}", found.parts.last());
    let [pin] = found.pinned[1].pins.as_slice() else { panic!("{:?}", found.pinned[1]) };
    assert_eq!((pin.hold, pin.blocks, pin.slabs, pin.live), (Hold::Slab, 1, 1, Bytes(320)));
    assert_eq!((slab.0, pin.holds.0), (20 * KIB, 20 * KIB - 320));
}

#[test]
fn what_a_huge_page_adds_is_told_apart() {
    for thp in [thp::Mode::Never, thp::Mode::Always] {
        let mut world = World::new("mmap-only", thp);
        // Its header makes the mapping one of three huge pages; two pages of it are used.
        world.alloc_and_write(6 * MIB - 16, 2 * PAGE - 16);
        let found = world.finish();
        assert_eq!((last(&found, Part::Live), last(&found, Part::Overhead)), (2 * PAGE - 16, 16), "{thp:?}");
        assert_eq!(last(&found, Part::Huge), if thp == thp::Mode::Always { 510 * PAGE } else { 0 });
    }
}

#[test]
fn looks_are_paid_for() {
    let mut world = World::new("mmap-only", thp::Mode::Never);
    let pages = CREDIT / 4;
    world.alloc(pages * PAGE);
    for _ in 0..1000 {
        world.alloc(pages);
    }
    let found = world.finish();
    assert!(found.parts.len() < 20, "{}", found.parts.len());
}
