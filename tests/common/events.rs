//! A reader of event files for tests: records with their checksums, and the few fields of their messages.

use std::collections::BTreeMap;
use std::fs;

use super::Workplace;

/// An event: its step, and quantities by tag.
pub struct Event {
    pub step: u64,
    /// The bytes that are shown of each quantity, without its tag.
    pub quantities: BTreeMap<String, Quantity>,
}

/// A quantity: the number of the field that says its kind, and that field's value.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    pub kind: u64,
    pub value: Field,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Integer(u64),
    Double(f64),
    Float(f32),
    Bytes(Vec<u8>),
}

/// The field of an event that holds its step, and the one that holds its quantities.
const STEP: u64 = 2;
const SUMMARY: u64 = 5;

/// The event files of a run, in the order in which TensorBoard reads them.
pub fn files(place: &Workplace, run: &str) -> Vec<String> {
    let names = fs::read_dir(place.path(run)).expect("the run").map(|entry| entry.expect("a file").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains(".tfevents."));
    names.sort();
    names
}

/// What a run's event files say: by tag, then by step. Each is said once.
pub fn told(place: &Workplace, run: &str) -> BTreeMap<String, BTreeMap<u64, Quantity>> {
    let mut told: BTreeMap<String, BTreeMap<u64, Quantity>> = BTreeMap::new();
    for file in files(place, run) {
        for event in events(&place.read(&format!("{run}/{file}"))) {
            for (tag, quantity) in event.quantities {
                let earlier = told.entry(tag.clone()).or_default().insert(event.step, quantity);
                assert!(earlier.is_none(), "{tag} of step {} is there twice", event.step);
            }
        }
    }
    told
}

/// The records of a file, whole, each with a right length and right checksums.
pub fn records(mut file: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while !file.is_empty() {
        let length = u64::from_le_bytes(file[..8].try_into().expect("a length")) as usize;
        let (record, rest) = file.split_at(12 + length + 4);
        for (data, checksum) in [(&record[..8], &record[8..12]), (&record[12..12 + length], &record[12 + length..])] {
            assert_eq!(masked_checksum(data).to_le_bytes(), checksum);
        }
        records.push(record);
        file = rest;
    }
    records
}

/// The data of a record.
pub fn data(record: &[u8]) -> &[u8] {
    &record[12..record.len() - 4]
}

/// The events of a file.
pub fn events(file: &[u8]) -> Vec<Event> {
    let event = |record: &[u8]| {
        let fields = fields(data(record));
        let step = match find(&fields, STEP) {
            Some(Field::Integer(step)) => *step,
            _ => 0,
        };
        let quantities = find(&fields, SUMMARY).map_or_else(BTreeMap::new, |summary| quantities(bytes(summary)));
        Event { step, quantities }
    };
    records(file).into_iter().map(event).collect()
}

fn quantities(summary: &[u8]) -> BTreeMap<String, Quantity> {
    let quantity = |(_, value): (u64, Field)| {
        let [(1, tag), (kind, value)]: [(u64, Field); 2] = fields(bytes(&value)).try_into().expect("two fields") else {
            panic!("no tag")
        };
        (String::from_utf8(bytes(&tag).to_vec()).expect("text"), Quantity { kind, value })
    };
    fields(summary).into_iter().map(quantity).collect()
}

/// The fields of a protocol buffer message, by number.
pub fn fields(mut message: &[u8]) -> Vec<(u64, Field)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let field = match key & 7 {
            0 => Field::Integer(varint(&mut message)),
            1 => Field::Double(f64::from_le_bytes(take(&mut message, 8).try_into().expect("8 bytes"))),
            2 => {
                let length = varint(&mut message) as usize;
                Field::Bytes(take(&mut message, length).to_vec())
            }
            5 => Field::Float(f32::from_le_bytes(take(&mut message, 4).try_into().expect("4 bytes"))),
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

pub fn find(fields: &[(u64, Field)], number: u64) -> Option<&Field> {
    fields.iter().find(|(other, _)| *other == number).map(|(_, field)| field)
}

pub fn bytes(field: &Field) -> &[u8] {
    match field {
        Field::Bytes(bytes) => bytes,
        other => panic!("expected bytes, found {other:?}"),
    }
}

fn take<'a>(message: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = message.split_at(count);
    *message = rest;
    taken
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = take(message, 1)[0];
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// The CRC-32C, masked as TensorFlow does. The file that PyTorch wrote shows that it is right.
fn masked_checksum(data: &[u8]) -> u32 {
    let crc = !data.iter().fold(u32::MAX, |mut crc, &byte| {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
        crc
    });
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}
