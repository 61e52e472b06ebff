//! What was run: experiment, data, weights, command, machine and times.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

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
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", seconds / 3600 % 24, seconds / 60 % 60)
}

/// The year, month and day that many days after 1970-01-01: Howard Hinnant's `civil_from_days`, with years that begin in
/// March, so that the leap day is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
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
