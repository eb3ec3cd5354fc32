//! Code that the recorded processes map, and what it is called where calls came from.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::error::Result;
use crate::event::ProcessId;
use crate::event::origin::{Code, Frame, Symbol};
use crate::target::index::FileId;
use crate::target::mapped::{self, Opened};

/// The code of all processes.
#[derive(Default)]
pub struct CodeMaps {
    /// By process and start; a later mapping at the same start replaces the earlier one.
    pieces: BTreeMap<(ProcessId, u64), Code>,
    numbers: HashMap<FileId, u32>,
    /// Kept open: a file may have no name any more when its functions are asked for.
    files: Vec<Option<Opened>>,
    fresh: Vec<Code>,
}

impl CodeMaps {
    /// Notes what a process has mapped by now; `pid` is one of its threads.
    ///
    /// # Errors
    /// `Target` when the process cannot be looked at.
    pub fn look(&mut self, process: ProcessId, pid: u32) -> Result<()> {
        for piece in mapped::code(pid)? {
            let at = (process, piece.start);
            if self.pieces.get(&at).is_some_and(|known| known.end == piece.end && known.offset == piece.offset && known.path == piece.path)
            {
                continue;
            }
            let file = match self.numbers.get(&piece.file) {
                Some(number) => *number,
                None => {
                    let number = self.files.len() as u32;
                    self.files.push(mapped::open(pid, &piece).ok());
                    self.numbers.insert(piece.file, number);
                    number
                }
            };
            let build_id = self.files[file as usize].as_ref().map_or_else(String::new, |opened| opened.build_id.clone());
            let code = Code { process, start: piece.start, end: piece.end, offset: piece.offset, file, path: piece.path, build_id };
            self.pieces.insert(at, code.clone());
            self.fresh.push(code);
        }
        Ok(())
    }

    /// What is new since the last call.
    pub fn take_fresh(&mut self) -> Vec<Code> {
        std::mem::take(&mut self.fresh)
    }

    /// What the functions at these frames are called, as far as their files tell.
    pub fn names<'a>(&self, frames: impl Iterator<Item = &'a Frame>) -> Vec<Symbol> {
        let mut places: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for frame in frames {
            if let Some((file, offset)) = self.locate(frame) {
                places.entry(file).or_default().insert(offset);
            }
        }
        let named = places.into_iter().filter_map(|(file, offsets)| {
            let opened = self.files.get(file as usize)?.as_ref()?;
            Some((file, opened.names(&offsets.into_iter().collect::<Vec<_>>())))
        });
        let symbol = |file, (offset, name)| Symbol { file, offset, name, ..Symbol::default() };
        named.flat_map(|(file, names)| names.into_iter().map(move |found| symbol(file, found))).collect()
    }

    fn locate(&self, frame: &Frame) -> Option<(u32, u64)> {
        let (_, code) = self.pieces.range(..(frame.process, frame.addr)).next_back()?;
        // A call may be the last instruction of its piece.
        (code.process == frame.process && frame.addr <= code.end).then(|| (code.file, frame.addr - code.start + code.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test's own code is found, and an address in it has this function's name.
    #[test]
    fn own_code_has_names() {
        let mut maps = CodeMaps::default();
        maps.look(3, std::process::id()).expect("this process");
        let code = maps.take_fresh();
        assert!(code.iter().any(|code| code.path.contains("profiler") && !code.build_id.is_empty()), "{code:?}");
        maps.look(3, std::process::id()).expect("this process");
        let again = maps.take_fresh();
        assert!(again.len() < code.len(), "{again:?}");
        let addr = own_code_has_names as fn() as usize as u64 + 1;
        let symbols = maps.names([Frame { process: 3, parent: 0, addr }, Frame { process: 4, parent: 0, addr }].iter());
        assert_eq!(symbols.len(), 1);
        assert!(symbols[0].name.contains("own_code_has_names"), "{symbols:?}");
    }
}
