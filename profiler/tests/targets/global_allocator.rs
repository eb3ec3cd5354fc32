// A Rust program on one of three allocators (`--cfg prefixed`: jemalloc under the prefix `_rjem_`; `--cfg bump`: one of its own; else the
// system's). It asks for blocks of 5000 to 5999 bytes, which nothing else does, and says how many: "allocations N releases M resized R".
use std::alloc::{GlobalAlloc, Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::hint::black_box;

#[cfg(prefixed)]
mod chosen {
    use super::{GlobalAlloc, Layout};

    unsafe extern "C" {
        fn _rjem_mallocx(size: usize, flags: i32) -> *mut u8;
        fn _rjem_malloc(size: usize) -> *mut u8;
        fn _rjem_calloc(count: usize, size: usize) -> *mut u8;
        fn _rjem_rallocx(block: *mut u8, size: usize, flags: i32) -> *mut u8;
        fn _rjem_sdallocx(block: *mut u8, size: usize, flags: i32);
    }

    pub struct Chosen;

    fn flags(layout: &Layout) -> i32 {
        if layout.align() <= 16 { 0 } else { layout.align().trailing_zeros() as i32 }
    }

    unsafe impl GlobalAlloc for Chosen {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            match flags(&layout) {
                0 => unsafe { _rjem_malloc(layout.size()) },
                flags => unsafe { _rjem_mallocx(layout.size(), flags) },
            }
        }
        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            match flags(&layout) {
                0 => unsafe { _rjem_calloc(1, layout.size()) },
                flags => unsafe { _rjem_mallocx(layout.size(), flags | 0x40) },
            }
        }
        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            unsafe { _rjem_rallocx(block, size, flags(&layout)) }
        }
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            unsafe { _rjem_sdallocx(block, layout.size(), flags(&layout)) }
        }
    }
}

#[cfg(bump)]
mod chosen {
    use super::{GlobalAlloc, Layout};
    use std::sync::atomic::{AtomicUsize, Ordering};

    const ROOM: usize = 64 << 20;
    static mut MEMORY: [u8; ROOM] = [0; ROOM];
    static USED: AtomicUsize = AtomicUsize::new(0);

    pub struct Chosen;

    // Nothing comes back: the next block lies behind the last one.
    unsafe impl GlobalAlloc for Chosen {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let start = &raw mut MEMORY as usize;
            let place = |used: usize| (start + used).next_multiple_of(layout.align()) - start;
            let take = |used| Some(place(used) + layout.size()).filter(|end| *end <= ROOM);
            match USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                Ok(used) => (start + place(used)) as *mut u8,
                Err(_) => std::ptr::null_mut(),
            }
        }
        unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
    }
}

#[cfg(any(prefixed, bump))]
#[global_allocator]
static GLOBAL: chosen::Chosen = chosen::Chosen;

fn main() {
    let (mut allocations, mut releases, mut resized) = (0, 0, 0);
    for size in 5000..6000 {
        for align in [8, 128] {
            let layout = Layout::from_size_align(size, align).expect("a layout");
            unsafe {
                let block = black_box(alloc(layout));
                let zeroed = black_box(alloc_zeroed(layout));
                *block = 1;
                *zeroed.add(size - 1) = 1;
                let grown = Layout::from_size_align(size + 2000, align).expect("a layout");
                let block = black_box(realloc(block, layout, grown.size()));
                dealloc(block, grown);
                dealloc(zeroed, layout);
            }
            (allocations, releases, resized) = (allocations + 2, releases + 2, resized + 1);
        }
    }
    println!("allocations {allocations} releases {releases} resized {resized}");
}
