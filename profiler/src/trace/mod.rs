//! The trace: a recording on disk, in files that standard tools open.
//!
//! ```text
//! TRACE/
//!   manifest.json     what was recorded, how and where, and what was lost (see `manifest.rs`)
//!   events.arrow      Arrow IPC stream, one row per event (columns: `format`), written batch by batch
//!   stacks.arrow …    where blocks were asked for (see `tables`)
//! ```
//!
//! A stream has no footer: a file that was cut anywhere reads up to the last whole batch before the cut. [`Writer`] leaves nothing in
//! memory after a flush, so that `kill -9` or a full disk costs what came after the last one. [`Reader`] gives the events back, tells
//! what is missing ([`Damage`]), and holds one batch at a time. Both sides use [`crate::event::Event`], so stored and live events are the same.
//!
//! ```python
//! import pyarrow.ipc                     # or: polars.read_ipc_stream("TRACE/events.arrow")
//! pyarrow.ipc.open_stream("TRACE/events.arrow").read_all().to_pandas()
//! ```

mod columns;
mod format;
pub mod manifest;
mod message;
mod reader;
mod rows;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use format::kind_name;
pub use manifest::Manifest;
pub use reader::{Damage, Events, Reader};
#[cfg(fuzzing)]
pub use tables::read_bytes;
pub use writer::Writer;

/// Name of the file that holds the events.
pub const EVENTS: &str = "events.arrow";
