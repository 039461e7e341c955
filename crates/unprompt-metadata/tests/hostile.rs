//! Damaged and malicious files: an answer or a typed error, never a panic, in bounded time and
//! memory.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use unprompt_metadata::{Metadata, MetadataErrorKind, read, read_pixels};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const INFOTEXT: &str = "a cat\nSteps: 4, Sampler: LCM, Seed: 1";

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name),
    )
    .unwrap()
}

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

/// A PNG file of these chunks and an end, without pixels.
fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    [SIGNATURE.to_vec(), chunks.concat(), chunk(b"IEND", b"")].concat()
}

fn text_chunk(key: &str, text: &str) -> Vec<u8> {
    chunk(b"tEXt", &[key.as_bytes(), b"\0", text.as_bytes()].concat())
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compressed_chunk(key: &str, stream: &[u8]) -> Vec<u8> {
    chunk(b"zTXt", &[key.as_bytes(), b"\0\0", stream].concat())
}

fn prompt(bytes: &[u8]) -> Option<String> {
    read(bytes).unwrap().map(|found| found.prompt)
}

fn kind(bytes: &[u8]) -> MetadataErrorKind {
    read(bytes).unwrap_err().kind()
}

#[test]
fn every_prefix_of_a_file_is_an_answer() {
    for name in [
        "a1111-itxt-compressed.png",
        "a1111-exif.png",
        "a1111-unicode.jpg",
        "a1111.webp",
        "a1111.gif",
        "a1111.tiff",
        "comfyui-model-make.webp",
        "stealth-novelai.webp",
        "drawthings.png",
        "none.bmp",
    ] {
        let bytes = fixture(name);
        let whole = read(&bytes).unwrap();
        for length in 0..bytes.len() {
            // A prefix never gives anything but the whole record, nothing, or an error.
            if let Ok(Some(found)) = read(&bytes[..length]) {
                assert_eq!(Some(found), whole, "{name} cut to {length} bytes");
            }
        }
    }
}

#[test]
fn flipped_bits_are_an_answer() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for name in [
        "a1111-ztxt.png",
        "a1111-mixed-endian.jpg",
        "a1111.gif",
        "a1111.tiff",
        "comfyui-make-description.webp",
        "fooocus.jpg",
        "stealth_rgbcomp.png",
    ] {
        let bytes = fixture(name);
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random(8) {
                let at = random(damaged.len());
                damaged[at] ^= 1 << random(8);
            }
            let _: Result<Option<Metadata>, _> = read(&damaged);
        }
    }
}

#[test]
fn a_png_text_with_a_wrong_checksum_is_left_out() {
    let mut bytes = png(&[text_chunk("parameters", INFOTEXT)]);
    let at = bytes
        .windows(5)
        .position(|window| window == b"a cat")
        .unwrap();
    bytes[at + 2] = b'b';
    let error = read(&bytes).unwrap_err();
    assert_eq!(error.kind(), MetadataErrorKind::Malformed);
    assert!(error.to_string().contains("checksum"), "{error}");
}

#[test]
fn the_last_of_two_texts_with_one_keyword_counts() {
    let bytes = png(&[
        text_chunk("parameters", "first"),
        text_chunk("parameters", "second"),
    ]);
    assert_eq!(prompt(&bytes).as_deref(), Some("second"));
}

#[test]
fn text_bombs_are_refused_and_what_else_there_is_still_counts() {
    let bomb = compressed_chunk("parameters", &zlib(&vec![b'a'; 64 << 20]));
    assert_eq!(
        kind(&png(std::slice::from_ref(&bomb))),
        MetadataErrorKind::TooLarge
    );
    let also = chunk(
        b"iTXt",
        &[b"bomb\0\x01\0\0\0".as_slice(), &zlib(&vec![0; 64 << 20])].concat(),
    );
    let bytes = png(&[text_chunk("parameters", INFOTEXT), bomb.clone(), also]);
    assert_eq!(prompt(&bytes).as_deref(), Some("a cat"));
    // Many bombs cost as much as two: the rest of the budget is spent.
    let many = vec![bomb; 1_000];
    assert_eq!(kind(&png(&many)), MetadataErrorKind::TooLarge);
}

#[test]
fn a_million_chunks_are_walked() {
    let empty = chunk(b"tEXt", b"a\0");
    let mut chunks = vec![empty; 300_000];
    chunks.insert(0, text_chunk("parameters", INFOTEXT));
    assert_eq!(prompt(&png(&chunks)).as_deref(), Some("a cat"));
}

