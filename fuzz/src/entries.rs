//! One function a target: takes any bytes, and panics where something that must hold does not.

use std::collections::BTreeMap;

use bumpalo::Bump;
use drawdown::http::decode::{Batch, BinaryHeaders, DecodeError, Dialect, Media, decode};
use drawdown::journal::admin::{self, AdminRecord};
use drawdown::journal::debit::DebitRecord;
use drawdown::journal::frame::Prelude;
use drawdown::journal::operation::{self, OperationRecord};
use drawdown::journal::{Record, records};
use drawdown::ledger::{Decimal, DecimalError};
use drawdown_wal::sim::Disk;
use drawdown_wal::{Archive, Ended, Fault, Images, Log, Lsn, OpenError, Options, Survey, Verify};
use hyper::header::{HeaderMap, HeaderValue};
use serde::de::IgnoredAny;

use crate::model::{Command, Grant, Hold, Level, OnExceed, Payment, Policy, Rollover, Status, Watches};
use crate::subject::tell;

/// What a target does with its input.
pub type Entry = fn(&[u8]);

/// Every target with its entry.
pub const TARGETS: [(&str, Entry); 5] =
    [("record", record), ("recovery", recovery), ("body", body), ("decimal", decimal), ("rules", rules)];

/// Takes numbers off the front of the input; zero when there is nothing left.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(length.min(self.0.len()));
        self.0 = tail;
        head
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    fn is(&mut self) -> bool {
        self.byte() & 1 == 1
    }
}

// The journal.

/// Where the payload of the first frame of a log begins.
const PAYLOAD: Lsn = Lsn::new(4128);

/// Any bytes as a frame's payload: nothing panics, and a record that can be read survives being written and read again.
pub fn record(data: &[u8]) {
    let Ok(all) = records(data, PAYLOAD) else { return };
    let places: Vec<_> = all.places().collect();
    let whole: Vec<_> = all.clone().collect();
    for (place, read) in whole.iter().enumerate() {
        let Ok((lsn, record)) = read else {
            assert_eq!(place + 1, whole.len(), "a record that cannot be read ends the frame");
            continue;
        };
        assert_eq!(places[place].0, *lsn);
        assert_eq!(format!("{record:?}"), written_again(record, all.prelude()), "at {lsn}");
    }
    // A reader of some wallets sees theirs, as long as nothing malformed stands before them.
    let sound = whole.iter().flatten();
    let of_even = |record: &Record<'_>| match record {
        Record::Debit(debit) => debit.slot.is_multiple_of(2),
        Record::Operation(operation) => operation.slot.is_multiple_of(2),
        Record::Admin(_) => true,
    };
    let expected: Vec<_> = sound.filter(|(_, record)| of_even(record)).map(|(lsn, _)| *lsn).collect();
    let only: Vec<_> = all.only(|slot| slot.is_multiple_of(2)).flatten().map(|(lsn, _)| lsn).collect();
    assert!(only.starts_with(&expected), "{only:?} {expected:?}");
}

/// The record, written and read again.
fn written_again(record: &Record<'_>, prelude: Prelude<'_>) -> String {
    let distance = Prelude::length(prelude.source) as u32;
    let mut payload = vec![0; 2_048];
    let start = prelude.write(&mut payload);
    let length = match record {
        Record::Debit(debit) => {
            let with_source = debit.source != prelude.source;
            DebitRecord::write(debit, &mut payload[start..], distance, with_source)
        }
        Record::Operation(read) => {
            let mut bytes = OperationRecord::encode(read);
            operation::place(&mut bytes, distance, read.previous, read.counts);
            put(&mut payload, start, &bytes)
        }
        Record::Admin(read) => {
            let mut bytes = AdminRecord::encode(read);
            admin::place(&mut bytes, distance);
            put(&mut payload, start, &bytes)
        }
    };
    payload.truncate(start + length);
    let mut again = records(&payload, PAYLOAD).expect("a prelude that was read");
    let (_, record) = again.next().expect("a record").expect("a record that was read");
    assert!(again.next().is_none());
    format!("{record:?}")
}

