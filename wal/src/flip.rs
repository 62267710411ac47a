//! Tells a flipped bit from a torn write.
//!
//! Behind the highest durable mark a frame that does not check is, as a rule, one that a power cut caught half written: it is cut away, and
//! nobody was ever told that it was there. But it may as well have been durable and acknowledged, and rotted since. The two look different.
//! A torn write lacks whole sectors, which are zero in a prepared segment. A frame of which every sector arrived, and that would check if one
//! single bit were the other way, was written whole and changed afterwards: to cut it could take back an acknowledgement.
//!
//! Which bit it is follows from the checksum. A CRC is linear: what a flipped bit adds to it depends on its distance from the end alone, and
//! differs for any two bits of a frame. So one walk back from the end finds it, whatever the frame's length.
//!
//! What this does not find: a flipped bit in a frame that has a sector of nothing but zeros by its own content, and two flipped bits or more.
//! They are told apart from a torn tail only below a durable mark.

use crate::format::{FRAME_HEADER_BYTES, FrameHeader, KIND_PAD, judge};
use crate::lsn::Lsn;

/// Bytes that a device writes whole or not at all.
const SECTOR: u64 = 512;
const HEADER: usize = FRAME_HEADER_BYTES as usize;

/// A bit that is the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flip {
    /// Where its byte stands, counted from the start of the frame.
    pub(crate) byte: u64,
    /// Which of its bits it is; 0 is the lowest.
    pub(crate) bit: u8,
}

/// The one bit whose flipping back makes a whole frame of what stands at `lsn`, if there is one. `bytes` begin there and go on to the end of
/// the segment; `offset` is the place in the file.
pub(crate) fn find(bytes: &[u8], offset: u64, lsn: Lsn, seed: u32) -> Option<Flip> {
    let header = bytes.first_chunk::<HEADER>()?;
    if *header == [0; HEADER] {
        return None;
    }
    in_header(bytes, header, offset, lsn, seed).or_else(|| in_payload(bytes, offset, lsn, seed))
}

fn in_header(bytes: &[u8], header: &[u8; HEADER], offset: u64, lsn: Lsn, seed: u32) -> Option<Flip> {
    for byte in 0..HEADER {
        for bit in 0..8 {
            let mut mended = *header;
            mended[byte] ^= 1 << bit;
            let Some(frame) = judge(&mended, bytes, lsn, seed) else { continue };
            if arrived_whole(&frame, bytes, offset) {
                return Some(Flip { byte: byte as u64, bit });
            }
        }
    }
    None
}

fn in_payload(bytes: &[u8], offset: u64, lsn: Lsn, seed: u32) -> Option<Flip> {
    let frame = FrameHeader::plausible(bytes, lsn)?;
    let rest = &bytes[4..];
    let payload = &bytes[HEADER..frame.length as usize];
    let mut difference = frame.checksum_difference(seed, rest, payload);
    if frame.kind == KIND_PAD || difference == 0 || !arrived_whole(&frame, bytes, offset) {
        return None;
    }
    for byte in (HEADER..frame.length as usize).rev() {
        if let Some(bit) = (0..8u8).find(|bit| TABLE[1 << bit] == difference) {
            return Some(Flip { byte: byte as u64, bit });
        }
        difference = undo_zero_byte(difference);
    }
    None
}

/// Which one bit would, the other way round, make the CRC32C of `length` bytes be `stored` rather than `computed`: its byte, counted from their
/// beginning, where the checksum's own four bytes (little-endian) follow the last one, and the bit, 0 being the lowest. `None` if more has changed than one.
pub fn flipped_bit(stored: u32, computed: u32, length: u64) -> Option<(u64, u8)> {
    let mut difference = stored ^ computed;
    if difference.is_power_of_two() {
        let bit = difference.trailing_zeros();
        return Some((length + u64::from(bit / 8), (bit % 8) as u8));
    }
    for byte in (0..length).rev() {
        if let Some(bit) = (0..8u8).find(|bit| TABLE[1 << bit] == difference) {
            return Some((byte, bit));
        }
        difference = undo_zero_byte(difference);
    }
    None
}

/// Whether every sector of the frame holds something: none was lost on its way to the disk. A pad's payload is zero.
fn arrived_whole(frame: &FrameHeader, bytes: &[u8], offset: u64) -> bool {
    let length = if frame.kind == KIND_PAD { FRAME_HEADER_BYTES } else { u64::from(frame.length) };
    let mut at = 0;
    while at < length {
        let end = ((offset + at) / SECTOR + 1) * SECTOR - offset;
        let part = &bytes[at as usize..end.min(length) as usize];
        if part.iter().all(|&byte| byte == 0) {
            return false;
        }
        at = end;
    }
    true
}

