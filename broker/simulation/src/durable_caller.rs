//! Callers of requests of durability `disk`: send them, send them again, and ask for their results,
//! from whichever connection; in the end somebody asks for all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use verteilt_client::{
    Client, ClientError, Durability, ErrorCode, RequestId, RequestResult, Sending,
};
use verteilt_history::{Body as Print, DurableRecord, RequestOutcome, RequestRecord};

use crate::body;
use crate::durable_plan::{DurableDeed, DurableStep, SendPlan};
use crate::request_book::{Waiting, service_name};
use crate::world::World;

/// Bodies of other requests under the same id have numbers from here.
const OTHERS: u64 = 2_000_000;
/// In the end a question waits so long for a result.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// In the end one in so many is sent again.
const SENT_AGAIN: u64 = 4;

/// Does what one caller is to do; ends when it waits for nothing any more.
pub(crate) async fn run(world: World, client: Client, steps: Vec<DurableStep>) {
    let mut under_way = JoinSet::new();
    for step in steps {
        tokio::time::sleep_until(world.at(step.at_ms)).await;
        let (world, client) = (world.clone(), client.clone());
        under_way.spawn(async move {
            match step.deed {
                DurableDeed::Send(plan) => send(&world, &client, step.request, plan).await,
                DurableDeed::Ask { wait_ms } => {
                    let wait = Duration::from_millis(wait_ms);
                    ask(&world, &client, step.request, wait).await;
                }
            }
        });
    }
    while under_way.join_next().await.is_some() {}
}

/// Asks for every result, and for each once more; some are sent again before.
pub(crate) async fn inspect(world: &World, client: &Client, end: Instant) {
    let steps = world.plan.durable.iter();
    let first = |step: &DurableStep| match step.deed {
        DurableDeed::Send(plan) if !plan.is_other => Some((step.request, plan)),
        _ => None,
    };
    for (request, plan) in steps.clone().filter_map(first) {
        if request.is_multiple_of(SENT_AGAIN) {
            accept(world, client, request, plan).await;
        }
    }
    let requests: BTreeSet<u64> = steps.map(|step| step.request).collect();
    for request in requests {
        while let Some(RequestOutcome::Pending) = ask(world, client, request, LAST_WAIT).await
            && Instant::now() < end
        {}
        ask(world, client, request, Duration::ZERO).await;
    }
}

async fn send(world: &World, client: &Client, request: u64, plan: SendPlan) {
    let sending = async {
        let is_accepted = accept(world, client, request, plan).await;
        if plan.waits && is_accepted {
            let wait = Duration::from_millis(plan.deadline_ms);
            ask(world, client, request, wait).await;
        }
    };
    match plan.gives_up_ms {
        None => sending.await,
        Some(ms) => drop(tokio::time::timeout(Duration::from_millis(ms), sending).await),
    }
}

/// Whether it was accepted.
async fn accept(world: &World, client: &Client, request: u64, plan: SendPlan) -> bool {
    let number = if plan.is_other { OTHERS } else { 0 } + request;
    let bytes = body::of(number, plan.size);
    let call = world.requests.next_number();
    world.tell_request(RequestRecord::Durable(DurableRecord::Sent {
        call,
        request,
        service: service_name(plan.service).to_owned(),
        deadline_ms: plan.deadline_ms,
        body: Print::of(&bytes),
    }));
    let unsure = RequestRecord::Durable(DurableRecord::Unsure { call });
    let waiting = Waiting::new(world, unsure);
    let sending: Sending = client
        .request(service_name(plan.service))
        .id(RequestId(request.into()))
        .durability(Durability::Disk)
        .deadline(Duration::from_millis(plan.deadline_ms))
        .body(bytes);
    let ending = match sending.detach().await {
        Ok(accepted) => {
            let known = accepted.known;
            DurableRecord::Accepted { call, known }
        }
        Err(error @ ClientError::Refused { .. }) => {
            let mismatch = error.code() == Some(ErrorCode::RequestMismatch);
            DurableRecord::Refused { call, mismatch }
        }
        Err(_) => DurableRecord::Unsure { call },
    };
    let is_accepted = matches!(ending, DurableRecord::Accepted { .. });
    waiting.over(RequestRecord::Durable(ending));
    is_accepted
}

/// What the broker says of a request, if it says anything.
async fn ask(
    world: &World,
    client: &Client,
    request: u64,
    wait: Duration,
) -> Option<RequestOutcome> {
    let ask = world.requests.next_number();
    world.tell_request(RequestRecord::Durable(DurableRecord::Asked {
        ask,
        request,
    }));
    let untold = RequestRecord::Durable(DurableRecord::Untold { ask });
    let waiting = Waiting::new(world, untold);
    let outcome = outcome(client.result(RequestId(request.into()), wait).await).await?;
    let told = outcome.clone();
    let told = DurableRecord::Told { ask, outcome: told };
    waiting.over(RequestRecord::Durable(told));
    Some(outcome)
}

async fn outcome(result: Result<RequestResult, ClientError>) -> Option<RequestOutcome> {
    match result {
        Ok(RequestResult::Replied { response, .. }) => {
            let bytes = response.body.bytes().await;
            let bytes = bytes.expect("a result comes as a whole");
            Some(RequestOutcome::Replied {
                status: response.status,
                body: Print::of(&bytes),
            })
        }
        Ok(RequestResult::Failed {
            error: ClientError::Refused { number, .. },
            service,
            ..
        }) => Some(RequestOutcome::Failed {
            code: number,
            service,
        }),
        Ok(RequestResult::Pending { .. }) => Some(RequestOutcome::Pending),
        Err(error) if error.code() == Some(ErrorCode::RequestUnknown) => {
            Some(RequestOutcome::Unknown)
        }
        Ok(other) => panic!("a result that is none: {other:?}"),
        Err(_) => None,
    }
}
