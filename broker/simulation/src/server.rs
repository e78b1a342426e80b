//! Those who serve: they answer, in one piece or many, pass requests on, ask others, fail, and take
//! too long. What becomes of a request hangs on its number, its way and its attempt
//! alone.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;
use verteilt_client::{
    Client, ClientError, ConnectionEvent, ErrorCode, Request, Response, Sending, ServeOptions,
};
use verteilt_history::{Body as Print, RequestRecord};

use crate::body;
use crate::caller::{ask, in_pieces};
use crate::client::{self, Hands};
use crate::dice::Dice;
use crate::request_book::service_name;
use crate::request_plan::{RequestPlan, ServerPlan};
use crate::world::World;

/// Requests that services make have numbers from here.
const CALLS: u64 = 1_000_000;
/// Those made for requests of durability `disk`, which may run more than once.
const DURABLE_CALLS: u64 = 100_000_000;
/// Answers have numbers from here.
const ANSWERS: u64 = 1_000_000_000;
/// And those to requests of durability `disk`, each run another one.
const DURABLE_ANSWERS: u64 = 1 << 62;
/// Their longest answer.
const DURABLE_BYTES_MAX: u64 = 60_000;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Answer,
    /// Without a look at its body.
    AnswerUnread,
    /// Passed on, and to be answered there, if anybody takes it.
    Forward {
        service: u64,
        changed: bool,
    },
    /// Answered when somebody else has answered.
    Call {
        service: u64,
    },
    Fail,
    /// Answered after so long, if anybody waits for it still.
    Outstay(u64),
}

/// The process of one who serves; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    _task: AbortOnDropHandle<()>,
}

impl Server {
    /// `number` is its own; `wire` is the same for all that take this place.
    pub(crate) fn start(world: &World, plan: ServerPlan, number: u32, wire: u32) -> Self {
        let world = world.clone();
        let task = tokio::spawn(async move {
            // Only a world that ends leaves a client without a connection.
            let Ok(client) = client::connect(&world, number, wire, Hands::default()).await else {
                return;
            };
            let _watching = watch(&world, &client);
            let options =
                ServeOptions::concurrency(plan.concurrency).instance(format!("server-{number}"));
            let serving = client.serve(service_name(plan.service), options, move |request| {
                serve(world.clone(), request, plan.service)
            });
            if let Ok(serving) = serving.await {
                serving.ended().await;
            }
        });
        Self {
            _task: AbortOnDropHandle::new(task),
        }
    }
}

/// Tells of each lost connection.
fn watch(world: &World, client: &Client) -> AbortOnDropHandle<()> {
    let (world, mut events) = (world.clone(), client.events());
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(ConnectionEvent::Disconnected { .. }) | Err(RecvError::Lagged(_)) => {
                    world.tell_request(RequestRecord::WorkerLost);
                }
                Ok(ConnectionEvent::Closed) | Err(RecvError::Closed) => return,
                Ok(_) => {}
            }
        }
    }))
}

