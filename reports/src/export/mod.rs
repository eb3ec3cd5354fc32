//! A study for other tools.

mod folded;
mod perfetto;
mod pprof;

pub use folded::folded;
pub use perfetto::perfetto;
pub use pprof::pprof;
