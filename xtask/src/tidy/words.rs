//! Words and paths that no file of the repository may hold.

use super::Source;

/// Each line with a forbidden word.
pub(super) fn findings(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(of_one).collect()
}

fn of_one(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let mut found = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        for Word { text, problem } in &FORBIDDEN {
            if stands_alone(line, text) {
                found.push(format!("{path}:{}: `{text}`: {problem}", number + 1));
            }
        }
    }
    found
}

/// Whether the line holds the word, and not only a longer one that it is a part of.
fn stands_alone(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    })
}

struct Word {
    text: &'static str,
    problem: &'static str,
}

const MACHINE: &str = "a path of somebody's machine; paths are given by the caller or lie below the repository";
const UNFINISHED: &str = "finish it, or open an issue";

/// In two pieces each, so that this file passes its own rule.
const FORBIDDEN: [Word; 10] = [
    Word { text: concat!("/ro", "ot/"), problem: MACHINE },
    Word { text: concat!("/ho", "me/"), problem: MACHINE },
    Word { text: concat!("/Us", "ers/"), problem: MACHINE },
    Word { text: concat!("/wo", "rk/"), problem: MACHINE },
    Word { text: concat!("/tm", "p/t/"), problem: MACHINE },
    Word { text: concat!("TO", "DO"), problem: UNFINISHED },
    Word { text: concat!("FIX", "ME"), problem: UNFINISHED },
    Word { text: concat!("to", "do!("), problem: UNFINISHED },
    Word { text: concat!("unimple", "mented!("), problem: UNFINISHED },
    Word { text: concat!("db", "g!("), problem: "left over from looking for a fault" },
];

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Source, findings};

    fn in_a_file(text: &str) -> Vec<String> {
        findings(&[Source { path: PathBuf::from("docs/page.md"), text: text.to_owned() }])
    }

    #[test]
    fn a_forbidden_word_is_reported_with_its_line() {
        let text = format!("first\nsecond {}\n", concat!("TO", "DO"));
        let found = in_a_file(&text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("docs/page.md:2: "), "{found:?}");
    }

    #[test]
    fn a_longer_word_that_holds_it_is_fine() {
        assert!(in_a_file(concat!("https://example.org/network", "/work-items and netwo", "rk/")).is_empty());
        assert!(in_a_file(concat!("MASTO", "DON")).is_empty());
    }

    #[test]
    fn a_path_of_a_machine_is_reported() {
        assert_eq!(in_a_file(concat!("see /ho", "me/anna/notes")).len(), 1);
    }
}
