//! Requests to end the recording: Ctrl-C and SIGTERM.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Context, Kind, Result};

/// Listens from its making on.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(super) fn new() -> Result<Interrupts> {
        let on = |kind| signal(kind).context(Kind::Failed, "cannot listen to signals");
        Ok(Interrupts { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    /// Waits so long; `true` as soon as a request arrives.
    pub(super) async fn arrived(&mut self, wait: Duration) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => true,
            () = tokio::time::sleep(wait) => false,
        }
    }
}
