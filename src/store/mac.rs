//! A keyed hash of short texts: CMAC over AES-128 (RFC 4493, NIST SP 800-38B), a pseudo-random function of any length of input.
//!
//! Processors encrypt a block in ten instructions, so the hash of an id costs a few nanoseconds: a sixth of what SipHash-1-3 took here. An
//! input consists of a *head*, padded with zeros to whole blocks, and a *body*. What many inputs share goes into the head, which is taken in
//! once. Heads of one key must tell their own length, or all have the same, for the padding does not.
//!
//! Where the build may use the processor's instructions they are used directly; elsewhere the `aes` package finds out what there is. Both
//! give the same hashes.

use cipher::{Block, Cipher};

/// Bytes of a block.
const BLOCK: usize = 16;

/// A key, ready for use.
#[derive(Clone)]
pub(super) struct Mac {
    cipher: Cipher,
    /// Added to a last block that is full (K1 of the standard).
    whole: Block,
    /// Added to a last block that was padded (K2).
    padded: Block,
}

/// An input of which the head was taken in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun(Block);

impl Mac {
    pub(super) fn new(key: [u8; BLOCK]) -> Self {
        let cipher = Cipher::new(key);
        // The standard reads blocks as big-endian polynomials over GF(2).
        let double = |bits: u128| (bits << 1) ^ ((bits >> 127) * 0x87);
        let first = double(u128::from_be_bytes(cipher.encrypt(Block::new(0)).bits().to_le_bytes()));
        let second = double(first);
        let block = |bits: u128| Block::new(u128::from_le_bytes(bits.to_be_bytes()));
        Mac { cipher, whole: block(first), padded: block(second) }
    }

    /// Begins inputs with this head.
    pub(super) fn begin(&self, head: &[u8]) -> Begun {
        self.extend(Begun(Block::new(0)), head)
    }

    /// Takes in another piece of the head, padded like the first one.
    pub(super) fn extend(&self, Begun(mut state): Begun, head: &[u8]) -> Begun {
        let (blocks, rest) = head.as_chunks::<BLOCK>();
        for block in blocks {
            state = self.cipher.encrypt(state.xor(Block::new(u128::from_le_bytes(*block))));
        }
        if !rest.is_empty() {
            let one = Block::new(0x80 << (8 * rest.len()));
            state = self.cipher.encrypt(state.xor(Block::padded(head, rest.len())).xor(one));
        }
        Begun(state)
    }

    /// The hash of the head that was begun with and this body.
    #[inline]
    pub(super) fn finish(&self, Begun(mut state): Begun, body: &[u8]) -> u128 {
        let mut rest = body;
        while let Some((block, behind)) = rest.split_first_chunk::<BLOCK>() {
            state = state.xor(Block::new(u128::from_le_bytes(*block)));
            if behind.is_empty() {
                return self.cipher.encrypt(state.xor(self.whole)).bits();
            }
            state = self.cipher.encrypt(state);
            rest = behind;
        }
        let last = Block::padded(body, rest.len());
        self.cipher.encrypt(state.xor(last).xor(self.padded)).bits()
    }
}

/// The last `count` bytes, fewer than a block, with the one bit behind them. Loads that may overlap, for copying byte by byte takes longer than
/// encrypting.
#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "aes", target_feature = "ssse3", not(miri)))))]
#[inline]
fn pad(bytes: &[u8], count: usize) -> u128 {
    let bits = if let Some(chunk) = bytes.last_chunk::<BLOCK>() {
        // At least one bit is shifted out each time: `count` is below 16, and 0 was answered by then.
        if count == 0 { 0 } else { u128::from_le_bytes(*chunk) >> (8 * (BLOCK - count)) }
    } else if let (Some(low), Some(high)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        u128::from(u64::from_le_bytes(*low)) | u128::from(u64::from_le_bytes(*high)) << (8 * (count - 8))
    } else if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        u128::from(u32::from_le_bytes(*low)) | u128::from(u32::from_le_bytes(*high)) << (8 * (count - 4))
    } else {
        bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u128::from(*byte))
    };
    bits | 0x80 << (8 * count)
}

#[cfg(all(target_arch = "x86_64", target_feature = "aes", target_feature = "ssse3", not(miri)))]
mod cipher {
    use super::BLOCK;
    use std::arch::x86_64::{
        __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aeskeygenassist_si128, _mm_shuffle_epi8,
        _mm_shuffle_epi32, _mm_slli_si128, _mm_xor_si128,
    };

    /// A window of this names places to take bytes from: they move down by as many bytes as the window begins behind the start, and zeros
    /// follow.
    const DOWN: [u8; 2 * BLOCK] = places(0);
    /// The same: moved up by as many bytes as the window is moved down from the middle, zeros before.
    const UP: [u8; 2 * BLOCK] = places(BLOCK);
    /// A window of this has its one bit as far from its start as the window's start is from the middle.
    const ONE: [u8; 2 * BLOCK] = {
        let mut bytes = [0; 2 * BLOCK];
        bytes[BLOCK] = 0x80;
        bytes
    };

