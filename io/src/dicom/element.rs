//! Data elements: where each of them is among the bytes of a data set.
//!
//! Only tags and lengths are looked at, of whatever is asked for and no more, so that no
//! value is held twice and none that nobody asks for is looked at. What the elements mean is
//! left to `frames.rs` and `seg.rs`. PS3.5, section 7.

use std::borrow::Cow;

/// Group and element number.
pub(super) type Tag = u32;

/// How the elements of a data set are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    /// Whether each element names its type.
    pub(super) explicit: bool,
    pub(super) big_endian: bool,
}

impl Encoding {
    pub(super) const IMPLICIT: Self = Self { explicit: false, big_endian: false };
    pub(super) const EXPLICIT: Self = Self { explicit: true, big_endian: false };
}

/// Why there are no elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end too soon.
    Short,
    /// They are no elements.
    Broken(&'static str),
}

const ITEM: Tag = 0xfffe_e000;
const ITEM_END: Tag = 0xfffe_e00d;
const SEQUENCE_END: Tag = 0xfffe_e0dd;
const UNDEFINED: u32 = u32::MAX;

/// How deep sequences may lie in each other. Reports go a dozen levels deep.
const DEEPEST: usize = 48;

/// Elements of one data set or item. Those of makers have a few thousand.
const MOST_ELEMENTS: usize = 1 << 14;

/// Items of a sequence that are looked at: one for each frame of the longest file, and one more,
/// so that too many are noticed.
const MOST_ITEMS: usize = (1 << 17) + 1;

/// Bytes of text and of decimal numbers that are looked at.
const LONGEST_TEXT: usize = 4 << 20;

/// An element without its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) tag: Tag,
    pub(super) vr: Option<[u8; 2]>,
    /// Bytes of the value, `None` where it ends with a delimiter.
    pub(super) length: Option<usize>,
    /// Where the value starts.
    pub(super) value: usize,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    encoding: Encoding,
}

/// The elements of a data set or of one item of a sequence.
#[derive(Debug, Default)]
pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    /// Where the value of each is, by tag; the first counts where one comes twice.
    spans: Vec<(Tag, Span)>,
}