#[test]
fn lengths_beyond_the_file() {
    let huge = [SIGNATURE, &[0xff; 4], b"tEXt"].concat();
    assert_eq!(kind(&huge), MetadataErrorKind::Malformed);
    assert_eq!(
        kind(b"\xff\xd8\xff\xe1\xff\xffExif"),
        MetadataErrorKind::Malformed
    );
    assert_eq!(kind(b"\xff\xd8\xff\xe1\0\0"), MetadataErrorKind::Malformed);
    assert_eq!(
        kind(b"RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xff"),
        MetadataErrorKind::Malformed
    );
    assert_eq!(
        kind(b"GIF89a\0\0\0\0\x87\0\0"),
        MetadataErrorKind::Malformed
    );
    assert_eq!(kind(b"II*\0\xff\xff\xff\xff"), MetadataErrorKind::Malformed);
    // 65,535 entries of which each claims 4 GiB.
    let entry = [&[0x86, 0x92, 7, 0], &[0xff; 8][..]].concat();
    let block = [b"II*\0\x08\0\0\0\xff\xff".to_vec(), entry.repeat(65_535)].concat();
    assert_eq!(kind(&block), MetadataErrorKind::Malformed);
}

#[test]
fn an_exif_block_that_repeats_one_long_value_is_cut_off() {
    let start = 10 + 12 * 65_535;
    let length = 1_u32 << 20;
    let entry = |tag: u16| {
        let fields = [tag.to_le_bytes(), 7_u16.to_le_bytes()].concat();
        [
            fields,
            length.to_le_bytes().to_vec(),
            (start as u32).to_le_bytes().to_vec(),
        ]
        .concat()
    };
    let mut block = b"II*\0\x08\0\0\0\xff\xff".to_vec();
    block.extend(entry(0x9286).repeat(65_535));
    block.resize(start + length as usize, b'a');
    assert_eq!(kind(&block), MetadataErrorKind::Malformed);
}

#[test]
fn an_exif_directory_that_points_to_itself_ends() {
    let mut block = b"II*\0\x08\0\0\0\x01\0".to_vec();
    block.extend(b"\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0");
    assert_eq!(read(&block).unwrap(), None);
}

#[test]
fn records_that_cannot_be_read_are_named() {
    let deep = "{\"a\":".repeat(200_000);
    for key in ["invokeai_metadata", "sd-metadata", "workflow"] {
        let error = read(&png(&[text_chunk(key, &deep)])).unwrap_err();
        assert_eq!(error.kind(), MetadataErrorKind::Malformed);
        assert!(error.to_string().contains(key), "{error}");
    }
    // A record that can be read is taken instead.
    let bytes = png(&[
        text_chunk("invokeai_metadata", "{"),
        text_chunk("parameters", INFOTEXT),
    ]);
    assert_eq!(prompt(&bytes).as_deref(), Some("a cat"));
}

#[test]
fn json_inside_json_inside_json_ends() {
    let mut text = INFOTEXT.to_owned();
    for _ in 0..12 {
        text = serde_json::json!({ "parameters": text }).to_string();
    }
    assert_eq!(prompt(&png(&[text_chunk("parameters", &text)])), None);
}

#[test]
fn xmp_with_a_million_attributes_is_refused() {
    let attributes = "a=\"\" ".repeat(1_000_000);
    let packet = format!("<x><!-- Draw Things --><y {attributes}/></x>");
    let data = [b"XML:com.adobe.xmp\0\0\0\0\0".as_slice(), packet.as_bytes()].concat();
    let file = png(&[chunk(b"iTXt", &data)]);
    assert_eq!(kind(&file), MetadataErrorKind::TooLarge);
}

/// A graph in which each node joins the one before it with itself: 2^n texts.
#[test]
fn a_graph_that_doubles_ends() {
    let mut nodes = serde_json::json!({
        "0": {"class_type": "PrimitiveString", "inputs": {"value": "x".repeat(1_000)}},
        "500": {"class_type": "KSampler", "inputs":
            {"steps": 1, "positive": ["501", 0], "negative": ["501", 0]}},
        "501": {"class_type": "CLIPTextEncode", "inputs": {"text": ["60", 0]}},
    });
    for id in 1..=60 {
        let before = (id - 1).to_string();
        nodes[id.to_string()] = serde_json::json!({"class_type": "StringConcatenate",
            "inputs": {"string_a": [&before, 0], "string_b": [&before, 0], "delimiter": ""}});
    }
    assert_eq!(
        prompt(&png(&[text_chunk("prompt", &nodes.to_string())])).as_deref(),
        Some("")
    );
}

#[test]
fn a_long_chain_and_a_wide_graph_end() {
    let mut nodes = serde_json::Map::new();
    nodes.insert(
        "0".into(),
        serde_json::json!({"class_type": "KSampler", "inputs":
        {"steps": 1, "positive": ["1", 0], "negative": ["1", 0]}}),
    );
    for id in 1..9_000 {
        nodes.insert(
            id.to_string(),
            serde_json::json!({"class_type": "R", "inputs":
            {"a": [(id + 1).to_string(), 0], "b": [(id / 2).to_string(), 0], "c": ["1", 0]}}),
        );
    }
    let text = serde_json::Value::Object(nodes).to_string();
    assert_eq!(
        prompt(&png(&[text_chunk("prompt", &text)])).as_deref(),
        Some("")
    );
}

