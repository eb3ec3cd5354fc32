//! Programs really run on an allocator that only uses the break, and on one that only maps, for the models that say what they would do there.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::intervals::Intervals;
use super::recording::Lab;
use super::settings::row;
use super::subjects::Subject;
use crate::command;

/// What each library is built with; names as long as each other, because the environment has them.
const LIBRARIES: [(&str, &[&str]); 3] = [("idle", &["-DBRK", "-DASIDE"]), ("sbrk", &["-DBRK"]), ("mmap", &["-DMMAP"])];

/// Which library does what a policy says.
const POLICIES: [(&str, &str); 2] = [("brk-only", "sbrk"), ("mmap-only", "mmap")];

/// Programs whose blocks are few enough to be mappings all, of which the kernel allows 65530.
const SUBJECTS: [&str; 5] = ["xz -3", "git log -p", "git rev-list --objects", "convert, resize and blur", "sparse arrays"];

/// The built libraries.
pub(super) struct ByTheBook {
    folder: PathBuf,
}

impl ByTheBook {
    /// Builds them.
    pub(super) fn build(folder: &Path) -> Result<ByTheBook, String> {
        let source = command::root().join("profiler/tests/support/by_the_book.c");
        let book = ByTheBook { folder: folder.to_owned() };
        for (name, options) in LIBRARIES {
            let mut gcc = Command::new("gcc");
            gcc.args(["-O2", "-fno-builtin", "-shared", "-fPIC"]).args(options).arg("-o").arg(book.library(name)).arg(&source);
            command::run(&mut gcc)?;
        }
        Ok(book)
    }

    /// Whether the program can be run on them.
    pub(super) fn runs(&self, subject: &Subject) -> bool {
        SUBJECTS.contains(&subject.name)
    }

    /// Each policy against its library.
    pub(super) fn rows(&self, lab: &Lab, subject: &Subject, intervals: &mut Intervals) -> Result<String, String> {
        let policies: Vec<String> = POLICIES.iter().map(|(policy, _)| (*policy).to_owned()).collect();
        let replayed = lab.replay(subject, &lab.record(subject, "default", &[self.preloading("idle")])?, &policies)?;
        let mut text = String::new();
        for (policy, library) in POLICIES {
            let real = lab.replay(subject, &lab.record(subject, "really", &[self.preloading(library)])?, &[])?;
            text += &row(subject, policy, [&replayed, &real, &replayed], policy)?;
            intervals.add(&real, &replayed, policy)?;
        }
        Ok(text)
    }

    fn library(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.so"))
    }

    fn preloading(&self, name: &str) -> (&'static str, String) {
        ("LD_PRELOAD", self.library(name).display().to_string())
    }
}