async fn serve(world: World, mut request: Request, service: u64) -> Result<Response, ClientError> {
    let (number, token) = (request.id().0 as u64, request.token());
    world.tell_request(RequestRecord::Started {
        request: number,
        token,
        service: request.service().to_owned(),
        forwards: request.forwards(),
        attempt: request.attempt(),
    });
    let is_durable = request.attempt() > 0;
    let way = u64::from(request.attempt()) << 40 | u64::from(request.forwards());
    let purpose = number << 8 | way;
    let mut dice = Dice::of(world.plan.seed ^ 0x7365_7276, purpose);
    // Long enough for something to happen meanwhile to what is given to another one then.
    let works_ms_max = if is_durable { 500 } else { 15 };
    let works_ms = if dice.percent(60) {
        0
    } else {
        dice.below(works_ms_max)
    };
    let deed = choose(&world, &mut dice, &request, service);
    if works_ms > 0 {
        tokio::time::sleep(Duration::from_millis(works_ms)).await;
    }
    let changes_body = matches!(deed, Deed::Forward { changed: true, .. });
    let passes_body = matches!(deed, Deed::Forward { changed: false, .. });
    if !(passes_body || changes_body || matches!(deed, Deed::AnswerUnread)) {
        let body = request.take_body().bytes().await?;
        world.tell_request(RequestRecord::Got {
            request: number,
            token,
            body: Print::of(&body),
        });
    }
    match deed {
        Deed::Forward { service, changed } => {
            if let Some(passed) = forward(&world, &mut request, service, changed).await {
                return Ok(passed);
            }
        }
        Deed::Call { service } => {
            let (sending, plan) = call(&world, &request, service, &mut dice);
            ask(&world, sending, plan).await;
        }
        Deed::Fail => {
            reply(&world, &request, 500, &Bytes::new());
            return Err(ClientError::BadArgument {
                reason: "it fails on purpose".to_owned(),
            });
        }
        Deed::Outstay(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Deed::Answer | Deed::AnswerUnread => {}
    }
    Ok(answer(&world, &request, purpose, &mut dice))
}

/// A request of its own to another service.
fn call(world: &World, request: &Request, service: u64, dice: &mut Dice) -> (Sending, RequestPlan) {
    let number = if request.attempt() > 0 {
        DURABLE_CALLS + world.requests.next_number()
    } else {
        CALLS + 8 * request.id().0 as u64 + u64::from(request.forwards())
    };
    let plan = RequestPlan {
        at_ms: 0,
        caller: 0,
        service,
        number,
        size: dice.below(200) as u32,
        pieces: dice.below(3) as u32,
        deadline_ms: request.remaining().as_millis() as u64,
        gives_up_ms: None,
    };
    (request.call(service_name(service)), plan)
}

fn answer(world: &World, request: &Request, purpose: u64, dice: &mut Dice) -> Response {
    let is_durable = request.attempt() > 0;
    let size = match dice.below(20) {
        0 if is_durable => dice.below(DURABLE_BYTES_MAX),
        0 => dice.below(300_000),
        _ => dice.below(400),
    };
    let status = 200 + dice.below(3) as u32;
    let answer = if is_durable {
        body::of(DURABLE_ANSWERS ^ request.token(), size as u32)
    } else {
        body::of(ANSWERS + purpose, size as u32)
    };
    let pieces = if dice.percent(30) { dice.below(9) } else { 0 };
    reply(world, request, status, &answer);
    let body = in_pieces(&answer, pieces as u32);
    Response::with_status(status, body)
}

fn reply(world: &World, request: &Request, status: u32, body: &Bytes) {
    world.tell_request(RequestRecord::Reply {
        request: request.id().0 as u64,
        token: request.token(),
        status,
        body: Print::of(body),
    });
}

/// None if nobody took it: then it is still to be answered here.
async fn forward(
    world: &World,
    request: &mut Request,
    service: u64,
    changed: bool,
) -> Option<Response> {
    let (number, token) = (request.id().0 as u64, request.token());
    let other = changed.then(|| body::of(ANSWERS - 1 - number, 77));
    world.tell_request(RequestRecord::Forward {
        request: number,
        token,
        service: service_name(service).to_owned(),
        body: other.as_ref().map(|body| Print::of(body)),
    });
    let forwarding = request.forward(service_name(service));
    let forwarding = match other {
        Some(body) => forwarding.body(body),
        None => forwarding,
    };
    match forwarding.send().await {
        Ok(passed) => Some(passed),
        Err(error @ ClientError::Refused { .. }) if error.code() != Some(ErrorCode::LeaseLost) => {
            world.tell_request(RequestRecord::ForwardRefused {
                request: number,
                token,
            });
            None
        }
        // Nobody knows, and an answer from here would reach nobody.
        Err(_) => Some(Response::new(Bytes::new())),
    }
}

fn choose(world: &World, dice: &mut Dice, request: &Request, own: u64) -> Deed {
    // In the end everything is to be done.
    if world.is_healed() {
        return Deed::Answer;
    }
    let services = world.plan.setting.requests.services;
    // Most of the time to others.
    let service = (own + dice.between(1, services)) % services;
    let is_call = request.id().0 as u64 >= CALLS;
    match dice.below(100) {
        0..20 if request.forwards() < 4 => Deed::Forward {
            service,
            changed: dice.percent(40),
        },
        20..30 if !is_call => Deed::Call { service },
        30..36 => Deed::Fail,
        36..44 => Deed::AnswerUnread,
        44..52 => Deed::Outstay(dice.below(800)),
        _ => Deed::Answer,
    }
}
