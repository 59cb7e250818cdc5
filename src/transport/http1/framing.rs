//! Where a response's body ends (RFC 9112 §6.3, §7.1), decided byte by byte so that it does not matter how the network cut them.

/// What is still to come of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// Nothing: the body is complete.
    Ended,
    Length(u64),
    Chunked(Chunk),
    /// Only the end of the connection ends it.
    UntilClose,
}

/// Where in a chunked body we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Chunk {
    /// In a chunk's size, which so far is this; `digits` of it were seen.
    Size { size: u64, digits: u8 },
    /// Behind the size, before the line's end: an extension, which means nothing to us.
    Extension { size: u64 },
    /// In a chunk's data, of which this much is left.
    Data(u64),
    /// Behind a chunk's data: its line end.
    DataEnd,
    /// In the trailer section, with so many bytes in the current line.
    Trailer { line: u64 },
}

/// The bytes are not what the head said they would be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// Sixteen hexadecimal digits fill the number.
const MAX_DIGITS: u8 = 16;

impl Framing {
    pub(super) const CHUNKED: Self = Self::Chunked(Chunk::Size { size: 0, digits: 0 });

    pub(super) const fn of_length(length: u64) -> Self {
        if length == 0 { Self::Ended } else { Self::Length(length) }
    }

    /// Takes the body's part from the front of `input` and gives its data to `data`; answers how much it took. What is left
    /// over then belongs to no answer.
    pub(super) fn take(&mut self, input: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut taken = 0;
        while taken < input.len() && *self != Self::Ended {
            let rest = &input[taken..];
            taken += match self {
                Self::Ended => 0,
                Self::UntilClose => {
                    data(rest);
                    rest.len()
                }
                Self::Length(left) => {
                    let part = part(rest, left);
                    data(part);
                    if *left == 0 {
                        *self = Self::Ended;
                    }
                    part.len()
                }
                Self::Chunked(Chunk::Data(left)) => {
                    let part = part(rest, left);
                    data(part);
                    if *left == 0 {
                        *self = Self::Chunked(Chunk::DataEnd);
                    }
                    part.len()
                }
                Self::Chunked(chunk) => {
                    *self = chunk.after(rest[0])?;
                    1
                }
            };
        }
        Ok(taken)
    }
}

/// The front of `rest`, at most `left`, which it is taken from.
fn part<'a>(rest: &'a [u8], left: &mut u64) -> &'a [u8] {
    let length = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
    *left -= length as u64;
    &rest[..length]
}

impl Chunk {
    /// What follows this byte, outside a chunk's data. A line may end in a bare line feed, as RFC 9112 §2.2 allows a recipient.
    fn after(self, byte: u8) -> Result<Framing, Malformed> {
        let next = match (self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == MAX_DIGITS {
                    return Err(Malformed);
                }
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Err(Malformed),
            (Self::Size { size, .. } | Self::Extension { size }, b'\n') if size > 0 => Self::Data(size),
            (Self::Size { .. } | Self::Extension { .. }, b'\n') => Self::Trailer { line: 0 },
            (Self::Size { size, .. }, b'\r' | b';' | b' ' | b'\t') | (Self::Extension { size }, _) => {
                Self::Extension { size }
            }
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size { size: 0, digits: 0 },
            (Self::Trailer { line: 0 }, b'\n') => return Ok(Framing::Ended),
            (Self::Trailer { .. }, b'\n') => Self::Trailer { line: 0 },
            (Self::Trailer { line }, b'\r') => Self::Trailer { line },
            (Self::Trailer { line }, _) => Self::Trailer { line: line + 1 },
            (Self::Size { .. } | Self::DataEnd | Self::Data(_), _) => return Err(Malformed),
        };
        Ok(Framing::Chunked(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The data, what is still to come and what is left over when `input` comes in pieces of `piece` bytes.
    fn read(mut framing: Framing, input: &[u8], piece: usize) -> Result<(Vec<u8>, Framing, usize), Malformed> {
        let (mut data, mut over) = (Vec::new(), 0);
        for part in input.chunks(piece.max(1)) {
            let taken = framing.take(part, |bytes| data.extend_from_slice(bytes))?;
            over += part.len() - taken;
        }
        Ok((data, framing, over))
    }

    #[test]
    fn a_length_ends_where_it_says() {
        assert_eq!(Framing::of_length(0), Framing::Ended);
        for piece in 1..8 {
            assert_eq!(read(Framing::of_length(3), b"abcd", piece), Ok((b"abc".to_vec(), Framing::Ended, 1)));
            assert_eq!(read(Framing::of_length(5), b"abcd", piece), Ok((b"abcd".to_vec(), Framing::Length(1), 0)));
            assert_eq!(read(Framing::UntilClose, b"abcd", piece), Ok((b"abcd".to_vec(), Framing::UntilClose, 0)));
        }
    }

    #[test]
    fn chunks_may_have_extensions_trailers_and_bare_line_feeds() {
        let whole = b"3;a=\"b\"\r\nabc\r\nA \r\n0123456789\r\n1\nd\n000\r\nx: y\r\nz: \r\n\r\nover";
        for piece in 1..whole.len() {
            let expected = (b"abc0123456789d".to_vec(), Framing::Ended, 4);
            assert_eq!(read(Framing::CHUNKED, whole, piece), Ok(expected), "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_not_chunked_is_told() {
        for wrong in ["\r\n", "g\r\n", "-1\r\n", "3\r\nabcd\r\n", "11111111111111111\r\n", "3x\r\nabc\r\n", " 3\r\nabc"]
        {
            assert_eq!(read(Framing::CHUNKED, wrong.as_bytes(), 64), Err(Malformed), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_body_in_any_chunks_comes_out_whole(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            piece in 1_usize..64,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(Framing::CHUNKED, &wire, piece), Ok((chunks.concat(), Framing::Ended, 0)));
        }

        #[test]
        fn no_bytes_are_too_strange(wire in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..64) {
            let whole = read(Framing::CHUNKED, &wire, wire.len());
            prop_assert_eq!(read(Framing::CHUNKED, &wire, piece).map(|read| read.0), whole.map(|read| read.0));
        }
    }
}
