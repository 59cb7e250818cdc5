//! The archived rows of one webhook in the order of events, from all files that may hold some. Files overlap a little in time, so those
//! that are open are merged; one is opened only when what is asked for next may lie in it.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::super::rows::HistoryRow;
use super::frame::read_all;
use super::log::Log;
use super::record::{Record, Records};
use super::segment::{Reader, Segment};
use super::span::Span;
use crate::domain::{EventId, WebhookIdBits};
use crate::store::StoreError;

/// By event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Rising,
    Falling,
}

/// A file that may hold rows.
#[derive(Clone, Debug)]
pub enum Source {
    Log(Arc<Log>),
    Segment(Arc<Segment>),
}

impl Source {
    pub fn span(&self) -> Span {
        match self {
            Self::Log(log) => log.span(),
            Self::Segment(segment) => segment.span,
        }
    }

    /// All that is in it.
    pub fn each_record(&self, mut each: impl FnMut(Record<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        match self {
            Self::Log(log) => drop(read_all(&log.read()?, |_, record| each(record))?),
            Self::Segment(segment) => {
                let Some(reader) = segment.reader()? else { return Ok(()) };
                for at in reader.all_blocks() {
                    for record in Records::of(&reader.block(at)?) {
                        each(record?.1)?;
                    }
                }
            }
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Log(log) => &log.path,
            Self::Segment(segment) => &segment.path,
        }
    }

    /// Nobody else has it: of one that is no longer among the files nobody will.
    pub fn is_let_go(&self) -> bool {
        match self {
            Self::Log(log) => Arc::strong_count(log) == 1,
            Self::Segment(segment) => Arc::strong_count(segment) == 1,
        }
    }
}

/// See the module.
pub struct Rows {
    webhook: WebhookIdBits,
    events: Range<EventId>,
    direction: Direction,
    /// The one to be opened next is the last.
    closed: Vec<(Span, Source)>,
    open: Vec<Cursor>,
}

struct Cursor {
    reader: Option<Reader>,
    /// Not read yet.
    blocks: Range<usize>,
    read: VecDeque<(EventId, Vec<u8>)>,
}

impl Rows {
    pub fn new(webhook: WebhookIdBits, events: Range<EventId>, direction: Direction, sources: Vec<Source>) -> Self {
        let mut closed: Vec<_> = sources.into_iter().map(|source| (source.span(), source)).collect();
        match direction {
            Direction::Falling => closed.sort_by_key(|(span, _)| span.newest),
            Direction::Rising => closed.sort_by_key(|(span, _)| std::cmp::Reverse(span.oldest)),
        }
        Self { webhook, events, direction, closed, open: Vec::new() }
    }

    /// Whether the first comes no later than the second.
    fn is_first(&self, a: EventId, b: EventId) -> bool {
        match self.direction {
            Direction::Rising => a <= b,
            Direction::Falling => a >= b,
        }
    }

    fn open_next(&mut self) -> Result<(), StoreError> {
        let Some((_, source)) = self.closed.pop() else { return Ok(()) };
        let mut cursor = match source {
            Source::Log(log) => {
                let mut read = VecDeque::new();
                if log.may_hold(self.webhook) {
                    let bytes = log.read()?;
                    read_all(&bytes, |_, record| {
                        self.keep(&mut read, record);
                        Ok(())
                    })?;
                    read.make_contiguous().sort_by_key(|(event, _)| *event);
                }
                Cursor { reader: None, blocks: 0..0, read }
            }
            Source::Segment(segment) => {
                let reader = segment.reader()?;
                let blocks = reader.as_ref().map_or(0..0, |reader| reader.blocks_of(self.webhook, &self.events));
                Cursor { reader, blocks, read: VecDeque::new() }
            }
        };
        self.fill(&mut cursor)?;
        if !cursor.read.is_empty() {
            self.open.push(cursor);
        }
        Ok(())
    }

    fn keep(&self, read: &mut VecDeque<(EventId, Vec<u8>)>, record: Record<'_>) {
        let (webhook, event) = record.key;
        if webhook == self.webhook && self.events.contains(&event) {
            read.push_back((event, record.bytes.to_vec()));
        }
    }

    /// Reads blocks until one has something.
    fn fill(&self, cursor: &mut Cursor) -> Result<(), StoreError> {
        while cursor.read.is_empty()
            && let Some(reader) = &cursor.reader
        {
            let next = match self.direction {
                Direction::Rising => cursor.blocks.next(),
                Direction::Falling => cursor.blocks.next_back(),
            };
            let Some(at) = next else { break };
            for record in Records::of(&reader.block(at)?) {
                self.keep(&mut cursor.read, record?.1);
            }
        }
        Ok(())
    }

    fn head(&self, cursor: &Cursor) -> Option<EventId> {
        let head = match self.direction {
            Direction::Rising => cursor.read.front(),
            Direction::Falling => cursor.read.back(),
        };
        head.map(|(event, _)| *event)
    }

    fn advance(&mut self) -> Result<Option<(EventId, HistoryRow)>, StoreError> {
        let (at, event) = loop {
            let heads = self.open.iter().enumerate().filter_map(|(at, cursor)| Some((at, self.head(cursor)?)));
            let first = heads.reduce(|a, b| if self.is_first(a.1, b.1) { a } else { b });
            let may_precede = |(span, _): &(Span, Source)| {
                let bound = if self.direction == Direction::Rising { span.oldest } else { span.newest };
                first.is_none_or(|(_, event)| self.is_first(bound, event))
            };
            if self.closed.last().is_some_and(may_precede) {
                self.open_next()?;
                continue;
            }
            match first {
                Some(first) => break first,
                None => return Ok(None),
            }
        };
        let mut cursor = self.open.swap_remove(at);
        let taken = match self.direction {
            Direction::Rising => cursor.read.pop_front(),
            Direction::Falling => cursor.read.pop_back(),
        };
        self.fill(&mut cursor)?;
        if !cursor.read.is_empty() {
            self.open.push(cursor);
        }
        let record = taken.as_ref().and_then(|(_, bytes)| Record::read(bytes));
        record.map(|record| Ok((event, record.row()?))).transpose()
    }
}

impl Iterator for Rows {
    type Item = Result<(EventId, HistoryRow), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
