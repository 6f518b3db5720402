//! One page of events for one client: read from the journal past the core, on a thread that may block. The policy of the
//! client's file decides as it does for a peer; the filter of the request narrows that. A page is a function of the
//! journal, the policy and the place: two requests for one place get the same lines.

use std::sync::Arc;

use super::cursor::{Cursor, StartPlace, oldest};
use super::problem::Problem;
use super::query::ReadQuery;
use super::{WebState, cursor};
use crate::clock;
use crate::config::ClientFile;
use crate::filter::{Filter, FilterFacts};
use crate::format::{Carried, HandOff};
use crate::identity::EventId;
use crate::limits::{PAGE_BYTES_MAX, PAGE_SCAN_BYTES_MAX, PAGE_WITHIN_MS, READ_BYTES, TWINS_MAX};
use crate::policy;
use crate::record::{Entry, JournalEnds};
use crate::store::Store;
use crate::time::Timestamp;
use crate::wire::Mark;

/// How the lines of a page are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageFraming {
    /// One event in each line.
    Lines,
    /// Server-sent events, each with its cursor as `id`.
    Events,
}

/// Bounds of one page.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageBounds {
    pub lines: usize,
    pub bytes: usize,
    pub framing: PageFraming,
}

#[derive(Debug)]
pub(super) struct Page {
    pub body: Vec<u8>,
    pub lines: usize,
    /// Its first entry lies behind this seq.
    pub after: u64,
    /// The place behind the last entry that was looked at.
    pub next: Mark,
    pub ends: JournalEnds,
    /// It has as many lines or bytes as it may: what is added to the journal does not change it.
    pub full: bool,
    /// The end of the journal was reached.
    pub at_end: bool,
}

impl Page {
    pub(crate) fn cursor(&self) -> String {
        Cursor::at(self.ends.log_id, self.next).to_string()
    }
}

/// Reads pages for one request.
#[derive(Clone)]
pub(super) struct PageReader {
    pub web: Arc<WebState>,
    pub client: Arc<ClientFile>,
    pub query: Arc<ReadQuery>,
    pub filter: Option<Arc<Filter>>,
}

impl PageReader {
    /// Compiles the filter of the query. Lists are files: call it where it may block.
    ///
    /// # Errors
    /// `bad_filter`, with its line and column.
    pub(crate) fn new(
        web: Arc<WebState>,
        client: Arc<ClientFile>,
        query: Arc<ReadQuery>,
    ) -> Result<Self, Problem> {
        let lists = (web.services.lists)();
        let compile = |source: &String| Filter::compile(source, &*lists).map(Arc::new);
        let filter = query.filter.as_ref().map(compile).transpose().map_err(|fault| {
            let hint = fault.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            let detail = format!("\"filter\":{}:{}: {fault}{hint}", fault.line, fault.column);
            Problem::new(axum::http::StatusCode::BAD_REQUEST, "bad_filter", detail)
        })?;
        Ok(Self { web, client, query, filter })
    }

    /// Returns the place before the first entry of the page, and proves that nothing is missing behind it.
    ///
    /// # Errors
    /// `cursor_gone`, if the cursor is of another journal, or entries behind it were dropped.
    pub(crate) fn start(&self, place: StartPlace) -> Result<u64, Problem> {
        let store = &self.web.services.store;
        let ends = store.ends();
        match place {
            StartPlace::Earliest => Ok(ends.floor.seq),
            StartPlace::Now => Ok(ends.last.seq),
            StartPlace::Time(time) => {
                let seq = store.seq_at(time).map_err(|error| Problem::unreadable(&error))?;
                Ok(seq.saturating_sub(1).max(ends.floor.seq))
            }
            StartPlace::Cursor(cursor) => check_cursor(store, &ends, &cursor),
        }
    }

