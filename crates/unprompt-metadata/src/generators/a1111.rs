//! The "infotext" of AUTOMATIC1111's web UI, and of all who write it: Forge, SD.Next, Civitai,
//! Fooocus' `a1111` scheme and many ComfyUI savers.
//!
//! The grammar is `parse_generation_parameters` of the web UI's `modules/infotext_utils.py`: lines
//! of prompt; from a line that starts with `Negative prompt:` on, lines of negative prompt; and a
//! line of settings, `Key: value` pairs. Values with commas, colons or newlines are JSON strings.
//! What people have differs from it, and is read as its writers meant it:
//!
//! - The settings line is the first that starts with `Steps: ` and a number and has what no prompt
//!   has, or else the last that starts so. Lines after it (templates of extensions, remarks of old
//!   versions, the record of another picture) belong to the settings.
//! - Without such a line, the last line is one of settings if it has at least three pairs and among
//!   them what no prompt has: a numeric seed, a size, or both a sampler and a model. A prompt made of
//!   `Key: value` pairs stays a prompt.
//! - Sites and editors flatten line breaks; then the two marks count inside a line too. Breaks that are
//!   written out, and quotes around the whole, are undone.
//!
//! Unquoted JSON is read whole (Civitai writes lists of resources so), values get types, and
//! defaults that the file does not state are not added.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem;
use regex::Regex;

use crate::limits::{MAX_SETTINGS, MAX_SETTINGS_BYTES};
use crate::{Generator, Metadata, Settings};
use settings::{ParsedSettings, parse_settings};

mod settings;

const NEGATIVE: &str = "Negative prompt:";
const FEWEST_SETTINGS: usize = 3;
/// Places that look like a settings line are tried this often.
const MOST_TRIES: usize = 8;

static STEPS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^Steps:\s*[0-9]+\s*(?:,|$)").expect("a constant pattern"));
/// The mark of the negative prompt inside a line, with the blanks before it.
static NEGATIVE_INSIDE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|[\s.,;|])[Nn]egative [Pp]rompt:").expect("a constant pattern")
});
/// The mark of the settings inside a line.
static STEPS_INSIDE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|[\s.,;|])(Steps:\s*[0-9]+\s*,)").expect("a constant pattern")
});
/// A line after the settings that has a name.
static NAMED_LINE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([A-Z][\w \-/]{0,40}):\s*(.*)$").expect("a constant pattern"));

/// An infotext taken apart.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Infotext {
    pub prompt: String,
    pub negative_prompt: Option<String>,
    pub settings: Settings,
}

impl Infotext {
    /// Reads any text: one without marks is all prompt.
    pub(crate) fn parse(text: &str) -> Self {
        let text = unquoted(text);
        let text = with_line_breaks(&text);
        let text = text.trim();
        let parts = settings_line(text)
            .or_else(|| last_line(text))
            .or_else(|| settings_inside(text))
            .unwrap_or(Parts {
                body: text,
                settings: ParsedSettings::default(),
                after: "",
            });
        let (prompt, negative_prompt) = split_body(parts.body);
        let mut parsed = Self {
            prompt,
            negative_prompt,
            settings: parts.settings.values,
        };
        parsed.read_lines_after(parts.after);
        parsed.drop_label();
        parsed
    }

    /// Whether a text is worth taking apart in search of marks: a quick look.
    pub(crate) fn may_have_markers(text: &str) -> bool {
        ["Steps:", "egative ", "Seed:"]
            .iter()
            .any(|mark| memmem::find(text.as_bytes(), mark.as_bytes()).is_some())
    }

    /// Whether a text that may be anything (a comment) is an infotext after all.
    pub(crate) fn has_markers(&self) -> bool {
        let has = |key| self.settings.contains_key(key);
        self.negative_prompt.is_some() || has("Steps") || (has("Seed") && has("Sampler"))
    }

    pub(crate) fn into_metadata(self) -> Metadata {
        Metadata::new(
            Generator::A1111,
            self.prompt,
            self.negative_prompt,
            self.settings,
        )
    }

