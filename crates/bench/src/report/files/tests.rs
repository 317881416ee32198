//! A report from end to end: added to, written, read again, drawn.

use std::collections::BTreeMap;

use chrono::{TimeZone as _, Utc};

use super::*;
use crate::figure::Figure;
use crate::findings::{Curves, Line};
use crate::report::machine::Machine;
use crate::report::model::Run;

const SECTIONS: [&str; 2] = ["write", "peers"];

fn run(section: &str, engine: &str, figures: Vec<Figure>, error: Option<&str>) -> Run {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
    };
    Run {
        section: section.to_owned(),
        engine: engine.to_owned(),
        began_at: Utc.with_ymd_and_hms(2026, 11, 28, 14, 0, 0).unwrap(),
        seconds: 90,
        machine: Machine {
            processor: "EPYC".to_owned(),
            cores: 2,
            memory_gib: 24,
            system: "Debian 13".to_owned(),
            kernel: "6.12".to_owned(),
        },
        versions: pairs(&[("mysql", "9.7.1"), ("profile", "release")]),
        settings: pairs(&[("rounds", "5")]),
        figures,
        curves: Vec::new(),
        error: error.map(str::to_owned),
    }
}

#[test]
fn a_later_run_takes_the_place_of_an_earlier_one_and_no_other() {
    let mut report = Report::default();
    for (section, engine, seconds) in
        [("peers", "mysql", 1), ("write", "mariadb", 2), ("write", "mysql", 3), ("write", "mysql", 4)]
    {
        report.add(Run { seconds, ..run(section, engine, Vec::new(), None) }, &SECTIONS);
    }
    let runs: Vec<_> = report.runs.iter().map(|run| (run.section.as_str(), run.engine.as_str(), run.seconds)).collect();
    assert_eq!(runs, [("write", "mysql", 4), ("peers", "mysql", 1), ("write", "mariadb", 2)]);
}

#[test]
fn a_report_is_read_as_it_was_written_with_a_chart_for_each_of_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let mut report = Report::default();
    let figures = vec![Figure::of_rounds("write_32", "orders/s", &[(300.0, 100.0), (200.0, 100.0)])];
    let line = Line { name: "memory".to_owned(), points: vec![(0.0, 1.0), (60.0, 2.5)] };
    let (title, across, up) = ("Memory".to_owned(), "seconds".to_owned(), "MB".to_owned());
    let curves = vec![Curves { name: "memory".to_owned(), title, across, up, lines: vec![line] }];
    report.add(Run { curves, ..run("write", "mysql", figures, None) }, &SECTIONS);
    write(&report, folder.path()).unwrap();
    let read = Report::read(folder.path()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&report).unwrap());
    let page = fs::read_to_string(folder.path().join("report.md")).unwrap();
    for chart in ["ratios-mysql.svg", "memory-mysql.svg"] {
        assert!(page.contains(&format!("({chart})")), "{page}");
        assert!(fs::read_to_string(folder.path().join(chart)).unwrap().starts_with("<svg"));
    }
}

#[test]
fn the_page_tells_figures_with_versions_settings_and_machine_and_what_was_not_measured() {
    let mut report = Report::default();
    let grown = Figure::against("e2e_backlog_emails", 9000.0, "waiting", 10.0).noting("from 10 to 9000 | waiting");
    let purged = Figure::alone("relay_scale_purging", 5.0, "events/s").failing(Some("nothing was purged".to_owned()));
    report.add(run("write", "mysql", vec![grown, purged], None), &SECTIONS);
    report.add(run("peers", "mysql", Vec::new(), Some("no JVM")), &SECTIONS);
    let expected = "
## write on mysql

2026-11-28 14:00 UTC, 90 s. Versions: mysql 9.7.1, profile release. Settings: rounds 5.

Machine: 2 cores of EPYC, 24 GiB, Debian 13, Linux 6.12.

| figure | value | limit | ratio | what we want | | remarks |
| --- | --- | --- | --- | --- | --- | --- |
| `e2e_backlog_emails` | 9,000 waiting | 10.0 | 900 | flat | missed | from 10 to 9000 \\| waiting |
| `relay_scale_purging` | 5.00 events/s |  |  | ratio at least 0.8 | FAILED | nothing was purged |

## peers on mysql

2026-11-28 14:00 UTC, 90 s. Versions: mysql 9.7.1, profile release. Settings: rounds 5.

Machine: 2 cores of EPYC, 24 GiB, Debian 13, Linux 6.12.

**Not measured:** no JVM
";
    let page = page::of(&report);
    assert!(page.ends_with(expected), "{page}");
}
