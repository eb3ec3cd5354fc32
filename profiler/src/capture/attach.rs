//! Attaching: the tracepoints once, the heap probes process by process.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope};
use aya::programs::{Program, ProgramError, RawTracePoint, TracePoint, UProbe};
use profiler_ebpf::{self as wire, Kind as Record};

use super::copies::Copies;
use super::features;
use crate::error::{Context, Error, Kind, Result};
use crate::event::Tid;
use crate::target::allocator::Probe;
use crate::target::index::{FileId, Located};

/// Attaches the tracepoints, which select the recorded processes by themselves; `stops`: for what those stop. The value names the optional ones that this kernel lacks.
///
/// # Errors
/// `Unsupported` when the kernel lacks a tracepoint without which a recording would be wrong.
pub fn tracepoints(ebpf: &mut Ebpf, stops: u32) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    let births = stops & wire::Stop::Child.bit() != 0;
    for point in wire::TRACEPOINTS.iter().filter(|point| births || !wire::BIRTHS.contains(&point.name)) {
        match tracepoint(ebpf, point.category, point.name) {
            Err(cause) if point.required => {
                return Err(Error::new(Kind::Unsupported, format!("cannot attach to tracepoint {}: {}", point.name, because(&cause))));
            }
            Err(_) => missing.push(point.name),
            Ok(()) => {}
        }
    }
    let raw = wire::RAW_TRACEPOINTS.iter().filter(|name| raw_tracepoint(ebpf, name).is_err());
    missing.extend(raw.copied().collect::<Vec<_>>());
    Ok(missing)
}

fn tracepoint(ebpf: &mut Ebpf, category: &str, name: &str) -> std::result::Result<(), ProgramError> {
    let program: &mut TracePoint = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()?;
    program.load()?;
    program.attach(category, name)?;
    Ok(())
}

fn raw_tracepoint(ebpf: &mut Ebpf, name: &str) -> std::result::Result<(), ProgramError> {
    let program: &mut RawTracePoint = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()?;
    program.load()?;
    program.attach(name)?;
    Ok(())
}

