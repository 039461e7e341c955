//! The description, the keywords and the note in an XMP packet, whose other properties stay as they
//! are to the byte.

use std::ops::Range;

use quick_xml::escape::partial_escape;

use super::WriteError;
use super::keywords::keywords;
use crate::interpret;
use crate::written::{NAME, NAMESPACE, Note};
use crate::xmp::{DC, DEFAULT_LANGUAGE, Item, Packet, Property};

const HEAD: &str = "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
    <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n\
    <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n";
const FOOT: &str = "</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"w\"?>";

const EXIF: &str = "http://ns.adobe.com/exif/1.0/";
const XMP: &str = "http://ns.adobe.com/xap/1.0/";
/// The properties of the IPTC that say how a picture was generated have names that begin so.
const IPTC_AI: &str = "AI";
const IPTC_EXTENSION: &str = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/";

/// What a packet is to show.
pub(super) struct Shown<'a> {
    pub note: &'a Note,
    /// The description, where it is to be set.
    pub description: Option<&'a str>,
    /// The keywords to be added.
    pub keywords: Vec<String>,
}

/// A packet, or a new one, with a prompt in place of the one that we wrote before.
pub(super) fn with_prompt(packet: Option<&str>, shown: &Shown) -> Result<String, WriteError> {
    let cleared = match packet {
        Some(text) => without_ours(text, &shown.keywords)?,
        None => None,
    };
    let text = cleared.unwrap_or_else(|| [HEAD, FOOT].concat());
    let packet = parse(&text)?;
    let end = packet.end.ok_or_else(unreadable)?;
    let mut edits = Vec::new();
    let mut take = |name: &str| {
        let found: Vec<&Property> = packet
            .properties
            .iter()
            .filter(|property| property.is(DC, name))
            .collect();
        edits.extend(found.iter().map(|property| property.range.clone()));
        found
            .iter()
            .flat_map(|property| property.items.clone())
            .collect::<Vec<Item>>()
    };
    let mut block = String::new();
    if let Some(description) = shown.description {
        let mut items = take("description");
        items.retain(|item| !item.is_default());
        items.insert(
            0,
            Item {
                language: Some(DEFAULT_LANGUAGE.to_owned()),
                text: description.to_owned(),
            },
        );
        block += &list("dc:description", "rdf:Alt", &items);
    }
    if !shown.keywords.is_empty() {
        let mut items = take("subject");
        for keyword in &shown.keywords {
            if !items.iter().any(|item| item.text == *keyword) {
                items.push(Item {
                    language: None,
                    text: keyword.clone(),
                });
            }
        }
        block += &list("dc:subject", "rdf:Bag", &items);
    }
    let about = escaped(packet.about.as_deref().unwrap_or_default());
    let note = escaped(&ascii_json(shown.note)?);
    let block = format!(
        "<rdf:Description xmlns:rdf=\"{RDF}\" rdf:about=\"{about}\" xmlns:dc=\"{DC}\" \
         xmlns:unprompt=\"{NAMESPACE}\">\n{block}<unprompt:{NAME}>{note}</unprompt:{NAME}>\n\
         </rdf:Description>",
        RDF = crate::xmp::RDF,
    );
    edits = with_emptied(&packet, edits);
    let mut edits: Vec<(Range<usize>, String)> = edits
        .into_iter()
        .map(|range| (range, String::new()))
        .collect();
    edits.push((end..end, block));
    Ok(edited(&text, edits))
}

/// A packet without what we wrote into it; `None` when nothing else is in it. Keywords that are to
/// be written again may stay.
pub(super) fn without_ours(text: &str, again: &[String]) -> Result<Option<String>, WriteError> {
    if !text.contains(NAMESPACE) {
        return Ok(Some(text.to_owned()));
    }
    let packet = parse(text)?;
    let Some((note, prompt)) = Note::of(&packet) else {
        return Ok(Some(text.to_owned()));
    };
    let mut ours = keywords(&prompt);
    ours.retain(|keyword| !again.contains(keyword));
    let mut removed = Vec::new();
    let mut replaced = Vec::new();
    for property in &packet.properties {
        let left = match property {
            property if property.is(NAMESPACE, NAME) => Vec::new(),
            property if note.description && property.is(DC, "description") => {
                kept(property, |item| !item.is_default())
            }
            property if note.description && property.is(DC, "subject") => {
                kept(property, |item| !ours.contains(&item.text))
            }
            _ => continue,
        };
        remove_all_but(property, &left, &mut removed, &mut replaced);
    }
    Ok(finished(text, &packet, removed, replaced))
}

