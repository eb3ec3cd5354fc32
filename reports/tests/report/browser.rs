//! The page in headless Chromium, offline: its scripts run without an error, the charts draw, every control works, hostile names stay text.
//!
//! Screenshots are left in `target/tmp/browser/*/*.png` for someone to look at.

use std::fs;
use std::path::{Path, PathBuf};

use reports::study::Study;
use serde_json::{Value, json};

use crate::devtools::Browser;
use crate::made_up;

/// A written report and a browser; `None` if there is no browser here.
struct Opened {
    dir: PathBuf,
    browser: Browser,
}

impl Opened {
    fn new(name: &str, study: &Study) -> Option<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser").join(name);
        let _ = fs::remove_dir_all(&dir);
        reports::write(&dir, study).unwrap();
        Some(Opened { browser: Browser::start(&dir)?, dir })
    }

    /// Opens the page on a screen of that width.
    fn show(&mut self, width: u32, dark: bool) {
        self.browser.screen(width, dark);
        self.browser.open(&self.dir.join("report.html"));
        assert_eq!(self.browser.evaluate("heapcast.root.dataset.ready"), "1");
        self.is_content();
    }

    fn is_content(&self) {
        assert_eq!(self.browser.complaints, [""; 0]);
    }

    fn count(&mut self, selector: &str) -> u64 {
        self.browser.evaluate(&format!("document.querySelectorAll({}).length", json!(selector))).as_u64().unwrap()
    }

    fn assert_drawn(&mut self, study: &Study) {
        let maps = study.policies.iter().any(|policy| policy.map.is_some());
        assert_eq!(self.count("canvas"), 1 + u64::from(maps));
        // The legend shows each curve's highest value, which only the script can have put there.
        let shown = "[...document.querySelectorAll('#legend .value')].filter((each) => /[MG]iB$/.test(each.textContent)).length";
        assert_eq!(self.browser.evaluate(shown), study.policies.len());
    }
}

#[test]
fn the_charts_draw_on_every_screen() {
    let study = made_up::study(1000);
    let Some(mut opened) = Opened::new("ordinary", &study) else { return };
    for width in [360, 800, 1600] {
        for dark in [false, true] {
            opened.show(width, dark);
            opened.assert_drawn(&study);
            assert!(opened.browser.evaluate("heapcast.root.scrollWidth").as_u64().unwrap() <= width.into(), "wider than {width}");
            let picture = opened.dir.join(format!("{width}-{}.png", if dark { "dark" } else { "light" }));
            opened.browser.picture(&picture);
            assert!(fs::metadata(picture).unwrap().len() > 20_000);
        }
    }
}

#[test]
fn hostile_names_are_harmless() {
    let study = made_up::hostile();
    let Some(mut opened) = Opened::new("hostile", &study) else { return };
    opened.show(900, false);
    opened.assert_drawn(&study);
    assert_eq!(opened.count("img"), 0);
}

/// More points than a screen has columns: what is drawn is few, and the peaks are among it.
#[test]
fn many_curves_draw_with_their_peaks() {
    let study = made_up::crowded();
    let Some(mut opened) = Opened::new("crowded", &study) else { return };
    opened.show(1600, false);
    opened.assert_drawn(&study);
    let told = opened.browser.evaluate("[...document.querySelectorAll('#legend .value')].map((each) => each.textContent)");
    let told: Vec<&str> = told.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let peak = |policy: &reports::study::PolicyResult| policy.timeline.iter().filter_map(|point| point.rss_bytes).max().unwrap();
    let peaks: Vec<String> = study.policies.iter().map(|policy| format!("{:.2} MiB", peak(policy) as f64 / (1 << 20) as f64)).collect();
    assert_eq!(told, peaks);
    opened.browser.picture(&opened.dir.join("crowded.png"));
    opened.is_content();
}

#[test]
fn a_study_without_curves_is_no_error() {
    let Some(mut opened) = Opened::new("empty", &Study::default()) else { return };
    opened.show(800, false);
    assert_eq!(opened.count("canvas"), 0);
}