    /// Adds what stands below the settings line: more settings, or texts by name, of one line or of
    /// several. The web UI calls what has no name comments.
    fn read_lines_after(&mut self, lines: &str) {
        let lines = &lines[..lines.floor_char_boundary(MAX_SETTINGS_BYTES)];
        let mut open = "Comments".to_owned();
        for line in lines.lines().map(str::trim).take(MAX_SETTINGS) {
            if line.is_empty() {
                continue;
            }
            if self.negative_prompt.is_none()
                && let Some(negative) = after_negative_mark(line)
            {
                self.negative_prompt = Some(negative.to_owned());
                continue;
            }
            let pairs = parse_settings(line);
            if pairs.is_evident() {
                for (key, value) in pairs.values {
                    self.settings.entry(key).or_insert(value);
                }
                continue;
            }
            match NAMED_LINE.captures(line) {
                Some(named) if !self.settings.contains_key(&named[1]) => {
                    named[1].clone_into(&mut open);
                    self.settings.insert(open.clone(), named[2].into());
                }
                _ => match self.settings.get_mut(&open) {
                    Some(serde_json::Value::String(text)) => {
                        text.push('\n');
                        text.push_str(line);
                    }
                    _ => {
                        self.settings.insert(open.clone(), line.into());
                    }
                },
            }
        }
    }

    /// Some writers put a label before the prompt too. Without the other labels it is the user's.
    fn drop_label(&mut self) {
        if self.negative_prompt.is_none() && self.settings.is_empty() {
            return;
        }
        for label in ["Positive prompt:", "Prompt:"] {
            if let Some(start) = self.prompt.get(..label.len())
                && start.eq_ignore_ascii_case(label)
            {
                self.prompt = self.prompt[label.len()..].trim_start().to_owned();
                return;
            }
        }
    }
}

/// A text by its parts.
struct Parts<'a> {
    body: &'a str,
    settings: ParsedSettings,
    after: &'a str,
}

/// The text inside a JSON string that is an infotext.
fn unquoted(text: &str) -> Cow<'_, str> {
    let inside = text.trim();
    if inside.len() > 1 && inside.starts_with('"') && inside.ends_with('"') {
        let read = serde_json::from_str::<String>(inside).ok();
        if let Some(inner) = read.filter(|inner| Infotext::may_have_markers(inner)) {
            return Cow::Owned(inner);
        }
    }
    Cow::Borrowed(text)
}

/// One kind of line break. Where there is none at all, the marks tell whether breaks were written out
/// (`\n`, `<br>`).
fn with_line_breaks(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    let has = |text: &str, part: &str| memmem::find(text.as_bytes(), part.as_bytes()).is_some();
    // One search for each: a search for any of several letters takes far longer.
    if ["\r", "\u{2028}", "\u{2029}"]
        .iter()
        .any(|part| has(&text, part))
    {
        let single = text.replace("\r\n", "\n");
        text = Cow::Owned(single.replace(['\r', '\u{2028}', '\u{2029}'], "\n"));
    }
    let marks = [NEGATIVE, "Steps: "];
    if !text.trim().contains('\n') && marks.iter().any(|mark| has(&text, mark)) {
        for written in ["\\r\\n", "\\n", "<br />", "<br/>", "<br>", "&#10;"] {
            let mut before = marks.iter().map(|mark| format!("{written}{mark}"));
            if before.any(|mark| has(&text, &mark)) {
                text = Cow::Owned(text.replace(written, "\n"));
                break;
            }
        }
    }
    text
}

/// Splits at the first line that starts with `Steps: ` and has what no prompt has, or else at the last
/// that is one of settings.
fn settings_line(text: &str) -> Option<Parts<'_>> {
    let starts_line = |&at: &usize| {
        let line = text[..at].trim_end_matches([' ', '\t']);
        line.is_empty() || line.ends_with('\n')
    };
    let mut first = Vec::with_capacity(MOST_TRIES);
    let mut last = VecDeque::with_capacity(MOST_TRIES);
    for at in memmem::find_iter(text.as_bytes(), "Steps:").filter(starts_line) {
        if first.len() < MOST_TRIES {
            first.push(at);
            continue;
        }
        if last.len() == MOST_TRIES {
            last.pop_front();
        }
        last.push_back(at);
    }
    let split = |at: usize| {
        let (line, after) = split_line(&text[at..]);
        let settings = STEPS.is_match(line).then(|| parse_settings(line))?;
        Some(Parts {
            body: text[..at].trim_end(),
            settings,
            after,
        })
    };
    let is_sure = |settings: &ParsedSettings| {
        settings.pairs >= FEWEST_SETTINGS && settings.values.keys().any(|key| key == "Seed")
    };
    let mut tries = first.iter().filter_map(|&at| split(at));
    let sure = tries.find(|parts| is_sure(&parts.settings));
    let is_one =
        |settings: &ParsedSettings| settings.pairs >= FEWEST_SETTINGS || settings.is_all_evident();
    let from_the_end = || {
        let mut tries = last.iter().rev().chain(first.iter().rev());
        tries.find_map(|&at| split(at).filter(|parts| is_one(&parts.settings)))
    };
    sure.or_else(from_the_end)
}

