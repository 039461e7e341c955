//! The worst files of 5 MB: each is full of one thing that a careless reader pays for many times.

mod graphs;
mod packets;
mod pixels;

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use graphs::graphs;
use packets::packets;
use pixels::pixels;

const SIZE: usize = 5_000_000;

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    let length = u32::try_from(data.len()).unwrap();
    [
        &length.to_be_bytes(),
        &kind[..],
        data,
        &crc.sum().to_be_bytes(),
    ]
    .concat()
}

fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunks.concat(),
        chunk(b"IEND", b""),
    ]
    .concat()
}

fn text(key: &str, text: impl AsRef<[u8]>) -> Vec<u8> {
    chunk(b"tEXt", &[key.as_bytes(), b"\0", text.as_ref()].concat())
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compressed(key: &str, text: impl AsRef<[u8]>) -> Vec<u8> {
    let stream = zlib(text.as_ref());
    chunk(b"zTXt", &[key.as_bytes(), b"\0\0", &stream].concat())
}

/// `pattern` over and over, of about this length.
fn filled(pattern: &str, length: usize) -> String {
    pattern.repeat(length / pattern.len())
}

fn boxed(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 8).unwrap();
    [&length.to_be_bytes(), &kind[..], data].concat()
}

/// A HEIF file of one item that is put together from the whole file, over and over.
fn item_of_many_parts() -> Vec<u8> {
    let info = [b"\x02\0\0\0\0\x01\0\0Exif\0".as_slice()].concat();
    let infos = [b"\0\0\0\0\0\x01".as_slice(), &boxed(b"infe", &info)].concat();
    let extents = [0, 0, 0, 0, 0, 0, 0, 0].repeat(65_535);
    let location = [
        b"\0\0\0\0\x44\0\0\x01\0\x01\0\0\xff\xff".as_slice(),
        &extents,
    ]
    .concat();
    let meta = [
        b"\0\0\0\0".as_slice(),
        &boxed(b"iinf", &infos),
        &boxed(b"iloc", &location),
    ]
    .concat();
    let mut file = [boxed(b"ftyp", b"heic\0\0\0\0mif1"), boxed(b"meta", &meta)].concat();
    file.resize(SIZE, b'a');
    file
}

/// An EXIF block in which each of these tags has the same long value.
fn tags_of_one_value(tags: &[u16], value: &[u8]) -> Vec<u8> {
    let count = u16::try_from(tags.len()).unwrap();
    let start = 10 + 12 * u32::from(count);
    let length = u32::try_from(value.len()).unwrap();
    let entry = |tag: &u16| {
        [tag.to_le_bytes(), 1_u16.to_le_bytes()]
            .concat()
            .into_iter()
            .chain(length.to_le_bytes())
            .chain(start.to_le_bytes())
    };
    let entries: Vec<u8> = tags.iter().flat_map(entry).collect();
    [
        b"II*\0\x08\0\0\0".as_slice(),
        &count.to_le_bytes(),
        &entries,
        value,
    ]
    .concat()
}

/// An EXIF block of 65,535 entries that all hold the same long value.
fn repeated_value(tag: u16, kind: u16, value: &[u8]) -> Vec<u8> {
    let start = 10 + 12 * 65_535_u32;
    let length = u32::try_from(value.len()).unwrap();
    let entry = [
        tag.to_le_bytes().as_slice(),
        &kind.to_le_bytes(),
        &length.to_le_bytes(),
        &start.to_le_bytes(),
    ]
    .concat();
    [
        b"II*\0\x08\0\0\0\xff\xff".as_slice(),
        &entry.repeat(65_535),
        value,
    ]
    .concat()
}

