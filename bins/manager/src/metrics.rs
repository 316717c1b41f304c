//! Counters of the application, in Prometheus' text format; consensus counts for itself.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the buckets of request times, in seconds: a lookup, a commit, a password, an
/// election, trouble.
const BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 2.5, 10.0];

macro_rules! counters {
    ($($name:ident $family:literal $labels:literal $help:literal;)+) => {
        /// What is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Count { $($name,)+ }

        /// Family, labels and help of each, in the order of the enum; a family's are adjacent.
        const SERIES: &[(&str, &str, &str)] = &[$(($family, $labels, $help),)+];
    };
}

counters! {
    LoginRight "telegraph_logins_total" "{outcome=\"right\"}" "Logins, by outcome.";
    LoginWrong "telegraph_logins_total" "{outcome=\"wrong\"}" "Logins, by outcome.";
    LoginLimited "telegraph_logins_total" "{outcome=\"limited\"}" "Logins, by outcome.";
    Registered "telegraph_registrations_total" "" "Accounts registered here.";
    Renewed "telegraph_renewals_total" "{way=\"received\"}" "Renewals, by what came of them.";
    Forwarded "telegraph_renewals_total" "{way=\"forwarded\"}" "Renewals, by what came of them.";
    Dropped "telegraph_renewals_total" "{way=\"dropped\"}" "Renewals, by what came of them.";
    CameOnline "telegraph_presence_changes_total" "{to=\"online\"}" "Changes decided as leader.";
    WentOffline "telegraph_presence_changes_total" "{to=\"offline\"}" "Changes decided as leader.";
    TurnedAway "telegraph_connections_refused_total" "" "Connections closed at the door.";
    Shed "telegraph_requests_shed_total" "" "Requests refused as too many.";
}

#[derive(Debug, Default, Clone)]
struct Times {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

/// One row per route and status: bounded by the table of routes.
type Requests = BTreeMap<(&'static str, &'static str, u16), Times>;

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    counters: Vec<AtomicU64>,
    requests: Mutex<Requests>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let counters = SERIES.iter().map(|_| AtomicU64::new(0)).collect();
        Self { counters, requests: Mutex::default() }
    }

    /// Counts one more.
    pub(crate) fn count(&self, what: Count) {
        self.add(what, 1);
    }

    /// Counts several more.
    pub(crate) fn add(&self, what: Count, more: usize) {
        if let Some(counter) = self.counters.get(what as usize) {
            counter.fetch_add(more as u64, Ordering::Relaxed);
        }
    }

    /// Counts a request that was answered. `method` and `route` are of the table of routes, never
    /// what a client made up.
    pub(crate) fn request(
        &self,
        method: &'static str,
        route: &'static str,
        status: u16,
        took: Duration,
    ) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let times = requests.entry((method, route, status)).or_default();
        let seconds = took.as_secs_f64();
        times.count += 1;
        times.seconds += seconds;
        for (count, bound) in times.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= bound);
        }
    }

    /// The counters as text.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let mut last = "";
        for ((family, labels, help), counter) in SERIES.iter().zip(&self.counters) {
            if *family != last {
                head(&mut text, family, "counter", help);
                last = family;
            }
            let value = counter.load(Ordering::Relaxed);
            let _ = writeln!(text, "{family}{labels} {value}");
        }
        self.render_requests(&mut text);
        text
    }

    fn render_requests(&self, text: &mut String) {
        let name = "telegraph_http_request_seconds";
        head(text, name, "histogram", "Time to answer a request, by route and status.");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((method, route, status), times) in requests {
            let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
            for (count, bound) in times.buckets.iter().zip(BUCKETS) {
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let Times { count, seconds, .. } = times;
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "{name}_sum{{{labels}}} {seconds}");
            let _ = writeln!(text, "{name}_count{{{labels}}} {count}");
        }
    }
}

/// One gauge with its head.
pub(crate) fn gauge(text: &mut String, name: &str, help: &str, value: u64) {
    head(text, name, "gauge", help);
    let _ = writeln!(text, "{name} {value}");
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered_once_with_its_head() {
        let metrics = Metrics::new();
        metrics.count(Count::LoginWrong);
        metrics.add(Count::LoginWrong, 2);
        metrics.request("POST", "/login", 401, Duration::from_millis(30));
        let text = metrics.render();
        assert!(text.contains("telegraph_logins_total{outcome=\"wrong\"} 3\n"), "{text}");
        assert_eq!(text.matches("# TYPE telegraph_logins_total counter").count(), 1);
        let labels = "method=\"POST\",route=\"/login\",status=\"401\"";
        for (bound, count) in [("0.025", 0), ("0.1", 1), ("+Inf", 1)] {
            let line = format!(
                "telegraph_http_request_seconds_bucket{{{labels},le=\"{bound}\"}} {count}\n"
            );
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
