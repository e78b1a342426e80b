use std::fs;

use super::*;

const EXAMPLE: &str = include_str!("../../verteilt.toml");

fn read(text: &str) -> Result<Config, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.toml");
    fs::write(&path, text).unwrap();
    Config::load(Some(&path))
}

/// `a` and `b.c` for every key there is.
fn keys(config: &Config) -> Vec<String> {
    let table = toml::Table::try_from(config).unwrap();
    let mut keys = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(section) => {
                keys.extend(section.keys().map(|inner| format!("{key}.{inner}")));
            }
            _ => keys.push(key),
        }
    }
    keys
}

#[test]
fn the_example_is_the_defaults() {
    assert_eq!(read(EXAMPLE).unwrap(), Config::default());
}

#[test]
fn the_example_names_every_key_and_explains_it() {
    let example: toml::Table = EXAMPLE.parse().unwrap();
    for key in keys(&Config::default()) {
        let found = match key.split_once('.') {
            Some((section, inner)) => example[section].get(inner).is_some(),
            None => example.contains_key(&key),
        };
        assert!(found, "{key}");
    }
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ")) {
        assert!(
            pair[0].starts_with('#') || pair[1].starts_with('#'),
            "unexplained: {}",
            pair[1]
        );
    }
}

#[test]
fn what_is_printed_can_be_read() {
    let config = Config::default();
    assert_eq!(read(&config.to_toml().unwrap()).unwrap(), config);
}

#[test]
fn a_file_needs_only_what_differs() {
    let config = read("[journal]\nbytes_max = \"2GiB\"\n").unwrap();
    assert_eq!(config.journal.bytes_max, Size(2 << 30));
    assert_eq!(
        config.journal.segment_bytes,
        Config::default().journal.segment_bytes
    );
    assert_eq!(config.listen, Config::default().listen);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let failure = read("listne = \"127.0.0.1:1\"").unwrap_err();
    assert!(
        failure.message.contains("`listne` in "),
        "{}",
        failure.message
    );
    assert!(
        failure.message.contains("did you mean `listen`?"),
        "{}",
        failure.message
    );
    let failure = read("[journal]\nbytes_mx = 1\n").unwrap_err();
    assert!(
        failure.message.contains("`journal.bytes_mx`"),
        "{}",
        failure.message
    );
    assert!(
        failure.message.contains("did you mean `bytes_max`?"),
        "{}",
        failure.message
    );
}

#[test]
fn values_that_do_not_fit_are_refused_by_name() {
    for (text, key) in [
        ("listen = \"here\"", "listen"),
        ("grace = 10", "grace"),
        ("[connections]\nmax = -1", "connections.max"),
        ("[logging]\nformat = \"xml\"", "logging.format"),
        ("metrics = \"on\"", "metrics"),
    ] {
        let failure = read(text).unwrap_err();
        assert!(
            failure.message.contains(&format!("`{key}`")),
            "{text}: {}",
            failure.message
        );
    }
}

#[test]
fn a_named_file_must_be_there() {
    assert!(Config::load(Some(Path::new("/nowhere/verteilt.toml"))).is_err());
}

#[test]
fn other_machines_are_kept_out_unless_told_so() {
    let at = |listen: &str| Config {
        listen: listen.parse().unwrap(),
        ..Config::default()
    };
    assert!(at("127.0.0.1:1").check_exposure().is_ok());
    assert!(at("[::1]:1").check_exposure().is_ok());
    for open in [
        "0.0.0.0:1",
        "[::]:1",
        "192.168.0.7:1",
        "[::ffff:10.0.0.1]:1",
    ] {
        assert!(at(open).check_exposure().is_err(), "{open}");
        let allowed = Config {
            allow_unauthenticated: true,
            ..at(open)
        };
        assert!(allowed.check_exposure().is_ok());
    }
    let metrics = Listener::At("0.0.0.0:1".parse().unwrap());
    assert!(
        Config {
            metrics,
            ..Config::default()
        }
        .check_exposure()
        .is_err()
    );
}
