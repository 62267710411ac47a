//! Pins the format: these bytes are version 1. If this test fails, old logs have become unreadable: raise the version instead.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fmt::Write;

use drawdown_wal::sim::Disk;
use drawdown_wal::{Log, Lsn, Options};

const GOLDEN: &str = include_str!("golden/v1.hex");

/// Every line that is not all zero: offset, then 32 bytes.
fn hex(image: &[u8]) -> String {
    let mut out = String::new();
    for (i, line) in image.chunks(32).enumerate() {
        if line.iter().any(|&byte| byte != 0) {
            write!(out, "{:06x}", i * 32).unwrap();
            for byte in line {
                write!(out, " {byte:02x}").unwrap();
            }
            out.push('\n');
        }
    }
    out
}

fn unhex(text: &str) -> Vec<u8> {
    let mut image = vec![0u8; 8192];
    for line in text.lines() {
        let mut words = line.split(' ');
        let at = usize::from_str_radix(words.next().unwrap(), 16).unwrap();
        for (byte, word) in image[at..].iter_mut().zip(words) {
            *byte = u8::from_str_radix(word, 16).unwrap();
        }
    }
    image
}

fn options() -> Options {
    Options { log_id: Some(*b"golden log id 16"), segments_ahead: 1, ..Options::tiny(8192) }
}

#[test]
fn the_log_writes_these_bytes() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), options()).unwrap();
    let admission = log.admit(1024).unwrap();
    let mut frame = admission.reserve(1, 40);
    frame.payload_mut()[..40].copy_from_slice(b"forty bytes, which is a frame of 96 ....");
    frame.publish(40, 3);
    log.pump();
    let mut frame = admission.reserve(2, 100);
    frame.payload_mut().fill(0);
    frame.payload_mut()[..5].copy_from_slice(b"short");
    frame.publish(5, 0xab_cdef);
    drop(admission);
    log.close().unwrap();
    assert_eq!(hex(&disk.images()[&0]), GOLDEN);
}

#[test]
fn the_log_reads_these_bytes() {
    let disk = Disk::from_images(BTreeMap::from([(0, unhex(GOLDEN))]));
    let (log, recovery) = Log::open_on(disk.medium(), options()).unwrap();
    assert_eq!((recovery.run, recovery.torn, recovery.log_id), (2, None, *b"golden log id 16"));
    let mut reader = log.reader(Lsn::ZERO);
    let frame = reader.next().unwrap().unwrap();
    assert_eq!((frame.lsn, frame.run, frame.kind, frame.count), (Lsn::new(4128), 1, 1, 3));
    assert_eq!(frame.payload, b"forty bytes, which is a frame of 96 ....");
    let frame = reader.next().unwrap().unwrap();
    assert_eq!((frame.lsn, frame.run, frame.kind, frame.count), (Lsn::new(4224), 1, 2, 0xab_cdef));
    assert_eq!(frame.payload, b"short");
    assert_eq!(reader.next().unwrap(), None);
}