    /// The places of a block's bytes, from `start` on; elsewhere the mark that stands for a zero.
    const fn places(start: usize) -> [u8; 2 * BLOCK] {
        let mut places = [0x80; 2 * BLOCK];
        let mut place = 0;
        while place < BLOCK {
            places[start + place] = place as u8;
            place += 1;
        }
        places
    }

    #[inline]
    fn window(bytes: &[u8; 2 * BLOCK], at: usize) -> Block {
        let window: &[u8; BLOCK] = bytes[at..at + BLOCK].try_into().expect("as long as a block");
        Block::new(u128::from_le_bytes(*window))
    }

    /// Sixteen bytes in a vector register.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Block(__m128i);

    /// The round keys.
    #[derive(Clone)]
    pub(super) struct Cipher([__m128i; 11]);

    impl Block {
        #[inline]
        pub(super) fn new(bits: u128) -> Self {
            // SAFETY: sixteen bytes each, of which every value is valid.
            Block(unsafe { std::mem::transmute::<u128, __m128i>(bits) })
        }

        #[inline]
        pub(super) fn bits(self) -> u128 {
            // SAFETY: as in `new`.
            unsafe { std::mem::transmute::<__m128i, u128>(self.0) }
        }

        #[inline]
        pub(super) fn xor(self, other: Block) -> Block {
            // SAFETY: SSE2 is part of the architecture.
            Block(unsafe { _mm_xor_si128(self.0, other.0) })
        }

        /// See [`super::pad`]. Shifting 128 bits by a variable count takes a dozen instructions, some of them slow; shuffling takes one.
        #[expect(clippy::inline_always, reason = "a call costs more than the shuffles save")]
        #[inline(always)]
        pub(super) fn padded(bytes: &[u8], count: usize) -> Block {
            let wide = |bytes: &[u8; 8]| Block::new(u128::from(u64::from_le_bytes(*bytes)));
            let rest = if let Some(chunk) = bytes.last_chunk::<BLOCK>() {
                Block::new(u128::from_le_bytes(*chunk)).taken_from(window(&DOWN, BLOCK - count))
            } else if let (Some(low), Some(high)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
                // Bytes that are in both come to stand on themselves.
                let high = wide(high).taken_from(window(&UP, BLOCK - (count - 8)));
                return Block::new(wide(low).bits() | high.bits()).xor(window(&ONE, BLOCK - count));
            } else if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                let high = u64::from(u32::from_le_bytes(*high)) << (8 * (count - 4));
                Block::new(u128::from(u64::from(u32::from_le_bytes(*low)) | high))
            } else {
                Block::new(u128::from(bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u32::from(*byte))))
            };
            rest.xor(window(&ONE, BLOCK - count))
        }

        /// The bytes from the places that `places` names.
        #[inline]
        fn taken_from(self, places: Block) -> Block {
            // SAFETY: this module is compiled for processors with SSSE3 only.
            Block(unsafe { _mm_shuffle_epi8(self.0, places.0) })
        }
    }

    impl Cipher {
        pub(super) fn new(key: [u8; 16]) -> Self {
            let mut keys = [Block::new(u128::from_le_bytes(key)).0; 11];
            macro_rules! expand {
                ($($round:literal: $constant:literal),*) => {
                    $(
                        // SAFETY: this module is compiled for processors with AES and SSE2 only.
                        keys[$round] = unsafe { next::<$constant>(keys[$round - 1]) };
                    )*
                };
            }
            expand!(1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 32, 7: 64, 8: 128, 9: 27, 10: 54);
            Cipher(keys)
        }

        #[inline]
        pub(super) fn encrypt(&self, block: Block) -> Block {
            let mut state = block.xor(Block(self.0[0])).0;
            for key in &self.0[1..10] {
                // SAFETY: this module is compiled for processors with AES only.
                state = unsafe { _mm_aesenc_si128(state, *key) };
            }
            // SAFETY: as above.
            Block(unsafe { _mm_aesenclast_si128(state, self.0[10]) })
        }
    }

    /// The round key behind `key`: each word is the sum of all words up to it and the transformed last one (FIPS 197, 5.2).
    #[target_feature(enable = "aes,sse2")]
    fn next<const CONSTANT: i32>(key: __m128i) -> __m128i {
        let turned = _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<CONSTANT>(key));
        let two = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
        let four = _mm_xor_si128(two, _mm_slli_si128::<8>(two));
        _mm_xor_si128(four, turned)
    }
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "aes", target_feature = "ssse3", not(miri))))]
mod cipher {
    use aes::Aes128;
    use aes::cipher::{BlockCipherEncrypt, KeyInit};

    /// Sixteen bytes.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Block(u128);

    #[derive(Clone)]
    pub(super) struct Cipher(Aes128);

    impl Block {
        pub(super) fn new(bits: u128) -> Self {
            Block(bits)
        }

        pub(super) fn bits(self) -> u128 {
            self.0
        }