/// A HEIF file of 256 items each of which is the whole file.
fn items_of_the_whole_file() -> Vec<u8> {
    let entry = |id: u8| {
        boxed(
            b"infe",
            &[b"\x02\0\0\0\0".as_slice(), &[id], b"\0\0Exif\0"].concat(),
        )
    };
    let infos: Vec<u8> = (0..=255).flat_map(entry).collect();
    let place = |id: u8| [0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let places: Vec<u8> = (0..=255).flat_map(place).collect();
    let meta = [
        b"\0\0\0\0".as_slice(),
        &boxed(b"iinf", &[b"\0\0\0\0\x01\0".as_slice(), &infos].concat()),
        &boxed(
            b"iloc",
            &[b"\0\0\0\0\x44\0\x01\0".as_slice(), &places].concat(),
        ),
    ]
    .concat();
    let mut file = [boxed(b"ftyp", b"heic\0\0\0\0mif1"), boxed(b"meta", &meta)].concat();
    file.resize(SIZE, b'a');
    file
}

/// A HEIF file of as many places of items as fit, none of them of an item that is wanted.
fn many_places() -> Vec<u8> {
    let entry = |id: u8| {
        boxed(
            b"infe",
            &[b"\x03\0\0\0\0\0\x01".as_slice(), &[id], b"\0\0Exif\0"].concat(),
        )
    };
    let infos: Vec<u8> = (0..=255).flat_map(entry).collect();
    let count = u32::try_from((SIZE - 10_000) / 10).unwrap();
    let places = [0_u8, 9, 9, 9, 0, 0, 0, 0, 0, 0].repeat(count as usize);
    let head = [b"\x02\0\0\0\x44\0".as_slice(), &count.to_be_bytes()].concat();
    let meta = [
        b"\0\0\0\0".as_slice(),
        &boxed(
            b"iinf",
            &[b"\x01\0\0\0\0\0\x01\0".as_slice(), &infos].concat(),
        ),
        &boxed(b"iloc", &[head, places].concat()),
    ]
    .concat();
    [boxed(b"ftyp", b"heic\0\0\0\0mif1"), boxed(b"meta", &meta)].concat()
}

/// A Brotli stream, made by version 1.2.0 of its Python package, of a JPEG XL `Exif` box: 8 MiB of one
/// UserComment in UTF-16.
const BROTLI_EXIF: &[u8] = b"\x9b\xbd\xff\x7f\xf8\x8f\xd4\x61\x2d\x30\x77\x43\x90\xdd\x4e\x0f\x38\xc0\xc8\xce\
    \x01\xe7\x41\x9e\x25\x5c\x49\xfe\x57\x47\xbf\x95\x03\x39\x21\x54\x0d\x0d\xe1\x49\xff\xd5\x01\xa7\
    \xb9\xa5\xfb\x3f\xd3\xb1\x6c";

/// Two EXIF blocks of a JPEG XL file that expand to 8 MiB each.
fn brotli_bombs() -> Vec<u8> {
    let bomb = boxed(b"brob", &[b"Exif".as_slice(), BROTLI_EXIF].concat());
    let start = b"\0\0\0\x0cJXL \r\n\x87\n".as_slice();
    [
        start,
        &boxed(b"ftyp", b"jxl \0\0\0\0jxl "),
        &bomb.repeat(1000),
    ]
    .concat()
}

/// Letters without an order that are hard to compress and to take apart: five of them, in turn by a
/// linear congruential generator.
fn noise(length: usize, letters: &[u8; 5]) -> Vec<u8> {
    let mut state = 1_u64;
    let letter = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        letters[(state >> 33) as usize % letters.len()]
    };
    (0..length).map(letter).collect()
}

/// Every worst file and what it is full of.
pub fn worst_files() -> Vec<(&'static str, Vec<u8>)> {
    let mut files = texts_and_containers();
    files.extend(packets());
    files.extend(graphs());
    files.extend(pixels());
    for (name, file) in &files {
        assert!(file.len() < SIZE + 10_000, "{name}: {} bytes", file.len());
    }
    files
}

