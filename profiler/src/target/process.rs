//! Facts about a running process, from `/proc/PID`.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::event::Tid;
use crate::units::Nanos;

/// The ids of its threads, ascending.
pub fn threads(pid: u32) -> Result<Vec<Tid>> {
    let path = format!("/proc/{pid}/task");
    let entries = std::fs::read_dir(&path).map_err(|cause| unreadable(&path, &cause))?;
    // A thread that ends while the folder is read is no longer there: its entry is not an error.
    let mut threads: Vec<Tid> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    threads.sort_unstable();
    Ok(threads)
}

/// The program that it runs, as it sees it.
pub fn exe(pid: u32) -> Result<PathBuf> {
    let path = format!("/proc/{pid}/exe");
    std::fs::read_link(&path).map_err(|cause| unreadable(&path, &cause))
}

/// Its arguments, the program's name first; empty for a process that has ended or erased them.
pub fn cmdline(pid: u32) -> Result<Vec<String>> {
    let bytes = file(pid, "cmdline")?;
    let arguments = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if arguments.is_empty() {
        return Ok(Vec::new());
    }
    Ok(arguments.split(|&byte| byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect())
}

/// The name of its main thread (at most 15 bytes).
pub fn comm(pid: u32) -> Result<String> {
    let bytes = file(pid, "comm")?;
    Ok(String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned())
}

/// Its id as it sees it, where it lives in a PID namespace below this one.
pub fn pid_inside(pid: u32) -> Option<u32> {
    inside(&status_field(pid, "NSpid").ok()??)
}

/// The last of several ids, which are told from the outermost namespace to the innermost.
fn inside(ids: &str) -> Option<u32> {
    let mut ids = ids.split_ascii_whitespace();
    ids.next()?;
    ids.next_back()?.parse().ok()
}

/// Minor and major page faults of all its threads so far, those that have ended included.
pub fn minflt_majflt(pid: u32) -> Result<(u64, u64)> {
    let bytes = file(pid, "stat")?;
    faults_in_stat(&String::from_utf8_lossy(&bytes)).ok_or_else(|| Error::new(Kind::Target, format!("cannot understand /proc/{pid}/stat")))
}

/// Processor time of all its threads so far, in user and kernel mode, those that have ended included; known to a hundredth of a second.
pub fn cpu_time(pid: u32) -> Option<Nanos> {
    /// The kernel's `USER_HZ`: a hundredth of a second on x86-64 and arm64.
    const TICK_NS: u64 = 10_000_000;
    let ticks = |number| stat_field(pid, number)?.parse::<u64>().ok();
    Some(Nanos((ticks(14)? + ticks(15)?) * TICK_NS))
}

/// State letter of a thread (`R`, `S`, `T`, `Z`, …), `None` when it is gone.
pub fn state(tid: Tid) -> Option<char> {
    stat_field(tid, 3)?.chars().next()
}

/// The process that made it, or that it was left to.
pub fn parent(pid: u32) -> Option<u32> {
    stat_field(pid, 4)?.parse().ok()
}

/// Whether any of its threads lives. Its first may have ended before the others.
pub fn is_alive(pid: u32) -> bool {
    let lives = |tid: Tid| !matches!(state(tid), None | Some('Z' | 'X'));
    lives(pid) || threads(pid).is_ok_and(|threads| threads.into_iter().any(lives))
}

/// Whether a thread is gone or on its way out, be it by its own end or by that of its whole process.
pub fn is_dying(tid: Tid) -> bool {
    const SIGKILL_PENDING: u64 = 1 << (libc::SIGKILL - 1);
    /// `PF_EXITING` of the kernel: the signal is taken, the end has begun.
    const EXITING: u64 = 4;
    let pending = status_field(tid, "SigPnd").ok().flatten().and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    let flags: Option<u64> = stat_field(tid, 9).and_then(|flags| flags.parse().ok());
    pending.is_none_or(|mask| mask & SIGKILL_PENDING != 0) || flags.is_none_or(|flags| flags & EXITING != 0)
}

/// Whether a stop was sent to it (by `kill`, a terminal, a shell) that it has not taken yet: it stands still already.
pub fn has_stop_pending(pid: u32) -> bool {
    const STOPS: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    let pending = status_field(pid, "ShdPnd").ok().flatten().and_then(|mask| u64::from_str_radix(&mask, 16).ok()).unwrap_or(0);
    STOPS.iter().any(|signal| pending >> (signal - 1) & 1 == 1)
}

/// Whether its program came with rights of its own (set-user-id, capabilities) or may not be read by its user. The kernel takes the perf
/// events, and with them the probes, from a process that executes such a program.
pub fn has_guarded_program(pid: u32) -> bool {
    let secure = file(pid, "auxv").is_ok_and(|bytes| is_secure(&bytes));
    let effective = status_field(pid, "Uid").ok().flatten().and_then(|ids| ids.split_ascii_whitespace().nth(1)?.parse().ok());
    // The kernel gives the files of a process that must not be dumped to root, whoever runs it.
    let owner = std::fs::metadata(format!("/proc/{pid}/maps")).map(|metadata| metadata.uid());
    secure || owner.is_ok_and(|owner| effective.is_some_and(|effective: u32| owner != effective))
}

/// Whether an auxiliary vector, pairs of words, has a true `AT_SECURE`.
fn is_secure(auxv: &[u8]) -> bool {
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    auxv.chunks_exact(16).any(|pair| word(&pair[..8]) == libc::AT_SECURE && word(&pair[8..]) != 0)
}

/// Field of a thread's `stat` line by its number in proc(5), from 3 on.
fn stat_field(tid: Tid, number: usize) -> Option<String> {
    let bytes = file(tid, "stat").ok()?;
    let stat = String::from_utf8_lossy(&bytes);
    fields(&stat)?.nth(number.checked_sub(3)?).map(str::to_owned)
}

/// Fields 10 and 12.
fn faults_in_stat(stat: &str) -> Option<(u64, u64)> {
    let mut fields = fields(stat)?.skip(10 - 3);
    let minor = fields.next()?.parse().ok()?;
    let major = fields.nth(1)?.parse().ok()?;
    Some((minor, major))
}

/// The fields of a `stat` line from the third on. Field 2 is the name in parentheses and may itself contain spaces and parentheses,
/// so counting begins behind the last one.
fn fields(stat: &str) -> Option<std::str::SplitAsciiWhitespace<'_>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace())
}

