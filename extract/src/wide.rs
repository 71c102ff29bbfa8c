//! Which order the bytes of UTF-16 have where no byte order mark says it.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

/// Which byte of a unit of UTF-16 comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The low one: UTF-16LE.
    Little,
    /// The high one: UTF-16BE.
    Big,
}

impl ByteOrder {
    pub(crate) fn encoding(self) -> &'static Encoding {
        match self {
            Self::Little => UTF_16LE,
            Self::Big => UTF_16BE,
        }
    }

    /// The name of the encoding, as WHATWG and iconv have it.
    pub fn name(self) -> &'static str {
        self.encoding().name()
    }
}

/// The order of the bytes of a text in UTF-16 without a byte order mark; `None` if the bytes are no such text, or leave it open. `sample` begins with a
/// whole unit.
///
/// Letters, digits and blanks of ASCII have a zero in one place. Other scripts have their letters in few blocks: in one order the units are such letters with
/// blanks or line ends between them, in the other one they are of all blocks.
pub fn utf16_order(sample: &[u8]) -> Option<ByteOrder> {
    let pairs = sample.len() / 2;
    let zeros = |at: usize| sample.chunks_exact(2).filter(|pair| pair[at] == 0).count();
    let (first, second) = (zeros(0), zeros(1));
    if pairs >= 4 && second * 5 >= pairs * 2 && first * 20 <= pairs {
        return Some(ByteOrder::Little);
    }
    if pairs >= 4 && first * 5 >= pairs * 2 && second * 20 <= pairs {
        return Some(ByteOrder::Big);
    }
    let units = |read: fn([u8; 2]) -> u16| Units::of(sample.chunks_exact(2).map(|pair| read([pair[0], pair[1]])));
    let (little, big) = (units(u16::from_le_bytes), units(u16::from_be_bytes));
    match (little.is_text() && !big.may_be_text(), big.is_text() && !little.may_be_text()) {
        (true, _) => Some(ByteOrder::Little),
        (_, true) => Some(ByteOrder::Big),
        _ => None,
    }
}

/// What the units of a text are, counted.
#[derive(Default)]
struct Units {
    all: usize,
    letters: usize,
    /// Blanks, line ends and full stops, which each text has, and which no pair of letters of another encoding is.
    marks: usize,
    others: usize,
}

impl Units {
    fn of(units: impl Iterator<Item = u16>) -> Self {
        let mut found = Self::default();
        for unit in units {
            found.all += 1;
            match unit {
                // Chinese, Japanese and Korean.
                0x4E00..=0x9FFF | 0x3040..=0x30FF | 0xAC00..=0xD7A3 => found.letters += 1,
                // Greek to Arabic, and scripts of India to Thai.
                0x0370..=0x06FF | 0x0901..=0x0E5B => found.letters += 1,
                0x0A | 0x20 | 0x3000..=0x3002 | 0xFF0C => found.marks += 1,
                // Latin letters and signs.
                0x09 | 0x0D | 0x21..=0x7E | 0xA0..=0x17F | 0x2010..=0x2044 | 0x3003..=0x303F | 0xFF01..=0xFFEF => {}
                _ => found.others += 1,
            }
        }
        found
    }

    /// Whether hardly any unit speaks against it.
    fn may_be_text(&self) -> bool {
        self.others * 20 <= self.all
    }

    fn is_text(&self) -> bool {
        self.all >= 8 && self.marks > 0 && self.letters * 3 > self.all && self.may_be_text()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Extracted;
    use crate::decode::{Utf8Reader, text};

    fn utf16(text: &str, order: ByteOrder) -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if order == ByteOrder::Big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

    #[test]
    fn the_order_is_recognised_in_many_scripts() {
        for words in [
            "A notice of a month.\n",
            "第一条 为了保护公民的合法权益，制定本法。\n第二条 国家保护公民。\n",
            "民事主体的人身权利、财产权利以及其他合法权益受法律保护，任何组织或者个人不得侵犯。",
            "第一条　この法律は、国民の権利を守ることを目的とする。\nすべての国民は、これを守らなければならない。\n",
            "ミトン錠５ｍｇ 1回1錠、1日2回服用する。\n",
            "제1조 이 법은 국민의 권리를 보호함을 목적으로 한다.\n",
            "Статья 1. Настоящий закон защищает права граждан.\n",
            "Ο νόμος προστατεύει τα δικαιώματα των πολιτών.\n",
            "<?xml version='1.0'?><法律><条 号='1'>为了保护公民的合法权益，制定本法。</条></法律>\n",
        ] {
            for order in ORDERS {
                assert_eq!(utf16_order(&utf16(words, order)), Some(order), "{words}");
                let mut sink: Vec<Extracted> = Vec::new();
                assert_eq!(text(&utf16(words, order), None, &mut sink), words);
                let mut read = String::new();
                std::io::Read::read_to_string(&mut Utf8Reader::new(utf16(words, order).as_slice()), &mut read).unwrap();
                assert_eq!(read, words);
            }
        }
    }

    #[test]
    fn other_bytes_have_no_order() {
        for bytes in [
            b"".as_slice(),
            b"The notice is a month, and more words\0\n follow.\n",
            &encoding_rs::GBK.encode("第一条 为了保护公民的合法权益，制定本法。").0,
            &encoding_rs::EUC_KR.encode("제1조 이 법은 국민의 권리를 보호함을 목적으로 한다.").0,
            &encoding_rs::SHIFT_JIS.encode("第一条　この法律は、国民の権利を守ることを目的とする。").0,
            &encoding_rs::WINDOWS_1251.encode("Настоящий закон защищает права граждан.").0,
            "第一条 为了保护公民的合法权益，制定本法。".as_bytes(),
            b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x06\0\0\0",
        ] {
            assert_eq!(utf16_order(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        // Of characters whose low byte is zero, `一` is one, a text alone may be of both orders: 一一一一 and NNNN.
        #[test]
        fn an_order_that_is_recognised_is_the_right_one(
            words in "([!-~]|[丁-七三-仿]|[安-鿿]|[ぁ-ん]|[ァ-ヺ]|[가-갿]|[а-я]|[α-ω]|[à-ü]| |。|、|\n){0,60}",
            big in any::<bool>(),
        ) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let words = words.replace(|c| u32::from(c) & 0xFF == 0, "");
            let bytes = utf16(&words, order);
            if let Some(found) = utf16_order(&bytes) {
                prop_assert_eq!(found, order);
                let mut sink: Vec<Extracted> = Vec::new();
                if bytes.contains(&0) {
                    prop_assert_eq!(text(&bytes, None, &mut sink), words);
                }
            }
        }

        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = utf16_order(&bytes);
        }
    }
}