fn put(payload: &mut Vec<u8>, start: usize, bytes: &[u8]) -> usize {
    payload.resize(payload.len().max(start + bytes.len()), 0);
    payload[start..start + bytes.len()].copy_from_slice(bytes);
    bytes.len()
}

// The log.

const SEGMENT: usize = 8192;
const LOG_ID: [u8; 16] = [7; 16];

fn options() -> Options {
    Options { verify: Verify::All, ..Options::tiny(SEGMENT as u64) }
}

/// Any bytes as the segments of a log, some of them with right checksums: opening and surveying come to the same, and what was opened opens
/// again as it was left.
pub fn recovery(data: &[u8]) {
    let segments = segments(&mut Input(data));
    let survey = survey(&segments);
    let disk = Disk::from_images(segments.clone());
    let opened = Log::open_on(disk.medium(), options());
    let (log, recovery) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!survey.damages.is_empty(), "{error} and no damage");
            if let OpenError::LostData { lsn, .. } | OpenError::FlippedBit { lsn, .. } = error {
                let told = survey.damages.iter().any(|damage| damage.lsn == lsn);
                assert!(told, "{error} is not among {:?}", survey.damages);
            }
            return;
        }
    };
    assert!(survey.is_readable, "opened in spite of {:?}", survey.damages);
    assert_eq!(survey.end, recovery.end);
    let is_in_order = survey.ended == Ended::InOrder;
    assert!(is_in_order || survey.torn == recovery.torn, "{:?} {:?}", survey.torn, recovery.torn);
    let mut frames = read_all(&log);
    log.admit(64).expect("room").reserve(1, 32).publish(32, 1);
    log.close().expect("a healthy log");
    drop(log);
    let (log, again) = Log::open_on(disk.medium(), options()).expect("what was opened and closed opens");
    assert_eq!(again.torn, None);
    frames.push(vec![0; 32]);
    assert_eq!(read_all(&log), frames);
    drop(log);
    let left = self::survey(&disk.images());
    let only_rounding = |damage: &drawdown_wal::Damage| matches!(damage.fault, Fault::NotZero(_));
    assert!(left.damages.iter().all(only_rounding), "{:?}", left.damages);
}

fn survey(segments: &BTreeMap<u64, Vec<u8>>) -> Survey {
    let archive = Archive::of_images(Images { segments: segments.clone(), chain: None });
    archive.survey(&mut ()).expect("images can be read")
}

fn read_all(log: &Log) -> Vec<Vec<u8>> {
    let mut reader = log.reader(log.first());
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().expect("what was opened with every frame checked") {
        frames.push(frame.payload.to_vec());
    }
    frames
}

/// Up to three segments as the input says: with what header, which frames, and which bytes are put over them.
fn segments(input: &mut Input<'_>) -> BTreeMap<u64, Vec<u8>> {
    let mut segments = BTreeMap::new();
    let first = u64::from(input.below(3));
    for place in 0..=u64::from(input.below(3)) {
        // Now and then a number is left out.
        let number = first + place + u64::from(input.byte() == 255);
        let mut image = vec![0; SEGMENT];
        header(&mut image, number, input);
        let mut at = 4096;
        for _ in 0..input.below(24) {
            at = frame(&mut image, number, at, input);
            if at + 32 > SEGMENT {
                break;
            }
        }
        for _ in 0..input.below(4) {
            let at = usize::from(input.word()) % SEGMENT;
            let length = usize::from(input.byte());
            let bytes = input.take(length);
            let end = (at + bytes.len()).min(SEGMENT);
            image[at..end].copy_from_slice(&bytes[..end - at]);
        }
        segments.insert(number, image);
    }
    segments
}

fn header(image: &mut [u8], number: u64, input: &mut Input<'_>) {
    image[0..8].copy_from_slice(b"DRAWDWAL");
    image[8..12].copy_from_slice(&1u32.to_le_bytes());
    image[16..24].copy_from_slice(&number.to_le_bytes());
    image[24..32].copy_from_slice(&(SEGMENT as u64).to_le_bytes());
    image[32..40].copy_from_slice(&mark(number, input).to_le_bytes());
    image[40..56].copy_from_slice(&LOG_ID);
    image[56..60].copy_from_slice(&u32::from(input.below(4)).to_le_bytes());
    let sum = crc32c::crc32c(&image[..64]);
    image[12..16].copy_from_slice(&sum.to_le_bytes());
}

