//! Prometheus with the rules of `k8s/components/monitoring`, for whoever wants to watch a pipeline.
//!
//! The rules are the files of production. A test that can't wait for minutes hastens them: all durations are divided by the same
//! number here, and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::home::{Home, create_folder};
use crate::process::{Launch, Output, Probe};

/// Where its rules stand in the workspace.
const RULES: &str = "k8s/components/monitoring/rules";

/// How a Prometheus is set up.
#[derive(Clone, Debug)]
pub struct PrometheusOptions {
    /// Folder for its configuration and data; created when it does not exist.
    pub folder: PathBuf,
    /// Its port of 127.0.0.1.
    pub port: u16,
    /// Jobs and the ports of 127.0.0.1 that have their metrics, any number of the same job. A program's job has its name.
    pub targets: Vec<(&'static str, u16)>,
    /// Seconds between two scrapes of a target, and between two evaluations of the rules.
    pub interval_seconds: u32,
    /// What the durations of the rules are divided by: 1 for those of production.
    pub hasten: u32,
    /// Where its output goes.
    pub output: Output,
}

/// Writes its configuration, and says how to start it.
///
/// # Errors
/// If its program is missing, or its folder can't be written.
pub fn prometheus(home: &Home, options: &PrometheusOptions) -> anyhow::Result<Launch> {
    let program = home.program("prometheus")?;
    let rules = options.folder.join("rules");
    create_folder(&rules)?;
    let source = home.root().join(RULES);
    let files = fs::read_dir(&source).with_context(|| format!("cannot read {}", source.display()))?;
    for file in files {
        let file = file.context("cannot read the rules")?;
        let text = fs::read_to_string(file.path()).context("cannot read the rules")?;
        write(rules.join(file.file_name()), &hastened(&text, options.hasten))?;
    }
    let config = options.folder.join("prometheus.yaml");
    write(config.clone(), &configuration(options))?;
    Ok(Launch::new("prometheus", program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", options.folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{}", options.port))
        .arg("--log.level=warn")
        .env("GOMAXPROCS", "1") // it watches, and must not take the pipeline's place
        .output(options.output.clone()))
}

/// Whether one that listens on this port says that it is ready.
pub async fn prometheus_readiness(port: u16) -> Probe {
    match reqwest::get(format!("http://127.0.0.1:{port}/-/ready")).await {
        Ok(answer) if answer.status().is_success() => Probe::Ready,
        Ok(answer) => Probe::NotYet(format!("it answered {}", answer.status())),
        Err(error) => Probe::NotYet(error.to_string()),
    }
}

fn write(path: PathBuf, text: &str) -> anyhow::Result<()> {
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn configuration(options: &PrometheusOptions) -> String {
    let interval = options.interval_seconds;
    let mut text = format!(
        "global:\n  scrape_interval: {interval}s\n  scrape_timeout: {interval}s\n  evaluation_interval: {interval}s\n\
         rule_files: [rules/*.yaml]\nscrape_configs:\n"
    );
    let mut jobs = BTreeMap::<_, Vec<_>>::new();
    for (job, port) in &options.targets {
        jobs.entry(job).or_default().push(format!("'127.0.0.1:{port}'"));
    }
    for (job, targets) in jobs {
        let targets = targets.join(", ");
        text.push_str(&format!("  - job_name: {job}\n    static_configs: [{{targets: [{targets}]}}]\n"));
    }
    text
}

/// Divides what stands after `for:` and `offset`, and each range; a range stays long enough for some samples.
fn hastened(rules: &str, by: u32) -> String {
    const MARKS: [(&str, u32); 3] = [("for: ", 1), ("offset ", 1), ("[", 5)];
    if by == 1 {
        return rules.to_owned();
    }
    let (mut text, mut rest) = (String::new(), rules);
    while let Some((end, least)) =
        MARKS.iter().filter_map(|(mark, least)| Some((rest.find(mark)? + mark.len(), *least))).min()
    {
        text.push_str(&rest[..end]);
        rest = &rest[end..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match rest[digits..].chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => continue,
        };
        if let Ok(number) = rest[..digits].parse::<u32>() {
            text.push_str(&format!("{}s", (number * seconds / by).max(least)));
            rest = &rest[digits + 1..];
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::hastened;

    #[test]
    fn rules_are_hastened_in_their_durations_and_nothing_else() {
        let rules =
            "expr: sum(rate(a_total{for=\"x\"}[1h])) > max(b offset 2h) # [sic] for: now\nfor: 10m\nrecord: a:rate1h";
        let hasty = "expr: sum(rate(a_total{for=\"x\"}[60s])) > max(b offset 120s) # [sic] for: now\nfor: 10s\nrecord: a:rate1h";
        assert_eq!(hastened(rules, 60), hasty);
        assert_eq!(hastened("[1m] for: 30s", 60), "[5s] for: 1s");
        assert_eq!(hastened(rules, 1), rules);
    }
}
