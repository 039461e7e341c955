//! Formats that are recognised so that a message can name them, though their pixels are not read.

/// A file format whose pixels [`crate::decode`] does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OtherFormat {
    /// AV1 Image File Format.
    Avif,
    /// High Efficiency Image File: HEIC, and HEIF of other codecs.
    Heif,
    /// JPEG XL, as a container or a bare codestream.
    JpegXl,
    /// MPEG-4 and relatives.
    Mp4,
    /// QuickTime, `.mov`.
    QuickTime,
    /// WebM.
    WebM,
    /// Matroska, `.mkv`.
    Matroska,
    /// Another picture format, by the name that people know it by.
    Picture(&'static str),
    /// Another video format.
    Video(&'static str),
    /// A document that may show a picture.
    Document(&'static str),
}

impl OtherFormat {
    fn name(self) -> &'static str {
        match self {
            OtherFormat::Avif => "AVIF",
            OtherFormat::Heif => "HEIC",
            OtherFormat::JpegXl => "JPEG XL",
            OtherFormat::Mp4 => "MP4",
            OtherFormat::QuickTime => "QuickTime",
            OtherFormat::WebM => "WebM",
            OtherFormat::Matroska => "Matroska",
            OtherFormat::Picture(name) | OtherFormat::Video(name) | OtherFormat::Document(name) => {
                name
            }
        }
    }

    fn thing(self) -> Thing {
        match self {
            OtherFormat::Avif
            | OtherFormat::Heif
            | OtherFormat::JpegXl
            | OtherFormat::Picture(_) => Thing::Picture,
            OtherFormat::Mp4
            | OtherFormat::QuickTime
            | OtherFormat::WebM
            | OtherFormat::Matroska
            | OtherFormat::Video(_) => Thing::Video,
            OtherFormat::Document(_) => Thing::Document,
        }
    }

    /// What a user can do about it, for example `convert it to PNG`.
    pub fn next_step(self) -> &'static str {
        match self.thing() {
            Thing::Picture => "convert it to PNG",
            Thing::Video => "save a frame of it as PNG",
            Thing::Document => "export it as PNG",
        }
    }
}

enum Thing {
    Picture,
    Video,
    Document,
}

/// As in a sentence: `an AVIF picture`, `a QuickTime video`, `a PDF document`.
impl std::fmt::Display for OtherFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.name();
        let thing = match self.thing() {
            Thing::Picture => "picture",
            Thing::Video => "video",
            Thing::Document => "document",
        };
        // By the sound of the first letter or word: an EPS, an MP4, an SVG, but a FITS.
        let vowel = name.starts_with(['A', 'E', 'I', 'O'])
            || ["MP4", "MPEG", "MNG", "SVG", "SGI", "XCF", "FL", "HDR"]
                .iter()
                .any(|start| name.starts_with(start));
        write!(f, "{} {name} {thing}", if vowel { "an" } else { "a" })
    }
}

