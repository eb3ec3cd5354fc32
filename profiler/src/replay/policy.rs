//! A policy: an allocator model with its settings, and the kernel's huge-page mode.
//!
//! ```text
//! SPEC     NAME[@VERSION][:key=value[,key=value…]][+thp=always|madvise|never]
//!          env:VARIABLE=value[ VARIABLE=value…][+thp=…]              the real knobs, as one would set them
//!          recorded[+thp=…]                                          the recorded placements themselves
//! value    a whole number, with K, M or G (powers of 1024) where it counts bytes
//! ```

use crate::error::{Error, Kind, Result};
use crate::model::{AllocatorModel, ModelSpec, REGISTRY, Settings, Tunable, Unit};
use crate::units::Bytes;
use crate::vm::thp;
use std::fmt;

/// A SPEC that was understood. Displays as it was given.
#[derive(Clone, Debug)]
pub struct Policy {
    text: String,
    /// `None`: the recorded placements.
    model: Option<(&'static ModelSpec, Settings)>,
    /// The SPEC names a version.
    versioned: bool,
    thp: Option<thp::Mode>,
}

/// The name of the policy that is no model.
const RECORDED: &str = "recorded";

impl Policy {
    /// Understands a SPEC, or says what it does not know and what comes nearest.
    pub fn parse(text: &str) -> Result<Policy> {
        Policy::among(text, REGISTRY)
    }

    /// The policy that is the recorded placements.
    pub fn recorded() -> Policy {
        Policy { text: RECORDED.to_owned(), model: None, versioned: false, thp: None }
    }

    /// Whether it is the recorded placements, which no model replays; possibly in another huge-page mode.
    pub fn is_recorded(&self) -> bool {
        self.model.is_none()
    }

    /// Whether it is what happened, and no question of what would have.
    pub fn is_what_happened(&self) -> bool {
        self.is_recorded() && self.thp.is_none()
    }

    /// Its model.
    pub fn model(&self) -> Option<&'static ModelSpec> {
        self.model.as_ref().map(|(spec, _)| *spec)
    }

    /// The huge-page mode asked for; without one, the recorded machine's counts.
    pub fn thp(&self) -> Option<thp::Mode> {
        self.thp
    }

    /// What its model is built with.
    pub fn settings(&self) -> Option<&Settings> {
        self.model.as_ref().map(|(_, settings)| settings)
    }

    /// Whether the SPEC names a version.
    pub fn is_versioned(&self) -> bool {
        self.versioned
    }

    pub(super) fn set_version(&mut self, version: Option<&'static str>) {
        if let Some((_, settings)) = &mut self.model {
            settings.version = version;
        }
    }

    pub(super) fn set_cpus(&mut self, cpus: Option<u32>) {
        if let (Some((_, settings)), Some(cpus)) = (&mut self.model, cpus) {
            settings.cpus = cpus;
        }
    }

    /// Whether the two cannot differ, whatever they are called.
    pub(super) fn does_the_same_as(&self, other: &Policy) -> bool {
        let model = |policy: &Policy| policy.model.as_ref().map(|(spec, settings)| (spec.id, settings.clone()));
        model(self) == model(other) && self.thp == other.thp
    }

    /// The model, ready to run.
    pub fn build(&self) -> Result<Box<dyn AllocatorModel>> {
        match &self.model {
            Some((spec, settings)) => (spec.build)(settings),
            None => Err(usage("`recorded` is the recording itself and not a model that could be run".to_owned())),
        }
    }

    /// The real knobs for what was set, as one would put them into the environment.
    ///
    /// # Errors
    /// `Usage` for a setting that only the model has.
    pub fn variables(&self) -> Result<Vec<(String, String)>> {
        let mut found: Vec<(String, String)> = Vec::new();
        let Some((spec, settings)) = &self.model else { return Ok(found) };
        for tunable in spec.tunables.iter().filter(|tunable| settings.is_set(tunable.key)) {
            let what_if = || usage(format!("{} of {} is a setting of the model only: no real knob stands for it", tunable.key, spec.id));
            let knob = tunable.knobs.first().ok_or_else(what_if)?;
            let value = knob_text(spec, tunable, settings.get(tunable.key)).ok_or_else(what_if)?;
            let list = LISTS.iter().find(|(name, ..)| *name == knob.variable);
            let entry = match (list, knob.key) {
                (Some((_, _, inside)), Some(key)) => format!("{key}{inside}{value}"),
                _ => value,
            };
            match (found.iter_mut().find(|(variable, _)| variable == knob.variable), list) {
                (Some((_, text)), Some((_, between, _))) => *text += &format!("{between}{entry}"),
                _ => found.push((knob.variable.to_owned(), entry)),
            }
        }
        Ok(found)
    }

