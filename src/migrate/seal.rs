//! Lines and the digests between them.

use std::io::{self, BufRead, Write};

use ring::digest::{Context, SHA256};

use super::MigrateError;

/// A line of seal begins with this.
const SEAL: &str = "{\"seal\":\"";
/// Longer than any line that is written: bodies of events are bounded.
const MAX_LINE_BYTES: u64 = 4 << 30;

fn digest(context: &Context) -> String {
    use std::fmt::Write as _;
    let digest = context.clone().finish();
    digest.as_ref()[..16].iter().fold(String::with_capacity(32), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Writes lines and seals.
pub struct SealedWriter<W> {
    to: W,
    so_far: Context,
}

impl<W: Write> SealedWriter<W> {
    pub fn new(to: W) -> Self {
        Self { to, so_far: Context::new(&SHA256) }
    }

    /// `line` is without line breaks.
    pub fn line(&mut self, line: &[u8]) -> io::Result<()> {
        for part in [line, b"\n"] {
            self.so_far.update(part);
            self.to.write_all(part)?;
        }
        Ok(())
    }

    /// Ends a page.
    pub fn seal(&mut self) -> io::Result<()> {
        let seal = format!("{SEAL}{}\"}}", digest(&self.so_far));
        self.line(seal.as_bytes())
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Reads pages and checks their seals.
pub struct SealedReader<R> {
    from: R,
    so_far: Context,
    /// Read so far.
    line: u64,
    peeked: Option<Vec<u8>>,
}

impl<R: BufRead> SealedReader<R> {
    pub fn new(from: R) -> Self {
        Self { from, so_far: Context::new(&SHA256), line: 0, peeked: None }
    }

    pub const fn line(&self) -> u64 {
        self.line
    }

    /// The next line, which stays the next one.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        let line = self.next_line()?;
        Ok(self.peeked.insert(line).trim_ascii_end())
    }

    fn next_line(&mut self) -> io::Result<Vec<u8>> {
        if let Some(line) = self.peeked.take() {
            return Ok(line);
        }
        let mut line = Vec::new();
        io::Read::take(&mut self.from, MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        Ok(line)
    }

    /// The lines of the next page; `None` where the input ends between two pages.
    pub fn page(&mut self) -> Result<Option<Vec<String>>, MigrateError> {
        let mut page = Vec::new();
        loop {
            let mut line = self.next_line()?;
            if line.is_empty() && page.is_empty() {
                return Ok(None);
            }
            if line.pop() != Some(b'\n') {
                return Err(MigrateError::Cut { line: self.line });
            }
            self.line += 1;
            let damaged = MigrateError::Damaged { line: self.line, page: page.len() as u64 };
            let line = String::from_utf8(line);
            let Ok(line) = line else { return Err(damaged) };
            if let Some(seal) = line.strip_prefix(SEAL) {
                if seal.strip_suffix("\"}") != Some(&digest(&self.so_far)) {
                    return Err(damaged);
                }
                self.so_far.update(line.as_bytes());
                self.so_far.update(b"\n");
                return Ok(Some(page));
            }
            self.so_far.update(line.as_bytes());
            self.so_far.update(b"\n");
            page.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = SealedWriter::new(&mut bytes);
        for page in [&["a", "b"][..], &[], &["c"]] {
            for line in page {
                writer.line(line.as_bytes()).unwrap();
            }
            writer.seal().unwrap();
        }
        writer.finish().unwrap();
        bytes
    }

    fn pages(bytes: &[u8]) -> Result<Vec<Vec<String>>, MigrateError> {
        let mut reader = SealedReader::new(bytes);
        std::iter::from_fn(|| reader.page().transpose()).collect()
    }

    #[test]
    fn pages_are_read_as_written() {
        assert_eq!(pages(&written()).unwrap(), [vec!["a", "b"], vec![], vec!["c"]]);
    }

    #[test]
    fn no_byte_can_change_and_no_page_can_be_cut_unseen() {
        let bytes = written();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(pages(&damaged).is_err(), "byte {at}");
            let whole_pages = pages(&bytes[..at]).map(|pages| pages.len());
            assert!(whole_pages.is_err() || whole_pages.unwrap() < 3, "cut at {at}");
        }
    }

    #[test]
    fn pages_cannot_change_places() {
        let text = String::from_utf8(written()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let swapped = [lines[3], lines[0], lines[1], lines[2], lines[4], lines[5]].map(|line| format!("{line}\n"));
        assert!(matches!(pages(swapped.concat().as_bytes()), Err(MigrateError::Damaged { line: 1, .. })));
    }
}
