//! The allocator that really ran, as a policy: what a recording tells of it, and what that makes of the policies that were asked for.

use super::libraries::Libraries;
use super::policy::{Policy, understood};
use crate::error::Result;
use crate::model::{Footprint, ModelSpec, REGISTRY};
use std::collections::BTreeMap;

/// What a recording tells of a process and its allocators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// The allocator that the program used, such as `glibc`.
    pub allocator: Option<String>,
    /// Versions of the allocators found in it, by name.
    pub versions: BTreeMap<String, String>,
    /// The variables of its environment that steer an allocator.
    pub environment: BTreeMap<String, String>,
    /// Processors of the machine that were online.
    pub cpus: Option<u32>,
    /// The files whose code it had mapped; empty where that is not known.
    pub files: Vec<String>,
}

/// The policies of a study, in their order.
#[derive(Clone, Debug, Default)]
pub struct LineUp {
    /// What is to be replayed.
    pub policies: Vec<Policy>,
    /// Whether the first of them is the allocator that really ran.
    pub checked: bool,
    /// What the process has that a library needs, and that of the allocator that ran.
    pub libraries: Libraries,
    /// What a person should know, in full sentences.
    pub remarks: Vec<String>,
}

impl Ran {
    /// The policies that were asked for, completed by what the recording tells, after the model of the allocator that really ran: added where it
    /// was not asked for, never twice.
    ///
    /// # Errors
    /// `Failed` when a model refuses a SPEC made of its own names, which would be a defect.
    pub fn line_up(&self, asked: Vec<Policy>) -> Result<LineUp> {
        self.line_up_among(asked, REGISTRY)
    }

    pub(super) fn line_up_among(&self, mut asked: Vec<Policy>, known: &[&'static ModelSpec]) -> Result<LineUp> {
        let mut remarks = Vec::new();
        for policy in &mut asked {
            self.complete(policy, &mut remarks);
        }
        let Some(spec) = self.allocator.as_ref().and_then(|name| known.iter().find(|spec| spec.id == name)) else {
            return Ok(LineUp { policies: asked, checked: false, libraries: Libraries::new(&self.files, Footprint::NONE), remarks });
        };
        let mut model = Policy::among(&self.spec_of(spec, &mut remarks), known)?;
        self.complete(&mut model, &mut remarks);
        if let Some(place) = asked.iter().position(|policy| policy.does_the_same_as(&model)) {
            model = asked.remove(place);
        }
        asked.insert(0, model);
        Ok(LineUp { policies: asked, checked: true, libraries: Libraries::new(&self.files, spec.library), remarks })
    }

    /// A policy without a version means that of the recorded program; every policy runs on the recorded machine.
    fn complete(&self, policy: &mut Policy, remarks: &mut Vec<String>) {
        policy.set_cpus(self.cpus);
        let Some(spec) = policy.model().filter(|_| !policy.is_versioned()) else { return };
        let version = self.version_of(spec, remarks);
        if version.is_some() || self.allocator.as_deref() == Some(spec.id) {
            policy.set_version(version);
        }
    }

    /// The version to be modelled: the newest known one that is not newer than the program's, or the oldest.
    fn version_of(&self, spec: &ModelSpec, remarks: &mut Vec<String>) -> Option<&'static str> {
        if self.allocator.as_deref() == Some(spec.id) && !self.versions.contains_key(spec.id) && !spec.versions.is_empty() {
            remark(
                remarks,
                format!("Which version of {} the program has is not known: the version that is known best is modelled.", spec.id),
            );
        }
        let ran = self.versions.get(spec.id)?;
        let older = spec.versions.iter().rfind(|known| numbers(known) <= numbers(ran));
        let version = older.or(spec.versions.first())?;
        if numbers(version) != numbers(ran) {
            remark(remarks, format!("The program ran with {} {ran}; the nearest version that is modelled is {version}.", spec.id));
        }
        Some(version)
    }

    /// The settings under which the allocator ran, as a SPEC.
    fn spec_of(&self, spec: &'static ModelSpec, remarks: &mut Vec<String>) -> String {
        let mut settings: BTreeMap<&str, i64> = BTreeMap::new();
        // A list of tunables wins over variables of their own; its name comes first in the alphabet.
        for (variable, value) in self.environment.iter().rev() {
            for (tunable, value) in understood(spec, variable, value) {
                match value {
                    Ok(value) => _ = settings.insert(tunable.key, value),
                    Err(text) => remark(remarks, format!("{variable} has {text:?} for {}, which is taken as ignored.", tunable.key)),
                }
            }
        }
        let version = self.version_of(spec, remarks).map(|version| format!("@{version}")).unwrap_or_default();
        let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let settings = if settings.is_empty() { String::new() } else { format!(":{}", settings.join(",")) };
        format!("{}{version}{settings}", spec.id)
    }
}

