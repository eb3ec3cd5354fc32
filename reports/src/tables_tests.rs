use super::*;

fn header(name: &str) -> String {
    let names: Vec<_> = table(name).unwrap().columns.iter().map(|column| column.name).collect();
    names.join(",")
}

#[test]
fn headers_are_the_contract() {
    assert_eq!(
        header("summary"),
        "policy,source,peak_rss_bytes,peak_rss_low_bytes,peak_rss_high_bytes,mean_rss_bytes,final_rss_bytes,peak_live_bytes,\
         peak_mapped_bytes,minor_faults,minor_faults_low,minor_faults_high,major_faults,brk_calls,mmap_calls,munmap_calls,\
         mremap_calls,madvise_calls,returned_bytes,kernel_time_ns"
    );
    assert_eq!(
        header("timeline"),
        "policy,time_ns,rss_bytes,live_bytes,mapped_bytes,minor_faults,returned_bytes,source,rss_low_bytes,rss_high_bytes"
    );
    assert_eq!(header("fidelity"), "metric,recorded,replayed,error");
    assert_eq!(header("sizes"), "from_bytes,to_bytes,count,total_bytes,live_at_peak_bytes,live_at_end_bytes,temporary");
    assert_eq!(header("lifetimes"), "from_ns,to_ns,count,total_bytes");
}

#[test]
fn every_column_says_what_it_is() {
    for table in TABLES {
        for column in table.columns {
            assert!(column.doc.ends_with('.'), "{}.{}", table.name, column.name);
        }
    }
}

#[test]
fn every_metric_of_the_contract_is_known() {
    let contract = [
        "placements",
        "brk_calls",
        "mmap_calls",
        "munmap_calls",
        "madvise_calls",
        "peak_rss_bytes",
        "mean_rss_bytes",
        "minor_faults",
        "mremap_calls",
        "mprotect_calls",
    ];
    for name in contract {
        assert!(!metric(name).2.is_empty(), "{name}");
    }
    assert_eq!(metric("of_tomorrow").0, "of_tomorrow");
}
