//! What the page promises without a browser.

use reports::html::page;
use reports::study::Study;

use crate::made_up;

/// The page without comments: the vendored library names its home in one.
fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        out += before;
        rest = after.split_once("*/").expect("an open comment").1;
    }
    out + rest
}

#[test]
fn nothing_comes_from_outside() {
    for study in [made_up::study(20), made_up::hostile(), Study::default()] {
        let text = without_comments(&page(&study).unwrap());
        // What the program is called is text; only markup can fetch.
        let markup = text.replace("<wbr>", "").replace("&#60;img src=x", "").replace("\\u003cimg src=x", "");
        for fetching in
            ["http://", "https://", "src=", "url(", "@import", "fetch(", "XMLHttpRequest", "WebSocket", "importScripts", "sendBeacon"]
        {
            assert!(!markup.contains(fetching), "{fetching}");
        }
        let targets = markup.split("href=\"").skip(1);
        assert!(targets.clone().count() > 3);
        assert!(targets.into_iter().all(|target| target.starts_with('#')));
    }
}

#[test]
fn outside_text_stays_text() {
    let text = page(&made_up::hostile()).unwrap();
    let ordinary = page(&made_up::study(20)).unwrap();
    for tag in ["<script", "</script"] {
        assert_eq!(text.matches(tag).count(), ordinary.matches(tag).count(), "{tag}");
    }
    assert!(!text.contains("<img") && !text.contains("<!--"));
    let attributes = text.split(['<', '>']).filter(|tag| tag.contains("onerror=alert") && tag.contains("=\""));
    assert_eq!(attributes.filter(|tag| !tag.contains("&#60;img")).count(), 0);
}

#[test]
fn everything_readable_is_there_without_the_script() {
    let study = made_up::study(20);
    let text = page(&study).unwrap();
    let (before, _) = text.split_once("<script").unwrap();
    let before = before.replace("<wbr>", "");
    for policy in &study.policies {
        assert!(before.matches(&policy.policy).count() >= 3, "{}", policy.policy);
    }
    for table in reports::tables::TABLES {
        for column in table.columns {
            assert!(before.contains(&format!("<code>{}</code>", column.name)), "{}", column.name);
        }
    }
    let peak = study.policies[4].peak_rss_bytes.unwrap().to_string();
    let exact = format!("title=\"{},{},{} bytes\"", &peak[..3], &peak[3..6], &peak[6..]);
    assert!(before.contains(&exact), "{exact}");
}

#[test]
fn losses_come_before_the_numbers() {
    let mut study = made_up::study(20);
    study.recording.lost[0].count = 12_345;
    let text = page(&study).unwrap();
    let (loss, table) = (text.find("12,345 events were lost").unwrap(), text.find("id=\"summary\"").unwrap());
    assert!(loss < table);
    assert!(!page(&made_up::study(20)).unwrap().contains("Events were lost"));
}

#[test]
fn ids_are_unique_and_links_arrive() {
    let text = page(&made_up::study(20)).unwrap();
    let markup = text.split("<script").next().unwrap();
    let ids: Vec<_> = markup.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    for (at, id) in ids.iter().enumerate() {
        assert!(!ids[..at].contains(id), "{id} twice");
    }
    for link in markup.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(ids.contains(&link), "{link}");
    }
}

#[test]
fn a_crowded_page_stays_small() {
    let size = page(&made_up::crowded()).unwrap().len();
    assert!(size < 5 << 20, "{size} bytes");
}