/// Says a thing once.
fn remark(remarks: &mut Vec<String>, text: String) {
    if !remarks.contains(&text) {
        remarks.push(text);
    }
}

/// `2.36` as numbers that compare.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::policy::tests::SPEC;

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn ran(version: &str, environment: &[(&str, &str)]) -> Ran {
        let allocator = Some("sample".to_owned());
        Ran { allocator, versions: pairs(&[("sample", version)]), environment: pairs(environment), cpus: Some(6), files: Vec::new() }
    }

    fn lined_up(ran: &Ran, asked: &[&str]) -> (Vec<String>, LineUp) {
        let asked = asked.iter().map(|text| Policy::among(text, &[&SPEC]).expect("a SPEC")).collect();
        let line_up = ran.line_up_among(asked, &[&SPEC]).expect("lined up");
        (line_up.policies.iter().map(ToString::to_string).collect(), line_up)
    }

    #[test]
    fn what_really_ran_comes_first_and_never_twice() {
        let ran = ran("1.0", &[]);
        assert_eq!(lined_up(&ran, &["sample:arena_max=1"]).0, ["sample@1.0", "sample:arena_max=1"]);
        assert_eq!(lined_up(&ran, &["sample:arena_max=1", "sample"]).0, ["sample", "sample:arena_max=1"]);
        assert_eq!(lined_up(&ran, &["sample@1.0"]).0, ["sample@1.0"]);
        assert_eq!(lined_up(&ran, &["sample@2.36"]).0, ["sample@1.0", "sample@2.36"]);
        assert_eq!(lined_up(&ran, &["sample+thp=always"]).0, ["sample@1.0", "sample+thp=always"]);
        let (_, line_up) = lined_up(&ran, &["sample:decay_ms=5"]);
        let settings = |at: usize| line_up.policies[at].settings().expect("a model");
        assert_eq!((settings(0).version, settings(0).cpus, settings(1).version, settings(1).cpus), (Some("1.0"), 6, Some("1.0"), 6));
        assert!(line_up.checked && line_up.remarks.is_empty());
    }

    #[test]
    fn it_runs_under_the_settings_it_ran_under() {
        let environment = [
            ("GLIBC_TUNABLES", "glibc.malloc.check=3:glibc.malloc.arena_max=2:nonsense"),
            ("MALLOC_MMAP_THRESHOLD_", "65536"),
            ("MALLOC_CONF", "dirty_decay_ms:x"),
            ("LD_PRELOAD", "/lib/x.so"),
        ];
        let (names, line_up) = lined_up(&ran("2.36", &environment), &["sample", "env:GLIBC_TUNABLES=glibc.malloc.arena_max=2"]);
        assert_eq!(names, ["sample@2.36:arena_max=2,mmap_threshold=65536", "sample", "env:GLIBC_TUNABLES=glibc.malloc.arena_max=2"]);
        assert_eq!(line_up.remarks, ["MALLOC_CONF has \"x\" for decay_ms, which is taken as ignored."]);
    }

    #[test]
    fn an_unknown_version_is_the_next_older_one() {
        let first = |version: &str| {
            let (names, line_up) = lined_up(&ran(version, &[]), &["sample"]);
            (names.len(), line_up.policies[0].settings().and_then(|settings| settings.version), line_up.remarks.len())
        };
        assert_eq!(first("2.4"), (1, Some("1.0"), 1));
        assert_eq!(first("2.41"), (1, Some("2.36"), 1));
        assert_eq!(first("0.9"), (1, Some("1.0"), 1));
        assert_eq!(first("1.0"), (1, Some("1.0"), 0));
        let unknown = Ran { versions: BTreeMap::new(), ..ran("", &[]) };
        let (names, line_up) = lined_up(&unknown, &["sample:arena_max=1"]);
        assert_eq!((names[0].as_str(), line_up.remarks.len()), ("sample", 1));
        assert!(line_up.policies.iter().all(|policy| policy.settings().is_some_and(|settings| settings.version.is_none())));
    }

    #[test]
    fn without_a_model_of_it_there_is_nothing_to_check() {
        let other = Ran { allocator: Some("other".to_owned()), ..ran("1.0", &[]) };
        let (names, line_up) = lined_up(&other, &["sample"]);
        assert_eq!((names, line_up.checked), (vec!["sample".to_owned()], false));
        assert_eq!(line_up.policies[0].settings().and_then(|settings| settings.version), Some("1.0"));
    }
}
