//! Requests to end the recording: Ctrl-C, SIGTERM and a terminal that is closed. A second one ends heapcast at once.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Context, Kind, Result};

/// Listens from its making on.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interrupts {
    pub(super) fn new() -> Result<Interrupts> {
        let on = |kind| signal(kind).context(Kind::Failed, "cannot listen to signals");
        Ok(Interrupts {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }

    /// Waits so long; `true` as soon as a request arrives.
    pub(super) async fn arrived(&mut self, wait: Duration) -> bool {
        let arrived = tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => true,
            _ = self.hang_up.recv() => true,
            () = tokio::time::sleep(wait) => false,
        };
        if arrived {
            no_longer();
        }
        arrived
    }
}

/// Whoever asks again does not want to wait: what was recorded so far is on disk, the kernel takes the probes, and the guard lets go who waits.
fn no_longer() {
    for asked in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the default action concerns no memory.
        unsafe { libc::signal(asked, libc::SIG_DFL) };
    }
}
