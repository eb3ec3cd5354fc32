//! Processes that stand still for the recorder: how often the kernel half has stopped each, and letting them go on.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use aya::maps::{HashMap, Map, MapData};

use crate::error::{Context, Error, Kind, Result};
use crate::target::process;

/// What the kernel half has counted.
pub struct Stops {
    counted: HashMap<MapData, u32, u64>,
    descriptor: RawFd,
}

impl Stops {
    /// From the map of the kernel half.
    ///
    /// # Errors
    /// `Unsupported` when it is another kind of map.
    pub(super) fn new(map: Map) -> Result<Stops> {
        let Map::HashMap(data) = &map else { return Err(Error::new(Kind::Unsupported, profiler_ebpf::STOPS)) };
        let descriptor = data.fd().as_fd().as_raw_fd();
        Ok(Stops { counted: HashMap::try_from(map).context(Kind::Unsupported, profiler_ebpf::STOPS)?, descriptor })
    }

    /// What holds the map, for a process that keeps nothing else.
    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// A process has ended; its number may come again.
    pub fn forget(&mut self, pid: u32) {
        // Most processes never stopped.
        self.counted.remove(&pid).unwrap_or_default();
    }

    /// Lets go on who has stopped more often than was answered; `answered` is brought up to date.
    pub fn answer(&self, answered: &mut BTreeMap<u32, u64>) {
        for (pid, stops) in self.counted.iter().flatten() {
            let known = answered.entry(pid).or_default();
            // The signal is on its way before the process stands still.
            if stops > *known && process::state(pid) == Some('T') {
                resume(pid);
                *known = stops;
            }
        }
    }
}

/// Sends SIGCONT, unless somebody else has stopped the process meanwhile: it is then theirs to continue. Answers whether it was sent.
pub fn resume(pid: u32) -> bool {
    if process::has_stop_pending(pid) {
        return false;
    }
    // SAFETY: a signal to a process that has gone is refused, which is as good.
    unsafe { libc::kill(pid as i32, libc::SIGCONT) == 0 }
}
