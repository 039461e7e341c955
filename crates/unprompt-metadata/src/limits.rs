//! What one hostile file may cost. Each number is far above what generators write (a large ComfyUI
//! workflow is about 1 MiB of JSON) and far below what would hurt.

/// Longest text kept from one chunk, segment or tag, after decompression.
pub(crate) const MAX_TEXT_BYTES: usize = 8 << 20;

/// All text read or inflated from one file together, so that many bombs cost as little as one.
pub(crate) const MAX_TOTAL_TEXT_BYTES: usize = 16 << 20;

/// All that is decompressed of one file together: a compressed text may be a thousand times as long as
/// the file.
pub(crate) const MAX_INFLATED_BYTES: usize = 8 << 20;

/// Most tags and attributes of all XMP of one file together; histories of edits have the most.
pub(crate) const MAX_XMP_MARKS: usize = 200_000;

/// Most separate texts kept from one file.
pub(crate) const MAX_TEXTS: usize = 256;

/// Most properties of an XMP packet that is taken apart; programs write hundreds.
pub(crate) const MAX_PROPERTIES: usize = 10_000;

/// Longest text that is parsed as JSON, pictures inside it left out.
pub(crate) const MAX_JSON_BYTES: usize = 4 << 20;

/// Most memory that the values of one text may take that is parsed as JSON. A megabyte of a ComfyUI
/// workflow takes about eight.
pub(crate) const MAX_JSON_MEMORY: usize = 16 << 20;

/// The same for all texts of a file, each as often as it is parsed.
pub(crate) const MAX_TOTAL_JSON_MEMORY: usize = 20 << 20;

/// A string inside JSON that is longer than this and has no white space is a picture, not a prompt.
pub(crate) const MAX_JSON_WORD_BYTES: usize = 16 << 10;

/// Longest settings line that is taken apart, and most settings kept.
pub(crate) const MAX_SETTINGS_BYTES: usize = 512 << 10;
/// See [`MAX_SETTINGS_BYTES`].
pub(crate) const MAX_SETTINGS: usize = 512;

/// Most comments, and most texts under keys that nobody knows, that are searched for a record.
pub(crate) const MAX_FREE_TEXTS: usize = 64;

/// Most memory that the values of one ComfyUI graph may take; embedded pictures are not among them.
pub(crate) const MAX_GRAPH_BYTES: usize = 16 << 20;

/// Most nodes of a ComfyUI graph that is searched, subgraphs put in their places.
pub(crate) const MAX_GRAPH_NODES: usize = 10_000;

/// Most inputs, outputs and values of all nodes of that graph together.
pub(crate) const MAX_GRAPH_INPUTS: usize = 50_000;

/// Most patterns by which the nodes of one graph choose whom they send to.
pub(crate) const MAX_GRAPH_PATTERNS: usize = 32;

/// Most values that one use of a subgraph shows on its front.
pub(crate) const MAX_SHOWN_VALUES: usize = 256;

/// Most nodes above the maker of a picture in which settings are looked for.
pub(crate) const MAX_SETTINGS_NODES: usize = 500;

/// How deep subgraphs may lie in each other.
pub(crate) const MAX_SUBGRAPH_DEPTH: usize = 32;

/// Most inputs looked at while a ComfyUI graph is searched, a text counting as many by its length; bounds
/// graphs that are wide.
pub(crate) const MAX_GRAPH_STEPS: usize = 100_000;

/// Most bytes of text copied during that search.
pub(crate) const MAX_GRAPH_TEXT_BYTES: usize = 8 << 20;

/// Longest chain of ComfyUI nodes that is followed; bounds the stack.
pub(crate) const MAX_GRAPH_DEPTH: usize = 96;

/// Longest prompt put together from the nodes of a graph.
pub(crate) const MAX_PROMPT_BYTES: usize = 1 << 20;

/// How deep JSON inside JSON strings is unpacked (a NovelAI record in a stealth payload needs 2).
pub(crate) const MAX_NESTED_RECORDS: usize = 3;

/// Most metadata items of a HEIF file that are looked at, and most keys of an MP4 file.
pub(crate) const MAX_ITEMS: usize = 256;

/// Longest file that `read_file` loads; of a video, all boxes but those of the frames together.
pub(crate) const MAX_FILE_BYTES: u64 = 256 << 20;
