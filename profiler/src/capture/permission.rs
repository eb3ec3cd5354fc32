//! What this machine allows, asked before anything is loaded, so that a refusal can say what is missing and what to type.

use std::ffi::CString;
use std::path::Path;

use super::features::{self, Feature};
use crate::error::{Error, Kind, Result};

const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
/// To continue a process of another user that stands still for the recorder.
const CAP_KILL: u32 = 5;
/// To read the tracing file system where only root may.
const CAP_DAC_READ_SEARCH: u32 = 2;

/// What recording may need, and a recorded program does not get from heapcast.
pub(super) const CAPABILITIES: [u32; 5] = [CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_KILL, CAP_DAC_READ_SEARCH];

/// One thing that recording needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// What was found, for a person.
    pub found: String,
    /// Whether it is missing, with or without a problem.
    pub missing: bool,
    /// `None` when recording is possible, else what is wrong and the next step, and which kind of failure it is.
    pub problem: Option<(Kind, String)>,
}

/// Everything that recording needs, in the order in which it is needed.
pub fn findings() -> Vec<Finding> {
    found(features::all)
}

fn found(features: fn() -> Vec<Feature>) -> Vec<Finding> {
    let mut findings = vec![kernel(), namespace(), privileges(), tracefs(), programs()];
    // Without the privileges every trial would fail.
    if findings.iter().all(|finding| finding.problem.is_none()) {
        findings.extend(features().into_iter().map(feature));
        findings.push(probes());
    }
    findings
}

impl Finding {
    fn new(name: &str, found: impl Into<String>, problem: Option<(Kind, String)>) -> Finding {
        Finding { name: name.to_owned(), found: found.into(), missing: problem.is_some(), problem }
    }
}

/// The first problem, if there is one.
///
/// # Errors
/// `NotPermitted` or `Unsupported`, with the next step.
pub fn check() -> Result<()> {
    match found(features::essential).into_iter().find_map(|finding| finding.problem) {
        Some((kind, problem)) => Err(Error::new(kind, problem)),
        None => Ok(()),
    }
}

fn kernel() -> Finding {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Finding::new("kernel", release.trim(), None)
}

/// The kernel half knows processes by their ids in the first namespace, this process by those in its own: they have to be the same.
fn namespace() -> Finding {
    // The kernel's own number of the first namespace (PROC_PID_INIT_INO).
    const FIRST: &str = "pid:[4026531836]";
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let is_first = own.as_os_str() == FIRST;
    let problem = (!is_first).then(|| {
        let text = "heapcast runs in a process namespace (a container) of its own, where process ids are not the kernel's: \
            run it outside, with --pid and the id that the process has there";
        (Kind::Unsupported, text.to_owned())
    });
    Finding::new("process namespace", if is_first { "the first" } else { "not the first" }, problem)
}

fn feature(feature: Feature) -> Finding {
    let Feature { name, present, without, essential } = feature;
    let problem =
        (essential && !present).then(|| (Kind::Unsupported, format!("this kernel has no {name}: {without}; replaying works anywhere")));
    let found = if present { "present".to_owned() } else { format!("absent: {without}") };
    Finding { name, found, missing: !present, problem }
}

fn privileges() -> Finding {
    let effective = capabilities();
    let has = |bit: u32| effective >> bit & 1 == 1;
    let missing: Vec<&str> = [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON"), (CAP_SYS_PTRACE, "CAP_SYS_PTRACE")]
        .into_iter()
        // CAP_SYS_ADMIN stands for the two younger ones, which were split from it.
        .filter(|(bit, _)| !has(*bit) && (*bit == CAP_SYS_PTRACE || !has(CAP_SYS_ADMIN)))
        .map(|(_, name)| name)
        .collect();
    let found = if missing.is_empty() { "sufficient".to_owned() } else { format!("missing {}", missing.join(", ")) };
    let problem = (!missing.is_empty()).then(|| {
        let text = format!(
            "recording needs {}: run it with sudo, or once `sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep $(command -v heapcast)`",
            missing.join(", ")
        );
        (Kind::NotPermitted, text)
    });
    Finding::new("privileges", found, problem)
}

/// Effective capability set of this process, a bit per capability.
fn capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

fn tracefs() -> Finding {
    const HOME: &str = "/sys/kernel/tracing";
    let mounted = || [HOME, "/sys/kernel/debug/tracing"].into_iter().find(|folder| Path::new(folder).join("events").is_dir());
    // As perf and trace-cmd do: the mount point exists on every kernel, and mounting changes nothing else.
    if mounted().is_none() {
        mount_tracefs(HOME);
    }
    match mounted() {
        Some(folder) => Finding::new("tracefs", folder, None),
        None => {
            let text = format!("the tracing file system is not readable: as root, `mount -t tracefs tracefs {HOME}` or make it readable");
            Finding::new("tracefs", "not readable", Some((Kind::NotPermitted, text)))
        }
    }
}

fn mount_tracefs(folder: &str) {
    if let (Ok(kind), Ok(folder)) = (CString::new("tracefs"), CString::new(folder)) {
        // SAFETY: the strings are terminated; a refusal is seen by the caller, who looks whether the folder is there.
        unsafe { libc::mount(kind.as_ptr(), folder.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
    }
}

/// Probes on calls are a matter of their own: what kernels ask for them is tried, as some want more than for programs and tracepoints.
fn probes() -> Finding {
    if may_probe() {
        return Finding::new("probes on calls", "permitted", None);
    }
    let text = "this kernel lets only CAP_SYS_ADMIN probe calls of malloc: run heapcast with sudo, or once \
        `sudo setcap cap_sys_admin,cap_sys_ptrace,cap_dac_read_search+ep $(command -v heapcast)`";
    Finding::new("probes on calls", "missing CAP_SYS_ADMIN", Some((Kind::NotPermitted, text.to_owned())))
}

/// Asks for a probe in a file that does not exist: who may have one is told that there is no such file, anybody else that he may not.
fn may_probe() -> bool {
    // perf_event_attr: type, size, config, sample_period, sample_type, read_format, flags, wakeup_events | bp_type, uprobe_path, probe_offset
    let mut attributes = [0u64; 17];
    let kind = std::fs::read_to_string("/sys/bus/event_source/devices/uprobe/type").ok().and_then(|text| text.trim().parse::<u32>().ok());
    let Some(kind) = kind else { return true };
    let path = c"/nonexistent/heapcast";
    attributes[0] = u64::from(kind) | (size_of_val(&attributes) as u64) << 32;
    attributes[7] = path.as_ptr() as u64;
    // SAFETY: the attributes and the path outlive the call, which opens nothing.
    let opened = unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0) };
    let error = std::io::Error::last_os_error().raw_os_error();
    opened >= 0 || !matches!(error, Some(libc::EACCES | libc::EPERM))
}

fn programs() -> Finding {
    let jit = std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").unwrap_or_default();
    let found = match jit.trim() {
        "0" => "interpreted (slow: `sysctl net.core.bpf_jit_enable=1`)",
        "" => "unknown",
        _ => "compiled",
    };
    Finding::new("eBPF programs", found, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_names_a_next_step() {
        for finding in findings() {
            if let Some((kind, text)) = finding.problem {
                assert!(matches!(kind, Kind::NotPermitted | Kind::Unsupported), "{text}");
            }
        }
    }
}
