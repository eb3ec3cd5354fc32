//! Errors are values with a kind; the kind decides the exit code.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $meaning:literal;)*) => {
        /// What class of failure it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// Every kind: exit code and meaning, for help and documentation.
            pub const ALL: &'static [(Kind, u8, &'static str)] = &[$((Kind::$name, $code, $meaning),)*];

            /// The exit code of the process.
            pub const fn exit_code(self) -> u8 {
                match self { $(Kind::$name => $code,)* }
            }
        }
    };
}

kinds! {
    /// Anything without a kind of its own.
    Failed = 1, "failed";
    /// The command line asks for something that does not exist or does not fit.
    Usage = 2, "usage";
    /// Privileges are missing; the message says which and what to type.
    NotPermitted = 3, "not permitted";
    /// The kernel lacks a feature.
    Unsupported = 4, "the kernel lacks a feature";
    /// The program or process to record is not there or cannot be recorded.
    Target = 5, "target not found or unsupported";
    /// A trace cannot be read; the message says which file, which byte, and what survives.
    Trace = 6, "trace unreadable";
    /// A place to write to cannot be written.
    Output = 7, "output not writable";
}

/// A failure: its kind, and a sentence that names the thing and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Decides the exit code.
    pub kind: Kind,
    /// For a person; without a full stop at its end.
    pub message: String,
}

/// What can fail gives this.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Adds a kind and a context to any error: `file.sync().context(Kind::Output, "cannot write out.csv")?`.
pub trait Context<T> {
    /// The value, or an [`Error`] of `kind` that reads `doing: cause`.
    fn context(self, kind: Kind, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, kind: Kind, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|cause| Error::new(kind, format!("{doing}: {cause}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes: Vec<u8> = Kind::ALL
            .iter()
            .map(|(kind, code, _)| {
                assert_eq!(kind.exit_code(), *code);
                *code
            })
            .collect();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn context_names_the_thing() {
        let failed: std::result::Result<(), _> = Err("no space left");
        assert_eq!(failed.context(Kind::Output, "cannot write a.csv").unwrap_err().to_string(), "cannot write a.csv: no space left");
    }
}
