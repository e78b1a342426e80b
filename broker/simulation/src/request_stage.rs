//! Requests in a run: those who serve, those who ask, and the end of both.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use verteilt_client::Client;
use verteilt_history::RequestRecord;

use crate::caller;
use crate::client::{self, Hands};
use crate::durable_caller;
use crate::network::Break;
use crate::server::Server;
use crate::world::World;

/// Servers that take the place of others have numbers from here.
const LATER_SERVERS: u32 = 3_000;
/// Between two looks at who waits.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Everybody who has to do with requests.
pub(crate) struct RequestStage {
    world: World,
    servers: Vec<Server>,
    later: u32,
}

impl RequestStage {
    pub(crate) fn set(world: &World) -> Self {
        let setting = &world.plan.setting.requests;
        let first = world.plan.setting.first_caller() + setting.callers;
        let servers = setting.servers.iter().zip(first..);
        Self {
            world: world.clone(),
            servers: servers
                .map(|(plan, wire)| Server::start(world, *plan, wire, wire))
                .collect(),
            later: LATER_SERVERS,
        }
    }

    pub(crate) fn callers(&self) -> Vec<AbortOnDropHandle<()>> {
        let first = self.world.plan.setting.first_caller();
        let all = 0..self.world.plan.setting.requests.callers;
        all.map(|number| {
            let world = self.world.clone();
            let requests = world.plan.requests.iter();
            let own = requests.filter(|request| request.caller == number);
            let own = own.copied().collect();
            AbortOnDropHandle::new(tokio::spawn(async move {
                let (number, hands) = (first + number, Hands::default());
                // Only a world that ends leaves a client without a connection.
                if let Ok(client) = client::connect(&world, number, number, hands).await {
                    caller::run(world, client, own).await;
                }
            }))
        })
        .chain(self.durable_callers())
        .collect()
    }

    fn durable_callers(&self) -> impl Iterator<Item = AbortOnDropHandle<()>> {
        let first = self.world.plan.setting.first_durable();
        let all = 0..self.world.plan.setting.durable.callers;
        all.map(move |number| {
            let world = self.world.clone();
            let steps = world.plan.durable.iter();
            let own = steps.filter(|step| step.caller == number).copied();
            let own = own.collect();
            AbortOnDropHandle::new(tokio::spawn(async move {
                let (number, hands) = (first + number, Hands::default());
                // Only a world that ends leaves a client without a connection.
                if let Ok(client) = client::connect(&world, number, number, hands).await {
                    durable_caller::run(world, client, own).await;
                }
            }))
        })
    }

    /// What its process had sent still arrives.
    pub(crate) fn replace_server(&mut self, server: u32) {
        let setting = &self.world.plan.setting;
        let plan = setting.requests.servers[server as usize];
        let wire = setting.first_caller() + setting.requests.callers + server;
        let how = Break::ClientFirst { lag_ms: 20 };
        self.world.network.break_links(wire, how);
        self.world.tell_request(RequestRecord::WorkerLost);
        self.later += 1;
        let next = Server::start(&self.world, plan, self.later, wire);
        drop(std::mem::replace(&mut self.servers[server as usize], next));
    }

    /// The callers have ended; what services asked of one another ends, too.
    /// Then somebody asks for all results that are kept.
    pub(crate) async fn drain(&self, client: &Client, end: Instant) {
        while self.world.requests.open() > 0 && Instant::now() < end {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        durable_caller::inspect(&self.world, client, end).await;
        self.world.tell_request(RequestRecord::Drained);
    }
}