/// A drag over the middle of the chart shows that part of the time; a double click everything.
#[test]
fn dragging_zooms() {
    let Some(mut opened) = Opened::new("dragged", &made_up::study(4000)) else { return };
    opened.show(1600, false);
    opened.browser.evaluate("document.getElementById('plot').scrollIntoView({ behavior: 'instant', block: 'center' })");
    let box_of = "(() => { const box = document.querySelector('#plot .u-over').getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; })()";
    let place: Vec<f64> = opened.browser.evaluate(box_of).as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    let [left, top, width, height] = place[..] else { panic!("{place:?}") };
    opened.browser.drag((left + width * 0.25, top + height / 2.0), (left + width * 0.5, top + height / 2.0));
    let window = "new Promise((done) => setTimeout(() => { document.getElementById('plot-box').focus(); done(heapcast.window()); }, 100))";
    let seen: Vec<f64> = opened.browser.evaluate(window).as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    let [min, max, first, last] = seen[..] else { panic!("{seen:?}") };
    let part = |value: f64| (value - first) / (last - first);
    assert!((part(min) - 0.25).abs() < 0.02 && (part(max) - 0.5).abs() < 0.02, "{seen:?}");
    let reset = "document.getElementById('zoom-reset').click(), new Promise((done) => setTimeout(() => done(heapcast.window()), 100))";
    let all: Vec<f64> = opened.browser.evaluate(reset).as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert_eq!(all[..2], all[2..]);
    opened.is_content();
}

/// Likewise, and changes the page: whether all can read and use it.
const ACCESS: &str = include_str!("access.js");

#[test]
fn everybody_can_read_and_use_it() {
    let Some(mut opened) = Opened::new("access", &made_up::study(100)) else { return };
    for width in [360, 1600] {
        for dark in [false, true] {
            opened.show(width, dark);
            let verdict = opened.browser.evaluate(&format!("(() => {{ {ACCESS} }})()"));
            assert_eq!(verdict, "", "on a screen of {width}, dark: {dark}");
        }
    }
}

/// Tab goes through everything that can be used, in the order in which it stands on the page, and what has it is seen to have it.
#[test]
fn tab_goes_through_the_page_in_order() {
    let Some(mut opened) = Opened::new("tabbed", &made_up::study(100)) else { return };
    opened.show(1000, false);
    let usable = "[...document.querySelectorAll('a, button, select, input, summary, [tabindex=\"0\"]')].filter((each) => !each.disabled && each.checkVisibility())";
    let all = opened.browser.evaluate(&format!("{usable}.length")).as_u64().unwrap();
    assert!(all > 40, "{all}");
    for at in 0..all {
        opened.browser.press("Tab");
        let right = opened.browser.evaluate(&format!(
            "(() => {{ const all = {usable}, here = document.activeElement, style = getComputedStyle(here); \
             return here === all[{at}] && style.outlineStyle === 'solid' ? '' : `${{here.outerHTML.slice(0, 90)}} instead of ${{all[{at}].outerHTML.slice(0, 90)}}`; }})()"
        ));
        assert_eq!(right, "", "after {} times", at + 1);
    }
}

/// Every policy that is shown left pixels of its colour; hiding it takes them away.
#[test]
fn each_curve_has_its_pixels() {
    let Some(mut opened) = Opened::new("pixels", &made_up::study(300)) else { return };
    opened.show(1200, false);
    let verdict = opened.browser.evaluate(&format!("(async () => {{ {PIXELS} }})()"));
    assert_eq!(verdict, "");
    opened.is_content();
}

const PIXELS: &str = include_str!("pixels.js");

/// Runs in the page after its own scripts; answers with what is wrong.
const PROBE: &str = include_str!("probe.js");

#[test]
fn controls_work_and_saved_tables_are_the_files() {
    let Some(mut opened) = Opened::new("probed", &made_up::study(200)) else { return };
    let tables = reports::tables::TABLES.iter().map(|table| {
        let text = fs::read_to_string(opened.dir.join(table.file_name())).unwrap();
        (table.name, text)
    });
    let files = serde_json::to_string(&tables.collect::<std::collections::BTreeMap<_, _>>()).unwrap();
    for width in [360, 900, 1600] {
        opened.show(width, false);
        let verdict = opened.browser.evaluate(&format!("(() => {{ const FILES = {files}, WIDTH = {width};{PROBE} }})()"));
        assert_eq!(verdict, "", "on a screen of {width}");
        opened.is_content();
    }
}
