//! What was run: experiment, data, weights, command, machine and times.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::html::{escape, name};
use crate::report::table::duration;

/// What was run.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// What the page is about, in a few words.
    pub title: String,
    /// The experiment's name; of an ensemble, its models' names.
    pub experiment: String,
    /// Where the network was published, or nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub paper: String,
    /// The data, in words.
    pub data: String,
    /// Where the weights come from; `None` for initial ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// The command line.
    pub command: String,
    /// The versions of topfive and of libtorch.
    pub version: String,
    /// The seed of all random choices; `None` if nothing random was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The machine.
    pub machine: String,
    /// Seconds that the work has taken.
    pub seconds: f64,
    /// The complete experiment; a list for an ensemble.
    pub settings: Value,
}

/// A table of what was run, and the complete experiment to unfold.
pub fn section(about: &About) -> String {
    let took = duration(Duration::from_secs_f64(about.seconds.max(0.0)));
    let seed = about.seed.map(|seed| seed.to_string());
    let rows = [
        ("Experiment", Some(name(&about.experiment))),
        ("Paper", Some(escape(&about.paper)).filter(|paper| !paper.is_empty())),
        ("Data", Some(name(&about.data))),
        ("Weights", about.weights.as_deref().map(name)),
        ("Command", Some(format!("<code>{}</code>", escape(&about.command)))),
        ("Seed", seed),
        ("Version", Some(escape(&about.version))),
        ("Machine", Some(escape(&about.machine))),
        ("Time taken", Some(took)),
        ("Page written", Some(date(SystemTime::now()))),
    ];
    let row = |(title, value): (&str, Option<String>)| {
        value.map(|value| format!("<tr><th scope=\"row\">{title}</th><td>{value}</td></tr>\n"))
    };
    let rows: String = rows.into_iter().filter_map(row).collect();
    let settings = serde_json::to_string_pretty(&about.settings).unwrap_or_default();
    format!(
        "<table class=\"facts\"><caption class=\"hidden\">What was run</caption><tbody>{rows}</tbody></table>\n\
         <details><summary>The complete experiment</summary><pre>{}</pre></details>\n",
        escape(&settings)
    )
}

/// A point in time as 2026-01-31 23:59 UTC.
fn date(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (year, month, day) = time.to_calendar_date();
    format!("{year}-{:02}-{day:02} {:02}:{:02} UTC", u8::from(month), time.hour(), time.minute())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected by `date -u -d @SECONDS`.
    #[test]
    fn dates_know_leap_years_and_centuries() {
        let at = |seconds| date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_827_696), "2000-02-29 12:34 UTC");
        assert_eq!(at(1_709_251_199), "2024-02-29 23:59 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00 UTC");
    }
}
