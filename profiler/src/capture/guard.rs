//! A small process that outlives the recorder for a moment: should the recorder be killed while targets wait for it, the guard lets them go on.
//!
//! The kernel half counts the stops of each process, and the recorder tells the guard of each that it has answered. What is counted and not answered
//! when the line breaks was stopped for the recorder, be it that its record was never read; whom somebody else stopped stays stopped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::stops::Stops;

/// The recorder's end of the line to its guard.
pub struct Guard {
    line: File,
    pid: i32,
}

/// Tells the guard that it is not needed any more.
const DISMISSED: u32 = 0;

impl Guard {
    /// Starts the guard. To be called before anything is attached, whose descriptors it would share. `None` when no process can be made:
    /// recording works without a guard.
    pub fn start(stops: &Stops) -> Option<Guard> {
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
                    stand_guard(read, stops)
                }
                pid => Some(Guard { line: write.into(), pid }),
            }
        }
    }

    /// A stop of this process was answered.
    pub fn answered(&mut self, pid: u32) {
        // A guard that is gone cannot be told anything; the recording does not depend on it.
        self.line.write_all(&pid.to_ne_bytes()).unwrap_or_default();
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

fn stand_guard(line: OwnedFd, stops: &Stops) -> ! {
    keep_only(line.as_raw_fd(), stops.descriptor());
    let mut line = File::from(line);
    let mut answered = BTreeMap::new();
    let mut word = [0; 4];
    while line.read_exact(&mut word).is_ok() {
        match u32::from_ne_bytes(word) {
            // SAFETY: the process ends here.
            DISMISSED => unsafe { libc::_exit(0) },
            pid => *answered.entry(pid).or_insert(0u64) += 1,
        };
    }
    // The probes go with the recorder, but not in the same instant: a last stop may still come.
    for _ in 0..20 {
        stops.answer(&mut answered);
        std::thread::sleep(Duration::from_millis(50));
    }
    // SAFETY: as above.
    unsafe { libc::_exit(0) }
}

/// Out of reach of the terminal and of signals that end the recorder, and without any descriptor but these two: others would keep the recorder's
/// pipes and files alive after it.
fn keep_only(one: i32, other: i32) {
    // SAFETY: only this process's own descriptors and signals are concerned.
    unsafe {
        libc::setsid();
        for ignored in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::signal(ignored, libc::SIG_IGN);
        }
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for standard in 0..3 {
            libc::dup2(null, standard);
        }
        let (low, high) = (one.min(other) as u32, one.max(other) as u32);
        for (first, last) in [(3, low - 1), (low + 1, high - 1), (high + 1, u32::MAX)] {
            if first <= last {
                libc::close_range(first, last, 0);
            }
        }
    }
}
