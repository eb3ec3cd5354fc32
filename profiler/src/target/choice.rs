//! Which functions of a file are probed, which are told by others, and which allocators they make.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use object::read::ReadRef;
use profiler_ebpf::Kind;
use profiler_ebpf::slot::COUNT;

use super::allocator::{Allocator, Probe};
use super::elf::{Elf, Pointee, Symbol};
use super::emulate::Kernel;
use super::extra::{Extra, Origin};
use super::family::{Function, SETS, Set};
use super::flow::{self, Transfer};
use super::{identity, lookup, probe};

/// How many calls deep a function is followed to one that it passes on to.
const DEEPEST: u32 = 3;

/// How many functions are followed in one file: a hostile one may branch without end.
const MOST_FOLLOWED: u32 = 2000;

/// Code that is looked at where a call leads to no symbol, bytes.
const UNNAMED: u64 = 4096;

/// Why a function that throws is not probed, where no other one tells of its calls.
const THROWS: &str = "it may throw, and an exception that meets a return probe ends the program";

/// A function of the table that the file may have.
struct Entry {
    set: usize,
    function: &'static Function,
    name: String,
    found: Option<(Symbol, Origin)>,
}

/// A file and the functions of the table in it.
pub(super) struct File<'a, 'data, R: ReadRef<'data>> {
    elf: &'a Elf<'data, R>,
    kernel: &'a Kernel,
    path: &'a str,
    entries: Vec<Entry>,
    marks: HashMap<&'static str, Symbol>,
    by_name: HashMap<String, usize>,
    by_address: HashMap<u64, Vec<usize>>,
    left: Cell<u32>,
}

/// What becomes of a function.
enum Fate {
    Probed(Probe),
    /// Recorded under this name.
    Covered(String),
    Skipped(String),
}

