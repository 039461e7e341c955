//! Draw Things: an XMP packet with CreatorTool "Draw Things" and, as UserComment, a JSON object in
//! which `c` is the prompt and `uc` the negative prompt.

use crate::json::Budget;
use crate::{Generator, Metadata, json};

/// Reads the properties of an XMP packet.
pub(crate) fn from_properties(
    properties: &[(String, String)],
    budget: &Budget,
) -> Option<Metadata> {
    let property = |wanted: &str| {
        let mut named = properties.iter().filter(|(name, _)| name == wanted);
        named.next_back().map(|(_, text)| text.as_str())
    };
    if !property("CreatorTool")?.contains("Draw Things") {
        return None;
    }
    let map = budget.object(property("UserComment")?)?;
    Some(Metadata::new(
        Generator::DrawThings,
        json::string(&map, "c")?.trim(),
        json::string(&map, "uc").map(|text| text.trim().to_owned()),
        json::settings(&map, &["c", "uc"]),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_xmp(packet: &str) -> Option<Metadata> {
        from_properties(&crate::xmp_texts::properties(packet), &Budget::default())
    }

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
