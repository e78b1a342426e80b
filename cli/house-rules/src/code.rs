//! Reading Rust source just well enough: what is code, and what only talks about it.

/// What a byte of the source belongs to.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    LineComment,
    /// Depth: block comments nest.
    BlockComment(u32),
    Text,
    /// Number of `#` that close it.
    RawText(usize),
}

/// The source with comments and the insides of string literals turned into blanks. Line breaks
/// stay, so line numbers hold.
#[must_use]
pub fn only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut state = State::Code;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (next, taken) = match state {
            State::Code => enter(rest, out.last().copied()),
            State::LineComment if rest[0] == b'\n' => (State::Code, 1),
            State::BlockComment(depth) if rest.starts_with(b"/*") => {
                (State::BlockComment(depth + 1), 2)
            }
            State::BlockComment(1) if rest.starts_with(b"*/") => (State::Code, 2),
            State::BlockComment(depth) if rest.starts_with(b"*/") => {
                (State::BlockComment(depth - 1), 2)
            }
            State::Text if rest[0] == b'\\' => (State::Text, rest.len().min(2)),
            State::Text if rest[0] == b'"' => (State::Code, 1),
            State::RawText(hashes) if closes_raw(rest, hashes) => (State::Code, 1 + hashes),
            inside => (inside, 1),
        };
        let is_code = state == State::Code && next == State::Code;
        let kept = rest[..taken].iter().map(|&byte| match byte {
            b'\n' => b'\n',
            byte if is_code => byte,
            _ => b' ',
        });
        out.extend(kept);
        state = next;
        at += taken;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// From code: what starts here, and how many bytes it takes.
fn enter(rest: &[u8], before: Option<u8>) -> (State, usize) {
    if rest.starts_with(b"//") {
        return (State::LineComment, 2);
    }
    if rest.starts_with(b"/*") {
        return (State::BlockComment(1), 2);
    }
    if rest[0] == b'"' {
        return (State::Text, 1);
    }
    if rest[0] == b'r' && !before.is_some_and(|byte| is_word(byte) && byte != b'b') {
        let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            return (State::RawText(hashes), 2 + hashes);
        }
    }
    // A character literal is taken whole, so that '"' opens nothing; a lifetime is not one.
    if rest[0] == b'\'' && !before.is_some_and(is_word) {
        let length = if rest.get(1) == Some(&b'\\') { 4 } else { 3 };
        if rest.get(length - 1) == Some(&b'\'') {
            return (State::Code, length);
        }
    }
    (State::Code, 1)
}

fn closes_raw(rest: &[u8], hashes: usize) -> bool {
    rest[0] == b'"' && rest.len() > hashes && rest[1..=hashes].iter().all(|&byte| byte == b'#')
}

/// Whether the byte can stand in an identifier.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether `line` holds `wanted`, not as a part of a longer identifier.
#[must_use]
pub fn has_word(line: &str, wanted: &str) -> bool {
    let starts_in_word = wanted.bytes().next().is_some_and(is_word);
    let ends_in_word = wanted.bytes().last().is_some_and(is_word);
    line.match_indices(wanted).any(|(at, _)| {
        let before = line[..at].bytes().last();
        let after = line[at + wanted.len()..].bytes().next();
        !(starts_in_word && before.is_some_and(is_word)
            || ends_in_word && after.is_some_and(is_word))
    })
}

/// Whether `code` names `HashMap<K, V>` or `HashSet<T>` without a hasher of its own, or makes one
/// by a function that only the default hasher has.
#[must_use]
pub fn has_default_hasher(code: &str) -> bool {
    let made = [
        "HashMap::new(",
        "HashMap::with_capacity(",
        "HashMap::from(",
        "RandomState",
    ];
    let made_set = ["HashSet::new(", "HashSet::with_capacity(", "HashSet::from("];
    made.iter()
        .chain(&made_set)
        .any(|word| has_word(code, word))
        || arguments(code, "HashMap<").any(|count| count < 3)
        || arguments(code, "HashSet<").any(|count| count < 2)
}

/// The number of type arguments at each place where `opening` stands.
fn arguments<'code>(code: &'code str, opening: &'code str) -> impl Iterator<Item = usize> + 'code {
    code.match_indices(opening).map(move |(at, _)| {
        let mut depth = 0_i32;
        let mut count = 1;
        for character in code[at + opening.len()..].chars() {
            match character {
                '<' | '(' | '[' => depth += 1,
                '>' if depth == 0 => break,
                '>' | ')' | ']' => depth -= 1,
                ',' if depth == 0 => count += 1,
                _ => {}
            }
        }
        count
    })
}
