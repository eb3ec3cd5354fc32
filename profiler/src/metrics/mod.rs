//! Measures: what is read off a run while it goes, in bounded memory.

mod histogram;
mod meter;
mod sites;
pub mod survey;
mod threads;

pub use histogram::{Blocks, LifetimeClass, SizeClass};
pub use meter::{Meter, Point};
pub use sites::{SiteUse, Sites};
pub use threads::ThreadUse;
