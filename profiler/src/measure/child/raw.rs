//! System calls that are the driver's own: from a piece of code that the dispatch of system calls leaves alone. It
//! is the machine's own and lies in its file.

unsafe extern "C" {
    fn heapcast_raw_call(number: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> i64;
    fn heapcast_raw_return();
    fn heapcast_raw_end();
}

/// Start and length of the code whose system calls are never dispatched.
pub(super) fn range() -> (usize, usize) {
    let start = heapcast_raw_call as *const () as usize;
    (start, heapcast_raw_end as *const () as usize - start)
}

/// Where a signal handler returns to.
pub(super) fn restorer() -> usize {
    heapcast_raw_return as *const () as usize
}

/// A system call: its answer, or the negative error number.
pub(super) fn call<const N: usize>(number: i64, arguments: [usize; N]) -> i64 {
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(argument);
    // SAFETY: the function follows the C calling convention and changes nothing but registers that a call may change; what the kernel does with
    // the arguments is up to who gives them, as with any system call.
    unsafe { heapcast_raw_call(number, a, b, c, d, e, f) }
}

/// Waits until `word` is no longer `value`; may return early.
pub(super) fn wait(word: &std::sync::atomic::AtomicU32, value: u32) {
    call(libc::SYS_futex, [word.as_ptr() as usize, libc::FUTEX_WAIT as usize, value as usize, 0]);
}

/// Wakes who waits for `word`.
pub(super) fn wake(word: &std::sync::atomic::AtomicU32) {
    call(libc::SYS_futex, [word.as_ptr() as usize, libc::FUTEX_WAKE as usize, 1]);
}

/// Ends the process at once.
pub(super) fn exit(code: u8) -> ! {
    loop {
        call(libc::SYS_exit_group, [code.into()]);
    }
}

/// Zeroed shared memory, all of it resident: a fork does not make it copied. `None` when there is none.
pub(super) fn shared(bytes: usize) -> Option<*mut u8> {
    map(bytes, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_POPULATE, -1)
}

/// Address space for stacks.
pub(super) fn reserved(bytes: usize) -> Option<*mut u8> {
    map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1)
}

/// The first bytes of a file that others read, too.
pub(super) fn file(bytes: usize, file: i32) -> Option<*mut u8> {
    map(bytes, libc::MAP_SHARED | libc::MAP_POPULATE, file)
}

fn map(bytes: usize, flags: i32, file: i32) -> Option<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let at = call(libc::SYS_mmap, [0, bytes.max(1), access as usize, flags as usize, file as isize as usize, 0]);
    (at > 0).then_some(at as *mut u8)
}
