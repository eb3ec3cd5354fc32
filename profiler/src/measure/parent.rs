//! The child from outside: started with the library preloaded and nothing else in its environment, awaited, and believed only when it says that
//! it called that library to the end.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::answer::{Answer, Reading, state, word};
use super::script::{Head, Writer};
use super::{Choice, child, company, outcome};
use crate::error::{Context, Error, Kind, Result};
use crate::event::Tid;
use crate::model::Footprint;
use crate::replay::{Libraries, Outcome};

/// How the child keeps time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it can.
    Flat,
    /// Each operation no sooner than it was recorded.
    Recorded,
}

/// A script on disk, ready to be run under one library after the other. Its folder goes away with it.
pub struct Bench {
    folder: Folder,
    program: PathBuf,
    head: Head,
    /// The counters of a child that has libc's malloc, before the first operation.
    plain: Reading,
    /// What the recorded process has that a library may need.
    libraries: Libraries,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays; it holds no more than the trace does.
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

impl Bench {
    /// Makes the folder and the script in it: `fill` writes the operations. `first` is the thread with which the recorded process began.
    ///
    /// # Errors
    /// `Output`; `Failed` where no child can be run.
    pub fn new(folder: &Path, first: Tid, fill: impl FnOnce(&mut Writer) -> Result<()>) -> Result<Bench> {
        std::fs::create_dir_all(folder).context(Kind::Output, format!("cannot make the folder {}", folder.display()))?;
        let (head, plain, libraries) = Default::default();
        let mut bench = Bench { folder: Folder(folder.to_owned()), program: program(folder)?, head, plain, libraries };
        Writer::create(&bench.file("empty"), first)?.finish()?;
        let mut writer = Writer::create(&bench.file("script"), first)?;
        fill(&mut writer)?;
        bench.head = writer.finish()?;
        let libc = Choice { spec: "libc".to_owned(), library: None, variables: Vec::new(), no_huge_pages: false };
        bench.plain = bench.child("empty", &libc, Pace::Flat)?.start();
        Ok(bench)
    }

    /// For a process that had these libraries.
    #[must_use]
    pub fn beside(mut self, libraries: Libraries) -> Bench {
        self.libraries = libraries;
        self
    }

    /// Runs the script under a library. Beside the outcome: what a reader must know, in full sentences.
    ///
    /// # Errors
    /// `Target` when the library cannot be used, `Failed` when it did not come to the end.
    pub fn run(&self, choice: &Choice, pace: Pace) -> Result<(Outcome, Vec<String>)> {
        let answer = self.child("script", choice, pace)?;
        let mut notes = notes(choice, &answer);
        let own = self.own(choice, &answer, &mut notes);
        Ok((outcome::of(&choice.spec, &self.file("script"), &answer, own)?, notes))
    }

