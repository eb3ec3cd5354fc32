//! The few live blocks that keep much free memory: at the top of a heap, or alone in a slab.

use super::tenants::Tenants;
use super::walk::{Memory, View, walk};
use crate::event::origin::SiteId;
use crate::model::{AllocatorModel, Block};
use crate::units::{Addr, Bytes, Nanos, PAGE};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

/// Rows of one moment.
const MOST: usize = 24;
/// A slab is held by few when live blocks have at most this share of it: one in so many bytes.
const FEW: u64 = 8;

/// A live block as a survey sees it.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// Where it lies.
    pub block: Block,
    /// Requested bytes.
    pub size: Bytes,
    /// When it was asked for, or first seen.
    pub born: Nanos,
    /// Where it was asked for last; 0 where that is unknown.
    pub site: SiteId,
}

/// Where blocks were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sites {
    /// There is no block.
    #[default]
    None,
    /// All of them at this place; 0 is unknown.
    One(SiteId),
    /// At several places.
    Several,
}

/// How blocks hold memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// They lie above it in an area that shrinks from its top.
    Top,
    /// They lie in slabs that are mostly free.
    Slab,
}

/// Blocks that hold memory which would go back without them. Those at the top hold it together with all that lie above them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// How.
    pub hold: Hold,
    /// Start of the lowest of them, or of the lowest slab.
    pub at: Addr,
    /// How many; 0 where only cached blocks are in the way.
    pub blocks: u64,
    /// Slabs that they lie in.
    pub slabs: u64,
    /// Their requested bytes.
    pub live: Bytes,
    /// Smallest and largest request.
    pub sizes: (Bytes, Bytes),
    /// Time since the youngest and the oldest were asked for.
    pub ages: (Nanos, Nanos),
    /// Free resident bytes that they keep.
    pub holds: Bytes,
    /// Where they were asked for.
    pub sites: Sites,
}

impl Pin {
    fn new(hold: Hold, at: u64) -> Pin {
        let (sizes, ages) = ((Bytes(u64::MAX), Bytes(0)), (Nanos(u64::MAX), Nanos(0)));
        Pin { hold, at: Addr(at), blocks: 0, slabs: 0, live: Bytes(0), sizes, ages, holds: Bytes(0), sites: Sites::None }
    }

    fn count(&mut self, resident: &Resident, now: Nanos) {
        let (size, age) = (resident.size, now.saturating_sub(resident.born));
        self.blocks += 1;
        self.live += size;
        self.sites = match self.sites {
            Sites::None => Sites::One(resident.site),
            Sites::One(site) if site == resident.site => self.sites,
            _ => Sites::Several,
        };
        self.sizes = (self.sizes.0.min(size), self.sizes.1.max(size));
        self.ages = (self.ages.0.min(age), self.ages.1.max(age));
    }

    /// Without blocks there are no sizes and ages.
    fn settled(mut self) -> Pin {
        if self.blocks == 0 {
            (self.sizes, self.ages) = Default::default();
        }
        self
    }
}

/// Visits live blocks.
pub type EachResident<'a> = dyn Fn(&mut dyn FnMut(Resident)) + 'a;

/// The pins of a moment, those that hold most first; at the top of a heap from the top down.
pub(super) fn pins(memory: Memory<'_>, tenants: &Tenants, model: &dyn AllocatorModel, each: &EachResident<'_>, now: Nanos) -> Vec<Pin> {
    let mut pins = match model.layout().from_top {
        true => tops(memory, tenants, model, each, now),
        false => slabs(memory, each, model, now),
    };
    pins.truncate(MOST);
    pins.into_iter().map(Pin::settled).collect()
}

/// Pages that somebody lives on, with what lies between them, and the free resident bytes that they hold.
struct Cluster {
    area: u64,
    pages: Range<u64>,
    holds: u64,
}

/// Neighbouring pages as a cluster, which holds what is free directly below; ascending.
fn clusters(memory: Memory<'_>, tenants: &Tenants, model: &dyn AllocatorModel) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::new();
    let (mut area, mut open) = (u64::MAX, 0);
    walk(memory, tenants, model, |view: View| {
        if view.area != area {
            (area, open) = (view.area, 0);
        }
        if view.is_empty() {
            open += if view.spare { 0 } else { view.rest() };
            return;
        }
        let holds = std::mem::take(&mut open);
        match clusters.last_mut() {
            Some(last) if last.area == area && holds == 0 => last.pages.end = view.page + 1,
            _ => clusters.push(Cluster { area, pages: view.page..view.page + 1, holds }),
        }
    });
    clusters
}

