//! Packages of Debian releases, fetched into a folder below `target`; nothing of the machine changes, and nothing is installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::{output, run as run_command};

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where this machine gets Debian's packages from.
///
/// # Errors
/// From nowhere.
pub(crate) fn mirror() -> Result<String, String> {
    let format = "$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)";
    let targets = output("apt-get", &["indextargets", "--format", format, "Created-By: Packages"]).unwrap_or_default();
    let fields = targets.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let release = |codename: &str| !codename.contains('-');
    let found = fields.into_iter().find_map(|fields| match fields[..] {
        ["Debian", "main", codename, uri] if release(codename) => Some(uri.to_owned()),
        _ => None,
    });
    found.ok_or_else(|| "no mirror of Debian is set up here: packages of other releases cannot be fetched".to_owned())
}

/// One release of a mirror, as a line of `sources.list`.
pub(crate) fn source(mirror: &str, release: &str) -> String {
    format!("deb [signed-by={KEYS}] {mirror} {release} main\n")
}

/// `apt` with lists, sources and downloads in a folder of its own.
pub(crate) struct Apt<'a> {
    folder: &'a Path,
    /// Options of every call.
    options: &'a [&'a str],
}

impl<'a> Apt<'a> {
    /// Prepares the folder, and asks these sources what they have.
    pub(crate) fn new(folder: &'a Path, options: &'a [&'a str], sources: &str) -> Result<Apt<'a>, String> {
        let apt = Apt { folder, options };
        let places = ["lists/partial", "cache/archives/partial"].map(|name| folder.join(name));
        places.iter().try_for_each(fs::create_dir_all).map_err(|error| apt.failed(error))?;
        fs::write(folder.join("sources.list"), sources).map_err(|error| apt.failed(error))?;
        run_command(apt.command("apt-get").args(["--quiet=2", "update"]))?;
        Ok(apt)
    }

    /// What a package depends on, of the names that begin so.
    pub(crate) fn depends(&self, package: &str, start: &str) -> Result<Vec<String>, String> {
        let said = self.command("apt-cache").args(["depends", package]).output().map_err(|error| self.failed(error))?;
        let said = String::from_utf8_lossy(&said.stdout);
        let names = said.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.filter(|name| name.starts_with(start)).map(str::to_owned).collect())
    }

    /// Leaves the packages in the folder.
    pub(crate) fn download<S: AsRef<str>>(&self, packages: &[S]) -> Result<(), String> {
        run_command(self.command("apt-get").args(["--quiet=2", "download"]).args(packages.iter().map(AsRef::as_ref)))
    }

    /// The packages that were downloaded.
    pub(crate) fn packages(&self) -> Result<Vec<PathBuf>, String> {
        let entries = fs::read_dir(self.folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let files = entries.map_err(|error| self.failed(error))?.into_iter().map(|entry| entry.path());
        Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
    }

    /// What is in the packages that were downloaded, together in one folder.
    pub(crate) fn unpack(&self) -> Result<PathBuf, String> {
        let root = self.folder.join("root");
        for package in self.packages()? {
            run_command(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root))?;
        }
        Ok(root)
    }

    /// Keeps only what was downloaded and unpacked.
    pub(crate) fn forget_lists(&self) -> Result<(), String> {
        ["lists", "cache"].iter().try_for_each(|name| fs::remove_dir_all(self.folder.join(name))).map_err(|error| self.failed(error))
    }

    fn command(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        for (key, name) in [("Etc::SourceList", "sources.list"), ("State::Lists", "lists"), ("Cache", "cache")] {
            apt.arg("-o").arg(format!("Dir::{key}={}", self.folder.join(name).display()));
        }
        let others =
            ["Dir::Etc::SourceParts=/dev/null", "Dir::State::Status=/dev/null", "Acquire::Languages=none", "APT::Sandbox::User=root"];
        others.iter().for_each(|option| _ = apt.args(["-o", option]));
        apt.args(self.options).current_dir(self.folder);
        apt
    }

    fn failed(&self, error: std::io::Error) -> String {
        format!("{}: {error}", self.folder.display())
    }
}
