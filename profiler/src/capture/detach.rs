//! Taking the probes away. The kernel waits about 0.1 s for each, long after the trace is complete.

use std::thread::JoinHandle;

use super::attach::HeapProbes;
use super::decode::stopped;
use super::guard::Guard;
use super::object::Object;
use super::stops;

/// Probes that are being removed by a thread.
pub struct Detaching(Option<JoinHandle<()>>);

impl Detaching {
    /// Begins to drop what holds the probes. A thread that was just about to stop when its process was let go may still do so: who is left is continued
    /// when no more probe is there, by the guard if this process ends before.
    pub(super) fn begin(heap: HeapProbes, object: Object, guard: Option<Guard>) -> Detaching {
        Detaching(Some(std::thread::spawn(move || {
            let Object { ebpf, mut ring, .. } = object;
            drop((heap, ebpf));
            while let Some(record) = ring.next() {
                stopped(&record).map(stops::resume);
            }
            drop(guard);
        })))
    }

    /// Waits until the processes that go on running have no probe left.
    pub fn wait(&mut self) {
        // A thread that only drops has nothing to tell.
        self.0.take().map_or(Ok(()), JoinHandle::join).unwrap_or_default();
    }

    /// To be called when nothing but the program's end is left to do. Lets a child close the descriptors in this process's place, so that
    /// the user need not wait: it shares them, waits until this process has ended, and the kernel removes the probes as the child ends.
    pub fn leave_behind(self) {
        // Of the whole process, not of one thread: a thread may be busy closing, and would close everything if the child went first.
        // SAFETY: no memory is concerned.
        let own = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) } as i32;
        if own < 0 {
            return;
        }
        // SAFETY: the child calls nothing but async-signal-safe functions, and runs nothing more of this program.
        unsafe {
            if libc::fork() == 0 {
                // Out of reach of the terminal's Ctrl-C; and who reads this program's output must not wait for it.
                libc::setsid();
                libc::close_range(0, 2, 0);
                let mut ended = libc::pollfd { fd: own, events: libc::POLLIN, revents: 0 };
                while libc::poll(&mut ended, 1, -1) < 0 {}
                libc::_exit(0);
            }
        }
    }
}
