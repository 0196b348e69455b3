//! Arithmetic in GF(257), in constant time: no division, no branch and no table that depends on a value.

/// The sum of two elements.
pub(crate) fn add(a: u16, b: u16) -> u16 {
    reduce(u32::from(a) + u32::from(b))
}

/// The product of two elements.
pub(crate) fn multiply(a: u16, b: u16) -> u16 {
    reduce(u32::from(a) * u32::from(b))
}

/// The difference of two elements.
pub(crate) fn subtract(a: u16, b: u16) -> u16 {
    // 256 is −1, so 256·b is −b.
    add(a, multiply(256, b))
}

/// The inverse of an element other than 0: its power 255, since the group has 256 elements.
pub(crate) fn invert(a: u16) -> u16 {
    // 255 is eight ones in binary.
    (0..8).fold(1, |power, _| multiply(multiply(power, power), a))
}

/// The element of a number up to 65,791 (= 257·256 − 1), which covers every product and every 16-bit word.
pub(crate) fn reduce(value: u32) -> u16 {
    // 256 is −1, so the high part is subtracted from the low one: −257 ..= 255.
    let difference = (value & 255) as i32 - (value >> 8) as i32;
    // The sign spread over all bits, as a mask.
    let negative = difference >> 31;
    (difference + (257 & negative)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reduction_is_the_remainder_for_every_word_and_every_product() {
        for value in 0..=65_791 {
            assert_eq!(u32::from(reduce(value)), value % 257, "{value}");
        }
    }

    #[test]
    fn the_field_operations_are_those_of_gf_257() {
        for a in 0..257 {
            for b in 0..257 {
                assert_eq!(add(a, b), (a + b) % 257);
                assert_eq!(subtract(a, b), (a + 257 - b) % 257);
                assert_eq!(u32::from(multiply(a, b)), u32::from(a) * u32::from(b) % 257);
            }
        }
    }

    #[test]
    fn an_element_times_its_inverse_is_one() {
        for a in 1..257 {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
        }
    }
}
