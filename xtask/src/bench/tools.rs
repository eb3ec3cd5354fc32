//! Who watches: heapcast and what one would take in its place.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::process::{self, Ended, all_ns};
use super::{Bench, headers};
use crate::command::{find, output};

/// One way of watching a program's heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Nobody.
    Bare,
    /// Empty probes where heapcast has its own.
    Floor,
    Heapcast,
    Bpftrace,
    Memleak,
    Heaptrack,
    Dhat,
}

/// In the order of the tables; the first is what the others are compared with.
pub(super) const TOOLS: [Tool; 7] = [Tool::Bare, Tool::Floor, Tool::Heapcast, Tool::Bpftrace, Tool::Memleak, Tool::Heaptrack, Tool::Dhat];

const PRELOAD: &str = "/usr/lib/heaptrack/libheaptrack_preload.so";
const INTERPRET: &str = "/usr/lib/heaptrack/libexec/heaptrack_interpret";

/// Runs memleak. The binding of bcc 0.26 leaves out the last argument of this function, which then is what lies on the stack: mostly refused.
/// `mmap` and `munmap` are left out: memleak insists on them, and jemalloc's library has none.
const MEMLEAK: &str = "import ctypes, runpy, sys
from bcc import BPF, lib
attach = lib.bpf_attach_uprobe
attach.argtypes = [*attach.argtypes[:6], ctypes.c_uint32]
lib.bpf_attach_uprobe = lambda *words: attach(*words[:6], 0)
def without_mappings(inner):
    return lambda self, **words: None if words['sym'] in ('mmap', 'munmap') else inner(self, **words)
BPF.attach_uprobe, BPF.attach_uretprobe = map(without_mappings, (BPF.attach_uprobe, BPF.attach_uretprobe))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name='__main__')";

/// What each tool measured, in the order of `TOOLS`, or why it did not.
pub(super) type Measured<R> = Vec<Result<Vec<R>, String>>;

/// Every tool has its turn in each round; one that failed has no more.
pub(super) fn in_turn<R>(bench: &Bench, rounds: usize, subject: &str, run: impl Fn(Tool) -> Result<R, String>) -> Measured<R> {
    let mut measured: Measured<R> = TOOLS.iter().map(|tool| tool.missing(bench).map_or(Ok(Vec::new()), Err)).collect();
    for round in 1..=rounds {
        for (tool, runs) in TOOLS.iter().zip(&mut measured) {
            if let Ok(done) = runs {
                eprintln!("{subject}: round {round} of {rounds}: {}", tool.name());
                match run(*tool) {
                    Ok(run) => done.push(run),
                    Err(why) => *runs = Err(why),
                }
            }
        }
    }
    measured
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Tool::Bare => "nobody",
            Tool::Floor => "three empty probes (floor)",
            Tool::Heapcast => "heapcast",
            Tool::Bpftrace => "bpftrace, three lines",
            Tool::Memleak => "memleak (bcc)",
            Tool::Heaptrack => "heaptrack (in process)",
            Tool::Dhat => "valgrind --tool=dhat",
        }
    }

    /// Why it cannot be used here, if so.
    pub(super) fn missing(self, bench: &Bench) -> Option<String> {
        let program = |name: &str| find(name).is_none().then(|| format!("no {name}"));
        let file = |path: &str| (!Path::new(path).exists()).then(|| format!("no {path}"));
        match self {
            Tool::Bare | Tool::Heapcast => None,
            Tool::Floor => bench.floor.as_ref().err().cloned(),
            Tool::Bpftrace => program("bpftrace"),
            Tool::Memleak => program("memleak-bpfcc").or_else(|| headers::merged(bench).err()),
            Tool::Heaptrack => file(PRELOAD).or_else(|| file(INTERPRET)),
            Tool::Dhat => program("valgrind"),
        }
    }

    /// The program to start: the one to watch itself, or with what watches it inside.
    pub(super) fn start(self, bench: &Bench, words: &[String]) -> Command {
        let mut command = if self == Tool::Dhat { Command::new("valgrind") } else { Command::new(&words[0]) };
        match self {
            Tool::Dhat => {
                let kept = format!("--dhat-out-file={}", bench.folder.join("dhat.out").display());
                command.args(["--tool=dhat", "--quiet", &kept]).args(words);
            }
            Tool::Heaptrack => {
                command.args(&words[1..]).env("LD_PRELOAD", PRELOAD).env("DUMP_HEAPTRACK_OUTPUT", raw(bench));
            }
            _ => _ = command.args(&words[1..]),
        }
        command
    }

    /// Attaches to a running process, where that is its way. Answers once the probes are there.
    pub(super) fn attach(self, bench: &Bench, pid: u32) -> Result<Option<Watcher>, String> {
        let pid = pid.to_string();
        let mut command = match self {
            Tool::Bare | Tool::Heaptrack | Tool::Dhat => return Ok(None),
            Tool::Floor => {
                let mut floor = Command::new(bench.floor.as_ref().map_err(String::clone)?);
                floor.arg(&pid).args(probe_points(bench, &pid)?).env("LD_PRELOAD", allocator(&pid)?);
                floor
            }
            Tool::Heapcast => bench.record(&pid, &[]),
            Tool::Bpftrace => bpftrace(&pid)?,
            Tool::Memleak => {
                let mut memleak = Command::new("/usr/bin/python3");
                memleak.args(["-c", MEMLEAK]).args(find("memleak-bpfcc")).args(["-p", &pid, "-O", &allocator(&pid)?, "3600"]);
                memleak.env("BCC_KERNEL_SOURCE", headers::merged(bench)?);
                memleak
            }
        };
        Watcher::start(&mut command, &bench.folder.join("watcher.stderr")).map(Some)
    }

    /// CPU time of what is still to be done when the program has ended, ns.
    pub(super) fn afterwards(self, bench: &Bench) -> Result<f64, String> {
        if self != Tool::Heaptrack {
            return Ok(0.0);
        }
        let raw = File::open(raw(bench)).map_err(|error| format!("heaptrack's output: {error}"))?;
        let mut command = Command::new(INTERPRET);
        let child = command.stdin(raw).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        let child = Ended(child);
        process::until_it_ends(&child.0)?;
        Ok(all_ns(child.0.id()))
    }
}

