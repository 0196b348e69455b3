//! What the planes' readers of `$filter` share (OData 4.01 §5.1.1); which filters there are is each plane's own.

/// A text in quotes at the beginning, and what follows it. Two quotes within stand for one.
pub(crate) fn literal(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut value = String::new();
    loop {
        let (part, behind) = rest.split_once('\'')?;
        value.push_str(part);
        match behind.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((value, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_quotes_within_stand_for_one() {
        assert_eq!(literal("'it''s' and"), Some(("it's".to_owned(), " and")));
        assert_eq!(literal("''"), Some((String::new(), "")));
        assert_eq!(literal("''''"), Some(("'".to_owned(), "")));
        for open in ["", "x'y'", "'", "'x", "'''"] {
            assert_eq!(literal(open), None, "{open}");
        }
    }
}
