//! The worst files of 5 MB: each is full of one thing that a careless reader pays for many times.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

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

fn text(key: &str, text: &str) -> Vec<u8> {
    chunk(b"tEXt", &[key.as_bytes(), b"\0", text.as_bytes()].concat())
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compressed(key: &str, text: &str) -> Vec<u8> {
    let stream = zlib(text.as_bytes());
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

/// Every worst file and what it is full of.
pub fn worst_files() -> Vec<(&'static str, Vec<u8>)> {
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
    let xmp = |packet: &str| {
        png(&[chunk(
            b"iTXt",
            &[b"XML:com.adobe.xmp\0\0\0\0\0".as_slice(), packet.as_bytes()].concat(),
        )])
    };
    let description = |body: &str| xmp(&format!("<rdf:Description>{body}</rdf:Description>"));
    let bomb = compressed("Comment", &"a".repeat(eight - 8));
    vec![
        ("bombs", png(&vec![bomb; 500])),
        ("one line of letters", parameters(&filled("a", SIZE))),
        ("lines", parameters(&filled("a\n", SIZE))),
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
            "json of every place",
            png(&[
                text("parameters", &json("\"a b\",", four / 4)),
                text("prompt", &json("\"a b\",", four / 4)),
                text("workflow", &json("\"a b\",", four / 4)),
                text("Comment", &json("\"a b\",", four / 4)),
            ]),
        ),
        (
            "json texts",
            png(&vec![
                text("Comment", "{\"prompt\":{\"a\":[0,0,0,0,0,0,0]}}");
                million / 10
            ]),
        ),
        (
            "texts",
            png(&vec![text("Comment", &filled("Steps: 1, ", 19_000)); 256]),
        ),
        ("chunks", png(&vec![chunk(b"tEXt", b"a\0"); SIZE / 14])),
        (
            "xmp attributes",
            description(&format!("<a {}/>", filled("a=\"\" ", SIZE))),
        ),
        ("xmp elements", description(&filled("<b:c>d</b:c>", SIZE))),
        ("xmp depth", xmp(&filled("<a>", SIZE))),
        (
            "xmp entities",
            description(&format!("<b:c>{}</b:c>", filled("&amp;", SIZE))),
        ),
        (
            "xmp items",
            description(&format!(
                "<b:c>{}</b:c>",
                filled("<rdf:li>a</rdf:li>", SIZE)
            )),
        ),
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
        ("item of many parts", item_of_many_parts()),
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
            "raw profile",
            png(&[text(
                "Raw profile type exif",
                &format!("\nexif\n 9\n{}", filled("0a\n", SIZE)),
            )]),
        ),
    ]
}

/// What a piece of work gives, and the most memory that it adds to what this process holds, in bytes;
/// nothing where the system does not say.
pub fn with_memory<T>(work: impl FnOnce() -> T) -> (T, Option<usize>) {
    // Sets the peak back to what is held now.
    let is_reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = peak_memory();
    let result = work();
    let added = before
        .zip(peak_memory())
        .filter(|_| is_reset)
        .map(|(before, after)| after.saturating_sub(before));
    (result, added)
}

fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? << 10)
}
