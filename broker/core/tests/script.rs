//! Stories in `scripts/*.txt`: commands, `----`, and what came of them. The commands of a block are
//! handled as one round, with a tick behind it. `VERTEILT_BLESS=1` writes down what comes out now;
//! read the difference before you keep it.
//!
//! | command | |
//! |---|---|
//! | `connect w1`, `connect w1 holding 3 5`, `disconnect w1` | `w1.old` speaks from the connection before |
//! | `push mail 3 by=w1 priority=5 delay=1s attempts=2 lease=10s bytes=9 headers=2 memory producer=a:7 upload=1:2` | |
//! | `part w1 UPLOAD INDEX BYTES` | |
//! | `subscribe w1 mail credit=2 bytes=100 as=1`, `unsubscribe w1 as=1` | |
//! | `pull w1 mail 2 id=7 wait=5s`, `cancel w1 7` | |
//! | `ack w1 1 2..4`, `nack w1 1 delay=5s`, `release w1 1`, `touch w1 1 lease=1m` | `1@7` names a token |
//! | `hold w1`, `unhold w1`, `pause mail`, `resume mail`, `purge mail 10`, `drain` | |
//! | `stats`, `stats mail`, `peek mail ready 10`, `deadline` | |
//! | `topic log 3 age=1h bytes=900`, `retain log age=1h`, `delete log`, `topics`, `topics log`, `groups log` | |
//! | `publish log 3 to=1 keys=7,7,7 producer=a:7 bytes=9 head=2 key=3` | `head`, `key`: bytes of each |
//! | `read w1 log as=1 group=g from=earliest credit=9 bytes=100 only=0,1:5` | `from`: or `latest`, an offset, `30s` |
//! | `consumed w1 1 0:7`, `commit w1 1 0:7` | of subscription 1: partition 0 up to offset 7 |
//! | `advance 30s` | then a tick |
//! | `checkpoint`, `crash` | the next crash begins at the checkpoint |

#[path = "script/play.rs"]
mod play;
#[path = "script/topics.rs"]
mod topics;
#[path = "script/trace.rs"]
mod trace;
mod world;

use std::fs;
use std::path::Path;

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let bless = std::env::var_os("VERTEILT_BLESS").is_some();
    let mut failed = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the folder of scripts")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let script = fs::read_to_string(&path).expect("a script");
        let played = play(&script);
        if played == script {
            continue;
        }
        if bless {
            fs::write(&path, played).expect("the script is writable");
        } else {
            let name = path.file_name().unwrap_or_default().display();
            failed.push(format!("{name}\n{}", difference(&script, &played)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The script with what came out now.
fn play(script: &str) -> String {
    let mut player = play::Player::new();
    let blocks: Vec<String> = script
        .trim_end()
        .split("\n\n")
        .map(|block| {
            let (asked, _) = block.split_once("\n----").unwrap_or((block, ""));
            let commands: Vec<&str> = asked
                .lines()
                .filter(|line| !line.starts_with('#') && !line.is_empty())
                .collect();
            if commands.is_empty() {
                return asked.to_owned();
            }
            let came = player.round(&commands);
            format!("{asked}\n----{came}")
        })
        .collect();
    blocks.join("\n\n") + "\n"
}

fn difference(expected: &str, came: &str) -> String {
    let at = expected
        .lines()
        .zip(came.lines())
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| expected.lines().count().min(came.lines().count()));
    let from = at.saturating_sub(6);
    let show = |text: &str| {
        let lines = text.lines().enumerate().skip(from).take(14);
        lines
            .map(|(number, line)| format!("{:4} {line}\n", number + 1))
            .collect::<String>()
    };
    format!("expected:\n{}came:\n{}", show(expected), show(came))
}
