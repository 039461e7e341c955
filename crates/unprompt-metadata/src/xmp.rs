//! XMP packets (ISO 16684-1): the properties of the picture, and where in the text each stands.
//!
//! Only the first level is taken apart: a property is its name, its place and the texts in it. That
//! is all that is needed to read one, and to take one out without touching a byte of the others.

use std::ops::Range;

use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use crate::limits::MAX_PROPERTIES;

pub(crate) const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
pub(crate) const DC: &str = "http://purl.org/dc/elements/1.1/";
/// The language of the text that a reader without languages is given.
pub(crate) const DEFAULT_LANGUAGE: &str = "x-default";

/// A packet taken apart.
#[derive(Debug, Default)]
pub(crate) struct Packet {
    /// All properties in their order.
    pub properties: Vec<Property>,
    /// The `rdf:Description` elements in which they stand.
    pub descriptions: Vec<Description>,
    /// What `rdf:about` of the first of these says.
    pub about: Option<String>,
    /// Where the end tag of `rdf:RDF` begins, and the tag itself is.
    pub end: Option<usize>,
}

/// One property of the picture.
#[derive(Debug)]
pub(crate) struct Property {
    pub namespace: String,
    pub name: String,
    /// The element, or the attribute with the white space before it.
    pub range: Range<usize>,
    /// Which of the descriptions it stands in.
    pub description: usize,
    /// Its texts: one, or those of its list.
    pub items: Vec<Item>,
}

/// A text of a property.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Item {
    /// `xml:lang`, where it has one.
    pub language: Option<String>,
    pub text: String,
}

/// An `rdf:Description` element.
#[derive(Debug)]
pub(crate) struct Description {
    pub range: Range<usize>,
}

impl Property {
    pub(crate) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The text for a reader without languages.
    pub(crate) fn default_text(&self) -> Option<&str> {
        let default = self.items.iter().find(|item| item.is_default());
        default
            .or(self.items.first())
            .map(|item| item.text.as_str())
    }
}

impl Item {
    pub(crate) fn is_default(&self) -> bool {
        self.language
            .as_deref()
            .is_none_or(|language| language == DEFAULT_LANGUAGE)
    }
}

impl Packet {
    /// Takes a packet apart; `None` where it is no well-formed XML, or has more properties than any
    /// program writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut walk = Walk::new(text);
        while walk.step()? {}
        Some(walk.packet)
    }

    pub(crate) fn property(&self, namespace: &str, name: &str) -> Option<&Property> {
        self.properties
            .iter()
            .find(|property| property.is(namespace, name))
    }
}

/// How deep the walk is in what matters.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Outside,
    Rdf,
    Description,
    Property,
}