/// The whole chain of causes: the first alone often says only that a system call failed.
pub(super) fn because(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The heap probes of all recorded processes.
pub struct HeapProbes {
    /// Whether probes are put in place now.
    pub(super) active: bool,
    /// Where one program cannot serve all functions.
    copies: Option<Copies>,
    /// Process, file, and the first probe's place in it: a file may have several allocators.
    attached: HashSet<(u32, FileId, Option<u64>)>,
    links: HashMap<u32, Vec<UProbeLink>>,
    /// Takes the probes of a window away.
    resting: Option<JoinHandle<()>>,
    detacher: mpsc::Sender<Vec<UProbeLink>>,
    stirred: Arc<Mutex<Instant>>,
}

/// Probes of ended processes are taken away when no process came or went for so long: both wait for the same lock in the kernel, one holds it a
/// hundred times longer than the other, and a process that was forked a moment ago is waiting.
const CALM: Duration = Duration::from_secs(1);

/// Takes probes away in the background: the kernel needs about 0.1 s for each.
fn detach_when_calm(links: mpsc::Receiver<Vec<UProbeLink>>, stirred: &Mutex<Instant>) {
    let since = || stirred.lock().map_or(CALM, |last| last.elapsed());
    for link in links.into_iter().flatten() {
        while let Some(wait) = CALM.checked_sub(since()).filter(|wait| !wait.is_zero()) {
            std::thread::sleep(wait);
        }
        drop(link);
    }
}

impl HeapProbes {
    /// Loads the heap programs; nothing is attached yet.
    ///
    /// # Errors
    /// `Unsupported` when the kernel refuses them.
    pub fn new(ebpf: &mut Ebpf) -> Result<HeapProbes> {
        let copies = if features::serves_all() { None } else { Some(Copies::new(ebpf)?) };
        let programs: &[&str] =
            if copies.is_none() { &[wire::HEAP_RETURN, wire::HEAP_ENTER, wire::HEAP_FREE] } else { &[wire::HEAP_RETURN] };
        for name in programs {
            uprobe(ebpf, name)?.load().context(Kind::Unsupported, format!("the kernel refuses the program {name}"))?;
        }
        let (detacher, links) = mpsc::channel();
        let stirred = Arc::new(Mutex::new(Instant::now()));
        let shared = stirred.clone();
        std::thread::spawn(move || detach_when_calm(links, &shared));
        Ok(HeapProbes { active: true, copies, attached: HashSet::new(), links: HashMap::new(), resting: None, detacher, stirred })
    }

    /// Attaches the allocator's probes to one process by one of its threads; a second time does nothing. `true` when they were new.
    ///
    /// # Errors
    /// `Target` when the file or the process has gone; `Unsupported` when the kernel refuses a probe.
    pub fn attach(&mut self, ebpf: &mut Ebpf, pid: u32, tid: Tid, located: &Located) -> Result<bool> {
        let first = located.allocator.probes.first().map(|probe| probe.point.file_offset);
        if !self.active || !self.attached.insert((pid, located.file, first)) {
            return Ok(false);
        }
        self.stir();
        // What runs already goes on meanwhile: `free` first, or blocks would be recorded whose end is not.
        let (frees, others): (Vec<&Probe>, Vec<&Probe>) = located.allocator.probes.iter().partition(|probe| probe.kind == Record::Free);
        for probe in frees.into_iter().chain(others) {
            // The return first: a call between the two is then unpaired and counted, not half recorded.
            let programs: &[&str] = if probe.kind == Record::Free { &[wire::HEAP_FREE] } else { &[wire::HEAP_RETURN, wire::HEAP_ENTER] };
            for program in programs {
                let link = self.attach_one(ebpf, program, tid, (probe, located))?;
                self.links.entry(pid).or_default().push(link);
            }
        }
        Ok(true)
    }

    /// Takes all probes away, in the background, and puts none in place until [`HeapProbes::active`] is set again.
    pub(super) fn rest(&mut self) {
        self.active = false;
        self.attached.clear();
        let links = std::mem::take(&mut self.links);
        self.resting = Some(std::thread::spawn(move || drop(links)));
    }

    /// Whether no probe is on its way out: a second one beside it would record calls twice.
    pub(super) fn is_ready(&self) -> bool {
        self.resting.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn attach_one(&mut self, ebpf: &mut Ebpf, program: &str, tid: Tid, (probe, located): (&Probe, &Located)) -> Result<UProbeLink> {
        let cookie = probe.cookie();
        let (name, told) = match &mut self.copies {
            Some(copies) if program != wire::HEAP_RETURN => (copies.of(ebpf, program, cookie)?, None),
            Some(_) => (program.to_owned(), None),
            None => (program.to_owned(), Some(cookie.0)),
        };
        let location = UProbeAttachLocation::AbsoluteOffset(probe.point.file_offset);
        let scope = NonZeroU32::new(tid).map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess);
        let program = uprobe(ebpf, &name)?;
        let link = program.attach(UProbeAttachPoint { location, cookie: told }, &located.reach, scope);
        link.and_then(|id| program.take_link(id)).map_err(|cause| refused(probe, located, &cause))
    }

    /// Lets go of a process that has ended, in the background.
    pub fn forget(&mut self, pid: u32) {
        self.attached.retain(|(of, ..)| *of != pid);
        // A process whose program or first thread has changed is attached to again at once.
        self.stir();
        if let Some(links) = self.links.remove(&pid) {
            // The receiver lives as long as the program.
            self.detacher.send(links).unwrap_or_default();
        }
    }

    fn stir(&mut self) {
        if let Ok(mut stirred) = self.stirred.lock() {
            *stirred = Instant::now();
        }
    }
}

/// Raises this process's own limit of open files as far as it may go: a process that is followed holds some thirty.
pub(super) fn allow_many_probes() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives both calls. Where they are refused the lower limit stays, and a probe that finds no room is told of.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

fn refused(probe: &Probe, located: &Located, cause: &ProgramError) -> Error {
    Error::new(Kind::Unsupported, format!("cannot probe {} in {}: {}", probe.symbol, located.allocator.path, because(cause)))
}

/// A heap program by its name.
pub(super) fn uprobe<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe> {
    let program: Option<&mut Program> = ebpf.program_mut(name);
    program
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| Error::new(Kind::Failed, format!("the built object has no program {name}: rebuild it with cargo xtask ebpf build")))
}
