//! Which address space a thread belongs to: threads, forks and new programs, followed in the order of the ring.

use std::collections::HashMap;

use crate::event::{ProcessId, Tid};

/// A process image as the records tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its number, an index in order of appearance.
    pub id: ProcessId,
    /// Kernel process id.
    pub pid: u32,
    /// The image that forked it or that it replaced.
    pub parent: Option<ProcessId>,
    /// Whether it began as a copy of its parent (else by `execve` or attach).
    pub forked: bool,
    /// Whether it ran before it was recorded.
    pub attached: bool,
    /// Whether a thread other than the first replaced the program: the kernel then drops the probes of the first.
    pub by_other_thread: bool,
}

/// What a thread belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A recorded image.
    Image(ProcessId),
    /// The launcher's own code before the first `execve`: not recorded.
    Launcher,
}

/// What the end of a thread meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// One thread of several.
    Thread(ProcessId),
    /// The last thread: the image is gone.
    Image(ProcessId),
    /// Nothing that is recorded.
    Nothing,
}

/// Threads and images that are alive.
#[derive(Default)]
pub struct Tasks {
    threads: HashMap<Tid, Owner>,
    leaders: HashMap<u32, ProcessId>,
    images: Vec<Image>,
    live: HashMap<ProcessId, usize>,
}

impl Tasks {
    /// The launched child before its `execve`.
    pub fn launcher(&mut self, pid: u32) {
        self.threads.insert(pid, Owner::Launcher);
    }

    /// A process that is being attached to, with the threads it has.
    pub fn attach(&mut self, pid: u32, threads: &[Tid]) -> ProcessId {
        let id = self.new_image(pid, None, false);
        self.images[id as usize].attached = true;
        for &tid in threads {
            self.add_thread(tid, id);
        }
        id
    }

    /// A living thread of an image: the first one as long as it lives.
    pub fn living_thread(&self, of: ProcessId) -> Option<Tid> {
        let leader = self.images.get(of as usize).map(|image| image.pid);
        let belongs = |tid: &Tid| self.threads.get(tid) == Some(&Owner::Image(of));
        leader.filter(belongs).or_else(|| self.threads.keys().copied().filter(belongs).min())
    }

    /// What a thread belongs to.
    pub fn owner(&self, tid: Tid) -> Option<Owner> {
        self.threads.get(&tid).copied()
    }

    /// The image that a process id stands for at this point of the ring.
    pub fn leader(&self, pid: u32) -> Option<ProcessId> {
        self.leaders.get(&pid).copied()
    }

    /// All images so far, by number.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Whether any recorded or awaited process is alive.
    pub fn any_alive(&self) -> bool {
        !self.threads.is_empty()
    }

    /// A thread that shares its maker's memory: a thread proper, or a `vfork` child until its `execve`.
    pub fn add_thread(&mut self, tid: Tid, of: ProcessId) {
        if self.threads.insert(tid, Owner::Image(of)) != Some(Owner::Image(of)) {
            *self.live.entry(of).or_default() += 1;
        }
    }

    /// A forked child with a copy of its parent's memory.
    pub fn fork(&mut self, pid: u32, parent: ProcessId) -> ProcessId {
        let id = self.new_image(pid, Some(parent), true);
        self.add_thread(pid, id);
        id
    }

    /// Process `pid` replaced its program; the calling thread had the id `old_tid`. Gives the new image and what ended by it.
    pub fn exec(&mut self, pid: u32, old_tid: Tid) -> (ProcessId, Ended) {
        let before = self.threads.get(&old_tid).or(self.threads.get(&pid)).copied();
        let ended = self.exit(old_tid);
        if old_tid != pid {
            self.exit(pid);
        }
        let parent = match before {
            Some(Owner::Image(id)) => Some(id),
            _ => None,
        };
        let id = self.new_image(pid, parent, false);
        self.images[id as usize].by_other_thread = old_tid != pid;
        self.add_thread(pid, id);
        (id, ended)
    }

    /// A thread ended.
    pub fn exit(&mut self, tid: Tid) -> Ended {
        let Some(Owner::Image(id)) = self.threads.remove(&tid) else { return Ended::Nothing };
        let live = self.live.entry(id).or_default();
        *live = live.saturating_sub(1);
        if *live > 0 {
            return Ended::Thread(id);
        }
        self.live.remove(&id);
        let pid = self.images[id as usize].pid;
        if self.leaders.get(&pid) == Some(&id) {
            self.leaders.remove(&pid);
        }
        Ended::Image(id)
    }

    fn new_image(&mut self, pid: u32, parent: Option<ProcessId>, forked: bool) -> ProcessId {
        let id = self.images.len() as ProcessId;
        self.images.push(Image { id, pid, parent, forked, attached: false, by_other_thread: false });
        self.leaders.insert(pid, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_begins_with_its_exec() {
        let mut tasks = Tasks::default();
        tasks.launcher(10);
        assert_eq!(tasks.owner(10), Some(Owner::Launcher));
        assert_eq!(tasks.exec(10, 10), (0, Ended::Nothing));
        assert_eq!((tasks.owner(10), tasks.leader(10)), (Some(Owner::Image(0)), Some(0)));
        assert_eq!(tasks.exit(10), Ended::Image(0));
        assert!(!tasks.any_alive());
    }

    #[test]
    fn a_vfork_child_shares_until_it_execs() {
        let mut tasks = Tasks::default();
        tasks.attach(10, &[10]);
        tasks.add_thread(11, 0);
        assert_eq!(tasks.owner(11), Some(Owner::Image(0)));
        assert_eq!(tasks.exec(11, 11), (1, Ended::Thread(0)));
        assert_eq!(tasks.images()[1], Image { id: 1, pid: 11, parent: Some(0), forked: false, attached: false, by_other_thread: false });
        assert_eq!((tasks.exit(11), tasks.exit(10)), (Ended::Image(1), Ended::Image(0)));
    }

    #[test]
    fn exec_by_a_second_thread_takes_the_leaders_id() {
        let mut tasks = Tasks::default();
        tasks.attach(10, &[10, 12]);
        assert_eq!(tasks.exec(10, 12), (1, Ended::Thread(0)));
        assert_eq!((tasks.owner(12), tasks.owner(10)), (None, Some(Owner::Image(1))));
    }

    #[test]
    fn the_first_thread_stands_for_its_image_while_it_lives() {
        let mut tasks = Tasks::default();
        tasks.attach(10, &[9, 10, 12]);
        assert_eq!(tasks.living_thread(0), Some(10));
        tasks.exit(10);
        assert_eq!(tasks.living_thread(0), Some(9));
        assert_eq!(tasks.living_thread(1), None);
    }

    #[test]
    fn a_thread_seen_twice_counts_once() {
        let mut tasks = Tasks::default();
        tasks.attach(10, &[10, 11]);
        tasks.add_thread(11, 0);
        assert_eq!((tasks.exit(11), tasks.exit(10)), (Ended::Thread(0), Ended::Image(0)));
    }
}