/// A packet without prompts and records of generators, and without keywords that are parts of
/// `prompts`; `None` when nothing is left in it.
pub(super) fn without_records(
    text: &str,
    prompts: &[String],
) -> Result<Option<String>, WriteError> {
    let packet = parse(text)?;
    let parts: Vec<String> = prompts.iter().flat_map(|prompt| keywords(prompt)).collect();
    let mut removed = Vec::new();
    let mut replaced = Vec::new();
    for property in &packet.properties {
        let is_record = |item: &Item| interpret::free_text(&item.text).is_some();
        let left = match property {
            property if property.is(NAMESPACE, NAME) => Vec::new(),
            property if property.is(DC, "description") => Vec::new(),
            property if property.is(EXIF, "UserComment") => Vec::new(),
            property if property.is(XMP, "CreatorTool") => {
                kept(property, |item| !super::names_generator(&item.text))
            }
            property if property.is(DC, "subject") => {
                kept(property, |item| !parts.contains(&item.text))
            }
            property
                if property.namespace == IPTC_EXTENSION && property.name.starts_with(IPTC_AI) =>
            {
                Vec::new()
            }
            property => kept(property, |item| !is_record(item)),
        };
        remove_all_but(property, &left, &mut removed, &mut replaced);
    }
    Ok(finished(text, &packet, removed, replaced))
}

fn parse(text: &str) -> Result<Packet, WriteError> {
    Packet::parse(text).ok_or_else(unreadable)
}

fn unreadable() -> WriteError {
    WriteError::Damaged("the XMP packet is not XML that can be followed".into())
}

fn kept(property: &Property, keep: impl Fn(&Item) -> bool) -> Vec<Item> {
    property
        .items
        .iter()
        .filter(|item| keep(item))
        .cloned()
        .collect()
}

/// Notes how to leave only these items of a property.
fn remove_all_but(
    property: &Property,
    left: &[Item],
    removed: &mut Vec<Range<usize>>,
    replaced: &mut Vec<(Range<usize>, String)>,
) {
    if left.len() == property.items.len() {
        return;
    }
    if left.is_empty() {
        removed.push(property.range.clone());
        return;
    }
    let (name, kind) = match property.name.as_str() {
        "subject" => ("dc:subject", "rdf:Bag"),
        "description" => ("dc:description", "rdf:Alt"),
        // Of a list of another kind a record is the whole.
        _ => return removed.push(property.range.clone()),
    };
    let element = list(name, kind, left);
    let element = element
        .trim_end()
        .replacen(name, &format!("{name} xmlns:dc=\"{DC}\""), 1);
    let element = element.replacen(
        kind,
        &format!("{kind} xmlns:rdf=\"{}\"", crate::xmp::RDF),
        1,
    );
    replaced.push((property.range.clone(), element));
}

/// The text after the edits, or `None` when it is an empty packet of ours.
fn finished(
    text: &str,
    packet: &Packet,
    removed: Vec<Range<usize>>,
    replaced: Vec<(Range<usize>, String)>,
) -> Option<String> {
    let removed = with_emptied(packet, removed);
    let mut edits: Vec<(Range<usize>, String)> = removed
        .into_iter()
        .map(|range| (range, String::new()))
        .collect();
    edits.extend(replaced);
    let text = edited(text, edits);
    (text != [HEAD, FOOT].concat()).then_some(text)
}

/// The ranges, with those of descriptions of which nothing is left in the place of their parts.
fn with_emptied(packet: &Packet, removed: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (index, description) in packet.descriptions.iter().enumerate() {
        let mut own = packet
            .properties
            .iter()
            .filter(|property| property.description == index);
        let gone: Vec<&Range<usize>> = removed
            .iter()
            .filter(|range| {
                description.range.start <= range.start && range.end <= description.range.end
            })
            .collect();
        if !gone.is_empty() && own.all(|property| removed.contains(&property.range)) {
            ranges.push(description.range.clone());
        } else {
            ranges.extend(gone.into_iter().cloned());
        }
    }
    ranges
}

