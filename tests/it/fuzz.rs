//! The fuzz targets' entries on the stable compiler: their seeds, some thousand mutations of each, and whatever fuzzing has found before.

use std::fs;
use std::path::{Path, PathBuf};

use drawdown_wal::sim::Random;

#[expect(unreachable_pub, reason = "the fuzz crate exports them")]
#[path = "../../fuzz/src/entries.rs"]
mod entries;

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn files(directory: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

/// Says which input it was.
struct Told<'a> {
    target: &'static str,
    input: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("target {} fails on {:02x?}", self.target, self.input);
        }
    }
}

fn run(target: &'static str, entry: entries::Entry, input: &[u8]) {
    let _told = Told { target, input };
    entry(input);
}

/// A few changes of the kinds that find things: bits, bytes, pieces moved, cut or repeated.
fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() as u64 + 1) as usize;
        let length = (random.below(24) as usize).min(input.len() - at);
        match random.below(8) {
            0 | 1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5) as usize],
            3 => input.truncate(at),
            4 => drop(input.drain(at..at + length)),
            5 => {
                let piece = input[at..at + length].to_vec();
                input.splice(at..at, piece);
            }
            6 => input.insert(at, random.draw() as u8),
            _ => {
                let other = &others[random.below(others.len() as u64) as usize];
                let from = random.below(other.len() as u64 + 1) as usize;
                input.truncate(at);
                input.extend(&other[from..]);
            }
        }
        input.truncate(8_192);
    }
}

/// Runs a target over its seeds, its findings and mutations of both.
fn smoke(target: &'static str, seeds: Vec<Vec<u8>>) {
    let entry = entries::TARGETS.into_iter().find(|(name, _)| *name == target).expect("a target").1;
    let count: usize = std::env::var("DRAWDOWN_FUZZ_RUNS").map_or(3_000, |runs| runs.parse().expect("a number"));
    let mut inputs = seeds;
    inputs.extend(files(&fuzz_dir().join("seeds").join(target)));
    inputs.extend(files(&fuzz_dir().join("found").join(target)));
    assert!(!inputs.is_empty(), "a target without seeds finds little");
    for input in &inputs {
        run(target, entry, input);
    }
    let mut random = Random::new(1);
    for _ in 0..count {
        let mut input = inputs[random.below(inputs.len() as u64) as usize].clone();
        mutate(&mut input, &inputs, &mut random);
        run(target, entry, &input);
    }
    // And bytes of no form at all.
    for length in 0..300 {
        let input: Vec<u8> = (0..length).map(|_| random.draw() as u8).collect();
        run(target, entry, &input);
    }
}

/// Payloads of every frame of a ledger with everything in it, and seeds that are files.
fn payloads() -> Vec<Vec<u8>> {
    use drawdown_wal::{Archive, FrameRef, Images, Visitor};
    struct Payloads(Vec<Vec<u8>>);
    impl Visitor for Payloads {
        fn frame(&mut self, frame: &FrameRef<'_>) {
            if frame.payload.len() < 2_000 {
                self.0.push(frame.payload.to_vec());
            }
        }
    }
    let mut payloads = Payloads(Vec::new());
    let segments = crate::sim::some_ledger();
    Archive::of_images(Images { segments, chain: None }).survey(&mut payloads).expect("images can be read");
    payloads.0
}

#[test]
fn records() {
    smoke("record", payloads());
}

#[test]
fn recovery() {
    smoke("recovery", vec![vec![0; 64], (0..=255).collect(), vec![0xff; 300]]);
}

#[test]
fn bodies() {
    smoke("body", Vec::new());
}

#[test]
fn decimals() {
    let texts = [
        "0",
        "-0.5",
        "12.50",
        "9223372036854775807",
        "-9223372036854775808",
        "1e18",
        "123.456e-7",
        "0.000000001",
        "1E+2",
    ];
    smoke("decimal", texts.iter().map(|text| text.as_bytes().to_vec()).collect());
}

#[test]
fn rules() {
    smoke("rules", vec![vec![0; 40], (0..=255).collect(), (0..200u32).map(|at| (at * 37 % 251) as u8).collect()]);
}
