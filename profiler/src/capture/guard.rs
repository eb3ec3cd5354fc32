//! A small process that outlives the recorder for a moment: should the recorder be killed while targets wait for it, the guard lets them go on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::target::process;

/// The recorder's end of the line to its guard.
pub struct Guard {
    line: File,
    pid: i32,
    known: BTreeSet<u32>,
}

/// Tells the guard that it is not needed any more.
const DISMISSED: u32 = 0;

impl Guard {
    /// Starts the guard. To be called while the program has one thread only. `None` when no process can be made:
    /// recording works without a guard.
    pub fn start() -> Option<Guard> {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors, which nobody else owns; the child never returns.
        unsafe {
            if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
                return None;
            }
            let (read, write) = (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]));
            match libc::fork() {
                -1 => None,
                0 => {
                    drop(write);
                    stand_guard(read)
                }
                pid => Some(Guard { line: write.into(), pid, known: BTreeSet::new() }),
            }
        }
    }

    /// Names a process that may have stopped itself for the recorder.
    pub fn watch(&mut self, pid: u32) {
        if self.known.insert(pid) {
            // A guard that is gone cannot be told anything; the recording does not depend on it.
            self.line.write_all(&pid.to_ne_bytes()).unwrap_or_default();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.line.write_all(&DISMISSED.to_ne_bytes()).is_ok() {
            // SAFETY: the guard is this process's child and ends at once.
            unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
        }
    }
}

fn stand_guard(line: OwnedFd) -> ! {
    // SAFETY: only this process's own descriptors and signals are concerned.
    unsafe {
        libc::setsid();
        // Descriptors kept open here would keep the recorder's pipes and files alive after it.
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for standard in 0..3 {
            libc::dup2(null, standard);
        }
        libc::dup2(line.as_raw_fd(), 3);
        libc::close_range(4, u32::MAX, 0);
        let mut line = File::from_raw_fd(3);
        let mut pids = BTreeSet::new();
        let mut word = [0; 4];
        while line.read_exact(&mut word).is_ok() {
            match u32::from_ne_bytes(word) {
                DISMISSED => libc::_exit(0),
                pid => pids.insert(pid),
            };
        }
        // The probes go with the recorder, but not in the same instant: a last stop may still come.
        for _ in 0..20 {
            pids.iter().for_each(|pid| continue_stopped(*pid));
            std::thread::sleep(Duration::from_millis(50));
        }
        libc::_exit(0)
    }
}

/// Continues a process and its children if they are stopped.
fn continue_stopped(pid: u32) {
    if process::state(pid) == Some('T') {
        resume(pid);
    }
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).for_each(continue_stopped);
}

/// Sends SIGCONT.
pub fn resume(pid: u32) {
    // SAFETY: a signal to a process that has gone is refused, which is as good.
    unsafe { libc::kill(pid as i32, libc::SIGCONT) };
}
