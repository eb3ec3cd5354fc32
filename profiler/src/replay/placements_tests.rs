//! Recordings of models: what a model did once, it must be found to do again.

use super::*;
use crate::event::{Access, Advice, Call, Event, MAP_ANONYMOUS, MAP_FIXED, What};
use crate::model::{Block, REGISTRY, Settings};
use crate::replay::{Policy, Recording, Run};
use crate::units::{Addr, Bytes, Nanos, PAGE};
use crate::vm::Kernel;
use crate::vm::os::Os;
use crate::vm::thp::Mode;

/// How much further up the recorded process lies than a simulated one: a multiple of the pages of every allocator (of 8 KiB in tcmalloc).
const HEAP_SHIFT: u64 = 0x124 * PAGE;
const MAP_SHIFT: u64 = 0x77_7000;

/// A kernel that records what is asked of it.
struct Watched {
    kernel: Kernel<1>,
    events: Vec<Event>,
    tid: Tid,
}

impl Watched {
    fn push(&mut self, in_heap: bool, what: What) {
        let time = Nanos(self.events.len() as u64 * 1000);
        self.events.push(Event { time, process: 0, tid: self.tid, in_heap, what });
    }

    fn entered(&self) -> Nanos {
        Nanos(self.events.len() as u64 * 1000)
    }
}

fn heap(addr: Addr) -> Addr {
    Addr(addr.0 + if addr.0 == 0 { 0 } else { HEAP_SHIFT })
}

fn map(addr: Addr) -> Addr {
    Addr(addr.0 + MAP_SHIFT)
}

impl Os for Watched {
    fn brk(&mut self, end: Addr) -> Addr {
        let got = self.kernel.brk(end);
        self.push(true, What::Brk { asked: heap(end), got: heap(got) });
        got
    }
    fn program_break(&self) -> Addr {
        self.kernel.program_break()
    }
    fn mmap(&mut self, len: Bytes, prot: u8) -> Option<Addr> {
        let addr = self.kernel.mmap(len, prot)?;
        self.push(true, What::Mmap { hint: Addr(0), len, prot, flags: 2 | MAP_ANONYMOUS, file: false, result: Ok(map(addr)) });
        Some(addr)
    }
    fn mmap_near(&mut self, hint: Addr, len: Bytes, prot: u8) -> Option<Addr> {
        let addr = self.kernel.mmap_near(hint, len, prot)?;
        self.push(true, What::Mmap { hint: map(hint), len, prot, flags: 2 | MAP_ANONYMOUS, file: false, result: Ok(map(addr)) });
        Some(addr)
    }
    fn mmap_at(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.kernel.mmap_at(addr, len, prot);
        let flags = 2 | MAP_ANONYMOUS | MAP_FIXED;
        self.push(true, What::Mmap { hint: heap(addr), len, prot, flags, file: false, result: Ok(heap(addr)) });
    }
    fn mmap_huge(&mut self, len: Bytes) -> Option<Addr> {
        self.kernel.mmap_huge(len)
    }
    fn munmap(&mut self, addr: Addr, len: Bytes) {
        self.kernel.munmap(addr, len);
        let entered = self.entered();
        self.push(true, What::Munmap { addr: map(addr), len, entered, errno: 0 });
    }
    fn mremap(&mut self, addr: Addr, len: Bytes, new_len: Bytes) -> Option<Addr> {
        let to = self.kernel.mremap(addr, len, new_len)?;
        self.push(true, What::Mremap { addr: map(addr), len, new_len, flags: 1, result: Ok(map(to)) });
        Some(to)
    }
    fn madvise(&mut self, addr: Addr, len: Bytes, advice: Advice) {
        self.kernel.madvise(addr, len, advice);
    }
    fn mprotect(&mut self, addr: Addr, len: Bytes, prot: u8) {
        self.kernel.mprotect(addr, len, prot);
        self.push(true, What::Mprotect { addr: map(addr), len, prot, errno: 0 });
    }
    fn touch(&mut self, addr: Addr, len: Bytes, access: Access) {
        self.kernel.touch(addr, len, access);
    }
    fn huge_pages(&self) -> Mode {
        self.kernel.huge_pages()
    }
    fn now(&self) -> Nanos {
        self.kernel.now()
    }
}

/// What a program under this model would have left behind, in two threads that both allocate.
fn recorded(id: &str) -> Vec<Event> {
    let spec = REGISTRY.iter().find(|spec| spec.id == id).expect("a model");
    let mut model = (spec.build)(&Settings::defaults(spec)).expect("defaults build");
    let mut os = Watched { kernel: Kernel::new(Mode::Never), events: Vec::new(), tid: 1 };
    os.push(false, What::Start);
    let start = os.kernel.program_break();
    os.push(false, What::Brk { asked: Addr(0), got: heap(start) });
    let place = |os: &Watched, block: Block| if block.addr < os.program_break() { heap(block.addr) } else { map(block.addr) };
    let mut live: Vec<Block> = Vec::new();
    let mut random = 88_172_645_463_325_252u64;
    for step in 0..3000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        os.tid = 1 + (random >> 40) as Tid % 2;
        let size = Bytes(1 + (random >> 20) % if step % 50 == 0 { 300_000 } else { 3000 });
        let request = Request { tid: os.tid, size, align: 0, zeroed: random.is_multiple_of(7) };
        let held = (!live.is_empty()).then(|| random as usize % live.len().max(1));
        let (call, old, block) = match (random >> 8) % 10 {
            0..6 => (if request.zeroed { Call::Calloc } else { Call::Malloc }, None, model.malloc(&mut os, request)),
            6..8 if held.is_some() => {
                let old = live.swap_remove(held.unwrap_or(0));
                (Call::Realloc, Some(old), model.realloc(&mut os, Request { zeroed: false, ..request }, old))
            }
            _ => {
                if let Some(block) = held.map(|held| live.swap_remove(held)) {
                    let ptr = place(&os, block);
                    os.push(false, What::Free { ptr });
                    model.free(&mut os, request.tid, block);
                }
                continue;
            }
        };
        let block = block.expect("there is memory");
        let (ptr, old) = (place(&os, block), old.map_or(Addr(0), |old| place(&os, old)));
        os.push(false, What::Alloc { call, ptr, size, old, align: 0, site: 0 });
        live.push(block);
    }
    os.events
}

