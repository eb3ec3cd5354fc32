//! A walk over the resident pages of a heap: who lives on each, and what is held there beside.

use super::tenants::{Long, Share, Tenants, on};
use crate::model::{AllocatorModel, Idle};
use crate::units::{Addr, Bytes, PAGE};
use crate::vm::{Page, PageStates, RangeMap, Vma};
use std::collections::BTreeMap;

/// What a walk sees of the memory.
#[derive(Clone, Copy)]
pub struct Memory<'a> {
    /// Mappings and the break area.
    pub mappings: &'a RangeMap<Vma>,
    /// Which of their pages are resident.
    pub pages: &'a PageStates,
}

/// A resident page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// First page of the mapping that it lies in.
    pub(super) area: u64,
    pub(super) page: u64,
    /// It is there because its huge page is.
    pub(super) spare: bool,
    /// Requested bytes of live blocks, and those of the blocks with header and rounding.
    pub(super) live: u64,
    pub(super) whole: u64,
    /// Bytes held for a reason, by [`Idle`].
    pub(super) idle: [u64; 3],
}

impl View {
    /// Neither a block nor a cached one is here.
    pub(super) fn is_empty(&self) -> bool {
        self.whole == 0 && self.idle[Idle::Cache as usize] == 0 && self.idle[Idle::Metadata as usize] == 0
    }

    /// Bytes that nothing explains but that they are free.
    pub(super) fn rest(&self) -> u64 {
        PAGE.saturating_sub(self.whole + self.idle.iter().sum::<u64>())
    }
}

const CHUNK: u64 = 512;

/// Bytes held for a reason, by page; ranges that cover whole pages stand by themselves.
#[derive(Default)]
struct Reasons {
    parts: BTreeMap<u64, Box<[[u16; 3]; CHUNK as usize]>>,
    ranges: Vec<(u64, u64, Idle)>,
}

impl Reasons {
    fn of(model: &dyn AllocatorModel) -> Reasons {
        let mut reasons = Reasons::default();
        model.idle(&mut |idle, Addr(start), Bytes(len)| {
            if len >= PAGE {
                return reasons.ranges.push((start, start + len, idle));
            }
            let range = (start, start + len);
            for page in start / PAGE..(start + len).div_ceil(PAGE) {
                let chunk = reasons.parts.entry(page / CHUNK).or_insert_with(|| Box::new([[0; 3]; CHUNK as usize]));
                chunk[(page % CHUNK) as usize][idle as usize] += on(page, range) as u16;
            }
        });
        reasons.ranges.sort_unstable_by_key(|range| range.0);
        reasons
    }
}

/// Ascending ranges, to be asked for the parts on ascending pages.
struct Cursor<'a, T> {
    ranges: &'a [T],
    bounds: fn(&T) -> (u64, u64),
}

impl<'a, T> Cursor<'a, T> {
    fn on(&mut self, page: u64, mut visit: impl FnMut(&T)) {
        let (start, end) = (page * PAGE, (page + 1) * PAGE);
        while self.ranges.first().is_some_and(|range| (self.bounds)(range).1 <= start) {
            self.ranges = &self.ranges[1..];
        }
        let here = self.ranges.iter().take_while(|range| (self.bounds)(range).0 < end);
        here.for_each(&mut visit);
    }
}

/// Every resident anonymous page, ascending.
pub(super) fn walk(memory: Memory<'_>, tenants: &Tenants, model: &dyn AllocatorModel, mut visit: impl FnMut(View)) {
    let long: Vec<Long> = tenants.long().copied().collect();
    let reasons = Reasons::of(model);
    let mut blocks = Cursor { ranges: &long, bounds: |long| long.whole };
    let mut ranges = Cursor { ranges: &reasons.ranges, bounds: |range| (range.0, range.1) };
    let (mut chunk, mut shares, mut parts) = (u64::MAX, None, None);
    for (area, _) in memory.mappings.overlaps(0..u64::MAX) {
        memory.pages.each(area.clone(), |page, state| {
            if !state.is_anon() {
                return;
            }
            if page / CHUNK != chunk {
                chunk = page / CHUNK;
                (shares, parts) = (tenants.chunk(chunk), reasons.parts.get(&chunk));
            }
            let at = (page % CHUNK) as usize;
            let Share { live, whole } = shares.map_or(Share::default(), |shares| shares[at]);
            let idle = parts.map_or([0; 3], |parts| parts[at].map(u64::from));
            let mut view = View { area: area.start, page, spare: state == Page::Spare, live: live.into(), whole: whole.into(), idle };
            blocks.on(page, |long| {
                view.live += on(page, long.live);
                view.whole += on(page, long.whole);
            });
            ranges.on(page, |&(start, end, idle)| view.idle[idle as usize] += on(page, (start, end)));
            visit(view);
        });
    }
}
