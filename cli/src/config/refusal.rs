//! What was wrong with the configuration, where, and what was probably meant.

use std::path::Path;

use figment::Error;
use figment::error::Kind;

use super::environment;
use crate::failure::Failure;

/// Names below this likeness (0 to 1) are another word, not a slip of the finger.
const LIKENESS_MIN: f64 = 0.7;

/// One line for each thing that is wrong.
pub(super) fn explain(error: Error, file: &Path) -> Failure {
    let lines: Vec<String> = error.into_iter().map(|error| one(&error, file)).collect();
    Failure::usage(lines.join("\nverteilt: ").trim_end())
        .advise("`verteilt serve --print-config` shows every key with its value")
}

fn one(error: &Error, file: &Path) -> String {
    let from_environment = error
        .metadata
        .as_ref()
        .is_some_and(|from| from.name.contains("environ"));
    let place = |path: &[String]| {
        if from_environment {
            let variable = path.join(environment::SECTION).to_ascii_uppercase();
            format!("environment variable {}{variable}", environment::PREFIX)
        } else if error.metadata.is_none() {
            format!("{}: `{}`", file.display(), path.join("."))
        } else {
            format!("`{}` in {}", path.join("."), file.display())
        }
    };
    match &error.kind {
        Kind::UnknownField(found, known) => {
            let mut path = error.path.clone();
            if path.last() != Some(found) {
                path.push(found.clone());
            }
            format!("unknown key: {}; {}", place(&path), meant(found, known))
        }
        kind if error.path.is_empty() => format!("{}: {kind}", file.display()),
        kind => format!("{}: {kind}", place(&error.path)),
    }
}

fn meant(found: &str, known: &[&str]) -> String {
    let likeness = |name: &&str| strsim::jaro_winkler(found, name);
    let nearest = known
        .iter()
        .filter(|name| likeness(name) >= LIKENESS_MIN)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_key() {
        let known = ["data", "listen", "metrics"];
        assert_eq!(meant("listne", &known), "did you mean `listen`?");
        assert_eq!(meant("zzz", &known), "known here: data, listen, metrics");
    }
}