/// Names the format of a file that [`crate::sniff`] does not know; `None` when this does not know
/// it either. 64 bytes are enough for most formats, 1,024 for all that are told from their start;
/// Targa is told from the end.
pub fn sniff_other(bytes: &[u8]) -> Option<OtherFormat> {
    use OtherFormat::{Document, Picture, Video};

    const SIGNATURES: [(&[u8], OtherFormat); 43] = [
        (b"\xff\x0a", OtherFormat::JpegXl),
        (b"\0\0\0\x0cJXL \r\n\x87\n", OtherFormat::JpegXl),
        (b"\0\0\0\x0cjP  \r\n\x87\n", Picture("JPEG 2000")),
        (b"\xff\x4f\xff\x51", Picture("JPEG 2000")),
        (b"II\xbc", Picture("JPEG XR")),
        (b"8BPS", Picture("Photoshop")),
        (b"gimp xcf", Picture("XCF (GIMP)")),
        (b"CSFCHUNK", Picture("Clip Studio")),
        (b"qoif", Picture("QOI")),
        (b"DDS ", Picture("DDS")),
        (b"\x76\x2f\x31\x01", Picture("OpenEXR")),
        (b"#?RADIANCE", Picture("HDR (Radiance)")),
        (b"#?RGBE", Picture("HDR (Radiance)")),
        (b"icns", Picture("ICNS")),
        (b"FLIF", Picture("FLIF")),
        (b"BPG\xfb", Picture("BPG")),
        (b"SIMPLE  =", Picture("FITS")),
        (b"\x8aMNG\r\n\x1a\n", Picture("MNG")),
        (b"\x8bJNG\r\n\x1a\n", Picture("JNG")),
        (b"AT&TFORM", Document("DjVu")),
        (b"\x59\xa6\x6a\x95", Picture("Sun raster")),
        (b"\xd7\xcd\xc6\x9a", Picture("WMF")),
        (b"\xabKTX ", Picture("KTX")),
        (b"P7\n", Picture("PAM")),
        (b"PF\n", Picture("PFM")),
        (b"Pf\n", Picture("PFM")),
        (b"FUJIFILMCCD-RAW", Picture("Fujifilm raw")),
        (b"IIRO", Picture("Olympus raw")),
        (b"IIRS", Picture("Olympus raw")),
        (b"IIU\0", Picture("Panasonic raw")),
        (b"FOVb", Picture("Sigma raw")),
        (b"%PDF-", Document("PDF")),
        (b"%!PS", Document("PostScript")),
        (b"\xc5\xd0\xd3\xc6", Document("EPS")),
        (b"FLV\x01", Video("Flash")),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Video("Windows Media")),
        (b"\0\0\x01\xba", Video("MPEG")),
        (b"\0\0\x01\xb3", Video("MPEG")),
        (b"OggS", Video("Ogg")),
        (b"\0\0\x02\0\x01\0", Picture("CUR (cursor)")),
        (b"\x0a\x05\x01\x08", Picture("PCX")),
        (b"\x0a\x05\x01\x01", Picture("PCX")),
        (b"\x01\xda\x01\x01", Picture("SGI")),
    ];
    if let Some(found) = iso_media(bytes).or_else(|| matroska(bytes)) {
        return Some(found);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"AVI ") {
        return Some(Video("AVI"));
    }
    // An icon: the type, then at least one entry whose reserved byte is zero.
    if bytes.starts_with(b"\0\0\x01\0") && bytes.get(5) == Some(&0) && bytes.get(9) == Some(&0) {
        return Some(Picture("ICO (icon)"));
    }
    if let [b'P', b'1'..=b'6', b'\n' | b'\r' | b' ' | b'\t', ..] = bytes {
        return Some(Picture("PNM"));
    }
    if bytes.starts_with(b"\x01\0\0\0") && bytes.get(40..44) == Some(b" EMF") {
        return Some(Picture("EMF"));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return zipped(bytes);
    }
    if is_svg(bytes) {
        return Some(Picture("SVG"));
    }
    if bytes.ends_with(b"TRUEVISION-XFILE.\0") {
        return Some(Picture("TGA"));
    }
    SIGNATURES
        .iter()
        .find(|(signature, _)| bytes.starts_with(signature))
        .map(|&(_, format)| format)
}

/// ISO base media (ISO/IEC 14496-12): the brands of `ftyp`, the first box, tell them apart. Old
/// QuickTime files have none and start with another box.
fn iso_media(bytes: &[u8]) -> Option<OtherFormat> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length);
    match kind {
        b"ftyp" => {}
        b"moov" | b"mdat" | b"wide" if length == 1 || length >= 8 => {
            return Some(OtherFormat::QuickTime);
        }
        _ => return None,
    }
    let (major, rest) = rest.split_first_chunk::<4>()?;
    let compatible = rest.get(4..).unwrap_or_default();
    let end = (length as usize).saturating_sub(16).min(256);
    let compatible = &compatible[..compatible.len().min(end)];
    let has = |brands: &[&[u8; 4]]| {
        let mut all = compatible.as_chunks::<4>().0.iter();
        brands.contains(&major) || all.any(|brand| brands.contains(&brand))
    };
    Some(match major {
        b"avif" | b"avis" => OtherFormat::Avif,
        b"crx " => OtherFormat::Picture("Canon raw"),
        b"qt  " => OtherFormat::QuickTime,
        b"mif1" | b"msf1" | b"miaf" | b"mif2" if has(&[b"avif", b"avis"]) => OtherFormat::Avif,
        b"mif1" | b"msf1" | b"miaf" | b"mif2" => OtherFormat::Heif,
        _ if has(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"]) => OtherFormat::Heif,
        _ => OtherFormat::Mp4,
    })
}

/// EBML: the document type stands near the start of the header.
fn matroska(bytes: &[u8]) -> Option<OtherFormat> {
    let header = bytes.strip_prefix(b"\x1a\x45\xdf\xa3")?;
    let header = &header[..header.len().min(64)];
    let is_webm = header.windows(4).any(|window| window == b"webm");
    Some(if is_webm {
        OtherFormat::WebM
    } else {
        OtherFormat::Matroska
    })
}

