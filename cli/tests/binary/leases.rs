//! Work that takes longer than its lease.

use std::time::Duration;

use verteilt_client::{Client, PushOptions};

use crate::process::{Broker, run, stderr, succeeded};

#[test]
fn the_lease_is_kept_alive_while_the_command_runs() {
    let broker = Broker::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::connect(&broker.url).await.unwrap();
        let lease = Some(Duration::from_secs(1));
        let options = PushOptions {
            lease,
            ..PushOptions::default()
        };
        client.push_with("q", "body", &options).await.unwrap();
        client.close().await.unwrap();
    });
    let script = "sleep 4; echo run $VERTEILT_JOB_ATTEMPT";
    let work = run(&mut broker.verteilt(["work", "q", "--drain", "--", "sh", "-c", script]));
    assert_eq!(succeeded(&work), b"run 1\n", "{}", stderr(&work));
    assert_eq!(broker.count("q", "done"), 1);
}
