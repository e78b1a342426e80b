//! Small numbers, so that every bound is met.

use std::sync::Arc;

use bytes::Bytes;
use verteilt_core::{Content, NewRequest, QueueName, RequestId, RequestLimits};

pub(crate) fn limits() -> RequestLimits {
    RequestLimits {
        deadline_ms_default: 30_000,
        deadline_ms_max: 3_600_000,
        inbox_grace_ms: 10_000,
        open_max: 6,
        waiting_max: 3,
        waiting_bytes_max: 2_000,
        services_max: 5,
        stats_services_max: 2,
        forwards_max: 2,
        reply_credit_bytes: 100,
        traces_max: 8,
        attempts_max: 3,
        accepted_max: 6,
        stored_bytes_max: 500,
        result_keep_ms: 60_000,
        results_max: 3,
        result_bytes_max: 1_000,
    }
}

pub(crate) fn name(name: &str) -> QueueName {
    QueueName {
        namespace: Arc::from("default"),
        name: name.to_owned(),
    }
}

pub(crate) fn content(bytes: usize, more: bool) -> Content {
    Content {
        header_length: 0,
        payload: Bytes::from(vec![7; bytes]),
        more,
    }
}

pub(crate) fn request(id: u128, service: &str) -> NewRequest {
    NewRequest {
        id: RequestId(id),
        parent: None,
        service: name(service),
        version: Arc::default(),
        endpoint: Arc::default(),
        deadline_ms: 0,
        content: content(0, false),
        durable: None,
    }
}
