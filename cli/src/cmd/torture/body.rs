//! Bodies that tell by themselves whether they are whole.

use bytes::Bytes;
use verteilt_history::Body;

use super::random::Random;

/// Number and hash in front of the rest.
const HEAD: usize = 16;

/// Most bytes of an ordinary body, and of a large one.
const ORDINARY_BYTES_MAX: u64 = 64 * 1024;
const LARGE_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Half of them small, a few too large for one frame, some empty.
pub(super) fn random(number: u64, random: &mut Random) -> Bytes {
    let length = match random.below(100) {
        0 => random.below(HEAD as u64),
        1..50 => HEAD as u64 + random.below(1024),
        50..98 => HEAD as u64 + random.below(ORDINARY_BYTES_MAX - HEAD as u64 + 1),
        _ => HEAD as u64 + random.below(LARGE_BYTES_MAX - HEAD as u64 + 1),
    };
    make(number, length as usize, random)
}

fn make(number: u64, length: usize, random: &mut Random) -> Bytes {
    let mut body = number.to_le_bytes().to_vec();
    body.extend([0; 8]);
    while body.len() < length {
        body.extend(random.next().to_le_bytes());
    }
    body.truncate(length);
    if length >= HEAD {
        let hash = Body::with_headers(&body[..8], &body[HEAD..]).hash;
        body[8..HEAD].copy_from_slice(&hash.to_le_bytes());
    }
    body.into()
}

/// Whether the body is one of ours, unchanged, as far as it can tell: too short ones cannot.
pub(super) fn is_whole(body: &[u8]) -> bool {
    let (Some(number), Some(hash), Some(rest)) =
        (body.get(..8), body.get(8..HEAD), body.get(HEAD..))
    else {
        return true;
    };
    Body::with_headers(number, rest).hash.to_le_bytes() == hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_body_is_noticed() {
        let mut random = Random::new(1);
        for length in [0, 3, HEAD, HEAD + 1, 5_000] {
            let body = make(9, length, &mut random);
            assert_eq!(body.len(), length);
            assert!(is_whole(&body));
        }
        let mut body = make(9, 100, &mut random).to_vec();
        body[99] ^= 1;
        assert!(!is_whole(&body));
    }
}
