//! Who is recorded beside the one program that is started: several processes, and the members of a control group.
//!
//! A member that begins a new program is found by the kernel half at its `execve`, before the first instruction; so is one that is born into the
//! group and executes then. Children of members are followed like all others. What is left, a process that comes in the middle of its program, is
//! found by a look at the group's list, and from then on it is recorded like any process that was running already.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::facts::ProcessFacts;
use super::session::Session;
use crate::error::{Context, Error, Kind, Result};
use crate::event::{Event, What};
use crate::target::{process, resident};
use profiler_ebpf::target as state;

/// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// A control group of the one hierarchy of version 2.
#[derive(Clone, Debug)]
pub struct Cgroup {
    folder: PathBuf,
    /// The kernel's id of it, which is its folder's inode.
    pub(super) id: u64,
}

impl Cgroup {
    /// The group at `path`: a folder, or its name below the place where groups of version 2 are mounted.
    ///
    /// # Errors
    /// `Target` when there is none.
    pub fn open(path: &Path) -> Result<Cgroup> {
        let below = path.strip_prefix("/").unwrap_or(path);
        let mounted = mount().map(|mount| mount.join(below)).filter(|folder| folder.is_dir());
        let folder = mounted.filter(|_| !path.is_dir()).unwrap_or_else(|| path.to_owned());
        if !folder.is_dir() {
            return Err(Error::new(Kind::Target, format!("there is no control group {}: `systemd-cgls` lists them", path.display())));
        }
        if !is_version_2(&folder) {
            let told = format!("{} is no control group of version 2", folder.display());
            return Err(Error::new(Kind::Target, format!("{told}: they are mounted at {}", mount().unwrap_or_default().display())));
        }
        let id = folder.metadata().context(Kind::Target, format!("cannot look at {}", folder.display()))?.ino();
        Ok(Cgroup { folder, id })
    }

    /// The processes that are in it or below it now; none when it is gone.
    pub fn members(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(list.lines().filter_map(|line| line.parse::<u32>().ok()));
            let inside = fs::read_dir(&folder).into_iter().flatten().flatten();
            folders.extend(inside.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
        }
        // 0 is one that lives where this process cannot see it.
        found.remove(&0);
        found
    }
}

fn mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.find(|fields| fields.get(2) == Some(&"cgroup2")).map(|fields| PathBuf::from(fields[1]))
}

fn is_version_2(folder: &Path) -> bool {
    let Ok(path) = std::ffi::CString::new(folder.as_os_str().as_bytes()) else { return false };
    // SAFETY: all-zero bytes are a valid statfs, the path is terminated, and both outlive the call.
    unsafe {
        let mut told: libc::statfs = std::mem::zeroed();
        libc::statfs(path.as_ptr(), &mut told) == 0 && told.f_type == CGROUP2_MAGIC
    }
}

pub(super) fn gone(pid: u32) -> Error {
    Error::new(Kind::Target, format!("there is no process {pid}: check the number with `ps`"))
}

impl Session {
    /// Begins to record a process that runs already.
    pub(super) fn attach_to(&mut self, pid: u32) -> Result<()> {
        if let Ok(What::Rss { anon, file, shmem }) = resident::rss(pid) {
            self.object.seed(pid, anon, file, shmem)?;
        }
        // Selected first: a thread that starts from now on is seen, one that exists is listed.
        self.target(pid, state::RECORDED)?;
        let threads = process::threads(pid).map_err(|_| gone(pid))?;
        let image = self.decoder.tasks.attach(pid, &threads);
        self.attached.insert(pid);
        self.sync_processes();
        let now = self.now();
        self.batch.push(Event { time: now, process: image, tid: pid, in_heap: false, what: What::Start });
        self.tell_closed(image, pid, now);
        self.snapshot(image, pid, now);
        self.probe(image)?;
        if self.processes[image as usize].exe.is_empty() {
            self.notes.push(format!("Process {pid} has no readable executable: it may be a kernel thread."));
        }
        Ok(())
    }

    /// Begins to record the members of the group that are not yet. One that ends meanwhile is nothing to tell of.
    pub(super) fn admit(&mut self) {
        let Some(group) = &self.group else { return };
        let members = group.members();
        self.attached.retain(|pid| members.contains(pid));
        let known = |pid: &u32| self.attached.contains(pid) || self.decoder.tasks.leader(*pid).is_some();
        let own = |pid: &u32| *pid == std::process::id() || process::parent(*pid) == Some(std::process::id());
        let newcomers: Vec<u32> = members.iter().copied().filter(|pid| !known(pid) && !own(pid)).collect();
        for pid in newcomers {
            let attached = self.attach_to(pid);
            // Not tried again while it stays.
            self.attached.insert(pid);
            match attached {
                Err(error) if process::is_alive(pid) => {
                    self.notes.push(format!("Process {pid} of the group could not be recorded: {error}."))
                }
                _ => {}
            }
        }
    }

    /// Whether the group that is recorded has no process left. Without a group there is nothing to wait for.
    pub(super) fn group_is_empty(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.members().is_empty())
    }

    /// What is still called something when the recording ends.
    pub(super) fn note_names(&mut self) {
        self.sync_names();
        self.processes.iter_mut().filter(|facts| facts.ended.is_none() && !facts.is_left_alone()).for_each(ProcessFacts::note_names);
    }

    /// Moves the names of threads to the facts of their processes.
    pub(super) fn sync_names(&mut self) {
        for (process, tid, name) in self.decoder.names.drain(..) {
            if let Some(facts) = self.processes.get_mut(process as usize) {
                facts.name(tid, name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_group_is_named() {
        let refused = |path: &str| Cgroup::open(Path::new(path)).expect_err("no group");
        assert!(refused("no-such-group-here").message.contains("no-such-group-here"));
        let temporary = std::env::temp_dir();
        assert!(refused(&temporary.display().to_string()).message.contains("version 2"));
        assert_eq!(refused("/dev/null").kind, Kind::Target);
    }
}
