//! What statically linked programs were seen to do with musl 1.2.3: the example and the random workloads. `tests/differential` asks the same of the musl
//! that is installed.

use super::Musl;
use super::group::{Group, NOBODY};
use super::spec::SPEC;
use crate::model::workloads::profiles::operations;
use crate::model::workloads::script::{Call, Op};
use crate::model::{AllocatorModel, Block, Request, Settings};
use crate::units::{Bytes, PAGE};
use crate::vm::Kernel;
use crate::vm::Syscall::{self, Brk, Madvise, Mmap, Mremap, Munmap};
use crate::vm::thp::Mode;

/// A program that does not write to its blocks.
struct Program {
    musl: Musl,
    kernel: Kernel<1>,
    blocks: Vec<Option<Block>>,
}

/// Where a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    class: u64,
    slot: u64,
    slots: u64,
    /// From the first slot of its group.
    units: u64,
    /// The group's, within its page.
    within: u64,
    /// Of the group's mapping, 0 where it lies in a slot.
    pages: u64,
}

impl Program {
    fn new() -> Program {
        Program::of(SPEC.versions[0])
    }

    fn of(version: &'static str) -> Program {
        let settings = Settings { version: Some(version), ..Settings::defaults(&SPEC) };
        Program { musl: Musl::new(&settings), kernel: Kernel::new(Mode::Never), blocks: vec![None; 1 << 12] }
    }

    /// The block where the operation gives one.
    fn perform(&mut self, op: &Op) -> Option<Block> {
        let zeroed = op.call == Call::Calloc;
        let request = Request { tid: 1, size: Bytes(op.size as u64), align: op.align as u64, zeroed };
        let slot = &mut self.blocks[op.slot as usize];
        match (op.call, *slot) {
            (Call::Free, old) => {
                *slot = None;
                self.musl.free(&mut self.kernel, 1, old.expect("a block"));
                return None;
            }
            (Call::Realloc, Some(old)) => *slot = self.musl.realloc(&mut self.kernel, request, old),
            _ => *slot = self.musl.malloc(&mut self.kernel, request),
        }
        *slot
    }

    fn malloc(&mut self, size: i64) -> (Block, Place) {
        let block = self.perform(&Op::new(Call::Malloc, 0, size)).expect("memory");
        (block, self.place(block))
    }

    fn place(&mut self, block: Block) -> Place {
        let (id, slot) = self.musl.find(block.addr.0);
        let group: &Group = &self.musl.groups[id as usize];
        Place {
            class: group.class as u64,
            slot: slot.into(),
            slots: group.slots.into(),
            units: (block.addr.0 - group.base - 16) / 16,
            within: group.base % PAGE,
            pages: group.pages,
        }
    }

    fn calls(&self, kinds: &[Syscall]) -> u64 {
        kinds.iter().map(|&kind| self.kernel.calls().of(kind)).sum()
    }

    fn faults(&self) -> u64 {
        self.kernel.space().counters(0).minor_faults
    }
}

/// Request, class, slot, slots, units from the first slot, where the group begins in its page, pages, the length that is mapped.
#[rustfmt::skip]
const EXAMPLE: [(i64, [u64; 6], Option<u64>); 17] = [
    (1, [0, 0, 30, 0, 0x30, 0], Some(4096)),
    (1, [0, 1, 30, 1, 0x30, 0], None),
    (20, [1, 0, 15, 0, 0x220, 0], None),
    (50, [3, 0, 7, 0, 0x420, 0], None),
    (100, [6, 0, 4, 0, 0x610, 0], None),
    (100, [6, 1, 4, 7, 0x610, 0], None),
    (200, [11, 0, 2, 1, 0x820, 0], None),
    (500, [17, 0, 3, 2, 0x10, 0], Some(4096)),
    (1000, [19, 1, 2, 63, 0x800, 0], None),
    (2000, [23, 1, 2, 127, 0, 1], None),
    (4000, [27, 0, 1, 3, 0, 1], Some(4096)),
    (4000, [27, 0, 1, 4, 0, 1], Some(4096)),
    (8000, [31, 0, 1, 5, 0, 2], Some(8192)),
    (20_000, [37, 0, 1, 6, 0, 5], Some(20_480)),
    (60_000, [43, 0, 1, 7, 0, 15], Some(61_440)),
    (131_051, [47, 0, 1, 0, 0, 32], Some(131_072)),
    (131_052, [63, 0, 1, 0, 0, 32], Some(131_072)),
];