/// The value of a line of `/proc/PID/status`, without surrounding blanks; `None` when there is no such line.
pub fn status_field(pid: u32, name: &str) -> Result<Option<String>> {
    let bytes = file(pid, "status")?;
    Ok(field(&String::from_utf8_lossy(&bytes), name).map(str::to_owned))
}

/// The value of the line `name: value`.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// The value of the line `name: value kB`, in KiB.
pub fn kib(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix("kB")?.trim_end().parse().ok()
}

/// The contents of a file in `/proc/PID`.
pub(super) fn file(pid: u32, name: &str) -> Result<Vec<u8>> {
    let path = format!("/proc/{pid}/{name}");
    std::fs::read(&path).map_err(|cause| unreadable(&path, &cause))
}

/// What it means that a file in `/proc` cannot be read: the process is gone, or it is someone else's.
pub(super) fn unreadable(path: &str, cause: &std::io::Error) -> Error {
    if cause.kind() == std::io::ErrorKind::PermissionDenied {
        return Error::new(Kind::NotPermitted, format!("cannot read {path}: {cause}; run as root or with CAP_SYS_PTRACE"));
    }
    Error::new(Kind::Target, format!("cannot read {path}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_behind_any_name() {
        let line = |name: &str| format!("77 ({name}) S 1 77 77 0 -1 4194560 1234 5678 9 10 0 0");
        for name in ["sh", "a b", ") S 1 2", "((", "", ") 9 9 9 9 9 9 9 9 9 9"] {
            assert_eq!(faults_in_stat(&line(name)), Some((1234, 9)), "{name:?}");
        }
        assert_eq!((faults_in_stat(""), faults_in_stat("1 (x) S 1 2 3"), faults_in_stat(") a b c d e f g h i j k l")), (None, None, None));
    }

    #[test]
    fn an_id_inside_is_the_last_of_several() {
        assert_eq!([inside("4321"), inside("4321\t7"), inside("4321\t900\t1"), inside("")], [None, Some(7), Some(1), None]);
        assert_eq!(pid_inside(std::process::id()), None);
    }

    #[test]
    fn lines_of_status() {
        let text = "Name:\tcat\nRssAnon:\t     120 kB\nSigCgt:\t0000000000000000\nRss:  x kB\n";
        assert_eq!((field(text, "Name"), field(text, "SigCgt"), field(text, "Nam")), (Some("cat"), Some("0000000000000000"), None));
        assert_eq!((kib(text, "RssAnon"), kib(text, "Rss"), kib(text, "SigCgt")), (Some(120), None, None));
    }

    #[test]
    fn this_process() {
        let pid = std::process::id();
        assert!(threads(pid).unwrap().contains(&pid));
        assert_eq!(exe(pid).unwrap(), std::env::current_exe().unwrap());
        assert_eq!(cmdline(pid).unwrap(), std::env::args().collect::<Vec<_>>());
        assert!(exe(pid).unwrap().to_string_lossy().contains(&comm(pid).unwrap()));
        assert!(minflt_majflt(pid).unwrap().0 > 0 && cpu_time(pid).is_some());
        assert_eq!(status_field(pid, "Tgid").unwrap(), Some(pid.to_string()));
        assert_eq!(status_field(pid, "NoSuchLine").unwrap(), None);
    }

    #[test]
    fn what_lives_and_who_made_it() {
        let pid = std::process::id();
        assert_eq!(parent(pid), Some(std::os::unix::process::parent_id()));
        assert!(is_alive(pid) && state(pid).is_some_and(|state| "RSD".contains(state)) && !is_dying(pid));
        assert!(!is_alive(u32::MAX) && state(u32::MAX).is_none() && is_dying(u32::MAX));
        assert!(!has_guarded_program(pid));
    }

    #[test]
    fn a_program_with_rights_of_its_own() {
        let auxv = |pairs: &[[u64; 2]]| pairs.iter().flatten().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        assert!(is_secure(&auxv(&[[6, 4096], [libc::AT_SECURE, 1], [0, 0]])));
        assert!(!is_secure(&auxv(&[[6, libc::AT_SECURE], [libc::AT_SECURE, 0], [0, 0]])) && !is_secure(&[23]));
    }

    #[test]
    fn no_such_process() {
        // The kernel never hands out a number as large as this.
        let gone = u32::MAX;
        for failed in [threads(gone).err(), exe(gone).err(), cmdline(gone).err(), comm(gone).err(), minflt_majflt(gone).err()] {
            let error = failed.expect("there is no such process");
            assert!(error.kind == Kind::Target && error.message.contains("/proc/4294967295"), "{error}");
        }
    }
}