/// A durable mark: mostly none or a little one.
fn mark(number: u64, input: &mut Input<'_>) -> u64 {
    match input.below(4) {
        0 => number * SEGMENT as u64 + u64::from(input.word()) % SEGMENT as u64 / 32 * 32,
        _ => number * SEGMENT as u64,
    }
}

/// A frame with the right checksum, of whatever the input says. Answers where the next one goes.
fn frame(image: &mut [u8], number: u64, at: usize, input: &mut Input<'_>) -> usize {
    let room = SEGMENT - at;
    let kind = [1u8, 1, 2, 240, 241, 242][usize::from(input.below(6))];
    let length = match input.below(8) {
        0 => room,
        1 => 32,
        _ => (32 + usize::from(input.byte())).min(room),
    };
    let payload = input.take((length - 32).min(64));
    image[at + 32..at + 32 + payload.len()].copy_from_slice(payload);
    if kind == 240 {
        image[at + 32..at + length].fill(0);
    }
    let run = 1 + u32::from(input.below(3));
    image[at..at + 4].copy_from_slice(&(length as u32).to_le_bytes());
    image[at + 8..at + 16].copy_from_slice(&(number * SEGMENT as u64 + at as u64).to_le_bytes());
    image[at + 16..at + 20].copy_from_slice(&run.to_le_bytes());
    image[at + 20..at + 24].copy_from_slice(&u32::from(kind).to_le_bytes());
    let durable = mark(number, input).min(number * SEGMENT as u64 + at as u64);
    image[at + 24..at + 32].copy_from_slice(&durable.to_le_bytes());
    let seed = crc32c::crc32c_append(crc32c::crc32c(&LOG_ID), &number.to_le_bytes());
    let sum = crc32c::crc32c_append(seed, &(length as u32).to_le_bytes());
    let summed = if kind == 240 { at + 32 } else { at + length };
    let sum = crc32c::crc32c_append(sum, &image[at + 8..summed]);
    image[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
    at + length.next_multiple_of(32)
}

// Bodies of requests.

/// More events than this are too many.
const EVENTS_MAX: usize = 40;

/// Any bytes as a body of any content type: nothing panics, and what is taken for JSON is JSON.
pub fn body(data: &[u8]) {
    let mut input = Input(data);
    let kinds = [
        Media::Json(Dialect::Flat),
        Media::Json(Dialect::CloudEvents),
        Media::NdJson(Dialect::Flat),
        Media::NdJson(Dialect::CloudEvents),
        Media::MsgPack,
        Media::CloudEvent,
        Media::CloudEventBatch,
        Media::CloudEventBinary,
    ];
    let media = kinds[usize::from(input.below(8))];
    let headers = match media {
        Media::CloudEventBinary => headers(&mut input),
        _ => HeaderMap::new(),
    };
    let body = input.0;
    let (arena, mut batch) = (Bump::new(), Batch::default());
    let outcome = decode(media, &BinaryHeaders::new(&headers), body, &arena, EVENTS_MAX, &mut batch);
    assert!(batch.events.len() <= EVENTS_MAX);
    match outcome {
        Ok(()) => {
            let is_json = matches!(media, Media::Json(_) | Media::CloudEvent | Media::CloudEventBatch);
            if is_json {
                let read = serde_json::from_slice::<IgnoredAny>(body);
                assert!(read.is_ok(), "{read:?}");
            }
            assert!(batch.stated_currencies.iter().all(|(index, _)| *index < batch.events.len()));
            assert!(!batch.single || batch.events.len() == 1);
        }
        Err(DecodeError::Malformed { index, at, .. }) => {
            assert!(at <= body.len() && index.is_none_or(|index| index <= EVENTS_MAX));
        }
        Err(DecodeError::Field { index, at, .. }) => assert!(at <= body.len() && index < EVENTS_MAX),
        Err(DecodeError::TooMany { limit }) => assert_eq!(limit, EVENTS_MAX),
    }
}

fn headers(input: &mut Input<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time", "ce-oninsufficient"] {
        let length = usize::from(input.below(40));
        if let Ok(value) = HeaderValue::from_bytes(input.take(length)) {
            headers.insert(name, value);
        }
    }
    headers
}