fn texts_and_containers() -> Vec<(&'static str, Vec<u8>)> {
    let million = SIZE / 5;
    let parameters = |body: &str| png(&[text("parameters", body)]);
    let squeezed = |body: &str| {
        let one = compressed("parameters", body);
        png(&[compressed("Comment", body), one])
    };
    let eight = 8 << 20;
    let four = (4 << 20) - 64;
    let json = |inner: &str, length: usize| format!("{{\"a\":[{}0]}}", filled(inner, length));
    let names: String = (0..240_000).map(|n| format!("\"{n}\":1,")).collect();
    let bomb = compressed("Comment", "a".repeat(eight - 8));
    vec![
        ("bombs", png(&vec![bomb; 60])),
        ("one line of letters", parameters(&filled("a", SIZE))),
        ("lines", parameters(&filled("a\n", SIZE))),
        ("padded lines", parameters(&filled(" a \n", SIZE))),
        (
            "lines in a negative prompt",
            parameters(&format!("x\nNegative prompt: {}", filled("n\n", SIZE))),
        ),
        (
            "written line breaks",
            parameters(&format!("Negative prompt: {}", filled("\\n", SIZE))),
        ),
        ("latin-1", png(&[text("parameters", vec![0xe9; SIZE])])),
        ("squeezed latin-1", {
            let one = vec![0x80; eight - 8];
            png(&[compressed("Comment", &one), compressed("parameters", &one)])
        }),
        ("squeezed noise", {
            let one = noise(7_900_000, b"ab\n \xe9");
            png(&[compressed("parameters", &one)])
        }),
        ("line separators", parameters(&filled("\u{2028}", SIZE))),
        ("empty lines", parameters(&filled("\n", SIZE))),
        ("carriage returns", parameters(&filled("\r", SIZE))),
        ("steps", parameters(&filled("Steps: 1,", SIZE))),
        (
            "lines of steps",
            parameters(&filled("Steps: 1, A1: 2\n", SIZE)),
        ),
        (
            "settings",
            parameters(&format!("x\nSteps: 1, {}", filled("Ab: 1, ", SIZE))),
        ),
        (
            "lines after",
            parameters(&format!("x\nSteps: 1\n{}", filled("Abc: d\n", SIZE))),
        ),
        (
            "quotes",
            parameters(&format!("x\nSteps: 1, {}", filled("Ab: \"x", SIZE))),
        ),
        (
            "open lists",
            parameters(&format!("x\nSteps: 1, {}", filled("Ab: [1,", SIZE))),
        ),
        (
            "negative marks",
            parameters(&filled("x Negative prompt: ", SIZE)),
        ),
        ("inside steps", parameters(&filled("x Steps: 1, a ", SIZE))),
        ("braces", parameters(&filled("{", SIZE))),
        (
            "squeezed steps",
            squeezed(&filled("x Steps: 1, Ab: 2, Cd: ", eight - 64)),
        ),
        (
            "squeezed lines",
            squeezed(&filled("Steps: 1, Ab: 2\n", eight - 64)),
        ),
        (
            "squeezed letters",
            squeezed(&format!("{}Steps:", filled("é", eight - 64))),
        ),
        ("json numbers", parameters(&json("0,", 450_000))),
        ("json too many", parameters(&json("0,", SIZE))),
        ("json lists", parameters(&json("[0],", 480_000))),
        ("json objects", parameters(&json("{\"a\":0},", 900_000))),
        ("json names", parameters(&format!("{{{names}\"a\":1}}"))),
        (
            "json strings",
            parameters(&json("\"a b c d e f g h i\",", four)),
        ),
        (
            "json escapes",
            parameters(&format!("{{\"prompt\":\"{}\"}}", filled("\\u00e9", four))),
        ),
        (
            "json broken at its end",
            parameters(&format!("{{\"a\":\"{}", filled("b c", four))),
        ),
        (
            "json with NaN",
            parameters(&format!("{{\"a\":[NaN,\"{}\"]", filled("-I N", four))),
        ),
        (
            "json words",
            parameters(&format!("{{\"a\":\"{}\"}}", filled("aBc", SIZE))),
        ),
        (
            "json objects of every place",
            png(&["parameters", "prompt", "workflow", "Comment", "Dream"]
                .map(|key| text(key, json("{\"a\":0},", 670_000)))),
        ),
        (
            "json of every place",
            png(&[
                text("parameters", json("\"a b\",", four / 4)),
                text("prompt", json("\"a b\",", four / 4)),
                text("workflow", json("\"a b\",", four / 4)),
                text("Comment", json("\"a b\",", four / 4)),
            ]),
        ),
        (
            "json texts",
            png(&vec![
                text("Comment", "{\"prompt\":{\"a\":[0,0,0,0,0,0,0]}}");
                million / 11
            ]),
        ),
        (
            "texts",
            png(&vec![text("Comment", filled("Steps: 1, ", 19_000)); 256]),
        ),
        ("chunks", png(&vec![chunk(b"tEXt", b"a\0"); SIZE / 14])),
        (
            "exif comments",
            repeated_value(0x9286, 7, &filled("UNICODE\0Steps", 4 << 20).into_bytes()),
        ),
        (
            "exif xp",
            repeated_value(0x9c9c, 1, &filled("S\0t\0e\0", 4 << 20).into_bytes()),
        ),
        (
            "exif xmp",
            repeated_value(0x02bc, 1, &filled("<a>b</a>", 4 << 20).into_bytes()),
        ),
        (
            "exif iptc",
            repeated_value(
                0x83bb,
                7,
                &filled("\x1c\x02\x78\0\x01a", 4 << 20).into_bytes(),
            ),
        ),
        ("exif tags", {
            let value = filled("UNICODE\0S\0t\0e\0p\0", 4 << 20).into_bytes();
            let kinds = [
                0x010e, 0x0110, 0x010f, 0x9c9b, 0x9c9c, 0x9c9d, 0x9c9e, 0x9286,
            ];
            tags_of_one_value(&kinds, &value)
        }),
        ("item of many parts", item_of_many_parts()),
        ("items of the whole file", items_of_the_whole_file()),
        ("many places of items", many_places()),
        ("brotli bombs", brotli_bombs()),
        (
            "mp4 padding",
            [
                boxed(b"ftyp", b"isom\0\0\0\0"),
                filled("\0\0\0\x08free", SIZE).into_bytes(),
            ]
            .concat(),
        ),
        (
            "mp4 texts",
            [
                boxed(b"ftyp", b"isom\0\0\0\0"),
                boxed(
                    b"moov",
                    &boxed(b"udta", &boxed(b"\xa9cmt", b"\0\0\0\0").repeat(SIZE / 12)),
                ),
            ]
            .concat(),
        ),
        ("matroska tags", {
            let simple = b"\x67\xc8\x88\x45\xa3\x81a\x44\x87\x81b".as_slice();
            let tag = [b"\x73\x73\x8b".as_slice(), simple]
                .concat()
                .repeat(SIZE / 14);
            let length = (tag.len() as u64 | 1 << 56).to_be_bytes();
            [
                b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x12\x54\xc3\x67".as_slice(),
                &length,
                &tag,
            ]
            .concat()
        }),
        (
            "mp4 boxes",
            [
                boxed(b"ftyp", b"isom\0\0\0\0"),
                filled("\0\0\0\x08moov", SIZE).into_bytes(),
            ]
            .concat(),
        ),
        (
            "mp4 deep",
            [
                boxed(b"ftyp", b"isom\0\0\0\0"),
                boxed(
                    b"moov",
                    &boxed(b"udta", &filled("\0\0\0\x08meta", SIZE).into_bytes()),
                ),
            ]
            .concat(),
        ),
        (
            "matroska elements",
            [
                b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff".as_slice(),
                filled("\x1c\x1c", SIZE).as_bytes(),
            ]
            .concat(),
        ),
        (
            "jpeg fill bytes",
            [b"\xff\xd8\xff".to_vec(), vec![0xff; SIZE]].concat(),
        ),
        (
            "jpeg no markers",
            [b"\xff\xd8\xff\xe0\0\x02".to_vec(), vec![0; SIZE]].concat(),
        ),
        (
            "gif blocks",
            [
                b"GIF89a\0\0\0\0\0\0\0".to_vec(),
                b"!\xfe\x01a\0".repeat(million),
            ]
            .concat(),
        ),
        (
            "jpeg comments",
            [b"\xff\xd8".to_vec(), b"\xff\xfe\0\x03a".repeat(million)].concat(),
        ),
        ("raw profile of utf-16", {
            let block = repeated_value(
                0x9286,
                7,
                &filled("UNICODE\0S\0t\0e\0p\0", 3 << 20).into_bytes(),
            );
            let digits: String = block.iter().map(|byte| format!("{byte:02x}")).collect();
            let profile = format!("\nexif\n{}\n{digits}", block.len());
            png(&[
                compressed("Raw profile type exif", &profile),
                compressed("Raw profile type exif", &profile),
            ])
        }),
        (
            "raw profile",
            png(&[text(
                "Raw profile type exif",
                format!("\nexif\n 9\n{}", filled("0a\n", SIZE)),
            )]),
        ),
    ]
}

/// The most memory that this process has held, in bytes; nothing where the system does not say.
pub fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? << 10)
}

/// A file that is read in no time, with which a process is compared that reads a worst one.
pub fn smallest_file() -> Vec<u8> {
    png(&[text("parameters", "a cat")])
}
