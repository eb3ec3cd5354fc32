//! The page's styles and scripts, one file per section, in the order in which they stand in the page.

/// Styles; what depends on the width of the screen comes last.
pub(super) const STYLES: &[&str] = &[
    include_str!("../../vendor/uplot/uPlot.min.css"),
    include_str!("../page/base.css"),
    include_str!("../page/check.css"),
    include_str!("../page/answer.css"),
    include_str!("../page/chart.css"),
    include_str!("../page/summary.css"),
    include_str!("../page/held.css"),
    include_str!("../page/memory.css"),
    include_str!("../page/map.css"),
    include_str!("../page/callsites.css"),
    include_str!("../page/distributions.css"),
    include_str!("../page/facts.css"),
    include_str!("../page/media.css"),
];

/// Scripts: each is an element of its own, so that an error in one does not stop the others. `core.js` comes first, `ready.js` last.
pub(super) const SCRIPTS: &[&str] = &[
    include_str!("../../vendor/uplot/uPlot.iife.min.js"),
    include_str!("../page/core.js"),
    include_str!("../page/tables.js"),
    include_str!("../page/answer.js"),
    include_str!("../page/image.js"),
    include_str!("../page/trust.js"),
    include_str!("../page/chart.js"),
    include_str!("../page/memory.js"),
    include_str!("../page/map.js"),
    include_str!("../page/flame.js"),
    include_str!("../page/ready.js"),
];