#[test]
fn the_example() {
    let mut program = Program::new();
    let mut blocks = Vec::new();
    for (size, [class, slot, slots, units, within, pages], mapped) in EXAMPLE {
        let before = program.kernel.space().mapped();
        let (block, place) = program.malloc(size);
        assert_eq!(place, Place { class, slot, slots, units, within, pages }, "malloc({size})");
        // The first one brings the page of descriptions and its guard along.
        let metadata = if blocks.is_empty() { 2 * PAGE } else { 0 };
        assert_eq!(program.kernel.space().mapped() - before, Bytes(mapped.unwrap_or(0) + metadata), "malloc({size})");
        blocks.push(block);
    }
    let (block, place) = program.malloc(200_000);
    assert_eq!(place, Place { class: 63, slot: 0, slots: 1, units: 10, within: 0, pages: 49 });
    blocks.push(block);
    let mut unmapped = Vec::new();
    for block in blocks.into_iter().rev() {
        let before = program.kernel.space().mapped();
        program.musl.free(&mut program.kernel, 1, block);
        unmapped.extend(Some((before - program.kernel.space().mapped()).0).filter(|&bytes| bytes > 0));
    }
    assert_eq!(unmapped, [200_704, 131_072, 131_072, 61_440, 20_480, 8192, 4096, 4096, 4096, 4096]);
    assert_eq!((program.calls(&[Brk]), program.musl.active), (2, [NOBODY; 48]));
}

/// Profile, checksum over the places of all blocks, pages of descriptions, calls, faults.
const WORKLOADS: [(&str, u64, u64, u64, u64); 6] = [
    ("small", 0xd6d4_dcba_1f97_22d2, 1, 12, 21),
    ("tiny", 0x284e_8a9e_47b6_7968, 2, 379, 593),
    ("mixed", 0xc91c_99b3_9de8_f10b, 2, 6884, 9877),
    ("realloc", 0x5917_998e_48a6_5b59, 1, 36873, 104_775),
    ("large", 0x14e5_99a5_6166_30ba, 1, 11916, 24670),
    ("ramp", 0x948e_9618_f3a3_53f8, 4, 14290, 21581),
];

#[test]
fn random_workloads() {
    for (profile, checksum, areas, calls, faults) in WORKLOADS {
        let (mut program, mut sum) = (Program::new(), 0xcbf2_9ce4_8422_2325_u64);
        for op in operations(profile, 1) {
            let Some(block) = program.perform(&op) else { continue };
            let at = program.place(block);
            let value = at.class | at.slot << 8 | (at.slots - 1) << 16 | at.units << 24 | at.within << 44 | at.pages << 56;
            value.to_le_bytes().iter().for_each(|&byte| sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        }
        assert_eq!(sum, checksum, "{profile}: {sum:x}");
        assert_eq!(program.musl.metadata.bytes() / PAGE - 1, areas, "{profile}");
        // The guard page was not counted.
        assert_eq!(program.calls(&[Mmap, Munmap, Mremap, Madvise]), calls + 1, "{profile}: calls");
        assert_eq!(program.faults(), faults, "{profile}: faults");
        assert_eq!(program.kernel.space().counters(0).strays, 0, "{profile}");
    }
}

#[test]
fn later_releases_offer_no_pages() {
    let [with, without] = [0, 1].map(|version| {
        let mut program = Program::of(SPEC.versions[version]);
        operations("large", 1).iter().for_each(|op| _ = program.perform(op));
        let calls = [Mmap, Munmap, Mremap].map(|call| program.calls(&[call]));
        (calls, program.calls(&[Madvise]))
    });
    assert_eq!(with.0, without.0);
    assert!(with.1 > 100 && without.1 == 0, "{with:?} {without:?}");
}

#[test]
fn what_no_machine_has_is_refused() {
    let mut program = Program::new();
    for (call, size, align) in [(Call::Malloc, i64::MAX - 4096, 0), (Call::Malloc, -1, 0), (Call::Memalign, 1, 1 << 35)] {
        assert_eq!(program.perform(&Op::aligned(call, 0, align, size)), None);
    }
    let (block, _) = program.malloc(10);
    let request = Request { tid: 1, size: Bytes(u64::MAX), align: 0, zeroed: false };
    assert_eq!(program.musl.realloc(&mut program.kernel, request, block), None);
    program.musl.free(&mut program.kernel, 1, block);
    assert_eq!(program.musl.totals.live, 0);
}