/// Splits at a last line of settings that does not start with `Steps:`.
fn last_line(text: &str) -> Option<Parts<'_>> {
    let (body, line) = text.rsplit_once('\n').unwrap_or(("", text));
    let settings = parse_settings(line);
    let starts_inside = STEPS_INSIDE.is_match(line) || NEGATIVE_INSIDE.is_match(line);
    let is_one = settings.pairs >= FEWEST_SETTINGS && settings.is_evident();
    (is_one && !starts_inside).then_some(Parts {
        body,
        settings,
        after: "",
    })
}

/// Splits a line in which `Steps: ` and a number are followed by more settings.
fn settings_inside(text: &str) -> Option<Parts<'_>> {
    STEPS_INSIDE
        .captures_iter(text)
        .take(MOST_TRIES)
        .find_map(|found| {
            let at = found.get(1)?.start();
            let (line, after) = split_line(&text[at..]);
            let settings = parse_settings(line);
            (settings.pairs >= FEWEST_SETTINGS).then(|| Parts {
                body: before_mark(&text[..at]),
                settings,
                after,
            })
        })
}

/// What stands before a mark inside a line, without a bar or semicolon in place of the line break.
fn before_mark(text: &str) -> &str {
    text.trim_end().trim_end_matches(['|', ';']).trim_end()
}

fn split_line(text: &str) -> (&str, &str) {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    (line.trim(), after)
}

/// What follows the mark of the negative prompt at the start of a line.
fn after_negative_mark(line: &str) -> Option<&str> {
    if !line.starts_with(['N', 'n']) {
        return None;
    }
    let start = line.get(..NEGATIVE.len())?;
    start
        .eq_ignore_ascii_case(NEGATIVE)
        .then(|| line[NEGATIVE.len()..].trim())
}

/// Lines put together again; a run of lines that stand as they are in `body` is copied at once.
struct Lines<'a> {
    body: &'a str,
    text: String,
    run: Option<Range<usize>>,
}

impl<'a> Lines<'a> {
    fn of(body: &'a str) -> Self {
        Self {
            body,
            text: String::new(),
            run: None,
        }
    }

    fn push(&mut self, line: Range<usize>) {
        match &mut self.run {
            Some(run) if run.end + 1 == line.start => run.end = line.end,
            _ => {
                self.copy_run();
                let is_leading = line.is_empty() && self.text.is_empty();
                self.run = (!is_leading).then_some(line);
            }
        }
    }

    fn copy_run(&mut self) {
        if let Some(run) = self.run.take() {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            self.text.push_str(&self.body[run]);
        }
    }

    fn into_text(mut self) -> String {
        self.copy_run();
        self.text
    }
}

/// Where a line stands without the white space around it, with a quick look for what most lines are.
fn trimmed(body: &str, line: Range<usize>) -> Range<usize> {
    match body.as_bytes()[line.clone()] {
        [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'] => line,
        _ => {
            let end = line.start + body[line.clone()].trim_end().len();
            end - body[line.start..end].trim_start().len()..end
        }
    }
}

/// Splits the lines above the settings into prompt and negative prompt.
fn split_body(body: &str) -> (String, Option<String>) {
    let mut prompt = Lines::of(body);
    let mut negative_prompt: Option<Lines> = None;
    let mut start = 0;
    let breaks = body.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
    for end in breaks.map(|(at, _)| at).chain([body.len()]) {
        let mut line = trimmed(body, start..end);
        start = end + 1;
        if let Some(rest) = after_negative_mark(&body[line.clone()]) {
            line.start = line.end - rest.len();
            negative_prompt.get_or_insert_with(|| Lines::of(body));
        }
        negative_prompt.as_mut().unwrap_or(&mut prompt).push(line);
    }
    let mut prompt = prompt.into_text();
    let mut negative_prompt = negative_prompt.map(Lines::into_text);
    if negative_prompt.is_none()
        && let Some(mark) = NEGATIVE_INSIDE.find(&prompt)
    {
        negative_prompt = Some(prompt[mark.end()..].trim().to_owned());
        let kept = before_mark(&prompt[..mark.end() - NEGATIVE.len()]).len();
        prompt.truncate(kept);
    }
    (prompt, negative_prompt)
}

#[cfg(test)]
mod tests;
