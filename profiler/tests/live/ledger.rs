//! What a program says that it did, against what was recorded of it: blocks of sizes that nothing else asks for.

use std::collections::HashMap;
use std::ops::Range;

use profiler::event::{Call, What};
use profiler::units::Addr;

use crate::support::Trace;

/// Sizes that the programs of these tests keep for themselves, bytes: 5000 to 5999, which libstdc++ makes a multiple of the alignment of 256.
const OWN: Range<u64> = 5000..6145;

/// What was recorded of blocks of these sizes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) allocations: u64,
    pub(super) releases: u64,
    /// Those with an alignment.
    pub(super) aligned: u64,
    /// Those that were resized to another size.
    pub(super) resized: u64,
    /// Blocks that were handed out twice: a call was recorded as two.
    pub(super) doubled: u64,
    /// Blocks of any size that were given back and not known: a call was missed, or recorded as two.
    pub(super) strays: u64,
}

impl Ledger {
    pub(super) fn of(trace: &Trace) -> Ledger {
        let (mut ledger, mut live) = (Ledger::default(), HashMap::<(u32, Addr), u64>::new());
        for event in &trace.events {
            match event.what {
                What::Alloc { ptr: Addr(0), .. } => {}
                What::Alloc { call, ptr, size, old, align, .. } => {
                    ledger.resized += u64::from(call == Call::Realloc && live.remove(&(event.process, old)).is_some_and(is_own));
                    let own = is_own(size.0) && call != Call::Realloc;
                    ledger.allocations += u64::from(own);
                    ledger.aligned += u64::from(own && align > 16);
                    ledger.doubled += u64::from(live.insert((event.process, ptr), size.0).is_some());
                }
                What::Free { ptr } if ptr != Addr(0) => match live.remove(&(event.process, ptr)) {
                    Some(size) => ledger.releases += u64::from(is_own(size)),
                    None => ledger.strays += 1,
                },
                _ => {}
            }
        }
        ledger
    }
}

fn is_own(size: u64) -> bool {
    OWN.contains(&size)
}

/// The number behind a word of what a program said.
#[track_caller]
pub(super) fn told(said: &str, word: &str) -> u64 {
    let mut words = said.split_whitespace().skip_while(|other| *other != word).skip(1);
    words.next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("nothing of {word} in {said:?}"))
}
