//! What one types to get a policy for real.

use reports::study::Paste;

use crate::measure::preloaded;
use crate::replay::Policy;
use crate::replay::outcome::{Outcome, Source};
use crate::trace::manifest::Process;

/// What the answer depends on.
pub(super) struct Setting<'a> {
    /// The recorded process.
    pub(super) process: &'a Process,
    /// The allocator that really ran.
    pub(super) ran: Option<&'a str>,
    /// The policy that stands for it.
    pub(super) checked: &'a str,
    /// The machine's huge-page mode.
    pub(super) huge_pages: Option<&'a str>,
}

impl Setting<'_> {
    /// How one gets `outcome`; `None` where nobody can.
    pub(super) fn paste(&self, outcome: &Outcome) -> Option<Paste> {
        if outcome.policy == self.checked && outcome.source == Source::Simulated && self.ran.is_some() {
            return Some(Paste::default());
        }
        match Policy::parse(&outcome.policy) {
            Ok(policy) => self.of_policy(&policy),
            // A library by its file has no SPEC.
            Err(_) => (outcome.source == Source::Replayed && self.can_preload()).then(|| Paste {
                before: assignment("LD_PRELOAD", &outcome.policy),
                machine: String::new(),
                other_allocator: true,
            }),
        }
    }

    fn of_policy(&self, policy: &Policy) -> Option<Paste> {
        let (spec, ran) = (policy.model()?, self.ran?);
        let mut variables = policy.variables().ok()?;
        let other_allocator = spec.id != ran;
        if other_allocator {
            variables.insert(0, ("LD_PRELOAD".to_owned(), self.preload(spec.id)?));
        } else if policy.is_versioned() && !self.is_version(spec.id, policy.settings()?.version) {
            return None;
        }
        let steers = |name: &str| spec.tunables.iter().flat_map(|tunable| tunable.knobs).any(|knob| knob.variable == name);
        let given = |name: &str| variables.iter().any(|(variable, _)| variable == name);
        let stale = self.process.environment.keys().filter(|name| steers(name) && !given(name));
        let unset: Vec<String> = stale.map(|name| format!("-u {name}")).collect();
        let env = if unset.is_empty() { String::new() } else { format!("env {} ", unset.join(" ")) };
        let set: Vec<String> = variables.iter().map(|(name, value)| assignment(name, value)).collect();
        let mode = policy.thp().map(|mode| mode.to_string()).filter(|mode| Some(mode.as_str()) != self.huge_pages);
        let machine = mode.map_or(String::new(), |mode| format!("echo {mode} > /sys/kernel/mm/transparent_hugepage/enabled"));
        Some(Paste { before: (env + &set.join(" ")).trim_end().to_owned(), machine, other_allocator })
    }

    fn preload(&self, allocator: &str) -> Option<String> {
        if self.can_preload() { preloaded(allocator).map(str::to_owned) } else { None }
    }

    /// A program that brings its allocator inside itself finds that one first, and musl loads no library made for glibc.
    fn can_preload(&self) -> bool {
        let inside = self.process.allocators.iter().any(|found| found.path == self.process.exe);
        self.ran.is_some_and(|ran| ran != "musl") && !inside
    }

    fn is_version(&self, allocator: &str, version: Option<&str>) -> bool {
        let ran = self.process.allocators.iter().find(|found| found.name == allocator).and_then(|found| found.version.as_deref());
        ran == version
    }
}

/// `NAME=value` for a shell.
fn assignment(name: &str, value: &str) -> String {
    let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "_-+./:,=@%".contains(c));
    if plain { format!("{name}={value}") } else { format!("{name}='{}'", value.replace('\'', r"'\''")) }
}

#[cfg(test)]
#[path = "paste_tests.rs"]
mod tests;