    pub(super) fn among(text: &str, known: &[&'static ModelSpec]) -> Result<Policy> {
        let (body, thp) = match text.split_once('+') {
            None => (text, None),
            Some((body, mode)) => (body, Some(thp_mode(mode)?)),
        };
        if body == RECORDED {
            return Ok(Policy { text: text.to_owned(), thp, ..Policy::recorded() });
        }
        let model = match body.strip_prefix("env:") {
            Some(knobs) => from_knobs(knobs, known)?,
            None => from_spec(body, known)?,
        };
        let versioned = !body.starts_with("env:") && body.split(':').next().is_some_and(|head| head.contains('@'));
        Ok(Policy { text: text.to_owned(), model: Some(model), versioned, thp })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

fn usage(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

fn thp_mode(text: &str) -> Result<thp::Mode> {
    let modes = thp::Mode::ALL.map(|(_, name)| name);
    let Some(mode) = text.strip_prefix("thp=") else {
        return Err(usage(format!("after `+` comes `thp=` with one of {}, not `{text}`", modes.join(", "))));
    };
    mode.parse().map_err(|()| unknown("huge-page mode", mode, &modes))
}

fn from_spec(body: &str, known: &[&'static ModelSpec]) -> Result<(&'static ModelSpec, Settings)> {
    let (head, pairs) = match body.split_once(':') {
        None => (body, None),
        Some((head, pairs)) => (head, Some(pairs)),
    };
    let (name, version) = match head.split_once('@') {
        None => (head, None),
        Some((name, version)) => (name, Some(version)),
    };
    let Some(&spec) = known.iter().find(|spec| spec.id == name) else {
        let names: Vec<&str> = known.iter().map(|spec| spec.id).chain([RECORDED]).collect();
        return Err(unknown("policy", name, &names));
    };
    let mut settings = Settings::defaults(spec);
    if let Some(version) = version {
        let found = spec.versions.iter().find(|known| **known == version);
        settings.version = Some(found.ok_or_else(|| unknown_version(spec, version))?);
    }
    for pair in pairs.into_iter().flat_map(|pairs| pairs.split(',')) {
        let (key, value) = pair.split_once('=').ok_or_else(|| usage(format!("`{pair}` is not of the form key=value")))?;
        let keys: Vec<&str> = spec.tunables.iter().map(|tunable| tunable.key).collect();
        let tunable = spec.tunables.iter().find(|tunable| tunable.key == key);
        let tunable = tunable.ok_or_else(|| unknown(&format!("setting of {}", spec.id), key, &keys))?;
        settings.set(tunable, number(tunable, value)?);
    }
    Ok((spec, settings))
}

fn unknown_version(spec: &ModelSpec, version: &str) -> Error {
    match spec.versions {
        [] => usage(format!("{} has no versions to choose from", spec.id)),
        versions => unknown(&format!("version of {}", spec.id), version, versions),
    }
}

/// `VARIABLE=value VARIABLE=value`: every assignment must be a knob of one and the same model.
fn from_knobs(text: &str, known: &[&'static ModelSpec]) -> Result<(&'static ModelSpec, Settings)> {
    let mut chosen: Option<(&'static ModelSpec, Settings)> = None;
    for assignment in text.split_whitespace() {
        let (variable, value) =
            assignment.split_once('=').ok_or_else(|| usage(format!("`{assignment}` is not of the form VARIABLE=value")))?;
        for (key, value) in entries(variable, value)? {
            let (spec, tunable) = find_knob(variable, key, known)?;
            let (model, settings) = chosen.get_or_insert_with(|| (spec, Settings::defaults(spec)));
            if model.id != spec.id {
                return Err(usage(format!("`{assignment}` belongs to {}, but an earlier assignment to {}", spec.id, model.id)));
            }
            if let Some(value) = (spec.knob_value)(tunable, value) {
                settings.set(tunable, value);
            }
        }
    }
    chosen.ok_or_else(|| usage("`env:` needs at least one VARIABLE=value".to_owned()))
}

/// Variables whose value holds several settings: what separates them, and key from value.
const LISTS: [(&str, char, char); 3] = [("GLIBC_TUNABLES", ':', '='), ("MALLOC_CONF", ',', ':'), ("SCUDO_OPTIONS", ':', '=')];

/// The text that the real allocator takes for this value.
fn knob_text(spec: &ModelSpec, tunable: &Tunable, value: i64) -> Option<String> {
    let words = ["true", "false", "yes", "no", "on", "off", "default", "disabled", "always", "never"].map(str::to_owned);
    let texts = [value.to_string(), (value >> 10).to_string()].into_iter().chain(words);
    texts.into_iter().find(|text| (spec.knob_value)(tunable, text) == Some(value))
}

fn entries<'a>(variable: &str, value: &'a str) -> Result<Vec<(Option<&'a str>, &'a str)>> {
    let Some(&(_, between, inside)) = LISTS.iter().find(|(name, ..)| *name == variable) else { return Ok(vec![(None, value)]) };
    let entry = |text: &'a str| match text.split_once(inside) {
        Some((key, value)) => Ok((Some(key), value)),
        None => Err(usage(format!("`{text}` in {variable} is not of the form key{inside}value"))),
    };
    value.split(between).map(entry).collect()
}

/// A tunable with the value that its real knob was given; the text where that is no value of it.
pub(super) type Given<'a> = (&'static Tunable, std::result::Result<i64, &'a str>);

/// What a variable of a program's environment means to a model. Unlike a SPEC, it may name what the model does not have.
pub(super) fn understood<'a>(spec: &'static ModelSpec, variable: &str, value: &'a str) -> Vec<Given<'a>> {
    let list = LISTS.iter().find(|(name, ..)| *name == variable);
    let parts = value.split(|c| list.is_some_and(|&(_, between, _)| c == between));
    let keyed = parts.filter_map(|part| match list {
        Some(&(_, _, inside)) => part.split_once(inside).map(|(key, value)| (Some(key), value)),
        None => Some((None, part)),
    });
    let meant = keyed.filter_map(|(key, value)| {
        let stands_for = |tunable: &&Tunable| tunable.knobs.iter().any(|knob| knob.variable == variable && knob.key == key);
        let tunable = spec.tunables.iter().find(stands_for)?;
        Some((tunable, (spec.knob_value)(tunable, value).ok_or(value)))
    });
    meant.collect()
}

fn find_knob(variable: &str, key: Option<&str>, known: &[&'static ModelSpec]) -> Result<(&'static ModelSpec, &'static Tunable)> {
    let shown = |variable: &str, key: Option<&str>| key.map_or(variable.to_owned(), |key| format!("{variable}={key}"));
    let mut names = Vec::new();
    for &spec in known {
        for tunable in spec.tunables {
            if tunable.knobs.iter().any(|knob| knob.variable == variable && knob.key == key) {
                return Ok((spec, tunable));
            }
            names.extend(tunable.knobs.iter().map(|knob| shown(knob.variable, knob.key)));
        }
    }
    let wanted = shown(variable, key);
    if names.is_empty() {
        let models: Vec<&str> = known.iter().map(|spec| spec.id).collect();
        return Err(usage(format!("`{wanted}` is a knob of no model here; the models {} have none of their own", models.join(", "))));
    }
    Err(unknown("knob", &wanted, &names.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn number(tunable: &Tunable, text: &str) -> Result<i64> {
    let value = match tunable.unit {
        Unit::Bytes if !text.starts_with('-') => text.parse::<Bytes>().ok().and_then(|bytes| bytes.0.try_into().ok()),
        _ => text.parse::<i64>().ok(),
    };
    let (low, high) = tunable.range;
    match value {
        Some(value) if low <= value && value <= high => Ok(value),
        Some(_) => Err(usage(format!("{}={text} is out of range: {low} to {high}", tunable.key))),
        None => {
            let form = if tunable.unit == Unit::Bytes { "a number of bytes (K, M, G allowed)" } else { "a whole number" };
            Err(usage(format!("{}={text} is not {form}", tunable.key)))
        }
    }
}

fn unknown(what: &str, given: &str, valid: &[&str]) -> Error {
    let Some(nearest) = valid.iter().min_by_key(|name| distance(given, name)) else {
        return usage(format!("unknown {what} `{given}`: there is none"));
    };
    usage(format!("unknown {what} `{given}`; did you mean `{nearest}`? Known: {}", valid.join(", ")))
}

/// Edits (insert, delete, replace a character) that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
#[path = "policy_tests.rs"]
pub(super) mod tests;
