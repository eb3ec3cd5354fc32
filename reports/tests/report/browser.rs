//! The page in headless Chromium: its scripts run without an error, the chart draws, hostile names stay text.
//!
//! Screenshots are left in `target/tmp/browser/*/*.png` for someone to look at.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use reports::study::Study;

use crate::made_up;

const CHROMIUM: &str = "/usr/bin/chromium";

const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    // Waits for timers and frames on the page's own clock instead of the wall clock.
    "--virtual-time-budget=5000",
    "--run-all-compositor-stages-before-draw",
];

/// A written report and a browser that opens it; `None` if there is no browser here.
struct Opened {
    dir: PathBuf,
}

impl Opened {
    fn new(name: &str, study: &Study) -> Option<Self> {
        if !Path::new(CHROMIUM).exists() {
            // Past the test harness, which hides what a passing test prints.
            let _ = writeln!(std::io::stderr(), "skipped: no {CHROMIUM}");
            return None;
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser").join(name);
        let _ = fs::remove_dir_all(&dir);
        reports::write(&dir, study).unwrap();
        Some(Opened { dir })
    }

    fn chromium(&self, run: &str, arguments: &[String]) -> String {
        let profile = self.dir.join(format!("profile-{run}"));
        let output = Command::new(CHROMIUM)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(arguments)
            .arg(format!("file://{}", self.dir.join("report.html").display()))
            .output()
            .unwrap();
        let _ = fs::remove_dir_all(&profile);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The document after its scripts ran.
    fn dom(&self) -> String {
        self.chromium("dom", &["--dump-dom".into()])
    }

    fn screenshot(&self, width: u32, height: u32, dark: bool) -> PathBuf {
        let scheme = if dark { "dark" } else { "light" };
        let path = self.dir.join(format!("{width}-{scheme}.png"));
        let arguments = [
            format!("--screenshot={}", path.display()),
            format!("--window-size={width},{height}"),
            format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }),
        ];
        self.chromium(scheme, &arguments);
        path
    }
}

/// The `<html …>` tag, where the scripts leave their verdict.
fn verdict(dom: &str) -> &str {
    let start = dom.find("<html").unwrap();
    &dom[start..start + dom[start..].find('>').unwrap()]
}

fn assert_drawn(dom: &str, study: &Study) {
    assert!(verdict(dom).contains("data-ready=\"1\""), "{}", verdict(dom));
    assert!(!verdict(dom).contains("data-error"), "{}", verdict(dom));
    let maps = study.policies.iter().any(|policy| policy.map.is_some());
    assert_eq!(dom.matches("<canvas").count(), 1 + usize::from(maps));
    // The legend shows each curve's highest value, which only the script can have put there.
    let legend = dom.split("id=\"legend\"").nth(1).unwrap().split("</ul>").next().unwrap();
    let values = legend.matches("MiB</span>").count() + legend.matches("GiB</span>").count();
    assert_eq!(values, study.policies.len());
}

#[test]
fn the_chart_draws() {
    let study = made_up::study(1000);
    let Some(opened) = Opened::new("ordinary", &study) else { return };
    assert_drawn(&opened.dom(), &study);
    for (width, height) in [(360, 6400), (900, 4600), (1600, 3600)] {
        for dark in [false, true] {
            let size = fs::metadata(opened.screenshot(width, height, dark)).unwrap().len();
            assert!(size > 20_000, "an empty picture of {size} bytes");
        }
    }
}

#[test]
fn hostile_names_are_harmless() {
    let study = made_up::hostile();
    let Some(opened) = Opened::new("hostile", &study) else { return };
    let dom = opened.dom();
    assert_drawn(&dom, &study);
    assert!(!dom.contains("<img"));
}

#[test]
fn many_curves_draw() {
    let study = made_up::crowded();
    let Some(opened) = Opened::new("crowded", &study) else { return };
    assert_drawn(&opened.dom(), &study);
    opened.screenshot(1600, 2400, false);
}

#[test]
fn a_study_without_curves_is_no_error() {
    let Some(opened) = Opened::new("empty", &Study::default()) else { return };
    let dom = opened.dom();
    assert!(verdict(&dom).contains("data-ready=\"1\"") && !verdict(&dom).contains("data-error"), "{}", verdict(&dom));
    assert_eq!(dom.matches("<canvas").count(), 0);
}

/// Runs in the page after its own scripts and sends its verdict to the frame around it.
const PROBE: &str = include_str!("probe.js");

#[test]
fn controls_work_and_saved_tables_are_the_files() {
    let Some(opened) = Opened::new("probed", &made_up::study(200)) else { return };
    let tables = reports::tables::TABLES.iter().map(|table| {
        let text = fs::read_to_string(opened.dir.join(table.file_name())).unwrap();
        (table.name, text)
    });
    let files = serde_json::to_string(&tables.collect::<std::collections::BTreeMap<_, _>>()).unwrap();
    let page = opened.dir.join("report.html");
    let text = fs::read_to_string(&page).unwrap();
    for width in [360, 900, 1600] {
        let probed = format!("{text}<script>const FILES = {files}, WIDTH = {width};{PROBE}</script>");
        fs::write(opened.dir.join("probed.html"), probed).unwrap();
        // Chromium's windows are never as narrow as a phone, its frames are.
        fs::write(&page, frame(width)).unwrap();
        let dom = opened.dom();
        assert!(verdict(&dom).contains("data-probe=\"right\""), "{width}: {}", verdict(&dom));
    }
}

fn frame(width: u32) -> String {
    format!(
        "<!doctype html><html><script>addEventListener('message', (event) => {{ document.documentElement.dataset.probe = event.data; }});</script>\
         <iframe src=probed.html width={width} height=900 style='border:0'></iframe>"
    )
}
