//! Where results go: checked before the work begins, never overwritten without `--force`.

use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::error::{Context, Error, Kind, Result};

/// Makes the folder for a report, or sees that it may be written into.
///
/// # Errors
/// `Output` when it holds a report already and `force` is not set, or when it cannot be written.
pub(super) fn prepare(folder: &Path, force: bool) -> Result<()> {
    let there = ["report.html", "study.json", "summary.csv"].into_iter().find(|name| folder.join(name).exists());
    if let Some(name) = there
        && !force
    {
        return Err(Error::new(
            Kind::Output,
            format!("{} exists already: choose another folder with -o, or replace it with --force", folder.join(name).display()),
        ));
    }
    std::fs::create_dir_all(folder).context(Kind::Output, format!("cannot make the folder {}", folder.display()))?;
    let probe = folder.join(".heapcast-writable");
    std::fs::write(&probe, b"").context(Kind::Output, format!("cannot write into {}", folder.display()))?;
    std::fs::remove_file(&probe).context(Kind::Output, format!("cannot write into {}", folder.display()))
}

/// Columns of the terminal that stdout is; a readable width elsewhere.
pub(super) fn width() -> usize {
    terminal_size::terminal_size_of(std::io::stdout()).map_or(120, |(width, _)| width.0.into())
}

/// Prints a result to stdout. A reader that has closed its end (`| head`) is no failure.
///
/// # Errors
/// `Output` when stdout cannot be written.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context(Kind::Output, "cannot write to stdout"),
        _ => Ok(()),
    }
}

/// Prints a result as JSON.
///
/// # Errors
/// `Failed` when it has no JSON, `Output` when stdout cannot be written.
pub(super) fn json(result: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(result).context(Kind::Failed, "cannot encode the result as JSON")?;
    print(&(text + "\n"))
}
