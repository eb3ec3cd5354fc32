//! Scripts under a real C library: through `driver.c`, in a process with no other environment than the settings.

use super::observed::{Kind, Run, State, Step, SystemCall};
use super::script::Op;
use crate::programs;
use crate::support::Folder;
use profiler::vm::thp::Mode;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// Exit code of the driver where the kernel cannot show system calls.
const UNABLE: i32 = 77;
const MUSL_LOADER: &str = "/lib/ld-musl-x86_64.so.1";

/// A C library to run scripts under.
pub(crate) struct Libc {
    /// `2.36`
    pub(crate) version: String,
    /// CPUs of this machine, which limit its arenas.
    pub(crate) cpus: u32,
    /// What this machine does about huge pages, which some settings look at.
    pub(crate) thp: Mode,
    /// The driver, perhaps behind a loader of its own.
    command: Vec<PathBuf>,
    folder: Folder,
}

impl Libc {
    /// The one of this machine. The error is the reason to skip the test.
    pub(crate) fn installed() -> Result<Libc, String> {
        let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().map_err(|error| format!("getconf cannot be run: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.trim().strip_prefix("glibc ").ok_or_else(|| format!("this is no glibc: {text}"))?.to_owned();
        Libc { version, cpus: cpus(), thp: thp(), command: vec![driver()?], folder: folder() }.checked()
    }

    /// musl, in a program that is linked with it statically. The error is the reason to skip the test.
    pub(crate) fn musl() -> Result<Libc, String> {
        // Its loader is the library itself, and tells its version when it is not given a program.
        let output = Command::new(MUSL_LOADER).output().map_err(|error| format!("{MUSL_LOADER} cannot be run: {error}"))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let version = text.lines().find_map(|line| line.strip_prefix("Version ")).ok_or_else(|| format!("this is no musl: {text}"))?;
        let driver = programs::build_with("musl-gcc", &source(), "heap_driver-musl", &["-static".to_owned(), "-pthread".to_owned()])?;
        Libc { version: version.trim().to_owned(), cpus: cpus(), thp: thp(), command: vec![driver], folder: folder() }.checked()
    }

    /// One that was unpacked into a folder as Debian packs it, with what programs are linked with. The error is the reason to skip the test.
    pub(crate) fn unpacked(version: &str, root: &Path) -> Result<Libc, String> {
        let development = root.join("usr/lib/x86_64-linux-gnu");
        let library = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"].map(|folder| root.join(folder));
        let library = library.into_iter().find(|folder| folder.join("libc.so.6").is_file()).ok_or("it holds no libc.so.6")?;
        let [loader, libc, threads] = ["ld-linux-x86-64.so.2", "libc.so.6", "libpthread.so.0"].map(|name| library.join(name));
        let [start, begin, end, rest] = ["crt1.o", "crti.o", "crtn.o", "libc_nonshared.a"].map(|name| development.join(name));
        let parts = [start, begin, threads, libc, rest, loader.clone(), end].map(|part| part.display().to_string());
        let arguments: Vec<String> = ["-nostdlib", "-no-pie"].map(str::to_owned).into_iter().chain(parts).collect();
        let driver = programs::build(&source(), &format!("heap_driver-{version}"), &arguments)?;
        let command = vec![loader, "--library-path".into(), library, driver];
        Libc { version: version.to_owned(), cpus: cpus(), thp: thp(), command, folder: folder() }.checked()
    }

    /// The same, watched. The error is the reason to skip the test.
    pub(crate) fn under_strace(mut self) -> Result<Libc, String> {
        Command::new("strace").arg("-V").output().map_err(|error| format!("strace cannot be run: {error}"))?;
        let calls = "trace=brk,mmap,munmap,mremap,madvise,mprotect";
        let words = ["strace", "-f", "-X", "raw", "-e", calls, "-o"].map(PathBuf::from);
        self.command = words.into_iter().chain([self.folder.join("trace")]).chain(self.command).collect();
        self.checked()
    }

    /// What strace wrote about the last run.
    pub(crate) fn trace(&self) -> String {
        std::fs::read_to_string(self.folder.join("trace")).expect("what strace wrote")
    }

    fn checked(self) -> Result<Libc, String> {
        self.try_run(&[], &[]).map(|_| self)
    }

    /// Runs a script with these variables set.
    pub(crate) fn run(&self, environment: &[(String, String)], script: &[Op]) -> Run {
        self.try_run(environment, script).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_run(&self, environment: &[(String, String)], script: &[Op]) -> Result<Run, String> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let [asked, told] = ["script", "result"].map(|name| self.folder.join(&format!("{name}.{number}")));
        std::fs::write(&asked, encode(script)).expect("a file for the script");
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(&asked).arg(&told).env_clear().envs(environment.iter().cloned());
        let status = command.status().map_err(|error| format!("{}: {error}", self.command[0].display()))?;
        if status.code() == Some(UNABLE) {
            return Err("the kernel has no syscall user dispatch".to_owned());
        }
        assert!(status.success(), "the driver: {status}");
        let run = decode(&std::fs::read(&told).expect("the results"), script.len());
        [asked, told].iter().for_each(|file| std::fs::remove_file(file).expect("a file of ours"));
        Ok(run)
    }
}

/// Settings as one environment variable with all of them.
pub(crate) fn environment(settings: &[(&str, i64)]) -> Vec<(String, String)> {
    let texts: Vec<String> = settings.iter().map(|(key, value)| format!("glibc.malloc.{key}={value}")).collect();
    if texts.is_empty() { Vec::new() } else { vec![("GLIBC_TUNABLES".to_owned(), texts.join(":"))] }
}

/// Those that are online, which is what libc counts; not those that this process may use.
fn cpus() -> u32 {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/online").expect("the list of CPUs");
    let number = |text: &str| text.parse::<u32>().expect("the number of a CPU");
    let ranges = list.trim().split(',').map(|range| range.split_once('-').map_or(1, |(first, last)| number(last) - number(first) + 1));
    ranges.sum()
}

/// The mode in brackets; a kernel without huge pages never gives any.
fn thp() -> Mode {
    let modes = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let chosen = modes.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.and_then(|(mode, _)| mode.parse().ok()).unwrap_or(Mode::Never)
}

fn folder() -> Folder {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    Folder::new(&format!("differential.{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// The driver, built for the libc of this machine.
fn driver() -> Result<PathBuf, String> {
    if !cfg!(target_arch = "x86_64") {
        return Err("the driver knows x86-64 only".to_owned());
    }
    programs::build(&source(), "heap_driver", &["-pthread".to_owned()])
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/driver.c")
}

fn encode(script: &[Op]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for op in script {
        bytes.extend((op.call as u32).to_ne_bytes());
        bytes.extend(op.thread.to_ne_bytes());
        [op.slot, op.size, op.align].iter().for_each(|word| bytes.extend(word.to_ne_bytes()));
    }
    bytes
}

fn decode(bytes: &[u8], operations: usize) -> Run {
    let (words, _) = bytes.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_ne_bytes(*word));
    let mut take = || words.next().expect("a whole file");
    let [said, calls, heap, end, pages, exact] = [(); 6].map(|()| take());
    assert_eq!((said as usize, exact), (operations, 1), "the driver could not make itself resident");
    let results: Vec<[u64; 4]> = (0..operations).map(|_| [(); 4].map(|()| take())).collect();
    let mut log = (0..calls).map(|_| system_call([(); 6].map(|()| take())));
    let steps = results.iter().map(|&[pointer, usable, faults, count]| {
        let calls = log.by_ref().take(count as usize).flatten().collect();
        Step { pointer, usable, faults, calls }
    });
    let steps = steps.collect();
    let states = &bytes[bytes.len() - pages as usize..];
    let states = states.iter().map(|state| [State::Absent, State::Zero, State::Own][usize::from(*state)]).collect();
    Run { heap, end, steps, pages: states }
}

/// `None` for a call that only asks where the break is.
fn system_call([number, addr, len, third, fourth, answer]: [u64; 6]) -> Option<SystemCall> {
    let (kind, len, extra, flags) = match number as i64 {
        libc::SYS_brk => (Kind::Brk, 0, 0, 0),
        libc::SYS_mmap => (Kind::Mmap, len, third, fourth),
        libc::SYS_munmap => (Kind::Munmap, len, 0, 0),
        libc::SYS_mremap => (Kind::Mremap, len, third, 0),
        libc::SYS_madvise => (Kind::Madvise, len, third, 0),
        libc::SYS_mprotect => (Kind::Mprotect, len, third, 0),
        other => panic!("system call {other}"),
    };
    (kind != Kind::Brk || addr != 0).then_some(SystemCall { kind, addr, len, extra, flags, answer: answer as i64 })
}