/// Drawings kept in a zip archive name their type in its first file.
fn zipped(bytes: &[u8]) -> Option<OtherFormat> {
    let start = &bytes[..bytes.len().min(128)];
    let has = |name: &[u8]| start.windows(name.len()).any(|window| window == name);
    if has(b"image/openraster") {
        Some(OtherFormat::Picture("OpenRaster"))
    } else if has(b"application/x-krita") {
        Some(OtherFormat::Picture("Krita"))
    } else {
        None
    }
}

/// Markup whose first kilobyte opens an `svg` element.
fn is_svg(bytes: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
    let text = start.trim_start_matches('\u{feff}').trim_start();
    let is_markup = text.starts_with("<?xml") || text.starts_with("<!") || text.starts_with("<svg");
    is_markup && (text.contains("<svg") || text.contains("<!DOCTYPE svg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(bytes: &[u8]) -> Option<String> {
        sniff_other(bytes).map(|format| format.to_string())
    }

    fn ftyp(brands: &str) -> Vec<u8> {
        let length = u32::try_from(16 + brands.len() - 4).unwrap();
        let (major, compatible) = brands.split_at(4);
        [
            &length.to_be_bytes(),
            b"ftyp".as_slice(),
            major.as_bytes(),
            &[0; 4],
            compatible.as_bytes(),
            b"....meta",
        ]
        .concat()
    }

    #[test]
    fn brands_tell_iso_media_apart() {
        let cases = [
            ("avifmif1miaf", "an AVIF picture"),
            ("avis", "an AVIF picture"),
            ("mif1avif", "an AVIF picture"),
            ("mif1heic", "a HEIC picture"),
            ("heicmif1heic", "a HEIC picture"),
            ("msf1hevc", "a HEIC picture"),
            ("isomiso2avc1mp41", "an MP4 video"),
            ("mp42", "an MP4 video"),
            ("qt  ", "a QuickTime video"),
            ("crx isom", "a Canon raw picture"),
        ];
        for (brands, name) in cases {
            assert_eq!(named(&ftyp(brands)).as_deref(), Some(name), "{brands}");
        }
        assert_eq!(
            named(b"\0\0\0\x08wide\0\0\0\0mdat").as_deref(),
            Some("a QuickTime video")
        );
    }

    #[test]
    fn what_people_have_is_named_and_the_next_step_said() {
        let cases: [(&[u8], &str, &str); 13] = [
            (b"\xff\x0a\0\0", "a JPEG XL picture", "convert it to PNG"),
            (
                b"\0\0\0\x0cJXL \r\n\x87\n....",
                "a JPEG XL picture",
                "convert it to PNG",
            ),
            (
                b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm",
                "a WebM video",
                "save a frame of it as PNG",
            ),
            (
                b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska",
                "a Matroska video",
                "save a frame of it as PNG",
            ),
            (b"8BPS\0\x01", "a Photoshop picture", "convert it to PNG"),
            (
                b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0",
                "an ICO (icon) picture",
                "convert it to PNG",
            ),
            (
                b"<?xml version=\"1.0\"?>\n<svg xmlns=\"a\"/>",
                "an SVG picture",
                "convert it to PNG",
            ),
            (b"P6\n2 2\n255\n", "a PNM picture", "convert it to PNG"),
            (b"qoif\0\0\0\x01", "a QOI picture", "convert it to PNG"),
            (b"%PDF-1.7", "a PDF document", "export it as PNG"),
            (
                b"RIFF\0\0\0\0AVI LIST",
                "an AVI video",
                "save a frame of it as PNG",
            ),
            (
                b"\x76\x2f\x31\x01\x02\0\0\0",
                "an OpenEXR picture",
                "convert it to PNG",
            ),
            (
                b"\0\0.....TRUEVISION-XFILE.\0",
                "a TGA picture",
                "convert it to PNG",
            ),
        ];
        for (bytes, name, step) in cases {
            let format = sniff_other(bytes).unwrap_or_else(|| panic!("{name} is not known"));
            assert_eq!(
                (format.to_string().as_str(), format.next_step()),
                (name, step)
            );
        }
        for bytes in [
            b"".as_slice(),
            b"hello, world",
            b"\0\0\0\0",
            b"<html><body>no</body></html>",
            b"Portrait",
            b"{\"prompt\": 1}",
        ] {
            assert_eq!(sniff_other(bytes), None);
        }
    }
}
