//! Replay: a workload driven through a policy, and through the page model as it was recorded.
//!
//! ```text
//! policy     SPEC → model, settings, huge-page mode
//! engine     Op* × policy → Outcome, in three readings at once
//! recorded   Event* → Op*, and the outcomes `recorded` and `measured`
//! background khugepaged, on the recorded clock
//! carried    what is the same under every policy
//! outcome    what a policy did          fidelity   one outcome against another
//! placements whether blocks lie where they lay
//! ran        the allocator that really ran, as a policy
//! libraries  what loading an allocator adds to the recorded process
//! ```

mod background;
pub mod carried;
pub mod claims;
pub mod engine;
pub mod fidelity;
mod held;
pub mod libraries;
pub mod outcome;
pub mod placements;
pub mod policy;
pub mod ran;
pub mod recorded;

pub use carried::Carried;
pub use engine::Run;
pub use libraries::Libraries;
pub use outcome::{Outcome, Source};
pub use placements::{Placed, Placements};
pub use policy::Policy;
pub use ran::Ran;
pub use recorded::{Facts, Recording};