// Decimals.

/// Any bytes as a number: as a plain reading of the grammar has it, digit by digit.
pub fn decimal(data: &[u8]) {
    let read = Decimal::parse(data);
    assert_eq!(read.map(|decimal| (decimal.mantissa(), decimal.scale())), by_the_grammar(data), "{:?}", text(data));
    let Ok(decimal) = read else { return };
    assert_eq!(Decimal::parse(decimal.to_string().as_bytes()), Ok(decimal), "what is shown is read back");
    // Another reader, which has no exponents and fewer digits, agrees where it can read.
    let theirs = std::str::from_utf8(data).ok().and_then(|text| rust_decimal::Decimal::from_str_exact(text).ok());
    if let Some(theirs) = theirs {
        let ours = rust_decimal::Decimal::new(decimal.mantissa(), decimal.scale().into());
        assert_eq!(ours, theirs);
    }
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// Mantissa and scale, from the digits as they stand.
fn by_the_grammar(text: &[u8]) -> Result<(i64, u8), DecimalError> {
    if text.is_empty() {
        return Err(DecimalError::Empty);
    }
    let digits_of = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let wrong = Err(DecimalError::NotANumber);
    let (is_negative, rest) = if text[0] == b'-' { (true, &text[1..]) } else { (false, text) };
    let (whole, rest) = rest.split_at(digits_of(rest));
    if whole.is_empty() || whole.len() > 1 && whole[0] == b'0' {
        return wrong;
    }
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] if digits_of(rest) > 0 => rest.split_at(digits_of(rest)),
        [b'.', ..] => return wrong,
        _ => (&[][..], rest),
    };
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', rest @ ..] => {
            let (sign, digits) = match rest {
                [b'-', digits @ ..] => (-1, digits),
                [b'+', digits @ ..] | digits => (1, digits),
            };
            if digits.is_empty() || digits_of(digits) < digits.len() {
                return wrong;
            }
            let value = |value: i128, digit: &u8| (value * 10 + i128::from(digit - b'0')).min(1 << 80);
            sign * digits.iter().fold(0, value)
        }
        _ => return wrong,
    };
    let mut digits: Vec<u8> = whole.iter().chain(fraction).copied().collect();
    let mut exponent = exponent - fraction.len() as i128;
    while digits.last() == Some(&b'0') {
        digits.pop();
        exponent += 1;
    }
    let begin = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = &digits[begin..];
    if digits.is_empty() {
        return Ok((0, 0));
    }
    if digits.len() > 19 || !(-18..=18).contains(&exponent) {
        return Err(DecimalError::TooManyDigits);
    }
    let magnitude = digits.iter().fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let (zeros, scale) = if exponent < 0 { (0, exponent.unsigned_abs()) } else { (exponent.unsigned_abs(), 0) };
    let magnitude = magnitude * 10i128.pow(zeros as u32);
    let mantissa = if is_negative { -magnitude } else { magnitude };
    match i64::try_from(mantissa) {
        Ok(mantissa) => Ok((mantissa, scale as u8)),
        Err(_) => Err(DecimalError::TooManyDigits),
    }
}

// The rules.

/// Any bytes as a story of one wallet: the rules and the model agree on every step of it.
pub fn rules(data: &[u8]) {
    let mut input = Input(data);
    let slow_only = input.is();
    let mut story = Vec::new();
    while !input.0.is_empty() && story.len() < 100 {
        let pause = [0, 0, 0, 1, 3, 40][usize::from(input.below(6))];
        story.push((pause, command(&mut input)));
    }
    tell(&story, slow_only);
}

