//! Little-endian fields in and out of byte slices, with every bound checked.

use super::Corrupt;

/// Takes fields off the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Corrupt> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(Corrupt::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(Corrupt::Truncated)?;
        self.0 = tail;
        Ok(*head)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Corrupt> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, Corrupt> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Corrupt> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, Corrupt> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn i64(&mut self) -> Result<i64, Corrupt> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// LEB128, at most ten bytes.
    pub(super) fn varint(&mut self) -> Result<u64, Corrupt> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Corrupt::Malformed("varint"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Corrupt::Malformed("varint"))
    }

    #[inline]
    pub(super) fn text(&mut self, length: usize) -> Result<&'a str, Corrupt> {
        std::str::from_utf8(self.take(length)?).map_err(|_| Corrupt::Malformed("text"))
    }
}

/// Puts fields into a slice that is known to be large enough; running over its end is a bug and panics.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Writer { out, at: 0 }
    }

    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// As [`Writer::put`], quicker for 16 to 32 bytes, as most ids have: two copies of 16 that may overlap, and no call.
    #[inline]
    pub(super) fn put_short(&mut self, bytes: &[u8]) {
        match (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
            (Some(first), Some(last)) if bytes.len() <= 32 => {
                let out = &mut self.out[self.at..self.at + bytes.len()];
                out[..16].copy_from_slice(first);
                out[bytes.len() - 16..].copy_from_slice(last);
                self.at += bytes.len();
            }
            _ => self.put(bytes),
        }
    }

    #[inline]
    pub(super) fn varint(&mut self, value: u64) {
        if value < 0x80 {
            self.put(&[value as u8]);
        } else {
            self.long_varint(value);
        }
    }

    fn long_varint(&mut self, mut value: u64) {
        let rest = self.out.get_mut(self.at..).unwrap_or_default();
        if let Some(place) = rest.first_chunk_mut::<8>()
            && value < 1 << 56
        {
            // All bytes at once. Those behind the last one are zero, and not written yet.
            let length = varint_length(value);
            let more = 0x8080_8080_8080_8080 & ((1 << (8 * (length - 1))) - 1);
            *place = (spread(value) | more).to_le_bytes();
            self.at += length;
            return;
        }
        while value >= 0x80 {
            self.put(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    pub(super) fn written(&self) -> usize {
        self.at
    }
}

/// The seven-bit groups of a number below 2^56, each at the bottom of its byte: halves are moved apart, then quarters, then eighths.
fn spread(value: u64) -> u64 {
    let halves = (value & 0x0000_0000_0fff_ffff) | (value & 0x00ff_ffff_f000_0000) << 4;
    let quarters = (halves & 0x0000_3fff_0000_3fff) | (halves & 0x0fff_c000_0fff_c000) << 2;
    (quarters & 0x007f_007f_007f_007f) | (quarters & 0x3f80_3f80_3f80_3f80) << 1
}

/// Bytes that [`Writer::varint`] takes for `value`.
pub(super) fn varint_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Signed numbers as unsigned ones, small in either direction.
pub(super) fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_survive_at_their_limits() {
        let limits = (0..64).map(|bit| 1 << bit).flat_map(|power: u64| [power - 1, power, power | 0x55]);
        for value in limits.chain([u64::MAX - 1, u64::MAX]) {
            // With room for all bytes at once, and with none to spare.
            for room in [12, varint_length(value)] {
                let mut buffer = vec![0; room];
                let mut writer = Writer::new(&mut buffer);
                writer.varint(value);
                let length = writer.written();
                assert_eq!(length, varint_length(value));
                assert_eq!(Fields(&buffer[..length]).varint(), Ok(value));
                assert!(buffer[length..].iter().all(|byte| *byte == 0), "{value}");
            }
        }
        for value in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert!(Fields(&[0xff; 10]).varint().is_err(), "more than 64 bits");
        assert!(Fields(&[0x80]).varint().is_err(), "cut short");
    }
}
