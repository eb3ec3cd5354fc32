//! Starting a program so that nothing of it is missed: the child waits until the recorder is ready, then executes.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Kind, Result};
use crate::units::{Bytes, Nanos};

/// A child that waits before its `execve`.
pub struct Held {
    /// Its process id.
    pub pid: u32,
    go: File,
    failure: File,
}

/// How a child ended, as `wait4` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Exited(code) => write!(f, "exited {code}"),
            Ending::Killed(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

/// What the kernel says of a child at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// `ru_maxrss`: the highest resident set of the child and of the children it waited for.
    pub max_rss: Bytes,
    /// Processor time of the same.
    pub cpu: Nanos,
}

/// Forks a child that will execute `command` once [`Held::release`] is called, and that ends by itself if this process goes away first.
///
/// # Errors
/// `Target` when the program does not exist or cannot be executed; `Failed` when no process can be made.
pub fn hold(command: &[OsString]) -> Result<Held> {
    let path = program(command)?;
    let path = c_string(path.as_os_str())?;
    let arguments = command.iter().map(|argument| c_string(argument)).collect::<Result<Vec<_>>>()?;
    let mut argv: Vec<*const libc::c_char> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    argv.push(std::ptr::null());
    let (go_read, go_write) = pipe()?;
    let (failure_read, failure_write) = pipe()?;
    // SAFETY: the child calls nothing but async-signal-safe functions before it executes or exits.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(std::io::Error::last_os_error()).context(Kind::Failed, "cannot start a process"),
        0 => {
            // The child must not keep the write end open, or it would wait for ever when the recorder dies.
            drop(go_write);
            child(go_read.as_raw_fd(), failure_write.as_raw_fd(), &path, &argv)
        }
        pid => Ok(Held { pid: pid as u32, go: go_write.into(), failure: failure_read.into() }),
    }
}

impl Held {
    /// Lets the child execute its program.
    ///
    /// # Errors
    /// `Target` when the child is gone.
    pub fn release(mut self) -> Result<Started> {
        self.go.write_all(&[1]).context(Kind::Target, "the started process is gone")?;
        Ok(Started { pid: self.pid, failure: self.failure })
    }
}

/// A child that was released.
pub struct Started {
    /// Its process id.
    pub pid: u32,
    failure: File,
}

impl Started {
    /// The error number of a failed `execve`. To be asked after the child has ended.
    pub fn exec_error(&mut self) -> Option<std::io::Error> {
        let mut errno = [0; 4];
        self.failure.read_exact(&mut errno).ok()?;
        Some(std::io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))
    }

    /// Whether the child has ended; it stays a zombie, so that `/proc` still tells its totals.
    pub fn has_ended(&self) -> bool {
        // SAFETY: all-zero bytes are a valid siginfo_t, and the kernel only writes into it.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            libc::waitid(libc::P_PID, self.pid, &mut info, flags) == 0 && info.si_pid() != 0
        }
    }

    /// Takes the ended child's status and peak.
    pub fn reap(&self) -> Option<Ended> {
        let mut status = 0;
        // SAFETY: all-zero bytes are a valid rusage, and both variables outlive the call.
        let (pid, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(self.pid as i32, &mut status, libc::WNOHANG, &mut usage), usage)
        };
        if pid != self.pid as i32 {
            return None;
        }
        let ending = match libc::WIFSIGNALED(status) {
            true => Ending::Killed(libc::WTERMSIG(status)),
            false => Ending::Exited(libc::WEXITSTATUS(status)),
        };
        Some(Ended { ending, max_rss: Bytes(usage.ru_maxrss as u64 * 1024), cpu: time(usage.ru_utime) + time(usage.ru_stime) })
    }
}

fn time(of: libc::timeval) -> Nanos {
    Nanos(of.tv_sec as u64 * 1_000_000_000 + of.tv_usec as u64 * 1000)
}