/// Mostly small; now and then at the limits.
fn amount(input: &mut Input<'_>) -> i128 {
    match input.below(32) {
        0 => i128::from(i64::MAX) - i128::from(input.byte()),
        1 => -i128::from(input.below(5)),
        2 => i128::from(input.word()),
        _ => i128::from(input.below(60)),
    }
}

fn command(input: &mut Input<'_>) -> Command {
    match input.below(17) {
        16 => Command::Pay { grant: input.below(20).into() },
        0..5 => Command::Debit {
            amount: amount(input),
            policy: [Policy::Reject, Policy::Partial, Policy::Overdraft][usize::from(input.below(3))],
        },
        5 | 6 => Command::Grant(grant(input)),
        7 => Command::Void { grant: input.below(20).into() },
        8 => Command::MoveExpiry {
            grant: input.below(20).into(),
            expires_at: maybe(input, |input| input.below(40).into()),
        },
        9 => match input.below(4) {
            0 => Command::SetStatus(Status::Frozen),
            1 => Command::SetStatus(Status::Closed),
            _ => Command::SetStatus(Status::Active),
        },
        10 => Command::SetAllowance(amount(input)),
        11 | 12 => Command::Hold(Hold {
            id: 0,
            amount: amount(input),
            expires_at: input.below(40).into(),
            on_exceed: [OnExceed::Reject, OnExceed::Cap, OnExceed::Overdraw][usize::from(input.below(3))],
        }),
        13 => Command::Capture { hold: input.below(12).into(), amount: amount(input), is_final: input.is() },
        14 if input.is() => Command::Release { hold: input.below(12).into() },
        14 => Command::ExtendHold { hold: input.below(12).into(), expires_at: input.below(40).into() },
        _ if input.is() => match input.below(4) {
            0 => Command::ClearLevels,
            1 => Command::Inherit(
                1 + u32::from(input.below(4)),
                (0..input.below(4)).map(|number| level(number, input)).collect(),
            ),
            2 => Command::Commit(
                (0..input.below(4))
                    .map(|_| (i128::from(input.below(40)), maybe(input, |input| input.below(30).into())))
                    .collect(),
            ),
            _ => Command::Wait,
        },
        _ => Command::SetLevels((0..input.below(5)).map(|number| level(number, input)).collect()),
    }
}

fn maybe<T>(input: &mut Input<'_>, value: impl FnOnce(&mut Input<'_>) -> T) -> Option<T> {
    if input.is() { Some(value(input)) } else { None }
}

fn grant(input: &mut Input<'_>) -> Grant {
    Grant {
        id: 0,
        amount: amount(input),
        priority: if input.byte() == 0 { input.below(110) } else { input.below(4) },
        promotional: input.is(),
        effective_at: if input.is() { 0 } else { input.below(20).into() },
        expires_at: maybe(input, |input| input.below(40).into()),
        cost: maybe(input, |input| i128::from(input.below(50)) - 1),
        max_balance: if input.below(8) == 0 { Some(input.byte().into()) } else { None },
        rollover: maybe(input, |input| Rollover {
            parts: i128::from(input.below(10)) + 1,
            whole: 10,
            max: maybe(input, |input| i128::from(input.below(20)) + 1),
            lasts: maybe(input, |input| u64::from(input.below(30)) + 1),
            priority: input.below(8),
        }),
        payment: if input.below(5) == 0 { Some(Payment { begins_then: input.is(), lasts: None }) } else { None },
    }
}

fn level(number: u8, input: &mut Input<'_>) -> Level {
    if input.is() {
        return Level::plain(format!("level-{number}"), 10 * (i128::from(number) + 1), false, 5);
    }
    let (amount, at_or_below) = (i128::from(input.below(80)) - 20, input.is());
    let plain = Level::plain(format!("level-{number}"), amount, at_or_below, input.below(10).into());
    match input.below(5) {
        0 => Level { watches: Watches::Available, ..plain },
        1 => Level { watches: Watches::Projected, interval: input.below(30).into(), ..plain },
        2 => Level { amount: 0, percent: Some(1_000_000 * (1 + i128::from(input.below(100)))), ..plain },
        3 => Level { interval: input.below(30).into(), ..plain },
        _ => plain,
    }
}
