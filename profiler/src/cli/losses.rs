//! What was lost, in words and as a doubt about the estimates.

use std::collections::BTreeMap;

use crate::capture::losses::UNPAIRED;
use crate::event::Call;
use crate::metrics::SizeClass;
use crate::trace::Manifest;
use crate::units::{Bytes, PAGE};

/// Lost records of the whole recording by kind. Of a recording that did not come to its end, what had been noticed.
pub(super) fn by_kind(manifest: &Manifest) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    if manifest.complete {
        all.extend(manifest.counts.kinds.iter().map(|(kind, counts)| (kind.clone(), counts.lost)));
        all.insert(UNPAIRED.to_owned(), manifest.counts.unpaired);
    } else {
        let noticed = manifest.losses.iter().flat_map(|stretch| &stretch.lost);
        noticed.for_each(|(kind, count)| *all.entry(kind.clone()).or_default() += count);
    }
    all.retain(|_, count| *count > 0);
    all
}

/// When it was lost, as a sentence; `None` where nothing was, or nobody looked when.
pub(super) fn sentence(manifest: &Manifest) -> Option<String> {
    let (first, last) = (manifest.losses.first()?, manifest.losses.last()?);
    let count = |lost: &BTreeMap<String, u64>| lost.values().sum::<u64>();
    let worst = manifest.losses.iter().max_by_key(|stretch| count(&stretch.lost))?;
    let seconds = |ns: u64| ns as f64 / 1e9;
    Some(format!(
        "Events were lost between {:.1} s and {:.1} s of the recording, most of them ({}) from {:.1} s to {:.1} s.",
        seconds(first.from_ns),
        seconds(last.until_ns),
        count(&worst.lost),
        seconds(worst.from_ns),
        seconds(worst.until_ns)
    ))
}

/// How far losses may have put an estimate wrong, beyond what the self-check shows.
///
/// A lost request is a block that the replay does not have; a lost release leaves it a block that was gone. Neither says how large: each is taken to
/// be of the mean size of the recorded requests. In the worst case every such block stayed and was touched, or every such release made room that was
/// used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Doubt {
    /// What may be missing at the peak.
    pub(super) missing: Bytes,
    /// What may be too much at the peak.
    pub(super) surplus: Bytes,
    /// Lost page faults.
    pub(super) faults: u64,
}

impl Doubt {
    pub(super) fn of(manifest: &Manifest, sizes: &[SizeClass]) -> Doubt {
        let lost = by_kind(manifest);
        let of = |kind: &str| lost.get(kind).copied().unwrap_or(0);
        // Calls whose other half was missed count as requests.
        let requests = Call::ALL.iter().map(|(_, name)| of(name)).sum::<u64>() + of(UNPAIRED);
        let (recorded, bytes) = sizes.iter().fold((0, 0), |(count, total), class| (count + class.count, total + class.total.0));
        let sized = |blocks: u64| Bytes((u128::from(blocks) * u128::from(bytes) / u128::from(recorded.max(1))) as u64);
        Doubt { missing: sized(requests), surplus: sized(of("free") + of("realloc")), faults: of("fault") }
    }

    /// Wider bounds of a peak. What was missed was resident in the recorded run, so that it is no more than was ever `measured`.
    pub(super) fn widen_peak(self, [low, high]: [u64; 2], measured: Bytes) -> [u64; 2] {
        [low.saturating_sub(self.surplus.0), high + self.missing.0.min(measured.0)]
    }

    /// Wider bounds of a number of faults: a page more or less for each page of such blocks, and the lost faults themselves.
    pub(super) fn widen_faults(self, [low, high]: [u64; 2], measured: u64) -> [u64; 2] {
        let more = (self.faults + self.missing.0.div_ceil(PAGE)).min(measured);
        [low.saturating_sub(self.surplus.0.div_ceil(PAGE)), high + more]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::manifest::{Counts, KindCounts, LostMeanwhile};

    fn manifest(lost: &[(&str, u64)], complete: bool) -> Manifest {
        let kinds = lost.iter().map(|(kind, lost)| ((*kind).to_owned(), KindCounts { made: 10, lost: *lost })).collect();
        Manifest { counts: Counts { kinds, ..Counts::default() }, complete, ..Manifest::default() }
    }

    fn sizes() -> Vec<SizeClass> {
        vec![
            SizeClass { count: 3, total: Bytes(300), ..SizeClass::default() },
            SizeClass { count: 1, total: Bytes(100), ..SizeClass::default() },
        ]
    }

    #[test]
    fn a_lost_event_is_a_block_of_the_mean_size() {
        let doubt = Doubt::of(&manifest(&[("malloc", 50), ("free", 20), ("fault", 7), ("mmap", 9)], true), &sizes());
        assert_eq!(doubt, Doubt { missing: Bytes(5000), surplus: Bytes(2000), faults: 7 });
        assert_eq!(doubt.widen_peak([10_000, 20_000], Bytes(100_000)), [8_000, 25_000]);
        assert_eq!(doubt.widen_peak([1_000, 20_000], Bytes(3_000)), [0, 23_000], "no more than was measured, and not below nothing");
        assert_eq!(doubt.widen_faults([100, 200], 1000), [99, 209]);
        assert_eq!(doubt.widen_faults([100, 200], 5), [99, 205]);
    }

    #[test]
    fn nothing_lost_is_no_doubt() {
        assert_eq!(Doubt::of(&manifest(&[("malloc", 0)], true), &sizes()), Doubt::default());
        assert_eq!(Doubt::default().widen_peak([1, 2], Bytes(9)), [1, 2]);
        assert_eq!(sentence(&manifest(&[], true)), None);
    }

    #[test]
    fn of_a_recording_that_was_cut_off_counts_what_had_been_noticed() {
        let stretch = |from_ns, until_ns, count| LostMeanwhile { from_ns, until_ns, lost: [("malloc".to_owned(), count)].into() };
        let losses = vec![stretch(100_000_000, 200_000_000, 3), stretch(900_000_000, 1_000_000_000, 4)];
        let cut = Manifest { losses, ..manifest(&[], false) };
        assert_eq!(by_kind(&cut), [("malloc".to_owned(), 7)].into());
        let said = sentence(&cut).expect("something was lost");
        assert_eq!(said, "Events were lost between 0.1 s and 1.0 s of the recording, most of them (4) from 0.9 s to 1.0 s.");
    }
}
