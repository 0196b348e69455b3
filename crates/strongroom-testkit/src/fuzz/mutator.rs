//! Inputs made from kept ones, the same ones for the same seed.

use super::Corpus;

/// Makes inputs: takes one of a corpus and damages it a few times.
#[derive(Debug)]
pub struct Mutator {
    corpus: Corpus,
    state: u64,
}

impl Mutator {
    /// A mutator whose inputs follow from corpus and seed alone.
    pub fn new(corpus: Corpus, seed: u64) -> Self {
        Self { corpus, state: seed }
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.pick().to_vec();
        // Mostly one change, so that what lies behind the first checks is reached; now and then many.
        let changes = 1 << self.below(8).saturating_sub(3);
        for _ in 0..changes {
            self.change(&mut input);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (start, end) = self.range(input.len());
        match self.below(8) {
            0 => self.flip_bit(input),
            1 => self.replace_byte(input),
            2 => drop(input.drain(start..end)),
            3 => {
                let repeated: Vec<u8> = input.get(start..end).unwrap_or_default().to_vec();
                input.splice(start..start, repeated);
            }
            4 => {
                let token = self.of(TOKENS).to_vec();
                input.splice(start..start, token);
            }
            5 => {
                let token = self.of(TOKENS).to_vec();
                input.splice(start..end, token);
            }
            6 => input.truncate(start),
            _ => {
                let other = self.pick().to_vec();
                let (from, to) = self.range(other.len());
                input.splice(start..end, other.get(from..to).unwrap_or_default().iter().copied());
            }
        }
    }

    fn flip_bit(&mut self, input: &mut [u8]) {
        let (place, bit) = (self.below(input.len()), self.below(8));
        if let Some(byte) = input.get_mut(place) {
            *byte ^= 1 << bit;
        }
    }

    fn replace_byte(&mut self, input: &mut [u8]) {
        let (place, new) = (self.below(input.len()), *self.of(BYTES));
        if let Some(byte) = input.get_mut(place) {
            *byte = new;
        }
    }

    /// A mostly short range within a length.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let start = self.below(length + 1);
        let longest = if self.below(4) == 0 { length - start } else { (length - start).min(8) };
        (start, start + self.below(longest + 1))
    }

    fn pick(&mut self) -> &[u8] {
        let place = self.below(self.corpus.inputs.len());
        self.corpus.inputs.get(place).map_or(&[], Vec::as_slice)
    }

    fn of<T>(&mut self, list: &'static [T]) -> &'static T {
        let place = self.below(list.len());
        #[expect(clippy::indexing_slicing, reason = "the place is below the length of a list that is not empty")]
        &list[place]
    }

    /// A number below a limit; 0 if the limit is.
    fn below(&mut self, limit: usize) -> usize {
        // SplitMix64 (Steele, Lea, Flood 2014): enough for choosing, and nothing else.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(limit.max(1)).unwrap_or(1)).unwrap_or_default()
    }
}

/// No input is longer; what the limits of the wire say about longer ones is tested by itself.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Bytes at which parsers change their mind.
const BYTES: &[u8] = b"\x00\x01\x09\x0a\x1f\x20\"%+-./09:=AZ\\_az{}[]\x7f\x80\xbf\xc0\xed\xff";

/// Pieces of text at which the formats of this project do.
const TOKENS: &[&[u8]] = &[
    b"/",
    b"//",
    b"%2f",
    b"%00",
    b"%2e%2e",
    b"%zz",
    b"..",
    b".",
    b"=",
    b"\"\":null,",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e400",
    b"18446744073709551616",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"[]",
    b"{}",
    b"[[[[[[[[[[[[[[[[",
    b"\"alg\":\"none\",",
    b"\"crit\":[],",
    b"\xef\xbf\xbd",
    b"\xff\xfe",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(seed: u64) -> Vec<Vec<u8>> {
        let corpus = Corpus { inputs: vec![b"/keys/one/sign".to_vec(), b"{}".to_vec(), Vec::new()] };
        let mut mutator = Mutator::new(corpus, seed);
        (0..1000).map(|_| mutator.input()).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_one_others() {
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }

    #[test]
    fn inputs_differ_from_each_other_and_from_the_corpus() {
        let mut made = inputs(1);
        made.sort();
        made.dedup();
        // An empty input and short ones come back now and then; most are new.
        assert!(made.len() > 500, "{}", made.len());
    }
}
