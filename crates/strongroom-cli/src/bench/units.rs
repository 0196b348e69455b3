//! Figures as people read them.

use strongroom_bench::figures::real;

/// Short, and with as many digits as mean something.
pub(super) fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let length = digits.len();
    let mut text = String::with_capacity(length + length / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (length - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure that may be missing.
pub(super) fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

/// Microseconds as milliseconds.
pub(super) fn milliseconds(microseconds: f64) -> String {
    format!("{:.2}", microseconds / 1000.0)
}

/// Bytes as mebibytes.
pub(super) fn mebibytes(count: u64) -> f64 {
    real(count) / real(MEBIBYTE)
}

/// Bytes of one.
pub(super) const MEBIBYTE: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.61, 9.94, 330.4, 1234.0, 150_000.0].map(number), ["0.6", "9.9", "330", "1,234", "150,000"]);
        assert_eq!((milliseconds(1234.0).as_str(), or_dash(None, number).as_str()), ("1.23", "-"));
        assert!((mebibytes(MEBIBYTE * 3 / 2) - 1.5).abs() < 1e-9);
    }
}
