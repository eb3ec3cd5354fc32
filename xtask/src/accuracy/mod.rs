//! How far replays are from what really happens, on real programs: five tables.
//!
//! ```text
//! subjects     the programs, and what they work on
//! recording    heapcast on a subject, and the tables that it wrote
//! page_model   the recorded placements through the page model, against the kernel
//! placements   the model of the allocator that ran, against the recording, block by block
//! settings     a recording replayed with a setting, against the program really run with it
//! by_the_book  the same for brk-only and mmap-only, on libraries that do just that
//! intervals    whether the real value lies between the lowest and the highest reading, under the table of the settings
//! huge         a recording replayed with huge pages everywhere, against the program really run so
//! libraries    a recording replayed with another allocator, against the program really run with it
//! ```

mod by_the_book;
mod huge;
mod intervals;
mod libraries;
mod page_model;
mod placements;
mod recording;
mod settings;
mod subjects;

use std::fmt::Write;
use std::path::Path;

use crate::command;
use recording::Lab;

/// Where the tables are kept.
const KEPT: &str = "reports/gallery/accuracy.md";

/// A table, by the word that asks for it alone.
type Table = (&'static str, fn(&Lab) -> Result<String, String>);

const TABLES: [Table; 5] = [
    ("page-model", page_model::table),
    ("placements", placements::table),
    ("settings", settings::table),
    ("huge", huge::table),
    ("libraries", libraries::table),
];

/// Records the programs and prints the tables; all of them are also kept in the gallery. Needs root and what `cargo xtask setup` installs.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let lab = Lab::new()?;
    if let [word] = words {
        let table = TABLES.iter().find(|(name, _)| name == word);
        let (_, table) = table.ok_or_else(|| format!("no table {word}; there are {}", TABLES.map(|(name, _)| name).join(", ")))?;
        println!("{}", table(&lab)?);
        return Ok(());
    }
    let mut text = heading();
    for (_, table) in TABLES {
        let table = table(&lab)?;
        println!("{table}");
        write!(text, "\n{table}").map_err(|error| error.to_string())?;
    }
    let kept = command::root().join(KEPT);
    std::fs::write(&kept, text).map_err(|error| format!("{}: {error}", kept.display()))
}

fn heading() -> String {
    // The builder's own suffix says nothing to others.
    let release = command::output("uname", &["-r"]).unwrap_or_default();
    let kernel: Vec<&str> = release.trim().split(['.', '-']).take(2).collect();
    let libc = command::output("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "# How far replays are from what really happens\n\nMade by `cargo xtask accuracy` as root: Linux {}, {}, {cpus} CPUs. \
         Programs run with fixed addresses (`setarch -R`) and fixed hash seeds, so that two runs of a program are alike.\n",
        kernel.join("."),
        libc.trim()
    )
}

/// A file for the subjects.
fn write(folder: &Path, name: &str, text: &str) -> Result<String, String> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}
