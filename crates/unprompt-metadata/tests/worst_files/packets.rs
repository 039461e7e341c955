//! Packets of XMP.

use super::{SIZE, chunk, filled, png};

pub fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let xmp = |packet: &str| {
        png(&[chunk(
            b"iTXt",
            &[b"XML:com.adobe.xmp\0\0\0\0\0".as_slice(), packet.as_bytes()].concat(),
        )])
    };
    let description = |body: &str| xmp(&format!("<rdf:Description>{body}</rdf:Description>"));
    // A packet that says that it is ours is read with its namespaces.
    let spaces: String = (0..120).map(|n| format!(" xmlns:n{n}=\"n\"")).collect();
    let ours = |attributes: &str, body: &str, after: &str| {
        xmp(&format!(
            "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF \
             xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"\
             xmlns:u=\"urn:unprompt:metadata:1.0/\"{spaces}><rdf:Description {attributes}>{body}\
             </rdf:Description></rdf:RDF>{after}</x:xmpmeta>"
        ))
    };
    vec![
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
            "xmp properties of ours",
            ours("", &filled("<n:a/>", SIZE), ""),
        ),
        (
            "xmp attributes of ours",
            ours(&filled("u:a=\"\" ", SIZE), "", ""),
        ),
        (
            "xmp items of ours",
            ours("", &format!("<u:a>{}</u:a>", filled("<n:li/>", SIZE)), ""),
        ),
        (
            "xmp elements inside ours",
            ours("", &format!("<u:a>{}</u:a>", filled("<n:i/>", SIZE)), ""),
        ),
        (
            "xmp elements beside ours",
            ours("", "", &filled("<n:RDF/>", SIZE)),
        ),
        (
            "xmp texts",
            png(&vec![
                chunk(
                    b"iTXt",
                    &[
                        b"XML:com.adobe.xmp\0\0\0\0\0".as_slice(),
                        filled("<rdf:Description a=\"Steps: 1\"/>", 19_000).as_bytes()
                    ]
                    .concat(),
                );
                256
            ]),
        ),
    ]
}
