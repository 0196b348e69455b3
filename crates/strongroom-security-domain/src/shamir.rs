//! Secret sharing over GF(257), byte by byte (docs/security-domain-format.md).
//!
//! Each byte of the secret is the constant term of a polynomial of its own, with coefficients uniform in 0..=256; a zero
//! is as good as any other, also the highest. A share is the value of every polynomial at one place x. Values have nine
//! bits, because 256 is an element but no byte.

use strongroom_crypto::digest::constant_time_eq;
use strongroom_crypto::{CryptoError, Entropy};
use strongroom_types::Secret;

use crate::field::{add, invert, multiply, reduce, subtract};
use crate::{Quorum, SecurityDomainError};

/// One custodian's part of a secret.
pub(crate) struct Share {
    x: u8,
    values: Secret<Vec<u16>>,
}

impl Share {
    /// The place of the share, from 1.
    pub(crate) fn x(&self) -> u8 {
        self.x
    }

    /// One word a byte: `x << 9 | value`, 16 bits, little-endian.
    pub(crate) fn to_bytes(&self) -> Secret<Vec<u8>> {
        let x = u16::from(self.x) << VALUE_BITS;
        Secret::new(self.values.expose().iter().flat_map(|value| (x | value).to_le_bytes()).collect())
    }

    /// Reads a share; all its words must have the same place, and values of the field.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<2>();
        let x = u16::from_le_bytes(*words.first()?) >> VALUE_BITS;
        let mut values = Secret::new(Vec::with_capacity(words.len()));
        // Every word is looked at before any is judged, so that the time does not tell which one was wrong.
        let mut wrong = u16::from(x == 0);
        for word in words {
            let word = u16::from_le_bytes(*word);
            let value = word & VALUE_MASK;
            wrong |= (word >> VALUE_BITS) ^ x;
            // 257 and above carry into bit 9.
            wrong |= (value + 255) >> VALUE_BITS;
            values.expose_mut().push(value);
        }
        let x = u8::try_from(x).ok()?;
        (wrong == 0 && rest.is_empty()).then_some(Self { x, values })
    }

    /// Whether two shares are the same; the time tells nothing but their lengths.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        constant_time_eq(self.to_bytes().expose(), other.to_bytes().expose())
    }
}

/// The coefficients of all polynomials, without the constant term: those of byte 0, lowest first, then those of byte 1 …
pub(crate) struct Coefficients {
    each: usize,
    values: Secret<Vec<u16>>,
}

impl Coefficients {
    /// Draws coefficients for a secret of so many bytes, shared under this quorum.
    pub(crate) fn draw(quorum: Quorum, secret_bytes: usize, entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        let each = usize::from(quorum.required()) - 1;
        let mut values = Secret::new(Vec::with_capacity(each * secret_bytes));
        for _ in 0..each * secret_bytes {
            values.expose_mut().push(draw_element(entropy)?);
        }
        Ok(Self { each, values })
    }

    #[cfg(test)]
    pub(crate) fn from_vectors(each: usize, values: Vec<u16>) -> Self {
        Self { each, values: Secret::new(values) }
    }
}

/// The shares at 1..=total.
pub(crate) fn split(secret: &[u8], coefficients: &Coefficients, total: u8) -> Vec<Share> {
    (1..=total)
        .map(|x| {
            let polynomials = coefficients.values.expose().chunks_exact(coefficients.each);
            let values = secret.iter().zip(polynomials).map(|(byte, coefficients)| {
                let high = coefficients.iter().rev().fold(0, |sum, coefficient| evaluate_step(sum, x, *coefficient));
                evaluate_step(high, x, u16::from(*byte))
            });
            Share { x, values: Secret::new(values.collect()) }
        })
        .collect()
}

/// The secret behind exactly as many shares as the quorum.
///
/// # Errors
/// `None` if the shares have the same place or different lengths, or give a value that is no byte: they do not belong
/// together. That they give bytes does not mean that they do.
pub(crate) fn combine(shares: &[&Share]) -> Option<Secret<Vec<u8>>> {
    let values = interpolate(shares, 0)?;
    // A value of 256 anywhere shows at the end only.
    let overflow = values.expose().iter().fold(0, |bits, value| bits | value >> 8);
    let bytes = Secret::new(values.expose().iter().map(|value| (value & 255) as u8).collect());
    (overflow == 0).then_some(bytes)
}

/// The share at another place, from as many shares as the quorum.
pub(crate) fn share_at(shares: &[&Share], x: u8) -> Option<Share> {
    Some(Share { x, values: interpolate(shares, u16::from(x))? })
}

/// Combines two quorums drawn at random and compares with the secret: the split cannot be repaired later.
pub(crate) fn self_check(
    secret: &[u8],
    shares: &[Share],
    required: u8,
    entropy: &dyn Entropy,
) -> Result<(), SecurityDomainError> {
    for _ in 0..2 {
        let subset = draw_subset(shares, usize::from(required), entropy)?;
        let combined = combine(&subset).ok_or(SecurityDomainError::SelfCheck)?;
        if !constant_time_eq(combined.expose(), secret) {
            return Err(SecurityDomainError::SelfCheck);
        }
    }
    Ok(())
}

/// Values of the polynomials at a place (Lagrange). Places are public, values are not.
fn interpolate(shares: &[&Share], at: u16) -> Option<Secret<Vec<u16>>> {
    let length = shares.first()?.values.expose().len();
    let mut sums = Secret::new(vec![0; length]);
    for (position, share) in shares.iter().enumerate() {
        if share.values.expose().len() != length {
            return None;
        }
        let mut basis = 1;
        for (_, other) in shares.iter().enumerate().filter(|(other, _)| *other != position) {
            let distance = subtract(u16::from(share.x), u16::from(other.x));
            if distance == 0 {
                return None;
            }
            let numerator = subtract(at, u16::from(other.x));
            basis = multiply(basis, multiply(numerator, invert(distance)));
        }
        for (sum, value) in sums.expose_mut().iter_mut().zip(share.values.expose()) {
            *sum = add(*sum, multiply(*value, basis));
        }
    }
    Some(sums)
}

/// One step of Horner's rule.
fn evaluate_step(sum: u16, x: u8, coefficient: u16) -> u16 {
    add(multiply(sum, u16::from(x)), coefficient)
}

/// A uniform element. 65,535 words are 255 for each of the 257 elements; the word 0 would give 0 one more and is dropped.
fn draw_element(entropy: &dyn Entropy) -> Result<u16, CryptoError> {
    loop {
        let mut word = [0; 2];
        entropy.fill(&mut word)?;
        match u16::from_be_bytes(word) {
            0 => {}
            word => return Ok(reduce(u32::from(word))),
        }
    }
}

/// So many of the shares, drawn without preference.
fn draw_subset<'a>(shares: &'a [Share], count: usize, entropy: &dyn Entropy) -> Result<Vec<&'a Share>, CryptoError> {
    let mut left: Vec<&Share> = shares.iter().collect();
    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count && !left.is_empty() {
        let mut word = [0; 8];
        entropy.fill(&mut word)?;
        // At most ten shares: the bias of the remainder is below 2^-60.
        let position = u64::from_be_bytes(word) % left.len() as u64;
        drawn.push(left.swap_remove(position as usize));
    }
    Ok(drawn)
}

/// A value has nine bits, a place seven.
const VALUE_BITS: u32 = 9;
const VALUE_MASK: u16 = (1 << VALUE_BITS) - 1;

#[cfg(test)]
mod tests;
