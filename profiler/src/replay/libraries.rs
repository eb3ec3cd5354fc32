//! What loading an allocator's library adds to the recorded process: less where that has the libraries already which come along.

use crate::model::{Cost, Footprint};

/// The libraries of a process.
#[derive(Clone, Debug, Default)]
pub struct Libraries {
    /// Names of the files whose code it had mapped; empty where the recording does not tell.
    files: Vec<String>,
    /// The library of the allocator that ran, which others take the place of.
    ran: Footprint,
}

/// What a process has more of under another library, or less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Resident pages.
    pub pages: i64,
    /// Pages of files among them.
    pub files: i64,
    /// Minor faults.
    pub faults: i64,
    /// Calls of `mmap`.
    pub mmaps: i64,
}

impl Libraries {
    /// Of a process that had the code of these files mapped, among them this library.
    pub fn new(files: &[String], ran: Footprint) -> Libraries {
        let names = files.iter().filter_map(|path| path.rsplit('/').next());
        Libraries { files: names.map(str::to_owned).collect(), ran }
    }

    /// Whether the process has a library without the allocator that ran, by its name; `None` where that is not known.
    pub fn has(&self, name: &str) -> Option<bool> {
        let mapped = self.files.iter().any(|file| file.starts_with(name));
        let brought = self.ran.needs.iter().any(|need| name.starts_with(need.name));
        (self.is_told() && !(mapped && brought)).then_some(mapped)
    }

    /// Whether the recording tells which libraries there were.
    pub fn is_told(&self) -> bool {
        !self.files.is_empty()
    }

    /// What another library adds in place of the one that ran.
    pub fn added_by(&self, library: &Footprint) -> Difference {
        let (theirs, ours) = (self.cost(library), self.cost(&self.ran));
        let difference = |part: fn(&Cost) -> u64| part(&theirs) as i64 - part(&ours) as i64;
        Difference {
            pages: difference(Cost::resident_pages),
            files: difference(|cost| cost.file.pages_up().0),
            faults: difference(|cost| cost.faults),
            mmaps: difference(|cost| cost.mmaps),
        }
    }

    fn cost(&self, library: &Footprint) -> Cost {
        library.cost(|need| self.has(need.name).unwrap_or(need.is_common))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CXX;

    const LIBRARY: Footprint = Footprint { own: Cost::new(4, 8, 2, 3), needs: &CXX };

    fn of(files: &[&str], ran: Footprint) -> Libraries {
        Libraries::new(&files.iter().map(|file| format!("/usr/lib/{file}")).collect::<Vec<_>>(), ran)
    }

    fn pages(libraries: &Libraries) -> i64 {
        libraries.added_by(&LIBRARY).pages
    }

    #[test]
    fn a_program_pays_for_what_it_does_not_have() {
        let none = of(&["prog", "libc.so.6"], Footprint::NONE);
        assert_eq!(pages(&none), (4 + 8 + 320 + 96 + 872) / 4);
        let all = of(&["libm.so.6", "libstdc++.so.6.0.30", "libgcc_s.so.1"], Footprint::NONE);
        assert_eq!(all.added_by(&LIBRARY), Difference { pages: 3, files: 2, faults: 2, mmaps: 3 });
        assert_eq!((none.has("libm.so.6"), all.has("libm.so.6")), (Some(false), Some(true)));
    }

    #[test]
    fn what_is_not_told_is_as_it_is_with_most_programs() {
        assert_eq!(pages(&of(&[], Footprint::NONE)), (4 + 8 + 96 + 872) / 4);
        assert_eq!(Libraries::default().has("libm.so.6"), None);
    }

    #[test]
    fn what_came_with_the_allocator_that_ran_goes_with_it() {
        let under = of(&["libm.so.6", "libstdc++.so.6.0.30", "libgcc_s.so.1"], LIBRARY);
        assert_eq!((under.has("libm.so.6"), pages(&under)), (None, 0));
        assert_eq!(under.added_by(&Footprint::NONE).pages, -(4 + 8 + 96 + 872) / 4);
    }
}
