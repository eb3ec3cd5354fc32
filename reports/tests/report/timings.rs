//! How large a page is and how soon it is there: for the benchmark, which gives pages by `HEAPCAST_PAGES`, `name=path` separated by semicolons.

use std::fs;
use std::path::{Path, PathBuf};

use crate::devtools::Browser;
use crate::made_up;

/// Of these the median counts, for the benchmark.
const ROUNDS: usize = 5;
/// A page is read from a disk or a mail: twenty models of ten thousand points must fit.
const LARGEST: u64 = 8 << 20;

/// First paint, end of loading with all charts drawn, and what a move of the cross-hair and a redraw of the chart take; ms.
const TIMES: &str = "(async () => {
  const paint = await new Promise((done) => new PerformanceObserver((list) => done(list.getEntriesByName('first-contentful-paint')[0].startTime)).observe({ type: 'paint', buffered: true }));
  const loaded = performance.getEntriesByType('navigation')[0].loadEventEnd;
  const box = document.getElementById('plot-box'), of = async (key, times) => {
    const began = performance.now();
    for (let time = 0; time < times; time++) { box?.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })); await null; }
    return (performance.now() - began) / times;
  };
  return [paint, loaded, await of('ArrowRight', 40), await of('+', 10)];
})()";

#[test]
fn large_pages_open_and_are_timed() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser/timed");
    let _ = fs::remove_dir_all(&folder);
    reports::write(&folder, &made_up::large()).unwrap();
    let Some(mut browser) = Browser::start(&folder) else { return };
    let given = std::env::var("HEAPCAST_PAGES");
    let rounds = if given.is_ok() { ROUNDS } else { 1 };
    let given = given.unwrap_or_default();
    let given = given.split(';').filter_map(|pair| pair.split_once('=')).map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
    for (name, page) in given.chain([("20 models, 10,000 points each".into(), folder.join("report.html"))]) {
        let bytes = fs::metadata(&page).unwrap().len();
        assert!(bytes <= LARGEST, "{name}: {bytes} bytes");
        let mut rounds: Vec<[f64; 4]> = (0..rounds).map(|_| timed(&mut browser, &page)).collect();
        let median = [0, 1, 2, 3].map(|at| {
            rounds.sort_by(|one, other| one[at].total_cmp(&other[at]));
            rounds[rounds.len() / 2][at]
        });
        println!("page of {name}\t{bytes}\t{:.0}\t{:.0}\t{:.1}\t{:.1}", median[0], median[1], median[2], median[3]);
    }
}

fn timed(browser: &mut Browser, page: &Path) -> [f64; 4] {
    browser.screen(1200, false);
    browser.open(page);
    let times = browser.evaluate(TIMES);
    let times: Vec<f64> = times.as_array().unwrap().iter().filter_map(serde_json::Value::as_f64).collect();
    assert_eq!(browser.complaints, [""; 0]);
    times.try_into().unwrap()
}
