//! First touches that are not the library's, taken before they can be counted.
//!
//! All pages of the program and of the libraries that it needs by itself are made resident, so that it makes no difference which of them the library
//! under test happens to use: what a program has of libc is part of what the recording carries.

use std::ffi::{CStr, c_int, c_void};

use super::raw;
use crate::units::PAGE;

/// The files of this process's program and libraries, one a line; the program itself has an empty name.
pub(in crate::measure) fn modules() -> Vec<u8> {
    let mut names: Vec<u8> = Vec::new();
    // SAFETY: the callback takes what was given for it, and ends before `names` does.
    unsafe { libc::dl_iterate_phdr(Some(collect), (&raw mut names).cast()) };
    names
}

unsafe extern "C" fn collect(info: *mut libc::dl_phdr_info, _size: usize, names: *mut c_void) -> c_int {
    // SAFETY: libc's record is valid during the call, and `names` is what `modules` gave.
    let (name, names) = unsafe { (CStr::from_ptr((*info).dlpi_name), &mut *names.cast::<Vec<u8>>()) };
    names.extend_from_slice(name.to_bytes());
    names.push(b'\n');
    0
}

/// Makes the modules of that list resident, writable parts as the process's own pages, and the part of the stack and of the thread's block that
/// the driver uses.
pub(super) fn settle(modules: &'static CStr) {
    let mut list = modules.to_bytes();
    // SAFETY: as above.
    unsafe { libc::dl_iterate_phdr(Some(populate), (&raw mut list).cast()) };
    let here = (&raw const list) as usize;
    pages(here - (64 << 10), here + PAGE as usize, true);
    // SAFETY: the thread pointer of this thread.
    let thread = unsafe { libc::pthread_self() } as usize;
    pages(thread - PAGE as usize, thread + PAGE as usize, true);
}

unsafe extern "C" fn populate(info: *mut libc::dl_phdr_info, _size: usize, list: *mut c_void) -> c_int {
    // SAFETY: libc's record is valid during the call, and `list` is what `settle` gave.
    let (info, list) = unsafe { (&*info, &*list.cast::<&[u8]>()) };
    // SAFETY: as above.
    let name = unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes();
    if !list.split(|&byte| byte == b'\n').any(|known| known == name) {
        return 0;
    }
    for at in 0..info.dlpi_phnum.into() {
        // SAFETY: there are so many headers.
        let header = unsafe { &*info.dlpi_phdr.add(at) };
        if header.p_type == libc::PT_LOAD {
            let start = (info.dlpi_addr + header.p_vaddr) as usize;
            pages(start, start + header.p_memsz as usize, header.p_flags & libc::PF_W != 0);
        }
    }
    0
}

/// One by one where a range has parts that cannot be written any more.
fn pages(start: usize, end: usize, writable: bool) {
    const READ: usize = libc::MADV_POPULATE_READ as usize;
    const WRITE: usize = libc::MADV_POPULATE_WRITE as usize;
    let page = PAGE as usize;
    let (start, end) = (start & !(page - 1), end.next_multiple_of(page));
    let advise = |at: usize, len: usize, advice: usize| raw::call(libc::SYS_madvise, [at, len, advice]) == 0;
    if !writable {
        advise(start, end - start, READ);
    } else if !advise(start, end - start, WRITE) {
        for at in (start..end).step_by(page) {
            let _either = advise(at, page, WRITE) || advise(at, page, READ);
        }
    }
}

/// Makes a range resident.
pub(super) fn stack(start: usize, end: usize) {
    pages(start, end, true);
}
