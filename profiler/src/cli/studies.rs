//! A study from a path: one that was written, or a trace that is replayed now.

use std::path::{Path, PathBuf};

use reports::study::{STUDY_VERSION, Study};

use super::progress::Talk;
use super::replay;
use crate::error::{Context, Error, Kind, Result};
use crate::trace::EVENTS;

const STUDY_FILE: &str = "study.json";

/// What a path holds.
enum Held {
    Study(PathBuf),
    Trace,
}

/// The study at `path`: `study.json` or a folder with it, or a trace, which is replayed against `specs` (none: every model).
///
/// # Errors
/// `Trace` for what is neither or cannot be read, `Usage` for a SPEC or process that is not there.
pub(super) fn open(path: &Path, specs: &[String], process: Option<&str>, talk: Talk) -> Result<Study> {
    match held(path)? {
        Held::Study(file) => read(&file),
        Held::Trace => replay::study(path, &replay::parsed(specs)?.only_models(), process, talk),
    }
}

fn held(path: &Path) -> Result<Held> {
    if path.is_file() {
        return Ok(Held::Study(path.to_owned()));
    }
    if path.join(STUDY_FILE).is_file() {
        return Ok(Held::Study(path.join(STUDY_FILE)));
    }
    if path.join(EVENTS).is_file() {
        return Ok(Held::Trace);
    }
    let what = if path.is_dir() { format!("holds neither {STUDY_FILE} nor {EVENTS}") } else { "is not there".to_owned() };
    let next = "give the folder of a report or of a trace, as `heapcast run` and `heapcast record` make them";
    Err(Error::new(Kind::Trace, format!("{} {what}: {next}", path.display())))
}

fn read(file: &Path) -> Result<Study> {
    let text = std::fs::read(file).context(Kind::Trace, format!("cannot read {}", file.display()))?;
    // The version first: a later one may have other fields.
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let not_a_study = || format!("{} is no study of heapcast", file.display());
    let Version { version } = serde_json::from_slice(&text).context(Kind::Trace, not_a_study())?;
    if version != STUDY_VERSION {
        let told = format!("{} is a study of version {version}, this heapcast reads version {STUDY_VERSION}", file.display());
        return Err(Error::new(Kind::Trace, format!("{told}: make it again from its trace with `heapcast replay`")));
    }
    serde_json::from_slice(&text).context(Kind::Trace, not_a_study())
}