    /// Reads the page after `after`.
    ///
    /// # Errors
    /// The store cannot read; `cursor_gone` if retention took entries in between.
    pub(crate) fn page(&self, after: u64, bounds: PageBounds) -> Result<Page, Problem> {
        let store = &self.web.services.store;
        let ends = store.ends();
        let mut page = Page {
            body: Vec::new(),
            lines: 0,
            after,
            next: Mark { seq: after, ..ends.floor },
            ends,
            full: false,
            at_end: false,
        };
        let now = self.web.services.door.steady_now();
        let mut scanned = 0;
        let until = clock::now().tick.plus_ms(PAGE_WITHIN_MS);
        while scanned < PAGE_SCAN_BYTES_MAX {
            let read =
                store.read_after(page.next.seq, READ_BYTES).map_err(|error| Problem::unreadable(&error))?;
            let ends = store.ends();
            if ends.floor.seq > page.next.seq {
                // Retention was faster. What was read stands; the next request is told that it goes on with a gap.
                return if page.lines > 0 { Ok(page) } else { Err(dropped(&ends)) };
            }
            page.next = read.after;
            if read.entries.is_empty() {
                page.at_end = true;
                break;
            }
            for entry in &read.entries {
                scanned += entry.envelope.bytes().len();
                page.next = Mark { seq: entry.seq, check: entry.check };
                if self.takes(entry, now) && self.write(entry, bounds.framing, &mut page) {
                    page.lines += 1;
                }
                if page.lines >= bounds.lines || page.body.len() >= bounds.bytes {
                    page.full = true;
                    return Ok(page);
                }
                // A dear filter: the readers are few, and others wait.
                if self.filter.is_some() && until.since_ms(clock::now().tick) == 0 {
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    fn write(&self, entry: &Entry, framing: PageFraming, page: &mut Page) -> bool {
        let start = page.body.len();
        if framing == PageFraming::Events {
            let cursor = Cursor::at(page.ends.log_id, page.next);
            page.body.extend_from_slice(format!("id: {cursor}\nevent: event\ndata: ").as_bytes());
        }
        if !write_event(&self.web, &self.client, self.query.hand_off(), entry, &mut page.body) {
            page.body.truncate(start);
            return false;
        }
        page.body.extend_from_slice(if framing == PageFraming::Events { b"\n\n" } else { b"\n" });
        true
    }

    /// Is this entry for the client, and the first of its content?
    fn takes(&self, entry: &Entry, now: Option<Timestamp>) -> bool {
        self.admits(entry, now) && !self.had_content(entry, now)
    }

    fn admits(&self, entry: &Entry, now: Option<Timestamp>) -> bool {
        let core = entry.envelope.core();
        let own = &self.web.services.own;
        if self.query.event_type.is_some_and(|wanted| wanted != core.event_type)
            || policy::share_with_client(core, &entry.path, own, &self.client.share, now).is_err()
        {
            return false;
        }
        // A filter that has no answer admits nothing, as at the other doors.
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.admits(&FilterFacts::new(core, &entry.path)).unwrap_or(false))
    }

    /// Was an earlier entry with the same content for this client? If that is not known, the answer is no: better the
    /// content twice than never.
    fn had_content(&self, entry: &Entry, now: Option<Timestamp>) -> bool {
        entry.twins.iter().take(TWINS_MAX).any(|twin| {
            let held = self.web.services.store.entry(twin.seq).ok().flatten();
            held.is_some_and(|held| held.seq == twin.seq && self.admits(&held, now))
        })
    }
}

/// May the client of `file` have this entry now?
pub(super) fn may_have(web: &WebState, file: &ClientFile, entry: &Entry) -> bool {
    let now = web.services.door.steady_now();
    policy::share_with_client(entry.envelope.core(), &entry.path, &web.own, &file.share, now).is_ok()
}

/// Returns the event that withdraws or replaces another, if the client may know of it.
pub(super) fn shown<'a>(web: &WebState, file: &ClientFile, id: Option<&'a EventId>) -> Option<&'a EventId> {
    id.filter(|id| {
        let held = web.services.store.fetch(id).ok().flatten();
        held.is_some_and(|held| may_have(web, file, &held))
    })
}

/// Appends the line of an entry, without a line break. Returns false if its body is sealed.
pub(super) fn write_event(
    web: &WebState,
    file: &ClientFile,
    hand_off: HandOff,
    entry: &Entry,
    out: &mut Vec<u8>,
) -> bool {
    let [withdrawn_by, replaced_by] =
        [&entry.withdrawn_by, &entry.replaced_by].map(|id| shown(web, file, id.as_ref()));
    let carried =
        Carried { withdrawn_by, replaced_by, ..Carried::new(entry.seq, &entry.path, &entry.envelope) };
    hand_off.write_line(&carried, out)
}

fn dropped(ends: &JournalEnds) -> Problem {
    Problem::cursor_gone("events after the cursor were dropped by retention", oldest(ends))
}

/// Returns the seq of a cursor of this journal, if everything behind it is still held.
fn check_cursor(store: &Store, ends: &JournalEnds, cursor: &cursor::Cursor) -> Result<u64, Problem> {
    let gone = |detail: &str| Problem::cursor_gone(detail, oldest(ends));
    if cursor.log_id != ends.log_id || cursor.seq > ends.last.seq {
        return Err(gone("the cursor is of another journal"));
    }
    if cursor.seq < ends.floor.seq {
        return Err(dropped(ends));
    }
    let Some(check) = cursor.check else { return Ok(cursor.seq) };
    let mark = Mark { seq: cursor.seq, check };
    if mark == ends.last || mark == ends.floor {
        return Ok(mark.seq);
    }
    match store.holds(mark) {
        Ok(true) => Ok(mark.seq),
        Ok(false) => Err(gone("the journal was restored: it differs from the one that the cursor is of")),
        Err(error) => Err(Problem::unreadable(&error)),
    }
}

/// The bounds of a page of `GET /v1/events`.
pub(super) const fn page_bounds(lines: usize) -> PageBounds {
    PageBounds { lines, bytes: PAGE_BYTES_MAX, framing: PageFraming::Lines }
}