/// RGBA pixels whose alpha spells these bytes.
fn hidden(side: usize, data: &[u8]) -> Vec<u8> {
    let mut pixels = vec![254; side * side * 4];
    let bits = data
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1));
    for (index, bit) in bits.enumerate() {
        let (x, y) = (index / side, index % side);
        pixels[(y * side + x) * 4 + 3] |= bit;
    }
    pixels
}

#[test]
fn hidden_payloads_are_bounded() {
    let read = |data: &[u8]| read_pixels(512, 512, &hidden(512, data)).map_err(|e| e.kind());
    let mark =
        |mark: &[u8], bits: u32, payload: &[u8]| [mark, &bits.to_be_bytes(), payload].concat();
    let too_long = mark(b"stealth_pnginfo", u32::MAX, b"");
    assert_eq!(read(&too_long), Err(MetadataErrorKind::Malformed));
    let empty = mark(b"stealth_pnginfo", 0, b"");
    assert_eq!(read(&empty), Ok(None));
    let broken = mark(b"stealth_pngcomp", 64, b"not gzip");
    assert_eq!(read(&broken), Err(MetadataErrorKind::Malformed));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b'a'; 16 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    let bits = u32::try_from(bomb.len() * 8).unwrap();
    let bomb = mark(b"stealth_pngcomp", bits, &bomb);
    assert_eq!(read(&bomb), Err(MetadataErrorKind::TooLarge));
    let not_text = mark(b"stealth_pnginfo", 16, b"\xff\xfe");
    assert_eq!(read(&not_text), Err(MetadataErrorKind::Malformed));
    // Pixels that do not fit the sides, and sides of nothing.
    assert_eq!(read_pixels(3, 3, &[0; 4]).unwrap(), None);
    assert_eq!(read_pixels(0, 5, &[]).unwrap(), None);
    assert_eq!(read_pixels(u32::MAX, u32::MAX, &[]).unwrap(), None);
}

/// What costs little once may not be done often: a node of many inputs, a long class and a long
/// text, each reached over thousands of links.
#[test]
fn heavy_nodes_that_are_reached_often_are_bounded() {
    let links = |to: &str, count: usize| -> serde_json::Value {
        let links = (0..count).map(|at| (format!("cond{at}"), serde_json::json!([to, 0])));
        serde_json::Value::Object(links.collect())
    };
    let sampler = serde_json::json!({"class_type": "KSampler", "inputs":
        {"steps": 1, "seed": ["2", 0], "positive": ["1", 0], "negative": ["1", 0]}});
    let many_inputs = serde_json::json!({"0": sampler,
        "1": {"class_type": "A", "inputs": links("2", 20_000)},
        "2": {"class_type": "B", "inputs": links("1", 25_000)}});
    let long_class = serde_json::json!({"0": sampler,
        "1": {"class_type": "A", "inputs": links("2", 40_000)},
        "2": {"class_type": "B".repeat(1 << 20), "inputs": {"x": ["3", 0]}}});
    let long_text = serde_json::json!({"0": sampler,
        "1": {"class_type": "A", "inputs": links("2", 40_000)},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a".repeat(1 << 19)}}});
    for graph in [many_inputs, long_class, long_text] {
        let prompt = prompt(&png(&[text_chunk("prompt", &graph.to_string())]));
        assert_eq!(prompt.map(|text| text.len()), Some(0));
    }
    let mut samplers = serde_json::Map::new();
    samplers.insert(
        "1".into(),
        serde_json::json!({"class_type": "B", "inputs": links("1", 20_000)}),
    );
    for id in 2..5_000 {
        samplers.insert(id.to_string(), sampler.clone());
    }
    let text = serde_json::Value::Object(samplers).to_string();
    assert_eq!(
        prompt(&png(&[text_chunk("prompt", &text)])).as_deref(),
        Some("")
    );
}

#[test]
fn a_header_that_claims_a_huge_picture_is_not_believed() {
    for (width, height) in [
        (0x7fff_ffff_u32, 200_u32),
        (200, 0x7fff_ffff),
        (100_000, 100_000),
    ] {
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        let header = chunk(b"IHDR", &[&sides, b"\x08\x06\0\0\0".as_slice()].concat());
        let bytes = png(&[header, chunk(b"IDAT", &zlib(&[0; 4096]))]);
        assert_eq!(read(&bytes).unwrap(), None);
    }
}