/// From the top of each area down, the area that holds most first. Small holes do not divide a cluster.
fn by_weight(clusters: Vec<Cluster>) -> Vec<Cluster> {
    let mut held: BTreeMap<u64, u64> = BTreeMap::new();
    clusters.iter().for_each(|cluster| *held.entry(cluster.area).or_default() += cluster.holds);
    let mut large: Vec<Cluster> = Vec::new();
    for cluster in clusters.into_iter().rev() {
        match large.last_mut() {
            Some(above) if above.area == cluster.area && above.holds * (MOST as u64) < held[&cluster.area] => {
                (above.pages.start, above.holds) = (cluster.pages.start, above.holds + cluster.holds);
            }
            _ => large.push(cluster),
        }
    }
    large.retain(|cluster| cluster.holds > 0);
    large.sort_by_key(|cluster| Reverse((held[&cluster.area], cluster.area, cluster.pages.start)));
    large
}

fn tops(memory: Memory<'_>, tenants: &Tenants, model: &dyn AllocatorModel, each: &EachResident<'_>, now: Nanos) -> Vec<Pin> {
    let clusters = by_weight(clusters(memory, tenants, model));
    let pin = |cluster: &Cluster| Pin { holds: Bytes(cluster.holds), ..Pin::new(Hold::Top, cluster.pages.start * PAGE) };
    let mut pins: Vec<Pin> = clusters.iter().take(MOST).map(pin).collect();
    let mut places: Vec<(Range<u64>, usize)> =
        clusters.into_iter().take(MOST).enumerate().map(|(at, cluster)| (cluster.pages, at)).collect();
    places.sort_unstable_by_key(|place| place.0.start);
    each(&mut |resident| {
        let page = resident.block.addr.page();
        let below = places.partition_point(|place| place.0.start <= page);
        if let Some((_, pin)) = below.checked_sub(1).map(|at| &places[at]).filter(|place| place.0.contains(&page)) {
            let pin = &mut pins[*pin];
            pin.at = if pin.blocks == 0 { resident.block.addr } else { pin.at.min(resident.block.addr) };
            pin.count(&resident, now);
        }
    });
    pins
}

/// A slab: its length, and what of it live blocks have.
struct Slab {
    len: u64,
    whole: u64,
}

/// By the size that blocks have room for, which is the slab's class.
fn slabs(memory: Memory<'_>, each: &EachResident<'_>, model: &dyn AllocatorModel, now: Nanos) -> Vec<Pin> {
    let mut slabs: BTreeMap<u64, Slab> = BTreeMap::new();
    each(&mut |resident| {
        if let Some((start, len)) = model.unit(resident.block.addr) {
            slabs.entry(start.0).or_insert(Slab { len: len.0, whole: 0 }).whole += resident.block.usable.0;
        }
    });
    let holds = |start: u64, slab: &Slab| {
        let resident = memory.pages.tally(start / PAGE..(start + slab.len) / PAGE).anon * PAGE;
        (slab.whole * FEW <= resident).then(|| resident - slab.whole)
    };
    // What a slab holds, until it is counted.
    let mut few: BTreeMap<u64, Option<u64>> = slabs.iter().filter_map(|(&start, slab)| Some((start, Some(holds(start, slab)?)))).collect();
    let mut classes: BTreeMap<Bytes, Pin> = BTreeMap::new();
    each(&mut |resident| {
        let Some((start, _)) = model.unit(resident.block.addr) else { return };
        let Some(held) = few.get_mut(&start.0) else { return };
        let pin = classes.entry(resident.block.usable).or_insert_with(|| Pin::new(Hold::Slab, start.0));
        pin.at = pin.at.min(start);
        pin.count(&resident, now);
        if let Some(held) = held.take() {
            (pin.slabs, pin.holds) = (pin.slabs + 1, pin.holds + Bytes(held));
        }
    });
    let mut pins: Vec<Pin> = classes.into_values().collect();
    pins.sort_by_key(|pin| (Reverse(pin.holds), pin.at));
    pins
}
