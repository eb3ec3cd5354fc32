//! One mapping per block, given back by `munmap` at `free`: nothing is ever kept, every block pays whole pages and fresh faults.
//!
//! ```text
//! usual            | header 16 |  block …            |                    one mapping, whole pages
//! align < page     | …  header 16 | block …          |                    block at base + alignment
//! align ≥ page     | page with the header at its end | block …      |     mapped larger, trimmed at both ends
//! ```
//!
//! Touched: the header. The kernel's limit on the number of mappings (`vm.max_map_count`) is not modelled.

use super::{AllocatorModel, Block, Counters, Layout, ModelSpec, Request, Settings};
use crate::error::Result;
use crate::event::{Access, PROT_READ, PROT_WRITE, Tid};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::os::Os;

pub(super) static SPEC: ModelSpec = ModelSpec {
    id: "mmap-only",
    versions: &[],
    summary: "one mapping per block, unmapped at free",
    tunables: &[],
    knob_value: super::plain_knob,
    library: crate::model::Footprint::NONE,
    build,
};

const HEADER: u64 = 16;

fn build(_: &Settings) -> Result<Box<dyn AllocatorModel>> {
    Ok(Box::new(MmapOnly { held: 0 }))
}

struct MmapOnly {
    held: u64,
}

/// Start and length of a block's mapping.
fn mapping_of(block: Block) -> (Addr, Bytes) {
    let base = Addr(block.addr.0 - HEADER).page_down();
    (base, Bytes(block.addr.0 + block.usable.0 - base.0))
}

impl MmapOnly {
    fn block(&mut self, os: &mut dyn Os, base: u64, offset: u64, len: u64) -> Block {
        self.held += len;
        os.touch(Addr(base + offset - HEADER), Bytes(HEADER), Access::Write);
        Block { addr: Addr(base + offset), usable: Bytes(len - offset) }
    }

    /// Maps larger, then trims to one page for the header and the aligned block behind it.
    fn map_aligned(&mut self, os: &mut dyn Os, size: u64, align: u64) -> Option<Block> {
        let len = size.max(1).checked_next_multiple_of(PAGE)?;
        let whole = len.checked_add(align)?.checked_add(PAGE)?;
        let start = os.mmap(Bytes(whole), PROT_READ | PROT_WRITE)?.0;
        let base = (start + PAGE).next_multiple_of(align) - PAGE;
        let end = base + PAGE + len;
        if base > start {
            os.munmap(Addr(start), Bytes(base - start));
        }
        if end < start + whole {
            os.munmap(Addr(end), Bytes(start + whole - end));
        }
        Some(self.block(os, base, PAGE, PAGE + len))
    }
}

impl AllocatorModel for MmapOnly {
    fn malloc(&mut self, os: &mut dyn Os, request: Request) -> Option<Block> {
        if request.align >= PAGE {
            return self.map_aligned(os, request.size.0, request.align);
        }
        let offset = request.align.max(HEADER);
        let len = request.size.0.checked_add(offset)?.checked_next_multiple_of(PAGE)?;
        let base = os.mmap(Bytes(len), PROT_READ | PROT_WRITE)?;
        Some(self.block(os, base.0, offset, len))
    }

    fn free(&mut self, os: &mut dyn Os, _tid: Tid, block: Block) {
        let (base, len) = mapping_of(block);
        self.held -= len.0;
        os.touch(Addr(block.addr.0 - HEADER), Bytes(HEADER), Access::Read);
        os.munmap(base, len);
    }

    fn realloc(&mut self, os: &mut dyn Os, request: Request, old: Block) -> Option<Block> {
        let (base, len) = mapping_of(old);
        let offset = old.addr.since(base);
        let new_len = Bytes(request.size.0.max(1).checked_add(offset.0)?.checked_next_multiple_of(PAGE)?);
        if new_len == len {
            return Some(old);
        }
        let target = os.mremap(base, len, new_len)?;
        self.held = self.held - len.0 + new_len.0;
        os.touch(Addr(target.0 + offset.0 - HEADER), Bytes(HEADER), Access::Write);
        Some(Block { addr: target.offset(offset), usable: new_len - offset })
    }

    fn layout(&self) -> Layout {
        Layout { header: Bytes(HEADER), from_top: false }
    }

    fn counters(&self) -> Counters {
        Counters { held: Bytes(self.held), free: Bytes(0), parts: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::thp::Mode;
    use crate::vm::{Kernel, Syscall};

    fn ask(size: u64, align: u64) -> Request {
        Request { tid: 1, size: Bytes(size), align, zeroed: false }
    }

    #[test]
    fn every_block_is_its_own_mapping() {
        let mut kernel = Kernel::<1>::new(Mode::Never);
        let mut model = build(&Settings::defaults(&SPEC)).unwrap();
        let blocks: Vec<Block> = [(0, 0), (4080, 0), (4081, 0), (100, 64), (5000, 4096), (1, 65536)]
            .map(|(size, align)| model.malloc(&mut kernel, ask(size, align)).unwrap())
            .into();
        assert_eq!(kernel.space().mapped().0, model.counters().held.0);
        assert_eq!(model.counters().held.0, (1 + 1 + 2 + 1 + 3 + 2) * PAGE);
        assert_eq!((blocks[4].addr.0 % 4096, blocks[5].addr.0 % 65536), (0, 0));
        assert_eq!(kernel.space().counters(0).anon.0, 6);
        blocks.iter().for_each(|&block| model.free(&mut kernel, 1, block));
        assert_eq!((kernel.space().mapped().0, kernel.space().counters(0).anon.0), (0, 0));
    }

    #[test]
    fn realloc_is_mremap_and_carries_pages() {
        let mut kernel = Kernel::<1>::new(Mode::Never);
        let mut model = build(&Settings::defaults(&SPEC)).unwrap();
        let block = model.malloc(&mut kernel, ask(4000, 0)).unwrap();
        assert_eq!(model.realloc(&mut kernel, ask(4080, 0), block), Some(block));
        let grown = model.realloc(&mut kernel, ask(1 << 20, 0), block).unwrap();
        assert_eq!((kernel.calls().of(Syscall::Mremap), kernel.space().counters(0).minor_faults), (1, 1));
        assert!(grown.usable.0 >= 1 << 20);
    }
}
