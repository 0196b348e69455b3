//! Matching request paths against the operation tables.
//!
//! Azure's paths fit no framework's router: a scope of `/` gives `///providers/…`, an empty version gives `/keys/n//sign`,
//! and ARM compares the literal segments without case (data-plane.md §1, management-plane.md). So repeated and trailing
//! slashes count as one, a placeholder may be optional, and literals are compared without ASCII case.

/// A path with placeholders, such as `/keys/{key-name}/{key-version?}/sign`.
///
/// `{name}` takes one segment, `{name?}` one or none. At most one placeholder of a pattern is optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: &'static str,
    /// How many segments it has.
    segments: usize,
    /// Whether one of them is optional.
    optional: bool,
}

/// The segments that placeholders took, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captures(Vec<(&'static str, String)>);

impl Captures {
    /// What a placeholder took; `None` for an optional one that took nothing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(placeholder, _)| *placeholder == name).map(|(_, value)| value.as_str())
    }
}

/// A request path, split and decoded once, matched against many patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath {
    segments: Vec<String>,
}

/// A path that cannot be decoded, or is longer than any real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedPath;

impl RequestPath {
    /// Most segments a path may have.
    pub const SEGMENTS_MAX: usize = 32;

    /// Splits and decodes a path (without query). Empty segments vanish.
    pub fn parse(path: &str) -> Result<Self, MalformedPath> {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect::<Option<_>>()
            .ok_or(MalformedPath)?;
        if segments.len() > Self::SEGMENTS_MAX {
            return Err(MalformedPath);
        }
        Ok(Self { segments })
    }

    /// The decoded segments.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }
}

impl PathPattern {
    /// A pattern from its text; checked by the tests of the tables that hold it.
    pub const fn new(text: &'static str) -> Self {
        let (mut segments, mut optional) = (0, false);
        let mut rest = text.as_bytes();
        let mut before = b'/';
        while let Some((byte, behind)) = rest.split_first() {
            if before == b'/' && *byte != b'/' {
                segments += 1;
            }
            optional |= before == b'?' && *byte == b'}';
            (before, rest) = (*byte, behind);
        }
        Self { text, segments, optional }
    }

    /// The pattern's text.
    pub const fn as_str(&self) -> &'static str {
        self.text
    }

    /// The captures if the path fits.
    pub fn captures(&self, path: &RequestPath) -> Option<Captures> {
        // Most patterns of a table have another number of segments, and nothing else of them is looked at.
        let without_optional = match self.segments.checked_sub(path.segments.len())? {
            0 => false,
            1 if self.optional => true,
            _ => return None,
        };
        let left_out = move |segment: &str| segment.is_empty() || (without_optional && segment.ends_with("?}"));
        let pairs = self.text.split('/').filter(move |segment| !left_out(segment)).zip(&path.segments);
        // Placeholders are only copied of the one that fits.
        if !pairs.clone().all(|(pattern, given)| pattern.starts_with('{') || given.eq_ignore_ascii_case(pattern)) {
            return None;
        }
        let captured = |(pattern, given): (&'static str, &String)| {
            let name = pattern.strip_prefix('{')?.strip_suffix('}')?;
            Some((name.strip_suffix('?').unwrap_or(name), given.clone()))
        };
        Some(Captures(pairs.filter_map(captured).collect()))
    }
}

/// Percent-decodes one segment (RFC 3986 §2.1); `None` for a broken escape, bytes that are no UTF-8, a NUL, or a hidden
/// slash.
fn decode(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned()).filter(|text| !text.contains('\0'));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let (digits, tail) = tail.split_first_chunk::<2>()?;
        let high = char::from(digits[0]).to_digit(16)?;
        let low = char::from(digits[1]).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(['/', '\0']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &'static str, path: &str) -> Option<Captures> {
        PathPattern::new(pattern).captures(&RequestPath::parse(path).unwrap())
    }

    #[test]
    fn an_optional_version_may_be_absent_or_empty() {
        let pattern = "/keys/{key-name}/{key-version?}/sign";
        for path in ["/keys/n/sign", "/keys/n//sign", "//keys/n/sign/"] {
            let found = captures(pattern, path).unwrap();
            assert_eq!((found.get("key-name"), found.get("key-version")), (Some("n"), None));
        }
        assert_eq!(captures(pattern, "/keys/n/v/sign").unwrap().get("key-version"), Some("v"));
        assert_eq!(captures(pattern, "/keys/n/v/x/sign"), None);
        assert_eq!(captures(pattern, "/keys/sign"), None);
    }

    #[test]
    fn literals_are_compared_without_case_and_values_keep_theirs() {
        let found = captures("/subscriptions/{s}/resourceGroups/{g}", "/Subscriptions/1/resourcegroups/RG").unwrap();
        assert_eq!(found.get("g"), Some("RG"));
    }

    #[test]
    fn segments_are_decoded_once_and_hide_no_slash() {
        assert_eq!(captures("/a/{b}", "/a/x%20y").unwrap().get("b"), Some("x y"));
        for path in ["/a/%2f", "/a/%zz", "/a/%ff", "/a/%0", "/a/%00", "/a/\0"] {
            assert_eq!(RequestPath::parse(path), Err(MalformedPath), "{path}");
        }
    }
}
