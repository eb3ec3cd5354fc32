//! A study for other tools.

mod perfetto;

pub use perfetto::perfetto;
