//! What may happen to a file on the disk.

use std::fs;
use std::path::Path;

use crate::job::Dice;

const SECTOR: usize = 512;
/// How often a place is looked for where damage changes anything.
const TRIES: usize = 20;

/// One kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    /// One bit is another.
    Flip,
    /// A sector holds zeros.
    Zero,
    /// The file ends early.
    Cut,
    /// The file is gone.
    Remove,
}

impl Damage {
    pub(crate) const ALL: [Self; 4] = [Self::Flip, Self::Zero, Self::Cut, Self::Remove];

    /// Does it to a file, at a place that the dice choose; says what was done. `None` when there is
    /// nothing in the file that this could change.
    pub(crate) fn strike(self, file: &Path, dice: &mut Dice) -> Option<String> {
        if self == Self::Remove {
            fs::remove_file(file).unwrap();
            return Some("removed".to_owned());
        }
        let pristine = fs::read(file).unwrap();
        for _ in 0..TRIES {
            let mut bytes = pristine.clone();
            let done = self.change(&mut bytes, dice)?;
            if bytes != pristine {
                fs::write(file, bytes).unwrap();
                return Some(done);
            }
        }
        None
    }

    fn change(self, bytes: &mut Vec<u8>, dice: &mut Dice) -> Option<String> {
        let at = place(bytes, dice)?;
        Some(match self {
            Self::Flip => {
                let bit = dice.below(8);
                bytes[at] ^= 1 << bit;
                format!("bit {bit} of byte {at} flipped")
            }
            Self::Zero => {
                let start = at / SECTOR * SECTOR;
                let end = bytes.len().min(start + SECTOR);
                bytes[start..end].fill(0);
                format!("bytes {start} to {end} zeroed")
            }
            Self::Cut | Self::Remove => {
                bytes.truncate(at);
                format!("cut to {at} bytes")
            }
        })
    }
}

/// Any byte one time in four, else one of a sector in which something stands: most of a segment is
/// zeros that nobody reads.
fn place(bytes: &[u8], dice: &mut Dice) -> Option<usize> {
    let anywhere = dice.below(4) == 0;
    let sectors: Vec<usize> = bytes
        .chunks(SECTOR)
        .enumerate()
        .filter(|(_, sector)| anywhere || sector.iter().any(|byte| *byte != 0))
        .map(|(number, _)| number * SECTOR)
        .collect();
    if sectors.is_empty() {
        return None;
    }
    let start = sectors[dice.below(sectors.len() as u64) as usize];
    let length = SECTOR.min(bytes.len() - start);
    Some(start + dice.below(length as u64) as usize)
}
