//! Requests by service for Prometheus. The core counts; this shows the counts once a second.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use verteilt_core::{Histogram, QueueName, Requests, ServerCounts};

/// Upper ends of the shown buckets are powers of two microseconds with these exponents: 128 us to
/// 134 s.
const EXPONENTS: std::ops::RangeInclusive<u32> = 7..=27;
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The HELP lines.
pub(crate) fn describe() {
    describe_counter!(
        "verteilt_service_requests_total",
        "Requests of a service by how they ended: replied with a class of status, forwarded, expired in line or held, cancelled, broken, refused"
    );
    describe_gauge!(
        "verteilt_service_waiting",
        "Requests that stand in line for a service"
    );
    describe_gauge!(
        "verteilt_service_in_flight",
        "Requests that workers of a service hold"
    );
    for (name, what) in [
        ("wait", "waited for a worker"),
        (
            "run",
            "were held by a worker until it answered or passed them on",
        ),
    ] {
        let help = format!("How long requests of a service {what}");
        describe_counter!(
            format!("verteilt_service_{name}_seconds_bucket"),
            help.clone()
        );
        describe_counter!(
            format!("verteilt_service_{name}_seconds_count"),
            help.clone()
        );
        describe_gauge!(format!("verteilt_service_{name}_seconds_sum"), help);
    }
}

/// Brings what is shown up to date.
pub(crate) fn show(requests: &Requests) {
    for (name, totals, waiting, held) in requests.totals() {
        let labels = labels(name);
        gauge!("verteilt_service_waiting", &labels).set(waiting as f64);
        gauge!("verteilt_service_in_flight", &labels).set(held as f64);
        show_ends(&labels, &totals.counts);
        for (end, count) in [
            ("refused", totals.refused),
            ("expired_in_line", totals.expired),
            ("cancelled_in_line", totals.cancelled),
        ] {
            show_end(&labels, end, count);
        }
        show_times("wait", &labels, &totals.wait_us);
        show_times("run", &labels, &totals.run_us);
    }
}

type Labels = [(&'static str, String); 2];

fn labels(name: &QueueName) -> Labels {
    [
        ("namespace", name.namespace.to_string()),
        ("service", name.name.clone()),
    ]
}

fn show_ends(labels: &Labels, counts: &ServerCounts) {
    for (class, count) in CLASSES.into_iter().zip(counts.replies) {
        show_end(labels, class, count);
    }
    for (end, count) in [
        ("forwarded", counts.forwarded),
        ("expired", counts.expired),
        ("cancelled", counts.cancelled),
        ("broken", counts.broken),
    ] {
        show_end(labels, end, count);
    }
}

/// What never happened is not shown.
fn show_end([namespace, service]: &Labels, end: &'static str, count: u64) {
    if count > 0 {
        let labels = [namespace.clone(), service.clone(), ("end", end.to_owned())];
        counter!("verteilt_service_requests_total", &labels).absolute(count);
    }
}

/// As a Prometheus histogram: each bucket counts all below it, too.
fn show_times(name: &str, [namespace, service]: &Labels, times: &Histogram) {
    let counts = times.counts();
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return;
    }
    let bucket = |end: String, count: u64| {
        let labels = [namespace.clone(), service.clone(), ("le", end)];
        counter!(format!("verteilt_service_{name}_seconds_bucket"), &labels).absolute(count);
    };
    for exponent in EXPONENTS {
        // Entry i of the counts holds what is below 2^i.
        let below = counts.iter().take(exponent as usize + 1).sum();
        let seconds = 2_f64.powi(exponent as i32) / 1e6;
        bucket(seconds.to_string(), below);
    }
    bucket("+Inf".to_owned(), all);
    let labels = [namespace.clone(), service.clone()];
    counter!(format!("verteilt_service_{name}_seconds_count"), &labels).absolute(all);
    gauge!(format!("verteilt_service_{name}_seconds_sum"), &labels).set(times.sum() as f64 / 1e6);
}