fn child(go: i32, failure: i32, path: &CString, argv: &[*const libc::c_char]) -> ! {
    // SAFETY: the descriptors are open, the strings are terminated, and `environ` is the process's own.
    unsafe {
        let mut byte = 0u8;
        if libc::read(go, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(127);
        }
        give_up_privileges();
        // Rust ignores SIGPIPE, and that would be inherited.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::execv(path.as_ptr(), argv.as_ptr());
        let errno = *libc::__errno_location();
        libc::write(failure, (&raw const errno).cast(), 4);
        libc::_exit(127)
    }
}

/// The capabilities that heapcast was given to record with are not the program's. Those of root are its own, be it started by heapcast or not.
fn give_up_privileges() {
    for capability in super::permission::CAPABILITIES {
        // SAFETY: no memory is concerned. Where a capability was not handed on there is nothing to lower.
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_LOWER, capability as libc::c_ulong, 0, 0) };
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors, which nobody else owns.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(std::io::Error::last_os_error()).context(Kind::Failed, "cannot make a pipe");
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// The file that this command executes.
///
/// # Errors
/// `Usage` when no program is named, `Target` when it does not exist or cannot be executed.
pub fn program(command: &[OsString]) -> Result<PathBuf> {
    match command.first() {
        None => Err(Error::new(Kind::Usage, "no program to run was given")),
        Some(name) if name.is_empty() => Err(Error::new(Kind::Usage, "the name of the program to run is empty")),
        Some(name) if name.as_bytes().starts_with(b"-") => {
            let told = format!("there is no option {0} (a program of this name is ./{0})", name.display());
            Err(Error::new(Kind::Usage, format!("{told}: see --help")))
        }
        Some(name) => find(name),
    }
}

/// The file that a shell would execute for this name.
fn find(program: &OsStr) -> Result<PathBuf> {
    let missing = || Error::new(Kind::Target, format!("no program {} was found: check the name and PATH", program.display()));
    if program.as_bytes().contains(&b'/') {
        let path = Path::new(program);
        let found = path.metadata().map_err(|cause| Error::new(Kind::Target, format!("cannot run {}: {cause}", path.display())))?;
        if found.is_dir() || !executable(path) {
            return Err(Error::new(Kind::Target, format!("cannot run {}: it is not an executable file", path.display())));
        }
        return Ok(path.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file() && executable(file)).ok_or_else(missing)
}

fn executable(path: &Path) -> bool {
    // SAFETY: the string is terminated.
    c_string(path.as_os_str()).is_ok_and(|path| unsafe { libc::access(path.as_ptr(), libc::X_OK) } == 0)
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| Error::new(Kind::Usage, "an argument contains a zero byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(started: &Started) {
        while !started.has_ended() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_held_child_runs_when_released() {
        let started = hold(&["sh".into(), "-c".into(), "exit 3".into()]).unwrap().release().unwrap();
        wait(&started);
        assert_eq!(started.reap().unwrap().ending, Ending::Exited(3));
    }

    #[test]
    fn a_held_child_ends_when_its_recorder_lets_go() {
        let Held { pid, go, failure } = hold(&["true".into()]).unwrap();
        drop(go);
        let started = Started { pid, failure };
        wait(&started);
        assert_eq!(started.reap().unwrap().ending, Ending::Exited(127));
    }

    #[test]
    fn missing_programs_are_named() {
        let error = hold(&["no-such-program-here".into()]).err().unwrap();
        assert_eq!(error.kind, Kind::Target);
        assert!(error.message.contains("no-such-program-here"));
        assert_eq!(hold(&["".into()]).err().unwrap().kind, Kind::Usage);
        assert_eq!(hold(&["--no-such-option".into()]).err().unwrap().kind, Kind::Usage);
        assert_eq!(hold(&["/etc/passwd".into()]).err().unwrap().kind, Kind::Target);
    }

    #[test]
    fn an_exec_failure_is_told() {
        let folder = std::env::temp_dir().join(format!("heapcast-exec-{}", std::process::id()));
        std::fs::write(&folder, b"\x7fELF no").unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut started = hold(&[folder.clone().into()]).unwrap().release().unwrap();
        wait(&started);
        assert_eq!(started.exec_error().unwrap().raw_os_error(), Some(libc::ENOEXEC));
        started.reap();
        std::fs::remove_file(folder).unwrap();
    }
}