/// Replaces ranges that do not overlap.
fn edited(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, replacement) in edits {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(&replacement);
        at = at.max(range.end);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// A property that is a list.
fn list(name: &str, kind: &str, items: &[Item]) -> String {
    let item = |item: &Item| {
        let text = escaped(&item.text);
        match &item.language {
            Some(language) => {
                let language = escaped(language);
                format!("<rdf:li xml:lang=\"{language}\">{text}</rdf:li>")
            }
            None => format!("<rdf:li>{text}</rdf:li>"),
        }
    };
    let items: String = items.iter().map(item).collect();
    format!("<{name}><{kind}>{items}</{kind}></{name}>\n")
}

/// Text for an element or an attribute.
fn escaped(text: &str) -> String {
    let text = partial_escape(text).replace('"', "&quot;");
    // Readers of XML make line feeds of these, unless they are written so.
    text.replace('\r', "&#xD;")
}

/// JSON without a character that XML cannot hold or that an editor may change.
fn ascii_json(note: &Note) -> Result<String, WriteError> {
    let json = serde_json::to_string(note)
        .map_err(|error| WriteError::Damaged(format!("the note cannot be written: {error}")))?;
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => {
                out += &format!("\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHOTO: &str = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="uuid:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4" xmlns:d="http://purl.org/dc/elements/1.1/">
   <d:rights><rdf:Alt><rdf:li xml:lang="x-default">(c) A &amp; B</rdf:li></rdf:Alt></d:rights>
  </rdf:Description>
 </rdf:RDF></x:xmpmeta>"#;

    fn shown(note: &Note, description: &str) -> String {
        let shown = Shown {
            note,
            description: Some(description),
            keywords: keywords(description),
        };
        with_prompt(Some(PHOTO), &shown).unwrap()
    }

    fn note() -> Note {
        Note {
            description: true,
            ..Note::default()
        }
    }

    #[test]
    fn other_properties_stay_and_ours_go_again() {
        let written = shown(&note(), "a <cat>, \"oil\" & more");
        let packet = Packet::parse(&written).unwrap();
        assert_eq!(
            packet.property(XMP, "Rating").unwrap().default_text(),
            Some("4")
        );
        let rights = packet.property(DC, "rights").unwrap();
        assert_eq!(rights.default_text(), Some("(c) A & B"));
        let subject = &packet.property(DC, "subject").unwrap().items;
        let subject: Vec<&str> = subject.iter().map(|item| item.text.as_str()).collect();
        assert_eq!(subject, ["a <cat>", "\"oil\" & more"]);
        assert_eq!(Note::find(&written).unwrap().1, "a <cat>, \"oil\" & more");
        assert!(written.contains("rdf:about=\"uuid:1\" xmlns:dc"));
        assert_eq!(without_ours(&written, &[]).unwrap().as_deref(), Some(PHOTO));
    }

    #[test]
    fn a_packet_of_our_own_goes_whole() {
        let note = note();
        let shown = Shown {
            note: &note,
            description: Some("cat"),
            keywords: Vec::new(),
        };
        let written = with_prompt(None, &shown).unwrap();
        assert_eq!(without_ours(&written, &[]).unwrap(), None);
        assert_eq!(with_prompt(Some(&written), &shown).unwrap(), written);
    }

    #[test]
    fn other_languages_and_keywords_of_others_stay() {
        let own = r#"<d:description><rdf:Alt><rdf:li xml:lang="x-default">old</rdf:li><rdf:li xml:lang="de">alt</rdf:li></rdf:Alt></d:description><d:subject><rdf:Bag><rdf:li>holiday</rdf:li><rdf:li>cat</rdf:li></rdf:Bag></d:subject>"#;
        let packet = PHOTO.replacen("<d:rights>", &format!("{own}<d:rights>"), 1);
        let note = note();
        let shown = Shown {
            note: &note,
            description: Some("cat, hat"),
            keywords: keywords("cat, hat"),
        };
        let written = with_prompt(Some(&packet), &shown).unwrap();
        assert_eq!(with_prompt(Some(&written), &shown).unwrap(), written);
        let texts = |name| -> Vec<String> {
            let packet = Packet::parse(&written).unwrap();
            let items = &packet.property(DC, name).unwrap().items;
            items.iter().map(|item| item.text.clone()).collect()
        };
        assert_eq!(texts("description"), ["cat, hat", "alt"]);
        assert_eq!(texts("subject"), ["holiday", "cat", "hat"]);
        let stripped = without_ours(&written, &[]).unwrap().unwrap();
        let packet = Packet::parse(&stripped).unwrap();
        let left = packet.property(DC, "subject").unwrap();
        assert_eq!(left.items[0].text, "holiday");
        assert_eq!(
            packet.property(DC, "description").unwrap().items[0].text,
            "alt"
        );
        assert!(packet.property(NAMESPACE, NAME).is_none());
    }

    #[test]
    fn what_is_not_xml_is_refused() {
        for text in ["<a", "no tags", "<rdf:RDF/>", "<a><b></a>"] {
            let note = note();
            let shown = Shown {
                note: &note,
                description: Some("cat"),
                keywords: Vec::new(),
            };
            assert!(with_prompt(Some(text), &shown).is_err(), "{text}");
        }
    }
}