fn raw(bench: &Bench) -> PathBuf {
    bench.folder.join("heaptrack.raw")
}

/// A tool that has attached to a process.
pub(super) struct Watcher(Ended);

impl Watcher {
    pub(super) fn start(command: &mut Command, complaints: &Path) -> Result<Watcher, String> {
        let stderr = File::create(complaints).map_err(|error| error.to_string())?;
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn();
        let child = Ended(child.map_err(|error| format!("{name}: {error}"))?);
        let said = || std::fs::read_to_string(complaints).unwrap_or_default();
        let last = || said().lines().last().unwrap_or_default().to_owned();
        process::until_it_probes(&child.0).map_err(|why| format!("{name}: {why}: {}", last()))?;
        Ok(Watcher(child))
    }

    /// CPU time so far, ns.
    pub(super) fn ns(&self) -> f64 {
        all_ns(self.0.0.id())
    }

    /// Lets it end in order. Answers with its CPU time, ns.
    pub(super) fn finish(self) -> Result<f64, String> {
        process::interrupt(&self.0.0);
        process::until_it_ends(&self.0.0)?;
        Ok(self.ns())
    }
}

/// Where heapcast puts its probes into malloc and free of the program's allocator, bytes from their beginnings.
fn probe_points(bench: &Bench, pid: &str) -> Result<[String; 2], String> {
    let told = output(&bench.heapcast, &["doctor", "--pid", pid]).ok_or("heapcast doctor failed")?;
    let title = format!(" in {} ", allocator(pid)?);
    let points = told.lines().skip_while(|line| !line.contains(&title)).find_map(|line| line.trim().strip_prefix("at "));
    let of = |function: &str| {
        let offset = points.and_then(|points| points.split(' ').find_map(|point| point.strip_prefix(function)));
        offset.map(str::to_owned).ok_or_else(|| format!("heapcast doctor does not tell where {function} it probes"))
    };
    Ok([of("malloc+")?, of("free+")?])
}

/// The library that a process has its malloc from.
fn allocator(pid: &str) -> Result<String, String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|error| error.to_string())?;
    let paths: Vec<&str> = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).collect();
    let found = ["/libjemalloc.so", "/libc.so.6"].iter().find_map(|name| paths.iter().find(|path| path.contains(name)));
    found.map(|path| (*path).to_owned()).ok_or_else(|| "the program has no malloc of a shared library".to_owned())
}

/// The job of `heapcast record` in three lines of bpftrace: requested size of every live block, by address.
fn bpftrace(pid: &str) -> Result<Command, String> {
    let library = allocator(pid)?;
    let program = format!(
        "uprobe:{library}:malloc {{ @size[tid] = arg0; }} \
         uretprobe:{library}:malloc {{ @live[retval] = @size[tid]; }} \
         uprobe:{library}:free {{ delete(@live[arg0]); }} \
         END {{ clear(@size); clear(@live); }}"
    );
    let mut command = Command::new("bpftrace");
    command.args(["-p", pid, "-e", &program]).env("BPFTRACE_MAP_KEYS_MAX", "1048576");
    Ok(command)
}
