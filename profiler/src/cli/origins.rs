//! Where blocks were asked for, with the names of the functions.

use std::collections::BTreeMap;

use reports::study as report;

use crate::event::ProcessId;
use crate::event::origin::{Code, Frame, Origins, SiteId};
use crate::metrics::SiteUse;

/// Longer stacks are cut at their outer end: a damaged table must not make one endless.
const DEEPEST: usize = 256;

/// What a recording tells of the places in its code.
#[derive(Default)]
pub(super) struct Names {
    frames: Vec<Frame>,
    /// By process and start; a later row of the same start replaces earlier ones.
    code: BTreeMap<(ProcessId, u64), Code>,
    /// By file and return address.
    symbols: BTreeMap<(u32, u64), String>,
}

/// Names, each once.
#[derive(Default)]
struct Interned {
    numbers: BTreeMap<String, u32>,
    names: Vec<String>,
}

impl Interned {
    fn number(&mut self, name: String) -> u32 {
        let (next, names) = (self.names.len() as u32, &mut self.names);
        *self.numbers.entry(name).or_insert_with_key(|name| {
            names.push(name.clone());
            next
        })
    }
}

impl Names {
    /// Of a recording.
    pub(super) fn new(origins: Origins) -> Names {
        let Origins { frames, code, symbols } = origins;
        Names {
            frames,
            code: code.into_iter().map(|code| ((code.process, code.start), code)).collect(),
            symbols: symbols
                .into_iter()
                .filter(|symbol| !symbol.inlined)
                .map(|symbol| ((symbol.file, symbol.offset), symbol.name))
                .collect(),
        }
    }

    /// The functions at a place, innermost first; none where it is unknown.
    pub(super) fn stack(&self, site: SiteId) -> Vec<String> {
        let mut names = Vec::new();
        let mut next = site;
        while let Some(frame) = (next as usize).checked_sub(1).and_then(|at| self.frames.get(at)).filter(|_| names.len() < DEEPEST) {
            names.push(self.name(frame));
            // Callers come earlier.
            next = if frame.parent < next { frame.parent } else { 0 };
        }
        names
    }

    /// The function at a place; `None` where that is unknown.
    pub(super) fn function(&self, site: SiteId) -> Option<String> {
        Some(self.name(self.frames.get((site as usize).checked_sub(1)?)?))
    }

    fn name(&self, frame: &Frame) -> String {
        let piece = self.code.range(..(frame.process, frame.addr)).next_back().map(|(_, code)| code);
        let Some(code) = piece.filter(|code| code.process == frame.process && frame.addr <= code.end) else {
            return format!("{:#x}", frame.addr);
        };
        let offset = frame.addr - code.start + code.offset;
        let file = code.path.rsplit('/').next().unwrap_or(&code.path);
        self.symbols.get(&(code.file, offset)).cloned().unwrap_or_else(|| format!("{file}+{offset:#x}"))
    }

    /// Places with the same functions together, those with most live bytes at the peak first; and the names that their stacks count by.
    pub(super) fn call_sites(&self, sites: &[SiteUse]) -> (Vec<String>, Vec<report::CallSite>) {
        if self.frames.is_empty() {
            return Default::default();
        }
        let mut interned = Interned::default();
        let mut by_stack: BTreeMap<Vec<u32>, report::CallSite> = BTreeMap::new();
        for site in sites {
            let stack: Vec<u32> = self.stack(site.site).into_iter().map(|name| interned.number(name)).collect();
            let row = by_stack.entry(stack.clone()).or_insert_with(|| report::CallSite { stack, ..Default::default() });
            row.allocations += site.allocations;
            row.requested_bytes += site.requested.0;
            row.temporary += site.temporary;
            row.faults += site.faults;
            row.live_at_peak_bytes += site.live_at_peak.0;
            row.live_at_end_bytes += site.live_at_end.0;
        }
        let mut rows: Vec<report::CallSite> = by_stack.into_values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.live_at_peak_bytes, row.requested_bytes)));
        (interned.names, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::origin::Symbol;
    use crate::units::Bytes;

    fn names() -> Names {
        let frame = |parent, addr| Frame { process: 0, parent, addr };
        let code =
            Code { process: 0, start: 0x1000, end: 0x2000, offset: 0x400, file: 7, path: "/usr/bin/prog".into(), build_id: String::new() };
        let symbol = |offset, name: &str| Symbol { file: 7, offset, name: name.into(), ..Symbol::default() };
        Names::new(Origins {
            frames: vec![frame(0, 0x1010), frame(1, 0x1020), frame(1, 0x1030), frame(9, 0x9999), frame(0, 0x1028)],
            code: vec![code],
            symbols: vec![symbol(0x410, "main"), symbol(0x420, "leaf"), symbol(0x428, "leaf")],
        })
    }

    #[test]
    fn stacks_are_read_from_the_inside() {
        let names = names();
        assert_eq!(names.stack(2), ["leaf", "main"]);
        assert_eq!(names.stack(3), ["prog+0x430", "main"], "code without a name");
        assert_eq!(names.stack(4), ["0x9999"], "no code, and a parent that comes later is damage");
        assert_eq!((names.stack(0), names.stack(77)), (vec![], vec![]));
        assert_eq!((names.function(2).as_deref(), names.function(0)), (Some("leaf"), None));
    }

    #[test]
    fn places_of_one_function_are_one_call_site() {
        let site = |site, bytes| SiteUse { site, allocations: 1, live_at_peak: Bytes(bytes), ..SiteUse::default() };
        let (frames, rows) = names().call_sites(&[site(1, 5), site(2, 100), site(5, 7), site(0, 3)]);
        let read: Vec<_> = rows
            .iter()
            .map(|row| (row.stack.iter().map(|&name| frames[name as usize].as_str()).collect::<Vec<_>>(), row.live_at_peak_bytes))
            .collect();
        assert_eq!(read, [(vec!["leaf", "main"], 100), (vec!["leaf"], 7), (vec!["main"], 5), (vec![], 3)]);
    }
}
