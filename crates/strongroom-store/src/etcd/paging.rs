//! `range`: a page of the contract out of batches of etcd, all at one revision.
//!
//! etcd limits an answer by the number of entries only. So the first batch is so small that it fits into memory whatever
//! its values are, and those that follow are as large as what was seen so far lets hope for.

use etcd_client::proto::PbKeyValue;
use etcd_client::{GetOptions, Txn, TxnOp};

use super::Inner;
use super::keyspace::number;
use super::open::{header_revision, ranges};
use super::trouble::Trouble;
use crate::limits::PageBuilder;
use crate::{LIMIT_MAX, PAGE_BYTES_MAX, Page, Revision, StoreError};

/// Reads one page.
pub(super) async fn page(
    inner: &Inner,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    at: Option<Revision>,
) -> Result<Page, StoreError> {
    // etcd would read the present for 0.
    if at == Some(Revision(0)) {
        return Err(StoreError::Compacted(Revision(0)));
    }
    let (mut first, end) = inner.keyspace.range(prefix, after);
    let mut page = PageBuilder::new(limit, at.unwrap_or_default());
    let mut batch = BATCH_ENTRIES;
    loop {
        // One more than the page holds: it says whether more follow.
        let entries = batch.min(page.room() + 1);
        let question = Question { first: &first, end: &end, entries, at: page.revision() };
        let (records, revision) = match question.put(inner).await {
            Err(Trouble::TooLong) if entries > BATCH_ENTRIES => {
                batch = BATCH_ENTRIES;
                continue;
            }
            answer => answer.map_err(|trouble| inner.explain_at(trouble, page.revision()))?,
        };
        page.set_revision(revision);
        let all = records.len() < entries;
        batch = next_batch(&records);
        if let Some(last) = records.last() {
            first.clone_from(&last.key);
            first.push(0);
        }
        for record in records {
            let entry = inner.keyspace.entry(record)?;
            if !page.has_room(&entry.key, &entry.value) {
                return Ok(held(inner, page));
            }
            page.push(entry);
        }
        if all {
            return Ok(held(inner, page));
        }
    }
}

/// Keeps the revision readable as long as somebody goes on reading it.
fn held(inner: &Inner, page: PageBuilder) -> Page {
    let page = page.finish();
    if page.more {
        inner.history.hold(page.revision.0);
    }
    page
}

struct Question<'a> {
    first: &'a [u8],
    end: &'a [u8],
    entries: usize,
    /// 0: the present.
    at: Revision,
}

impl Question<'_> {
    /// The records, and the revision they were read at.
    async fn put(&self, inner: &Inner) -> Result<(Vec<PbKeyValue>, Revision), Trouble> {
        let options = GetOptions::new()
            .with_range(self.end)
            .with_limit(i64::try_from(self.entries).unwrap_or(i64::MAX))
            .with_revision(number(self.at.0));
        let question: Txn = inner.fenced([TxnOp::get(self.first, Some(options))]);
        let answer = inner.members.ask(&question).await?;
        let answer = inner.known(answer)?;
        let revision = if self.at == Revision(0) { Revision(header_revision(&answer)) } else { self.at };
        Ok((ranges(answer).next().unwrap_or_default(), revision))
    }
}

/// As many entries as fill half a page, if they are as large as these.
fn next_batch(records: &[PbKeyValue]) -> usize {
    let bytes: usize = records.iter().map(|record| record.key.len() + record.value.len()).sum();
    let each = bytes / records.len().max(1) + 1;
    (PAGE_BYTES_MAX / 2 / each).clamp(BATCH_ENTRIES, LIMIT_MAX + 1)
}

/// Entries of a batch whose values may have any size that the contract allows: at most 32 MiB.
pub(super) const BATCH_ENTRIES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_large_for_small_values_and_small_for_large_ones() {
        let records = |bytes: usize| vec![PbKeyValue { value: vec![0; bytes], ..PbKeyValue::default() }; 10];
        assert_eq!(next_batch(&records(100)), LIMIT_MAX + 1);
        assert_eq!(next_batch(&records(512 * 1024)), BATCH_ENTRIES);
        assert_eq!(next_batch(&records(16 * 1024 - 1)), 256);
        assert_eq!(next_batch(&[]), LIMIT_MAX + 1);
    }
}
