//! Bodies that tell by themselves whether they are whole.

use bytes::Bytes;
use verteilt_client::Header;
use verteilt_history::Body;

use super::random::Random;

/// Number and hash in front of the rest.
const HEAD: usize = 16;

/// Most bytes of a body of each kind.
const SMALL_BYTES_MAX: u64 = 512;
const ORDINARY_BYTES_MAX: u64 = 4 * 1024;
const LARGE_BYTES_MAX: u64 = 64 * 1024;
const HUGE_BYTES_MAX: u64 = 256 * 1024;
/// More than a frame holds: these go in parts, both ways.
const IN_PARTS_BYTES_MAX: u64 = 3 * 1024 * 1024;

/// Most of them small, some empty, few huge: 5 KB on the average.
pub(super) fn any(number: u64, random: &mut Random) -> Bytes {
    let most = match random.below(2_000) {
        0 => IN_PARTS_BYTES_MAX,
        1..20 => HUGE_BYTES_MAX,
        20..120 => LARGE_BYTES_MAX,
        120..600 => ORDINARY_BYTES_MAX,
        600..620 => 0,
        _ => return small(number, random),
    };
    make(number, random.below(most + 1) as usize, random)
}

pub(super) fn small(number: u64, random: &mut Random) -> Bytes {
    make(number, random.below(SMALL_BYTES_MAX + 1) as usize, random)
}

/// Of this length, or longer by the rest of a number: no two are alike, but empty ones.
fn make(number: u64, length: usize, random: &mut Random) -> Bytes {
    if length == 0 {
        return Bytes::new();
    }
    let length = length.max(size_of_val(&number));
    let mut body = Vec::with_capacity(length + HEAD);
    body.extend(number.to_le_bytes());
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

/// Headers as bytes for the history, the same ones for pushes and deliveries.
pub(super) fn headers(headers: &[Header]) -> Vec<u8> {
    let fields = headers
        .iter()
        .flat_map(|header| [header.name.as_bytes(), &header.value]);
    let sized = |field: &[u8]| [&field.len().to_le_bytes(), field].concat();
    fields.flat_map(sized).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_body_is_noticed() {
        let mut random = Random::new(1);
        for length in [0, 8, HEAD, HEAD + 1, 5_000] {
            let body = make(9, length, &mut random);
            assert_eq!(body.len(), length);
            assert!(is_whole(&body));
        }
        let mut body = make(9, 100, &mut random).to_vec();
        body[99] ^= 1;
        assert!(!is_whole(&body));
    }

    #[test]
    fn no_two_bodies_are_alike_however_short() {
        let mut random = Random::new(1);
        let bodies = (0..300).map(|number| make(number, 1, &mut random));
        let different: std::collections::BTreeSet<Bytes> = bodies.collect();
        assert_eq!(different.len(), 300);
    }

    #[test]
    fn headers_differ_wherever_their_fields_end() {
        let of = |name: &str, value: &str| headers(&[Header::new(name, value.to_owned())]);
        assert_ne!(of("ab", "c"), of("a", "bc"));
        assert!(headers(&[]).is_empty());
    }
}