    /// What the library adds to the recorded process by being there, in place of the one that ran.
    fn own(&self, choice: &Choice, answer: &Answer, notes: &mut Vec<String>) -> Reading {
        let gone = self.libraries.added_by(&Footprint::NONE);
        let gone = Reading { mapped: 0, resident: gone.pages, faults: gone.faults };
        let Some(library) = &choice.library else { return gone };
        let more = company::beyond_the_child(library, &self.libraries).unwrap_or_else(|error| {
            notes.push(format!("{}: what libraries come along with it is not known ({error}).", choice.spec));
            Reading::default()
        });
        answer.start().minus(self.plain).plus(gone).plus(more)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    fn child(&self, script: &str, choice: &Choice, pace: Pace) -> Result<Answer> {
        let path = self.file("answer");
        Answer::prepare(&path)?;
        let mut command = Command::new(&self.program);
        command.arg(child::ARGUMENT).arg(self.file(script)).arg(&path).arg(OsString::from_vec(child::modules()));
        command.arg(if pace == Pace::Recorded { child::PACED } else { "flat" });
        command.env_clear().envs(choice.variables.iter().map(|(name, value)| (name, value)));
        if let Some(library) = &choice.library {
            command.env("LD_PRELOAD", library);
        }
        let no_huge_pages = choice.no_huge_pages;
        // SAFETY: system calls only.
        unsafe { command.pre_exec(move || prepare(no_huge_pages)) };
        let output = command.stdin(Stdio::null()).output().context(Kind::Failed, "cannot start the child that calls the library")?;
        let answer = Answer::read(&path)?;
        self.believe(choice, &answer, &output)?;
        Ok(answer)
    }

    /// That the child called this library, to the end.
    fn believe(&self, choice: &Choice, answer: &Answer, output: &Output) -> Result<()> {
        let (file, said) = (choice.file(), last_line(&output.stderr));
        let name = choice.library.as_ref().map(|path| path.as_os_str().to_string_lossy().into_owned());
        let found = answer.library();
        if !found.is_empty() && name.as_ref().is_some_and(|name| *name != found) {
            let why = if said.is_empty() { format!("the child's malloc is that of {found}") } else { said };
            return Err(Error::new(Kind::Target, format!("{file} does not take the place of malloc: {why}; does it define malloc?")));
        }
        let done = answer.word(word::POSITION);
        let place = format!("after {done} of {} operations", self.head.ops);
        let said = if said.is_empty() { String::new() } else { format!(" and said: {said}") };
        match (answer.word(word::STATE), output.status.signal()) {
            (state::DONE, None) => Ok(()),
            (state::NO_ROOM, _) => Err(Error::new(Kind::Failed, format!("{file}: no memory or no thread for the child {place}"))),
            (state::UNREADABLE, _) => Err(Error::new(Kind::Failed, format!("{file}: the child cannot read its script {place}"))),
            (state::NONE, Some(signal)) => Err(failed(format!("{file} crashed while it was loaded: signal {signal}{said}"))),
            (_, Some(signal)) => {
                Err(failed(format!("{file} crashed {place}: signal {signal}{said}; the trace or the library is at fault")))
            }
            (_, None) => Err(failed(format!("{file} ended the child {place}: {}{said}", output.status))),
        }
    }
}

/// This program. With capabilities on its file the loader would not preload anything into it; a copy has none.
fn program(folder: &Path) -> Result<PathBuf> {
    const SELF: &str = "/proc/self/exe";
    // SAFETY: a number of this process.
    if unsafe { libc::getauxval(libc::AT_SECURE) } == 0 {
        return Ok(SELF.into());
    }
    let copy = folder.join("heapcast");
    std::fs::copy(SELF, &copy).context(Kind::Output, format!("cannot write {}", copy.display()))?;
    Ok(copy)
}

fn failed(message: String) -> Error {
    Error::new(Kind::Failed, message)
}

/// In the child before it begins: addresses that are the same each time, and an end with the parent's. What is refused is done without.
pub(super) fn prepare(no_huge_pages: bool) -> std::io::Result<()> {
    const PR_SET_THP_DISABLE: i32 = 41;
    // SAFETY: these concern the child alone.
    unsafe {
        libc::personality(libc::ADDR_NO_RANDOMIZE as u64);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if no_huge_pages {
            libc::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
        }
    }
    Ok(())
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

fn notes(choice: &Choice, answer: &Answer) -> Vec<String> {
    let mut notes = Vec::new();
    if answer.word(word::COUNTED) == 0 {
        notes.push(format!("{}: this kernel cannot show a process its system calls, so that their numbers are unknown.", choice.spec));
    }
    let threads = match answer.word(word::THREADS) {
        0 => return notes,
        1 => "a thread".to_owned(),
        more => format!("{more} threads"),
    };
    notes.push(format!("{} started {threads} of its own, whose system calls cannot be counted.", choice.spec));
    notes
}

#[cfg(test)]
#[path = "parent_tests.rs"]
mod tests;