/// The model against the recording, fed in chunks of so many events.
fn compared(id: &str, events: &[Event], chunk: usize) -> Placements {
    let mut recording = Recording::new(0, Mode::Never);
    recording.note_placed();
    let mut run = Run::new(&Policy::parse(id).expect("a name"), Mode::Never).expect("it builds");
    let mut ops = Vec::new();
    for events in events.chunks(chunk) {
        events.iter().for_each(|event| recording.feed(event, &mut ops));
        run.expect(&recording.take_placed());
        run.feed(&ops);
        ops.clear();
    }
    run.finish().placements.expect("compared")
}

#[test]
fn what_a_model_did_it_does_again() {
    for spec in REGISTRY {
        let events = recorded(spec.id);
        let placements = compared(spec.id, &events, 100);
        assert!(placements.total > 1500, "{}: {placements:?}", spec.id);
        assert_eq!((placements.share(), placements.explain()), (Some(1.0), vec![]), "{}: {placements:?}", spec.id);
        assert_eq!(compared(spec.id, &events, 1), placements);
    }
}

#[test]
fn one_block_at_another_place_is_found_at_its_event() {
    let mut events = recorded("brk-only");
    let nth = |events: &[Event], n| {
        events.iter().enumerate().filter(|(_, event)| matches!(event.what, What::Alloc { .. })).nth(n).map(|(at, _)| at)
    };
    let at = nth(&events, 700).expect("there are so many");
    let What::Alloc { ptr: right, size, .. } = events[at].what else { panic!("it is one") };
    // Until it is freed or resized the block lies 8 bytes further up.
    let wrong = Addr(right.0 + 8);
    for event in &mut events[at..] {
        match &mut event.what {
            What::Alloc { ptr, .. } if *ptr == right && event.time == Nanos(at as u64 * 1000) => *ptr = wrong,
            What::Free { ptr } | What::Alloc { old: ptr, .. } if *ptr == right => {
                *ptr = wrong;
                break;
            }
            _ => {}
        }
    }
    let placements = compared("brk-only", &events, 1000);
    assert_eq!(placements.total - placements.equal, 1);
    let first = placements.first.as_ref().expect("it differs");
    assert_eq!((first.event, first.request.tid, first.request.size), (at as u64, events[at].tid, size));
    let (expected, got) = (first.expected.expect("mapped"), first.got.expect("mapped"));
    assert_eq!((expected.area, got.area, expected.offset.0 - got.offset.0), (Area::Heap, Area::Heap, 8));
    let told = placements.explain().join(" ");
    assert!(told.contains(&format!("event {at}: thread {}", first.request.tid)) && told.contains("expected at heap + 0x"), "{told}");
    assert!(told.contains("1 at another place of a heap") && told.contains("All were asked for by thread"), "{told}");
}

#[test]
fn another_model_is_told_from_the_one_that_ran() {
    let placements = compared("mmap-only", &recorded("brk-only"), 1000);
    assert_eq!((placements.equal, placements.by_area.len()), (0, 1));
    let threads: Vec<&Tid> = placements.by_thread.keys().collect();
    assert_eq!(threads, [&1, &2]);
    assert!(placements.explain()[2].contains("in a mapping instead of in a heap"), "{:?}", placements.explain());
}

#[test]
fn a_refused_block_lies_nowhere() {
    let mut comparison = Comparison::default();
    let request = Request { tid: 7, size: Bytes(5), align: 32, zeroed: false };
    let spot = |offset| Some(Spot { area: Area::Reserve, offset: Bytes(offset) });
    comparison.expect(&[Placed { event: 3, spot: spot(16) }, Placed { event: 4, spot: None }, Placed { event: 9, spot: spot(32) }]);
    comparison.compare(call_of(request), request, None, || "full".to_owned());
    comparison.compare("malloc", request, None, || panic!("not the first"));
    comparison.compare("malloc", request, spot(32), || panic!("not the first"));
    let found = comparison.found();
    assert_eq!((found.total, found.equal), (3, 1));
    let told = found.explain();
    assert_eq!(
        told[1],
        "The first is event 3: thread 7 calls memalign for 5 bytes aligned to 32; expected at arena heap + 0x10, got nowhere."
    );
    assert_eq!(told[2], "The model directly after: full.");
}
