//! The libraries that come along with the one under test: the recorded program may have had other ones of them than the child has.
//!
//! The child has what heapcast needs itself, such as libm. What the library adds to a process that has less, or more, is tried: in `cat`, which needs
//! nothing but libc and waits for its input, with the one set of them preloaded and with the other, each with the library and without it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::answer::Reading;
use super::child;
use super::parent::prepare;
use crate::error::{Context, Kind, Result};
use crate::replay::Libraries;

const PROGRAM: &str = "cat";

/// What the library adds to the recorded process more than to the child, apart from its heap; less is negative.
///
/// # Errors
/// `Failed` where the program that is loaded into cannot be run.
pub(super) fn beyond_the_child(library: &Path, recorded: &Libraries) -> Result<Reading> {
    if !recorded.is_told() {
        return Ok(Reading::default());
    }
    let plain = Host::with(&[])?.files()?;
    let brought: BTreeSet<PathBuf> = Host::with(&[library])?.files()?.difference(&plain).filter(|file| *file != library).cloned().collect();
    let own: Vec<PathBuf> = own_files();
    let here: Vec<&Path> = brought.iter().filter(|file| own.contains(file)).map(PathBuf::as_path).collect();
    let is_there = |file: &&PathBuf| name(file).and_then(|name| recorded.has(name)).unwrap_or_else(|| own.contains(file));
    let there: Vec<&Path> = brought.iter().filter(is_there).map(PathBuf::as_path).collect();
    if here == there {
        return Ok(Reading::default());
    }
    Ok(added(library, &there)?.minus(added(library, &here)?))
}

/// What the library adds to a process that has these files.
fn added(library: &Path, beside: &[&Path]) -> Result<Reading> {
    let with: Vec<&Path> = std::iter::once(library).chain(beside.iter().copied()).collect();
    Ok(Host::with(&with)?.reading()?.minus(Host::with(beside)?.reading()?))
}

/// The files of this program and the libraries it needs, as a memory map names them.
fn own_files() -> Vec<PathBuf> {
    let names = child::modules();
    let names = names.split(|&byte| byte == b'\n').filter_map(|name| std::str::from_utf8(name).ok());
    names.filter_map(|name| Path::new(name).canonicalize().ok()).collect()
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// A program at rest, in which everything was loaded that is loaded at all.
struct Host(Child);

impl Host {
    fn with(preloaded: &[&Path]) -> Result<Host> {
        let mut command = Command::new(PROGRAM);
        let list: Vec<String> = preloaded.iter().map(|path| path.display().to_string()).collect();
        command.env_clear().env("LC_ALL", "C").env("LD_PRELOAD", list.join(":"));
        // SAFETY: system calls only.
        unsafe { command.pre_exec(|| prepare(false)) };
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut host = Host(started.context(Kind::Failed, format!("cannot run {PROGRAM}"))?);
        // What it gives back has gone through it: then it waits for more.
        let mut echo = [0];
        let (input, output) = (host.0.stdin.as_mut(), host.0.stdout.as_mut());
        let done =
            input.map(|input| input.write_all(b"x")).and_then(|sent| output.map(|output| sent.and_then(|()| output.read_exact(&mut echo))));
        done.unwrap_or(Ok(())).context(Kind::Failed, format!("{PROGRAM} ends with {} preloaded", list.join(" and ")))?;
        Ok(host)
    }

    fn file(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.0.id());
        std::fs::read_to_string(&path).context(Kind::Failed, format!("cannot read {path}"))
    }

    /// The files that it has code of.
    fn files(&self) -> Result<BTreeSet<PathBuf>> {
        let maps = self.file("maps")?;
        let code = maps.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|bits| bits.contains('x')));
        Ok(code.filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..]))).collect())
    }

    fn reading(&self) -> Result<Reading> {
        let number = |text: Option<&str>| text.and_then(|word| word.parse::<i64>().ok()).unwrap_or_default();
        // Exact on every kernel, other than the second number in `statm`.
        let rollup = self.file("smaps_rollup")?;
        let rss = rollup.lines().find_map(|line| line.strip_prefix("Rss:")?.split_whitespace().next());
        let (statm, stat) = (self.file("statm")?, self.file("stat")?);
        let faults = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(7));
        Ok(Reading { mapped: number(statm.split(' ').next()), resident: number(rss) / 4, faults: number(faults) })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It has ended already, or does so now.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}
