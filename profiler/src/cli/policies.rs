//! `heapcast policies`: the models, their settings and the real knobs.

use std::fmt::Write;

use serde_json::json;

use super::output;
use crate::error::{Error, Kind, Result};
use crate::model::{ModelSpec, REGISTRY};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Show one model with all its settings
    name: Option<String>,
    /// Print the models with all their settings as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let named = args.name.as_deref().map(find).transpose()?;
    if args.json {
        let models = named.map_or_else(|| REGISTRY.to_vec(), |spec| vec![spec]);
        return output::json(&models.into_iter().map(described).collect::<Vec<_>>());
    }
    output::print(&named.map_or_else(overview, details))
}

fn find(name: &str) -> Result<&'static ModelSpec> {
    let known = || REGISTRY.iter().map(|spec| spec.id).collect::<Vec<_>>().join(", ");
    let unknown = || Error::new(Kind::Usage, format!("there is no model {name}; there are: {}", known()));
    REGISTRY.iter().copied().find(|spec| spec.id == name).ok_or_else(unknown)
}

fn described(spec: &ModelSpec) -> serde_json::Value {
    let tunables = spec.tunables.iter().map(|tunable| {
        let knobs = tunable.knobs.iter().map(|knob| json!({ "variable": knob.variable, "key": knob.key }));
        json!({
            "key": tunable.key,
            "summary": tunable.doc,
            "unit": tunable.unit.to_string(),
            "default": tunable.default,
            "lowest": tunable.range.0,
            "highest": tunable.range.1,
            "knobs": knobs.collect::<Vec<_>>(),
        })
    });
    let tunables: Vec<_> = tunables.collect();
    json!({ "name": spec.id, "summary": spec.summary, "versions": spec.versions, "tunables": tunables })
}

fn overview() -> String {
    let mut text = String::from(
        "recorded      the recorded calls and placements themselves, driven through the page model; always part of the report;\n              with +thp=MODE as they would be with other huge pages, also where the program has a heap of its own\n",
    );
    for spec in REGISTRY {
        let _infallible = writeln!(text, "{:<13} {}", spec.id, spec.summary);
    }
    text + "\nNot modelled so far: scudo, Go's heap, Google's TCMalloc (Temeraire).\nA policy is written NAME[:key=value,…][+thp=always|madvise|never]; `heapcast policies NAME` lists the keys.\n"
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
