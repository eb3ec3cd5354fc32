//! `heapcast policies`: the models, their settings and the real knobs.

use std::fmt::Write;

use super::output;
use crate::error::{Error, Kind, Result};
use crate::model::{ModelSpec, REGISTRY};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Show one model with all its settings
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let text = match &args.name {
        None => overview(),
        Some(name) => {
            let known = || REGISTRY.iter().map(|spec| spec.id).collect::<Vec<_>>().join(", ");
            let spec = REGISTRY.iter().find(|spec| spec.id == name);
            details(spec.ok_or_else(|| Error::new(Kind::Usage, format!("there is no model {name}; there are: {}", known())))?)
        }
    };
    output::print(&text)
}

fn overview() -> String {
    let mut text = String::from(
        "recorded      the recorded calls and placements themselves, driven through the page model; always part of the report;\n              with +thp=MODE as they would be with other huge pages, also where the program has a heap of its own\n",
    );
    for spec in REGISTRY {
        let _infallible = writeln!(text, "{:<13} {}", spec.id, spec.summary);
    }
    text + "\nA policy is written NAME[:key=value,…][+thp=always|madvise|never]; `heapcast policies NAME` lists the keys.\n"
}

fn details(spec: &ModelSpec) -> String {
    let mut text = format!("{}: {}\n", spec.id, spec.summary);
    if !spec.versions.is_empty() {
        let _infallible = writeln!(text, "versions: {}", spec.versions.join(", "));
    }
    for tunable in spec.tunables {
        let knobs: Vec<String> = tunable.knobs.iter().map(ToString::to_string).collect();
        let knobs = if knobs.is_empty() { "no real knob".to_owned() } else { knobs.join(", ") };
        let _infallible = writeln!(text, "  {:<21} default {:<10} {} ({knobs})", tunable.key, tunable.default, tunable.doc);
    }
    text
}
