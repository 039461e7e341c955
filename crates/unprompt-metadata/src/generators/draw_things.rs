//! Draw Things: an XMP packet with CreatorTool "Draw Things" and, as UserComment, a JSON object in
//! which `c` is the prompt and `uc` the negative prompt.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::{Generator, Metadata, json};

/// The two XMP properties that matter, whether written as elements or as attributes.
#[derive(Default)]
struct Properties {
    creator_tool: String,
    user_comment: String,
}

impl Properties {
    fn slot(&mut self, local_name: &str) -> Option<&mut String> {
        match local_name {
            "CreatorTool" => Some(&mut self.creator_tool),
            "UserComment" => Some(&mut self.user_comment),
            _ => None,
        }
    }

    fn take_attributes(&mut self, element: &BytesStart) -> Option<()> {
        // Checking for repeated names would take quadratic time.
        for attribute in element.attributes().with_checks(false) {
            let attribute = attribute.ok()?;
            if let Some(slot) = self.slot(attribute.key.local_name().as_ref()) {
                *slot = quick_xml::escape::unescape(&attribute.value)
                    .ok()?
                    .into_owned();
            }
        }
        Some(())
    }
}

pub(crate) fn from_xmp(packet: &str) -> Option<Metadata> {
    // Most packets are not ours and may be long: look before parsing.
    if !packet.contains("Draw Things") {
        return None;
    }
    let properties = read_properties(packet)?;
    if !properties.creator_tool.contains("Draw Things") {
        return None;
    }
    let map = json::object(&properties.user_comment)?;
    Some(Metadata::new(
        Generator::DrawThings,
        json::string(&map, "c")?.trim(),
        json::string(&map, "uc").map(|text| text.trim().to_owned()),
        json::settings(&map, &["c", "uc"]),
    ))
}

/// Reads up to the first XML error; the document type, and with it entity definitions, is ignored.
fn read_properties(packet: &str) -> Option<Properties> {
    let mut properties = Properties::default();
    let mut reader = Reader::from_str(packet);
    let mut within: Option<String> = None;
    loop {
        let mut add = |text: &str| {
            if let Some(slot) = within.as_deref().and_then(|name| properties.slot(name)) {
                slot.push_str(text);
            }
        };
        match reader.read_event().ok()? {
            Event::Text(text) => add(&text),
            Event::CData(text) => add(&text),
            Event::GeneralRef(reference) => {
                add(&quick_xml::escape::unescape(&format!("&{};", &*reference)).ok()?);
            }
            Event::Start(element) => {
                properties.take_attributes(&element)?;
                let name = element.local_name().as_ref().to_owned();
                if properties.slot(&name).is_some() {
                    within = Some(name);
                }
            }
            Event::Empty(element) => properties.take_attributes(&element)?,
            Event::End(element) if within.as_deref() == Some(element.local_name().as_ref()) => {
                within = None;
            }
            Event::Eof => return Some(properties),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_attributes() {
        let element = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description>
            <xmp:CreatorTool>Draw Things</xmp:CreatorTool>
            <exif:UserComment><rdf:Alt><rdf:li xml:lang="x-default">{&quot;c&quot;:&quot;a &amp; b&quot;,"uc":"x","steps":8}</rdf:li></rdf:Alt></exif:UserComment>
            </rdf:Description></rdf:RDF></x:xmpmeta>"#;
        let found = from_xmp(element).unwrap();
        assert_eq!(found.prompt, "a & b");
        assert_eq!(found.negative_prompt.as_deref(), Some("x"));
        assert_eq!(found.settings["steps"], 8);
        let attribute = r#"<rdf:Description xmp:CreatorTool="Draw Things" exif:UserComment="{&quot;c&quot;:&quot;cat&quot;}"/>"#;
        assert_eq!(from_xmp(attribute).unwrap().prompt, "cat");
    }

    #[test]
    fn other_tools_and_broken_xml_are_nothing() {
        assert_eq!(from_xmp("<a>Draw Things</a>"), None);
        assert_eq!(from_xmp("<xmp:CreatorTool>Draw Things</x"), None);
        assert_eq!(
            from_xmp(
                "<!DOCTYPE a [<!ENTITY e \"Draw Things\">]><xmp:CreatorTool>&e;</xmp:CreatorTool>"
            ),
            None
        );
    }
}