/// The element at `at`.
pub(super) fn head(bytes: &[u8], at: usize, encoding: Encoding) -> Result<Head, Stop> {
    let rest = bytes.get(at..).ok_or(Stop::Short)?;
    let start = rest.first_chunk::<8>().ok_or(Stop::Short)?;
    let [a, b, c, d, e, f, g, h] = *start;
    let short = |pair: [u8; 2]| {
        if encoding.big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    };
    let long = |four: [u8; 4]| {
        if encoding.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    let tag = u32::from(short([a, b])) << 16 | u32::from(short([c, d]));
    let names_type = encoding.explicit && tag >> 16 != 0xfffe && is_type([e, f]);
    let (vr, length, value) = if !names_type {
        (None, long([e, f, g, h]), at + 8)
    } else if has_long_length([e, f], [g, h]) {
        let &[.., i, j, k, l] = rest.first_chunk::<12>().ok_or(Stop::Short)?;
        (Some([e, f]), long([i, j, k, l]), at + 12)
    } else {
        (Some([e, f]), u32::from(short([g, h])), at + 8)
    };
    Ok(Head { tag, vr, length: (length != UNDEFINED).then_some(length as usize), value })
}

/// Whether two bytes may be the name of a type.
pub(super) fn is_type(bytes: [u8; 2]) -> bool {
    bytes.iter().all(u8::is_ascii_uppercase)
}

fn has_long_length(vr: [u8; 2], reserved: [u8; 2]) -> bool {
    const SHORT: [&[u8; 2]; 20] = [
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN",
        b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL",
    ];
    const LONG: [&[u8; 2]; 13] =
        [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];
    let is_in = |list: &[&[u8; 2]]| list.iter().any(|&known| *known == vr);
    is_in(&LONG) || (!is_in(&SHORT) && vr != *b"US" && reserved == [0, 0])
}

impl<'a> Elements<'a> {
    /// The elements from `at` on, up to the end of `bytes` or to the first that `until`
    /// answers to, which comes back with where it is.
    pub(super) fn walk(
        bytes: &'a [u8],
        mut at: usize,
        encoding: Encoding,
        until: impl Fn(&Head) -> bool,
    ) -> Result<(Self, Option<(usize, Head)>), Stop> {
        let mut spans: Vec<(Tag, Span)> = Vec::new();
        while at < bytes.len() {
            let head = head(bytes, at, encoding)?;
            if until(&head) {
                return Ok((Self { bytes, spans }, Some((at, head))));
            }
            let (span, next) = value(bytes, &head, encoding, 0)?;
            // Elements come in order, as a rule.
            let place = match spans.last() {
                Some((last, _)) if *last < head.tag => Err(spans.len()),
                None => Err(0),
                Some(_) => spans.binary_search_by_key(&head.tag, |(tag, _)| *tag),
            };
            if let Err(place) = place {
                if spans.len() == MOST_ELEMENTS {
                    return Err(Stop::Broken("more elements than a data set has"));
                }
                spans.insert(place, (head.tag, span));
            }
            at = next;
        }
        Ok((Self { bytes, spans }, None))
    }

    fn span(&self, tag: Tag) -> Option<Span> {
        let place = self.spans.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        self.spans.get(place).map(|(_, span)| *span)
    }

    /// The bytes of a value, but for an empty one.
    fn raw(&self, tag: Tag) -> Option<(&'a [u8], Encoding)> {
        let span = self.span(tag)?;
        let bytes = self.bytes.get(span.start..span.end)?;
        (!bytes.is_empty()).then_some((bytes, span.encoding))
    }

    pub(super) fn has(&self, tag: Tag) -> bool {
        self.raw(tag).is_some()
    }

    pub(super) fn bytes(&self, tag: Tag) -> Option<&'a [u8]> {
        self.raw(tag).map(|(bytes, _)| bytes)
    }

    /// A value of letters and digits, without what pads it.
    pub(super) fn text(&self, tag: Tag) -> Option<Cow<'a, str>> {
        let bytes = self.bytes(tag).filter(|bytes| bytes.len() <= LONGEST_TEXT)?;
        let text = String::from_utf8_lossy(bytes);
        let trimmed = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
        (!trimmed.is_empty()).then(|| Cow::Owned(trimmed.to_owned()))
    }

    /// Decimal numbers, all of which must be numbers.
    pub(super) fn decimals(&self, tag: Tag) -> Option<Vec<f64>> {
        let text = self.text(tag)?;
        text.split('\\').map(|number| number.trim().parse().ok()).collect()
    }

    pub(super) fn decimal(&self, tag: Tag) -> Option<f64> {
        self.decimals(tag)?.first().copied()
    }

    pub(super) fn integer(&self, tag: Tag) -> Option<i64> {
        self.text(tag)?.split('\\').next()?.trim().parse().ok()
    }

    pub(super) fn shorts(&self, tag: Tag) -> Vec<u16> {
        let Some((bytes, encoding)) = self.raw(tag) else { return Vec::new() };
        let (numbers, _) = bytes.as_chunks();
        let number = |&pair: &[u8; 2]| {
            if encoding.big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        };
        numbers.iter().map(number).collect()
    }

    pub(super) fn short(&self, tag: Tag) -> Option<u16> {
        self.shorts(tag).first().copied()
    }

    pub(super) fn long(&self, tag: Tag) -> Option<u32> {
        let (bytes, encoding) = self.raw(tag)?;
        let four = *bytes.first_chunk()?;
        Some(if encoding.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    pub(super) fn single(&self, tag: Tag) -> Option<f32> {
        let (bytes, encoding) = self.raw(tag)?;
        let four = *bytes.first_chunk()?;
        Some(if encoding.big_endian { f32::from_be_bytes(four) } else { f32::from_le_bytes(four) })
    }

    pub(super) fn double(&self, tag: Tag) -> Option<f64> {
        self.doubles(tag)?.first().copied()
    }

    /// At most three.
    pub(super) fn doubles(&self, tag: Tag) -> Option<Vec<f64>> {
        let (bytes, encoding) = self.raw(tag)?;
        let (eights, _) = bytes.as_chunks();
        let number = |&eight: &[u8; 8]| {
            if encoding.big_endian { f64::from_be_bytes(eight) } else { f64::from_le_bytes(eight) }
        };
        Some(eights.iter().take(3).map(number).collect())
    }

    /// The items of a sequence; none where it is no sequence.
    pub(super) fn items(&self, tag: Tag) -> Vec<Elements<'a>> {
        let Some(Span { start, end, encoding }) = self.span(tag) else { return Vec::new() };
        let Some(bytes) = self.bytes.get(..end) else { return Vec::new() };
        let mut items = Vec::new();
        let mut at = start;
        while at < end
            && items.len() < MOST_ITEMS
            && let Ok(head) = head(bytes, at, encoding)
            && head.tag == ITEM
        {
            let inner = head
                .length
                .map_or(bytes, |n| bytes.get(..head.value.saturating_add(n)).unwrap_or_default());
            let ends = |inner: &Head| inner.tag == ITEM_END;
            let Ok((elements, stopped)) = Self::walk(inner, head.value, encoding, ends) else {
                break;
            };
            at = match (head.length, stopped) {
                (Some(length), _) => head.value + length,
                (None, Some((_, ending))) => ending.value,
                (None, None) => end,
            };
            items.push(elements);
        }
        items
    }

    /// The first item of a sequence, or no elements.
    pub(super) fn item(&self, tag: Tag) -> Elements<'a> {
        self.items(tag).into_iter().next().unwrap_or_default()
    }
}

/// Where the value of `head` is, and where the next element starts.
fn value(
    bytes: &[u8],
    head: &Head,
    encoding: Encoding,
    depth: usize,
) -> Result<(Span, usize), Stop> {
    // PS3.5, section 6.2.2, note 2: what is unknown is written without types.
    let encoding = if head.vr == Some(*b"UN") { Encoding::IMPLICIT } else { encoding };
    let start = head.value;
    if let Some(length) = head.length {
        let end = start.checked_add(length).filter(|&end| end <= bytes.len()).ok_or(Stop::Short)?;
        return Ok((Span { start, end, encoding }, end));
    }
    let (end, next) = sequence_end(bytes, start, encoding, depth)?;
    Ok((Span { start, end, encoding }, next))
}

/// Where the sequence ends whose first item is at `at`, and what follows it starts.
fn sequence_end(
    bytes: &[u8],
    mut at: usize,
    encoding: Encoding,
    depth: usize,
) -> Result<(usize, usize), Stop> {
    if depth > DEEPEST {
        return Err(Stop::Broken("sequences in sequences without end"));
    }
    loop {
        let item = head(bytes, at, encoding)?;
        match (item.tag, item.length) {
            (SEQUENCE_END, _) => return Ok((at, item.value)),
            (ITEM, Some(length)) => {
                at = item.value.checked_add(length).ok_or(Stop::Short)?;
            }
            (ITEM, None) => {
                at = item.value;
                loop {
                    let inner = head(bytes, at, encoding)?;
                    if inner.tag == ITEM_END {
                        at = inner.value;
                        break;
                    }
                    at = value(bytes, &inner, encoding, depth + 1)?.1;
                }
            }
            _ => return Err(Stop::Broken("something other than items in a sequence")),
        }
    }
}