        pub(super) fn xor(self, other: Block) -> Block {
            Block(self.0 ^ other.0)
        }

        pub(super) fn padded(bytes: &[u8], count: usize) -> Block {
            Block(super::pad(bytes, count))
        }
    }

    impl Cipher {
        pub(super) fn new(key: [u8; 16]) -> Self {
            Cipher(Aes128::new(&key.into()))
        }

        pub(super) fn encrypt(&self, block: Block) -> Block {
            let mut bytes = block.0.to_le_bytes().into();
            self.0.encrypt_block(&mut bytes);
            Block(u128::from_le_bytes(bytes.into()))
        }
    }
}

#[cfg(test)]
#[cfg(not(drawdown_loom))]
mod tests {
    use super::*;
    use aes::Aes128;
    use aes::cipher::{BlockCipherEncrypt, KeyInit};
    use proptest::prelude::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        std::array::from_fn(|at| {
            u8::from_str_radix(str::from_utf8(&digits[2 * at..2 * at + 2]).expect("digits"), 16).expect("digits")
        })
    }

    /// The examples of RFC 4493, section 4.
    #[test]
    fn the_examples_of_the_standard_come_out() {
        let mac = Mac::new(bytes("2b7e1516 28aed2a6 abf71588 09cf4f3c"));
        let message: [u8; 64] = bytes(
            "6bc1bee2 2e409f96 e93d7e11 7393172a ae2d8a57 1e03ac9c 9eb76fac 45af8e51
             30c81c46 a35ce411 e5fbc119 1a0a52ef f69f2445 df4f9b17 ad2b417b e66c3710",
        );
        for (length, expected) in [
            (0, "bb1d6929 e9593728 7fa37d12 9b756746"),
            (16, "070a16b4 6b4d4144 f79bdd9d d04a287c"),
            (40, "dfa66747 de9ae630 30ca3261 1497c827"),
            (64, "51f0bebf 7e3b9d92 fc497417 79363cfe"),
        ] {
            assert_eq!(mac.finish(mac.begin(&[]), &message[..length]).to_le_bytes(), bytes(expected), "{length} bytes");
            // Whole blocks may as well be a head, as long as something follows.
            if length > 16 {
                let begun = mac.begin(&message[..16]);
                assert_eq!(mac.finish(begun, &message[16..length]).to_le_bytes(), bytes(expected));
            }
        }
    }

    /// The standard's algorithm, written down naively.
    fn plain(key: [u8; 16], message: &[u8]) -> [u8; 16] {
        let cipher = Aes128::new(&key.into());
        let encrypt = |block: [u8; 16]| -> [u8; 16] {
            let mut block = block.into();
            cipher.encrypt_block(&mut block);
            block.into()
        };
        let double = |block: [u8; 16]| {
            let bits = u128::from_be_bytes(block);
            ((bits << 1) ^ ((bits >> 127) * 0x87)).to_be_bytes()
        };
        let xor = |a: [u8; 16], b: [u8; 16]| -> [u8; 16] { std::array::from_fn(|at| a[at] ^ b[at]) };
        let first = double(encrypt([0; 16]));
        let mut padded = message.to_vec();
        let mut last_key = first;
        if message.is_empty() || !message.len().is_multiple_of(16) {
            padded.push(0x80);
            padded.resize(padded.len().next_multiple_of(16), 0);
            last_key = double(first);
        }
        let (blocks, _) = padded.as_chunks::<16>();
        let (last, before) = blocks.split_last().expect("at least one block");
        let state = before.iter().fold([0; 16], |state, block| encrypt(xor(state, *block)));
        encrypt(xor(xor(state, *last), last_key))
    }

    #[test]
    fn every_short_length_agrees_with_the_plain_algorithm() {
        let message: Vec<u8> = (0..130).map(|byte| byte ^ 0x5a).collect();
        for length in 0..=message.len() {
            let mac = Mac::new([9; 16]);
            let hash = mac.finish(mac.begin(&[]), &message[..length]).to_le_bytes();
            assert_eq!(hash, plain([9; 16], &message[..length]), "{length} bytes");
        }
    }

    #[test]
    fn shuffling_pads_as_shifting_does() {
        let bytes: Vec<u8> = (1..=80).collect();
        for length in 0..bytes.len() {
            let bytes = &bytes[..length];
            assert_eq!(Block::padded(bytes, length % BLOCK).bits(), pad(bytes, length % BLOCK), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn a_head_is_a_beginning_padded_with_zeros(
            key: [u8; 16], head in prop::collection::vec(any::<u8>(), 0..50), body in prop::collection::vec(any::<u8>(), 1..150),
        ) {
            let mac = Mac::new(key);
            let hash = mac.finish(mac.begin(&head), &body).to_le_bytes();
            let mut message = head;
            message.resize(message.len().next_multiple_of(16), 0);
            message.extend_from_slice(&body);
            prop_assert_eq!(hash, plain(key, &message));
        }
    }
}
