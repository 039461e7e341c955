//! XMP packets (ISO 16684-1): the properties of a picture with their texts.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::limits::MAX_TEXTS;

/// Elements nested deeper than this are not entered.
const MAX_DEPTH: usize = 32;

/// The properties of a packet by their local names, in the order of the packet, whether written as
/// elements or as attributes. Of an alternative in several languages the first counts; the parts of a
/// list are lines.
///
/// Reads up to the first XML error. The document type, and with it entity definitions, is ignored.
pub(crate) fn properties(packet: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    gather(packet, &mut found);
    found
}

/// The property that is being read.
struct Open {
    name: String,
    /// How many elements are open around it.
    depth: usize,
    text: String,
    /// Text of the list item being read; `None` between items.
    item: Option<String>,
    items: usize,
    is_alternative: bool,
}

impl Open {
    fn add(&mut self, text: &str) {
        match &mut self.item {
            Some(item) => item.push_str(text),
            None if self.items == 0 => self.text.push_str(text),
            None => {} // indentation between the items
        }
    }

    fn end_item(&mut self) {
        let Some(item) = self.item.take() else {
            return;
        };
        self.items += 1;
        if self.items == 1 {
            // What stood between the tags before the first item is indentation.
            self.text = item;
        } else if !self.is_alternative {
            self.text.push('\n');
            self.text.push_str(&item);
        }
    }
}

fn gather(packet: &str, found: &mut Vec<(String, String)>) -> Option<()> {
    let mut reader = Reader::from_str(packet);
    let mut depth = 0;
    let mut within_description = Vec::new();
    let mut open: Option<Open> = None;
    while found.len() < MAX_TEXTS {
        match reader.read_event().ok()? {
            Event::Text(text) => {
                if let Some(open) = &mut open {
                    open.add(&text);
                }
            }
            Event::CData(text) => {
                if let Some(open) = &mut open {
                    open.add(&text);
                }
            }
            Event::GeneralRef(reference) => {
                let Some(open) = &mut open else {
                    continue;
                };
                match &*reference {
                    "amp" => open.add("&"),
                    "lt" => open.add("<"),
                    "gt" => open.add(">"),
                    "quot" => open.add("\""),
                    "apos" => open.add("'"),
                    other => open.add(&quick_xml::escape::unescape(&format!("&{other};")).ok()?),
                }
            }
            Event::Start(element) => {
                let name = element.local_name();
                let name = name.as_ref();
                match &mut open {
                    Some(open) => match name {
                        "li" => open.item = Some(String::new()),
                        "Alt" => open.is_alternative = true,
                        _ => {}
                    },
                    None if within_description.last() == Some(&depth) || depth == 0 => {
                        open = Some(Open {
                            name: name.to_owned(),
                            depth,
                            text: String::new(),
                            item: None,
                            items: 0,
                            is_alternative: false,
                        });
                    }
                    None => {}
                }
                if is_container(name) && open.as_ref().is_none_or(|open| open.depth == depth) {
                    open = None;
                    attributes(&element, found)?;
                    if name == "Description" {
                        within_description.push(depth + 1);
                    }
                }
                depth += 1;
                if depth > MAX_DEPTH {
                    return None;
                }
            }
            Event::Empty(element) => attributes(&element, found)?,
            Event::End(element) => {
                depth = depth.checked_sub(1)?;
                if let Some(property) = &mut open
                    && element.local_name().as_ref() == "li"
                {
                    property.end_item();
                }
                if open.as_ref().is_some_and(|open| open.depth == depth)
                    && let Some(property) = open.take()
                {
                    found.push((property.name, property.text));
                }
                if within_description.last() == Some(&(depth + 1)) {
                    within_description.pop();
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    Some(())
}

/// Elements that hold properties and are none.
fn is_container(name: &str) -> bool {
    matches!(name, "xmpmeta" | "xapmeta" | "RDF" | "Description")
}

fn attributes(element: &BytesStart, found: &mut Vec<(String, String)>) -> Option<()> {
    // Checking for repeated names would take quadratic time.
    for attribute in element.attributes().with_checks(false) {
        if found.len() >= MAX_TEXTS {
            break;
        }
        let attribute = attribute.ok()?;
        let name = attribute.key.as_ref();
        if name.starts_with("xmlns") || name.starts_with("xml:") || name == "rdf:about" {
            continue;
        }
        let text = quick_xml::escape::unescape(&attribute.value).ok()?;
        found.push((
            attribute.key.local_name().as_ref().to_owned(),
            text.into_owned(),
        ));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(packet: &str) -> Vec<(String, String)> {
        properties(packet)
    }

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn elements_attributes_alternatives_and_lists() {
        let packet = r#"<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Core"><rdf:RDF xmlns:rdf="r">
 <rdf:Description rdf:about="" xmlns:dc="d" xmp:CreatorTool="a &quot;tool&quot;">
  <dc:description>
   <rdf:Alt>
    <rdf:li xml:lang="x-default">a cat &amp; a dog
on a mat</rdf:li>
    <rdf:li xml:lang="de">eine Katze</rdf:li>
   </rdf:Alt>
  </dc:description>
  <dc:subject><rdf:Bag><rdf:li>one</rdf:li><rdf:li>two</rdf:li></rdf:Bag></dc:subject>
  <tool:prompt><![CDATA[<b>]]></tool:prompt>
 </rdf:Description>
</rdf:RDF></x:xmpmeta>"#;
        assert_eq!(
            get(packet),
            [
                pair("xmptk", "Core"),
                pair("CreatorTool", "a \"tool\""),
                pair("description", "a cat & a dog\non a mat"),
                pair("subject", "one\ntwo"),
                pair("prompt", "<b>"),
            ]
        );
    }

    #[test]
    fn a_broken_packet_gives_what_was_whole() {
        let packet = "<rdf:Description a:b='c'><x:title>t</x:title><x:description>half";
        assert_eq!(get(packet), [pair("b", "c"), pair("title", "t")]);
        assert_eq!(get("no xml at all"), []);
        let entity =
            "<!DOCTYPE a [<!ENTITY e \"x\">]><rdf:Description><a:b>&e;</a:b></rdf:Description>";
        assert_eq!(get(entity), []);
    }
}