struct Walk<'a> {
    text: &'a str,
    reader: NsReader<&'a [u8]>,
    packet: Packet,
    level: Level,
    /// Elements open inside the property.
    inner: usize,
    /// At which of these the open list item is.
    item: Option<usize>,
    /// Text of the property outside list items.
    plain: String,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            reader: NsReader::from_str(text),
            packet: Packet::default(),
            level: Level::Outside,
            inner: 0,
            item: None,
            plain: String::new(),
        }
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    /// Takes one event; `false` after the last.
    fn step(&mut self) -> Option<bool> {
        let start = self.position();
        match self.reader.read_event().ok()? {
            Event::Eof => return Some(false),
            Event::Start(element) => self.open(&element, start)?,
            Event::Empty(element) => {
                self.open(&element, start)?;
                self.close(start)?;
            }
            Event::End(_) => self.close(start)?,
            Event::Text(text) => self.add(&text),
            Event::CData(text) => self.add(&text),
            Event::GeneralRef(reference) => {
                let text = match resolve_xml_entity(&reference) {
                    Some(text) => text.to_owned(),
                    None => unescape(&format!("&{};", &*reference)).ok()?.into_owned(),
                };
                self.add(&text);
            }
            _ => {}
        }
        Some(true)
    }

    fn open(&mut self, element: &BytesStart<'_>, start: usize) -> Option<()> {
        let local = element.local_name();
        let local = local.as_ref();
        // Only of what counts the namespace is asked for, which is a search through all that are open.
        let namespace = || {
            let (namespace, _) = self.reader.resolver().resolve_element(element.name());
            bound(&namespace).to_owned()
        };
        match self.level {
            Level::Outside if local == "RDF" && namespace() == RDF => self.level = Level::Rdf,
            Level::Outside => {}
            Level::Rdf => {
                self.level = Level::Description;
                self.packet.descriptions.push(Description {
                    range: start..start,
                });
                self.take_attributes(element)?;
            }
            Level::Description => {
                let (namespace, name) = (namespace(), local.to_owned());
                self.level = Level::Property;
                self.make_room()?;
                let description = self.packet.descriptions.len().checked_sub(1)?;
                self.packet.properties.push(Property {
                    namespace,
                    name,
                    range: start..start,
                    description,
                    items: Vec::new(),
                });
            }
            Level::Property => {
                self.inner += 1;
                if local == "li" {
                    let language = attribute(element, "xml:lang")?;
                    self.item = Some(self.inner);
                    self.packet.properties.last_mut()?.items.push(Item {
                        language,
                        text: String::new(),
                    });
                }
            }
        }
        Some(())
    }

    /// Whether one more property is still that of a packet as programs write it.
    fn make_room(&self) -> Option<()> {
        (self.packet.properties.len() < MAX_PROPERTIES).then_some(())
    }

    /// Closes the innermost element, whose end tag (or whose whole) begins at `start`.
    fn close(&mut self, start: usize) -> Option<()> {
        let end = self.position();
        match self.level {
            Level::Outside => {}
            Level::Rdf => {
                self.packet.end = self.text.get(start..)?.starts_with("</").then_some(start);
                self.level = Level::Outside;
            }
            Level::Description => {
                self.packet.descriptions.last_mut()?.range.end = end;
                self.level = Level::Rdf;
            }
            Level::Property if self.inner > 0 => {
                if self.item == Some(self.inner) {
                    self.item = None;
                }
                self.inner -= 1;
            }
            Level::Property => {
                let text = std::mem::take(&mut self.plain);
                let property = self.packet.properties.last_mut()?;
                property.range.end = end;
                if property.items.is_empty() {
                    let language = None;
                    property.items.push(Item { language, text });
                }
                self.level = Level::Description;
            }
        }
        Some(())
    }

    fn add(&mut self, text: &str) {
        if self.level != Level::Property {
            return;
        }
        match self.packet.properties.last_mut() {
            Some(property) if self.item.is_some() => {
                if let Some(item) = property.items.last_mut() {
                    item.text.push_str(text);
                }
            }
            // Between list items is only layout.
            _ => self.plain.push_str(text),
        }
    }

    /// Simple properties may be attributes of the description.
    fn take_attributes(&mut self, element: &BytesStart<'_>) -> Option<()> {
        let description = self.packet.descriptions.len().checked_sub(1)?;
        // Checking for repeated names would take quadratic time.
        for attribute in element.attributes().with_checks(false) {
            let attribute = attribute.ok()?;
            let key = attribute.key.as_ref();
            let value = unescape(&attribute.value).ok()?.into_owned();
            let (namespace, local) = self.reader.resolver().resolve_attribute(attribute.key);
            let (namespace, name) = (bound(&namespace).to_owned(), local.as_ref().to_owned());
            if namespace == RDF && name == "about" {
                self.packet.about.get_or_insert(value);
                continue;
            }
            if key.starts_with("xmlns") || namespace.is_empty() || namespace == RDF {
                continue;
            }
            let range = self.attribute_range(key, &attribute.value)?;
            self.make_room()?;
            self.packet.properties.push(Property {
                namespace,
                name,
                range,
                description,
                items: vec![Item {
                    language: None,
                    text: value,
                }],
            });
        }
        Some(())
    }

    /// Where an attribute stands: its key and value are slices of the packet.
    fn attribute_range(&self, key: &str, value: &str) -> Option<Range<usize>> {
        let offset = |part: &str| (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize);
        let before = self.text.get(..offset(key)?)?;
        let start = before.trim_end().len();
        let end = offset(value)?.checked_add(value.len() + 1)?;
        self.text.get(start..end).map(|_| start..end)
    }
}

fn bound<'a>(namespace: &'a ResolveResult<'a>) -> &'a str {
    match namespace {
        ResolveResult::Bound(Namespace(name)) => name,
        _ => "",
    }
}

/// An attribute by its name as it is written.
fn attribute(element: &BytesStart<'_>, name: &str) -> Option<Option<String>> {
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute.ok()?;
        if attribute.key.as_ref() == name {
            return Some(Some(unescape(&attribute.value).ok()?.into_owned()));
        }
    }
    Some(None)
}
