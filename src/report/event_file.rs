//! Event files, which TensorBoard reads: records (`tfrecord`) of protocol buffer messages (TensorFlow's `event.proto`,
//! `summary.proto` and `histogram.proto`), of which a run needs few enough to be written by hand.

/// An event of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// What a file begins with: the version of its format.
    Version,
    /// A program goes on where another one ended: what that said of this step and later ones no longer counts.
    Restart,
    /// Quantities, each under a tag.
    Summary(&'a [(String, Quantity)]),
}

/// What is shown of a quantity.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    /// A number, in 32 bits.
    Scalar(f64),
    /// The distribution of many numbers.
    Histogram(Histogram),
    /// A picture.
    Image {
        /// Its bytes as a PNG of three colours.
        png: Vec<u8>,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
}

/// The distribution of numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// The lowest number.
    pub min: f64,
    /// The highest number.
    pub max: f64,
    /// How many numbers there are.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub sum_squares: f64,
    /// The upper limit of each bucket, rising; the first bucket has no lower one.
    pub limits: Vec<f64>,
    /// How many numbers are in each bucket.
    pub counts: Vec<f64>,
}

/// The bytes of an event at `time`, in seconds since 1970, after this many steps.
pub fn record(time: f64, step: u64, event: Event) -> Vec<u8> {
    let mut message = Message::default();
    message.double(1, time);
    message.integer(2, step);
    match event {
        Event::Version => message.bytes(3, b"brain.Event:2"),
        Event::Restart => message.message(7, &session_start()),
        Event::Summary(quantities) => message.message(5, &summary(quantities)),
    }
    framed(&message.0)
}

/// A `SessionLog` whose status is START.
fn session_start() -> Message {
    let mut log = Message::default();
    log.integer(1, 1);
    log
}

fn summary(quantities: &[(String, Quantity)]) -> Message {
    let mut summary = Message::default();
    for (tag, quantity) in quantities {
        let mut value = Message::default();
        value.bytes(1, tag.as_bytes());
        match quantity {
            Quantity::Scalar(number) => value.float(2, *number as f32),
            Quantity::Image { png, width, height } => value.message(4, &image(png, *width, *height)),
            Quantity::Histogram(histogram) => value.message(5, &distribution(histogram)),
        }
        summary.message(1, &value);
    }
    summary
}

fn image(png: &[u8], width: u32, height: u32) -> Message {
    const RGB: u64 = 3;
    let mut image = Message::default();
    image.integer(1, height.into());
    image.integer(2, width.into());
    image.integer(3, RGB);
    image.bytes(4, png);
    image
}

fn distribution(histogram: &Histogram) -> Message {
    let Histogram { min, max, count, sum, sum_squares, limits, counts } = histogram;
    let mut message = Message::default();
    for (field, &number) in (1..).zip([min, max, count, sum, sum_squares]) {
        message.double(field, number);
    }
    message.doubles(6, limits);
    message.doubles(7, counts);
    message
}

/// A protocol buffer message: fields by number, each with its wire type. A number of 0 is left out, as its readers take it
/// for 0 then, unless it is one of several alternatives.
#[derive(Default)]
struct Message(Vec<u8>);

const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const DELIMITED: u64 = 2;
const FOUR_BYTES: u64 = 5;

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn integer(&mut self, field: u64, number: u64) {
        if number != 0 {
            self.key(field, VARINT);
            self.varint(number);
        }
    }

    fn double(&mut self, field: u64, number: f64) {
        if number != 0.0 {
            self.key(field, EIGHT_BYTES);
            self.0.extend(number.to_le_bytes());
        }
    }

    /// One of several alternatives.
    fn float(&mut self, field: u64, number: f32) {
        self.key(field, FOUR_BYTES);
        self.0.extend(number.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn doubles(&mut self, field: u64, numbers: &[f64]) {
        self.bytes(field, &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>());
    }

    fn message(&mut self, field: u64, inner: &Message) {
        self.bytes(field, &inner.0);
    }
}

/// A record: the length of the data and its checksum, the data and its checksum.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_checksum(&length), data, &masked_checksum(data)].concat()
}

/// The CRC-32C, rotated and shifted, so that the checksum of data which holds checksums stays a good one.
fn masked_checksum(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}

/// The CRC-32C (Castagnoli) of RFC 3720, which is not the CRC-32 of PNG and zip. Bit by bit: an epoch writes some 100 KB.
fn crc32c(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    !data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 3720, section B.4.
    #[test]
    fn the_checksum_is_that_of_the_standard() {
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&[0; 32]).to_le_bytes(), [0xAA, 0x36, 0x91, 0x8A]);
        assert_eq!(crc32c(&[0xFF; 32]).to_le_bytes(), [0x43, 0xAB, 0xA8, 0x62]);
        assert_eq!(crc32c(&rising).to_le_bytes(), [0x4E, 0x79, 0xDD, 0x46]);
    }
}