impl<'a, 'data, R: ReadRef<'data>> File<'a, 'data, R> {
    pub(super) fn new(elf: &'a Elf<'data, R>, extra: &Extra, path: &'a str, kernel: &'a Kernel) -> Self {
        let functions =
            SETS.iter().enumerate().flat_map(|(set, Set { functions, .. })| functions.iter().copied().flatten().map(move |f| (set, f)));
        let mut entries: Vec<Entry> = functions
            .map(|(set, function)| Entry { set, function, name: format!("{}{}", SETS[set].prefix, function.name), found: None })
            .collect();
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).chain(identity::names().map(str::to_owned)).collect();
        let mut found = lookup::find(elf, extra, &names);
        let marks = identity::names().zip(found.split_off(entries.len())).filter_map(|(name, found)| Some((name, found?.0))).collect();
        let (mut by_name, mut by_address) = (HashMap::new(), HashMap::<u64, Vec<usize>>::new());
        for (index, (entry, found)) in entries.iter_mut().zip(found).enumerate() {
            by_name.insert(entry.name.clone(), index);
            if let Some((symbol, _)) = &found {
                by_address.entry(symbol.address).or_default().push(index);
            }
            entry.found = found;
        }
        File { elf, kernel, path, entries, marks, by_name, by_address, left: Cell::new(MOST_FOLLOWED) }
    }

    /// The allocators, in the order of [`SETS`].
    pub(super) fn allocators(&self) -> Vec<Allocator> {
        let owners = self.owners();
        let mut taken: HashMap<u64, String> = HashMap::new();
        let fates: Vec<Option<Fate>> =
            (0..self.entries.len()).map(|index| self.fate(index, owners[self.entries[index].set]?, &mut taken)).collect();
        let mut allocators = Vec::new();
        for owner in 0..SETS.len() {
            let own = |index: &usize| owners[self.entries[*index].set] == Some(owner);
            let own: Vec<usize> = (0..self.entries.len()).filter(own).filter(|&index| fates[index].is_some()).collect();
            allocators.extend(self.allocator(owner, &own, &fates));
        }
        allocators
    }

    /// Which set each set belongs to: itself, or another one whose `malloc` it has under its own name; none where it is not complete.
    fn owners(&self) -> Vec<Option<usize>> {
        let has = |set: usize, wanted: &dyn Fn(&Function) -> bool| {
            self.entries.iter().any(|entry| entry.set == set && entry.found.is_some() && wanted(entry.function))
        };
        let complete = |set| has(set, &Function::allocates) && has(set, &|function| function.kind == Kind::Free);
        let owner = |set| match set {
            0 => (1..SETS.len()).find(|&other| complete(other) && self.are_one(set, other)).unwrap_or(0),
            _ => set,
        };
        (0..SETS.len()).map(|set| complete(set).then(|| owner(set))).collect()
    }

    /// Whether the `malloc` of one set is that of the other.
    fn are_one(&self, set: usize, other: usize) -> bool {
        let malloc = |set: usize| {
            let entry = self.entries.iter().find(|entry| entry.set == set && entry.function.name == "malloc")?;
            Some(entry.found.as_ref()?.0)
        };
        let (Some(one), Some(two)) = (malloc(set), malloc(other)) else { return false };
        let passed = flow::passes_to(self.elf.code(one)).is_some_and(|transfer| {
            self.arrivals(transfer, one.address).any(|entry| entry.set == other && entry.function.name == "malloc")
        });
        one.address == two.address || passed
    }

    /// Nothing where the file has no such function, or where it is none of its allocator.
    fn fate(&self, index: usize, owner: usize, taken: &mut HashMap<u64, String>) -> Option<Fate> {
        let entry = &self.entries[index];
        let (symbol, _) = entry.found.as_ref()?;
        let settings = matches!(entry.function.kind, Kind::Trim | Kind::Mallopt);
        // They mean something to glibc only; where others have them, they do nothing.
        if settings && (owner != 0 || self.name() != "glibc") {
            return None;
        }
        if entry.function.is_basic() && !self.has_basics(entry.set) {
            return None;
        }
        if let Some(name) = self.covered(entry, *symbol) {
            return Some(Fate::Covered(name));
        }
        let point = match self.point(entry, *symbol) {
            Ok(point) => point,
            Err(reason) => return Some(Fate::Skipped(reason)),
        };
        if let Some(same) = taken.get(&point.file_offset) {
            return Some(Fate::Covered(same.clone()));
        }
        if entry.function.throws() {
            return Some(Fate::Skipped(THROWS.into()));
        }
        taken.insert(point.file_offset, entry.name.clone());
        let mut slots = [None; 3];
        slots.iter_mut().zip(entry.function.arguments).for_each(|(slot, &(of, _))| *slot = Some(of));
        let Function { kind, form, .. } = *entry.function;
        Some(Fate::Probed(Probe { kind, symbol: entry.name.clone(), form, slots, point }))
    }

    fn name(&self) -> String {
        identity::name(|mark| self.marks.contains_key(mark), self.elf.soname().as_deref(), self.path)
    }

    /// A file that has one of `malloc` and `free` without the other has neither: it is a helper of that name.
    fn has_basics(&self, set: usize) -> bool {
        let has = |name| self.entries.iter().any(|entry| entry.set == set && entry.function.name == name && entry.found.is_some());
        set != 0 || (has("malloc") && has("free"))
    }

    fn point(&self, entry: &Entry, symbol: Symbol) -> Result<probe::ProbePoint, String> {
        let offset = self.elf.file_offset(symbol.address).ok_or("its code does not lie in the file")?;
        let positions: Vec<usize> = entry.function.arguments.iter().map(|&(_, position)| position).collect();
        probe::find(self.elf.code(symbol), offset, &positions, self.kernel)
    }

    /// The function under whose name the calls of this one are recorded.
    fn covered(&self, entry: &Entry, symbol: Symbol) -> Option<String> {
        let code = self.elf.code(symbol);
        let arrivals = |transfer| {
            self.arrivals(transfer, symbol.address).filter(move |other| !std::ptr::eq(*other, entry) && !other.function.throws())
        };
        let elsewhere = |other: &&Entry| other.found.as_ref().is_none_or(|(found, _)| found.address != symbol.address);
        if entry.function.is_basic() {
            // With nothing but a jump in it, it is the other function; with more, it may be it still.
            let jump = probe::forwards_to(code).map(Transfer::To).filter(|jump| *jump != Transfer::To(0));
            let same = jump.and_then(|jump| arrivals(jump).find(elsewhere));
            let passed = || {
                flow::passes_to(code)
                    .and_then(|jump| arrivals(jump).filter(elsewhere).find(|other| other.function.kind == entry.function.kind))
            };
            return same.or_else(passed).map(|other| other.name.clone());
        }
        // A free has no end that would show another one to be inside of it: one on any way would be counted twice. And where a number is
        // multiplied before a `realloc`, the way around that is a product that is too large.
        let Function { kind, arguments, .. } = *entry.function;
        let by_any = kind == Kind::Free || (kind == Kind::Realloc && arguments.iter().any(|&(slot, _)| slot == COUNT));
        if by_any {
            let mut ways = flow::ever(code);
            let told =
                ways.find_map(|transfer| arrivals(transfer).filter(elsewhere).find(|other| entry.function.is_told_by(other.function)));
            if let Some(other) = told {
                return Some(other.name.clone());
            }
        }
        self.told(entry, code, symbol.address, DEEPEST)
    }

    /// The function that tells of every call of this one, because each way through this code leads to it.
    fn told(&self, entry: &Entry, code: &[u8], base: u64, depth: u32) -> Option<String> {
        let by = RefCell::new(None);
        let arrives = |transfer| {
            let tells = |other: &&Entry| !other.function.throws() && entry.function.is_told_by(other.function);
            let other = self.arrivals(transfer, base).find(tells);
            let name = other.map(|other| other.name.clone()).or_else(|| self.followed(entry, transfer, base, depth));
            let told = name.is_some();
            if let Some(name) = name {
                by.borrow_mut().get_or_insert(name);
            }
            told
        };
        flow::always(code, arrives).then(|| by.take()).flatten()
    }

    fn followed(&self, entry: &Entry, transfer: Transfer, base: u64, depth: u32) -> Option<String> {
        let Transfer::To(distance) = transfer else { return None };
        let left = self.left.get();
        let target = base.wrapping_add(distance);
        if depth == 0 || left == 0 {
            return None;
        }
        self.left.set(left - 1);
        self.told(entry, self.elf.code(Symbol { address: target, size: UNNAMED }), target, depth - 1)
    }

    /// The functions of the table at which a transfer arrives: in this file, or by name in another one.
    fn arrivals(&self, transfer: Transfer, base: u64) -> impl Iterator<Item = &Entry> {
        let (own, slot) = match transfer {
            Transfer::To(distance) => {
                let target = base.wrapping_add(distance);
                let own = self.by_address.get(&target);
                // Far enough for the longest stub: a landing mark, a prefix, and the jump.
                let stub = || probe::stub_slot(self.elf.code(Symbol { address: target, size: 16 }), target);
                (own, if own.is_none() { stub() } else { None })
            }
            Transfer::Through(distance) => (None, Some(base.wrapping_add(distance))),
        };
        let (own, import) = match slot.and_then(|slot| self.elf.points_to(slot)) {
            Some(Pointee::Own(address)) => (self.by_address.get(&address), None),
            Some(Pointee::Import(name)) => (None, std::str::from_utf8(name).ok().and_then(|name| self.by_name.get(name))),
            None => (own, None),
        };
        own.into_iter().flatten().chain(import).map(|&index| &self.entries[index])
    }

    fn allocator(&self, owner: usize, own: &[usize], fates: &[Option<Fate>]) -> Option<Allocator> {
        let (mut probes, mut covered, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for &index in own {
            let name = self.entries[index].name.clone();
            match fates[index].as_ref()? {
                Fate::Probed(probe) => probes.push(probe.clone()),
                Fate::Covered(by) => covered.push((name, by.clone())),
                Fate::Skipped(reason) => skipped.push((name, reason.clone())),
            }
        }
        // Half of one is a helper that passes on to an allocator now and then.
        let is_whole = |frees: bool| probes.iter().any(|probe: &Probe| (probe.kind == Kind::Free) == frees);
        if !(is_whole(true) && is_whole(false)) {
            return None;
        }
        let name = SETS[owner].allocator.map_or_else(|| self.name(), str::to_owned);
        let version = identity::version(self.elf, &name, |mark| self.marks.get(mark).copied());
        let origin = own.iter().find_map(|&index| self.entries[index].found.as_ref()).map(|(_, origin)| origin.to_string());
        let (path, symbols) = (self.path.to_owned(), origin.unwrap_or_default());
        Some(Allocator { name, version, path, build_id: self.elf.build_id(), symbols, probes, covered, skipped })
    }
}