/// The polynomial of CRC32C, its bits in the order of the checksum's.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What a byte adds to a checksum that was zero before it.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

/// The byte whose entry in [`TABLE`] has these top bits: no two have the same.
const BYTE_OF_TOP: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[(TABLE[byte] >> 24) as usize] = byte as u8;
        byte += 1;
    }
    bytes
};

/// The checksum that the next byte, a zero, turned into `sum`.
fn undo_zero_byte(sum: u32) -> u32 {
    let byte = BYTE_OF_TOP[(sum >> 24) as usize];
    ((sum ^ TABLE[byte as usize]) << 8) | u32::from(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u32 = 77;
    const OFFSET: u64 = 4096 + 32 * 9;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = FRAME_HEADER_BYTES as u32 + payload.len() as u32;
        let lsn = Lsn::new(OFFSET);
        let header = FrameHeader { length, lsn, run: 3, kind, count: 2, durable: Lsn::new(4096) };
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(header.encode(SEED, payload));
        bytes.extend(payload);
        bytes.resize(8192, 0);
        bytes
    }

    fn found(bytes: &[u8]) -> Option<Flip> {
        find(bytes, OFFSET, Lsn::new(OFFSET), SEED)
    }

    #[test]
    fn every_bit_of_a_frame_is_found() {
        for payload in [0, 1, 40, 600] {
            let whole = frame(1, &vec![0x5a; payload]);
            assert_eq!(found(&whole), None, "a frame that checks has no flipped bit");
            for byte in 0..HEADER + payload {
                for bit in 0..8 {
                    let mut bytes = whole.clone();
                    bytes[byte] ^= 1 << bit;
                    assert_eq!(found(&bytes), Some(Flip { byte: byte as u64, bit }));
                }
            }
        }
    }

    #[test]
    fn a_pads_header_is_all_of_it() {
        let mut bytes = frame(KIND_PAD, &[0; 2000]);
        bytes[17] ^= 4;
        assert_eq!(found(&bytes), Some(Flip { byte: 17, bit: 2 }));
    }

    #[test]
    fn a_flipped_bit_follows_from_two_checksums() {
        let whole: Vec<u8> = (0..300u32).map(|byte| (byte * 7) as u8).collect();
        let stored = crc32c::crc32c_append(SEED, &whole);
        assert_eq!(flipped_bit(stored, stored, 300), None);
        for byte in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[byte] ^= 1 << bit;
                let computed = crc32c::crc32c_append(SEED, &bytes);
                assert_eq!(flipped_bit(stored, computed, 300), Some((byte as u64, bit)));
                bytes[(byte + 150) % 300] ^= 0x21;
                let computed = crc32c::crc32c_append(SEED, &bytes);
                assert_eq!(flipped_bit(stored, computed, 300), None);
            }
        }
        for bit in 0..32u32 {
            let expected = (300 + u64::from(bit / 8), (bit % 8) as u8);
            assert_eq!(flipped_bit(stored ^ 1 << bit, stored, 300), Some(expected));
        }
    }

    #[test]
    fn two_bits_and_torn_writes_are_no_flip() {
        let whole = frame(1, &[0x5a; 1500]);
        let mut two = whole.clone();
        two[40] ^= 1;
        two[900] ^= 8;
        assert_eq!(found(&two), None);
        // Sectors as the device has them, of which the first holds the frame's beginning.
        let sectors = [224..736, 736..1248, 1248..1532];
        for lost in 1..8u8 {
            let mut torn = whole.clone();
            for (place, sector) in sectors.iter().enumerate() {
                if lost >> place & 1 == 1 {
                    torn[sector.clone()].fill(0);
                }
            }
            assert_eq!(found(&torn), None);
        }
        assert_eq!(found(&[0; 64]), None);
        assert_eq!(found(&[]), None);
    }

    /// A sector that was lost and had held a single bit looks like that bit flipped: it counts as lost.
    #[test]
    fn a_lost_sector_is_no_flip() {
        let mut payload = vec![0x5a; 1500];
        payload[704..1216].fill(0);
        payload[1000] = 1;
        let mut bytes = frame(1, &payload);
        bytes[HEADER + 1000] = 0;
        assert_eq!(found(&bytes), None);
    }
}
