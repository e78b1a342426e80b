//! What the gateway counts, by route and service.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// The handles of one route: looked up once, not with every request.
pub(crate) struct Meters {
    route: Arc<str>,
    service: Arc<str>,
    /// By the first digit of the status; 0: nobody was left to answer.
    answered: [Counter; 6],
    in_flight: Gauge,
    head: Histogram,
    request_bytes: Counter,
    response_bytes: Counter,
}

/// Says what each metric means. Once, after the recorder is there.
pub(crate) fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        "verteilt_gateway_requests_total",
        "Requests by route, service and status; 0xx: the client left before the answer"
    );
    describe_gauge!(
        "verteilt_gateway_in_flight",
        "Requests and streams now, by route"
    );
    describe_histogram!(
        "verteilt_gateway_request_seconds",
        "From the head of a request to the head of its answer, by route"
    );
    describe_counter!(
        "verteilt_gateway_request_bytes_total",
        "Bytes of request bodies taken"
    );
    describe_counter!(
        "verteilt_gateway_response_bytes_total",
        "Bytes of response bodies passed on"
    );
    describe_counter!(
        "verteilt_gateway_problems_total",
        "Refusals by code, route and service"
    );
    describe_counter!(
        "verteilt_gateway_timeouts_total",
        "Deadlines that fell, by the service that held the request; `queue`: it waited for a worker"
    );
    describe_counter!(
        "verteilt_gateway_retries_total",
        "Requests that were sent once more"
    );
    describe_counter!(
        "verteilt_gateway_access_log_dropped_total",
        "Lines of the access log that were not written because their reader was too slow"
    );
}

impl Meters {
    pub(crate) fn of(route: &str, service: &str) -> Arc<Self> {
        let (route, service): (Arc<str>, Arc<str>) = (route.into(), service.into());
        let labels = [
            ("route", route.to_string()),
            ("service", service.to_string()),
        ];
        let status = |class: usize| {
            counter!("verteilt_gateway_requests_total",
                "route" => route.to_string(), "service" => service.to_string(),
                "status" => format!("{class}xx"))
        };
        Arc::new(Self {
            answered: std::array::from_fn(status),
            in_flight: gauge!("verteilt_gateway_in_flight", &labels),
            head: histogram!("verteilt_gateway_request_seconds", &labels),
            request_bytes: counter!("verteilt_gateway_request_bytes_total", &labels),
            response_bytes: counter!("verteilt_gateway_response_bytes_total", &labels),
            route,
            service,
        })
    }

    pub(crate) fn begin(&self) {
        self.in_flight.increment(1);
    }

    /// It goes on elsewhere.
    pub(crate) fn leave(&self) {
        self.in_flight.decrement(1);
    }

    /// `head`: until the answer began. Status 0: none.
    pub(crate) fn end(&self, status: u16, head: Duration, taken: u64, given: u64) {
        self.in_flight.decrement(1);
        self.answered[usize::from(status / 100).min(5)].increment(1);
        self.head.record(head.as_secs_f64());
        if taken > 0 {
            self.request_bytes.increment(taken);
        }
        if given > 0 {
            self.response_bytes.increment(given);
        }
    }

    pub(crate) fn problem(&self, code: &'static str) {
        counter!("verteilt_gateway_problems_total", "code" => code,
            "route" => self.route.to_string(), "service" => self.service.to_string())
        .increment(1);
    }

    /// `holder`: the service that had the request when its deadline fell.
    pub(crate) fn timed_out(&self, holder: &str) {
        counter!("verteilt_gateway_timeouts_total", "holder" => holder.to_owned(),
            "route" => self.route.to_string())
        .increment(1);
    }

    pub(crate) fn again(&self) {
        counter!("verteilt_gateway_retries_total", "route" => self.route.to_string()).increment(1);
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters")
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}
