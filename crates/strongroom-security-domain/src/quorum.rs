//! How many custodians there are and how many open.

use crate::SecurityDomainError;

/// So many of so many: 2 ≤ required ≤ total, 3 ≤ total ≤ 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quorum {
    required: u8,
    total: u8,
}

impl Quorum {
    /// Fewest custodians.
    pub const TOTAL_MIN: usize = 3;
    /// Most custodians.
    pub const TOTAL_MAX: usize = 10;
    /// Smallest quorum.
    pub const REQUIRED_MIN: i64 = 2;

    /// Checks the numbers as they came.
    ///
    /// # Errors
    /// [`SecurityDomainError::Quorum`] says which is out of range.
    pub fn new(required: i64, total: usize) -> Result<Self, SecurityDomainError> {
        let out_of_range = SecurityDomainError::Quorum;
        if !(Self::TOTAL_MIN..=Self::TOTAL_MAX).contains(&total) {
            return Err(out_of_range("a security domain needs 3 to 10 wrapping certificates"));
        }
        let total = u8::try_from(total).map_err(|_| out_of_range("too many certificates"))?;
        if required < Self::REQUIRED_MIN {
            return Err(out_of_range("the quorum must be at least 2"));
        }
        match u8::try_from(required) {
            Ok(required) if required <= total => Ok(Self { required, total }),
            _ => Err(out_of_range("the quorum must not exceed the number of certificates")),
        }
    }

    /// How many open.
    pub fn required(self) -> u8 {
        self.required
    }

    /// How many there are.
    pub fn total(self) -> u8 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_two_to_all_of_three_to_ten() {
        for total in 0..=12 {
            for required in -1..=300 {
                let allowed = (3..=10).contains(&total) && required >= 2 && required <= total as i64;
                assert_eq!(Quorum::new(required, total).is_ok(), allowed, "{required} of {total}");
            }
        }
        assert!(Quorum::new(i64::MAX, 10).is_err());
        assert!(Quorum::new(i64::MIN, 10).is_err());
    }
}
